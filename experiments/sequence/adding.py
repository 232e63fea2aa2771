"""The adding problem: which recurrent cells remember a number for a hundred steps.

Command:  python -m experiments.sequence.adding
Time:     about five minutes on two CPU cores.
Result:   adding.png and summary.json: mean squared errors on fresh sequences, to set beside 1/6,
          which always saying 1 has: LSTM and GRU are meant to come below 0.01, a plain network not.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm import tqdm

from jaxnets import command, train
from jaxnets.data.synthetic_sequences import adding_problem
from jaxnets.models.sequence import SequenceRegressor
from jaxnets.study.figures import new_figure, save_figure, smooth
from jaxnets.study.summaries import write_settings
from jaxnets.tasks.sequence import sequence_regression
from jaxnets.train.run_directory import write_json


@dataclass(frozen=True)
class Config:
    """What to train.

    Attributes:
        cells: names of `jaxnets.ops.RECURRENT_CELLS`.
        length: steps of a sequence.
        units: of the recurrent layer.
        batch_size: fresh sequences a step.
        steps: of training, for each cell.
        learning_rate: of Adam.
        clip_norm: the gradient's greatest norm.
        test_size: fresh sequences that measure it.
        seed: of weights and sequences.
        workdir: where the figure and summary.json go.
    """

    cells: tuple[str, ...] = ("rnn", "lstm", "gru")
    length: int = 100
    units: int = 64
    batch_size: int = 64
    steps: int = 3000
    learning_rate: float = 5e-3
    clip_norm: float = 1.0
    test_size: int = 2000
    seed: int = 0
    workdir: Path = Path("runs/adding")


def smoke() -> Config:
    """Short sequences, a few steps."""
    return Config(cells=("gru",), length=4, units=3, batch_size=4, steps=4, test_size=8)


def train_cell(cell: str, config: Config) -> tuple[np.ndarray, float]:
    """Losses of the steps, and the mean squared error on fresh sequences."""
    model, task = SequenceRegressor(config.units, cell), sequence_regression()
    optimizer = optax.chain(
        optax.clip_by_global_norm(config.clip_norm), optax.adam(config.learning_rate)
    )
    key = jax.random.key(config.seed)
    state_key, data_key, test_key = jax.random.split(key, 3)

    def batch(key: jax.Array, count: int) -> dict[str, jax.Array]:
        x, total = adding_problem(key, count, config.length)
        return {"sequence": x, "number": total}

    example = batch(data_key, 2)
    state = train.create_state(model, optimizer, example, state_key, task=task)

    @partial(jax.jit, donate_argnums=0)
    def many_steps(state, keys):
        def step(state, key):
            state, metrics = train.train_step(state, batch(key, config.batch_size), task=task)
            return state, metrics["loss"]

        return jax.lax.scan(step, state, keys)

    losses = []
    for keys in tqdm(np.array_split(np.arange(config.steps), max(1, config.steps // 100)), cell):
        step_keys = jax.vmap(partial(jax.random.fold_in, data_key))(jnp.asarray(keys))
        state, found = many_steps(state, step_keys)
        losses.append(np.asarray(found))
    test = batch(test_key, config.test_size)
    test["example_mask"] = jnp.ones(config.test_size)
    outputs = jax.jit(model.apply)(state.variables, test["sequence"])
    return np.concatenate(losses), task.summarize(task.measure(outputs, test))["loss"]


def main(config: Config) -> dict:
    """Train each cell; draws the losses and returns the errors."""
    write_settings(config)
    figure, (ax,) = new_figure()
    errors = {}
    for cell in config.cells:
        losses, errors[cell] = train_cell(cell, config)
        smoothed = smooth(losses, max(1, config.steps // 100))
        ax.semilogy(np.linspace(0, config.steps, len(smoothed)), smoothed, label=cell)
        print(f"{cell}: mean squared error {errors[cell]:.4f}")
    ax.axhline(1 / 6, color="black", lw=0.8, ls="--", label="always 1")
    ax.set(xlabel="steps", ylabel="mean squared error", title=f"adding, {config.length} steps")
    ax.legend()
    save_figure(figure, config.workdir / "adding.png")
    result = {"mean_squared_error": errors, "baseline": 1 / 6}
    write_json(config.workdir / "summary.json", result)
    return result


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
