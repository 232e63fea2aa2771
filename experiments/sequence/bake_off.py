"""Which recurrent cells remember: adding, copying, and the next character of a text.

Command:  python -m experiments.sequence.bake_off --task adding
          python -m experiments.sequence.bake_off --task copy
          python -m experiments.sequence.bake_off --task characters --text FILE
Time:     about five minutes on two CPU cores for each task.
Result:   TASK.png and summary.json: of each cell the error on fresh sequences, beside the baseline.
          Adding over 100 steps: LSTM and GRU are meant to come below 0.01, a plain network stays at
          1/6, which always saying 1 has.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm import tqdm

from jaxnets import command, train
from jaxnets.data import text as texts
from jaxnets.study.figures import new_figure, save_figure, smooth
from jaxnets.study.summaries import write_settings
from jaxnets.tasks.memory_problems import MemoryProblem, adding, copying, next_character
from jaxnets.train.run_directory import write_json


@dataclass(frozen=True)
class Config:
    """What to train.

    Attributes:
        task: what is to be remembered.
        text: of "characters", a UTF-8 file; number words where None.
        cells: names of `jaxnets.ops.RECURRENT_CELLS`.
        length: steps of a sequence, of the pause, or of a window.
        units: of the recurrent layer.
        batch_size: fresh sequences a step.
        steps: of training, for each cell.
        learning_rate: of Adam.
        clip: the gradient's greatest norm.
        test_size: fresh sequences that measure it.
        seed: of weights and sequences.
        workdir: where the figure and summary.json go.
    """

    task: Literal["adding", "copy", "characters"] = "adding"
    text: Path | None = None
    cells: tuple[str, ...] = ("rnn", "lstm", "gru")
    length: int = 100
    units: int = 64
    batch_size: int = 64
    steps: int = 3000
    learning_rate: float = 5e-3
    clip: float = 1.0
    test_size: int = 2000
    seed: int = 0
    workdir: Path = Path("runs/bake_off")


def smoke() -> Config:
    """Short sequences, a few steps."""
    return Config(cells=("gru",), length=4, units=3, batch_size=4, steps=4, test_size=8)


def choose_problem(config: Config) -> MemoryProblem:
    """The problem of the task's name."""
    if config.task == "adding":
        return adding(config.length)
    if config.task == "copy":
        return copying(config.length)
    lines = texts.read_lines(config.text) if config.text else texts.number_words(2000)[1]
    return next_character("\n".join(lines), config.length)


def train_cell(
    cell: str, problem: MemoryProblem, config: Config
) -> tuple[np.ndarray, dict[str, float]]:
    """Losses of the steps, and what is measured on fresh sequences."""
    model, task = problem.build(cell, config.units), problem.task
    clip = optax.clip_by_global_norm(config.clip)
    optimizer = optax.chain(clip, optax.adam(config.learning_rate))
    state_key, data_key, test_key = jax.random.split(jax.random.key(config.seed), 3)
    example = problem.batch(data_key, 2)
    state = train.create_state(model, optimizer, example, state_key, task=task)

    @partial(jax.jit, donate_argnums=0)
    def many_steps(state, keys):
        def step(state, key):
            batch = problem.batch(key, config.batch_size)
            state, metrics = train.train_step(state, batch, task=task)
            return state, metrics["loss"]

        return jax.lax.scan(step, state, keys)

    losses = []
    for keys in tqdm(np.array_split(np.arange(config.steps), max(1, config.steps // 100)), cell):
        step_keys = jax.vmap(partial(jax.random.fold_in, data_key))(jnp.asarray(keys))
        state, found = many_steps(state, step_keys)
        losses.append(np.asarray(found))
    test = problem.test(test_key, config.test_size)
    test["example_mask"] = jnp.ones(config.test_size)
    outputs = jax.jit(lambda variables: model.apply(variables, **task.inputs(test)))(
        state.variables
    )
    return np.concatenate(losses), task.summarize(task.measure(outputs, test))


def main(config: Config) -> dict:
    """Train each cell; draws the losses and returns the errors."""
    write_settings(config)
    problem = choose_problem(config)
    figure, (ax,) = new_figure()
    errors = {}
    for cell in config.cells:
        losses, found = train_cell(cell, problem, config)
        errors[cell] = found[problem.measure]
        # The figure is in the measure's unit, as the baseline is.
        unit = found[problem.measure] / found["loss"] if found["loss"] else 1.0
        smoothed = smooth(losses, max(1, config.steps // 100)) * unit
        ax.plot(np.linspace(0, config.steps, len(smoothed)), smoothed, label=cell)
        print(f"{cell}: {problem.label} {errors[cell]:.4f} (baseline {problem.baseline:.4f})")
    ax.axhline(problem.baseline, color="black", lw=0.8, ls="--", label="without a memory")
    if config.task == "adding":  # errors fall by powers of ten, bits and nats do not
        ax.set_yscale("log")
    ax.set(xlabel="steps", ylabel=problem.label, title=f"{config.task}, {config.length} steps")
    ax.legend()
    save_figure(figure, config.workdir / f"{config.task}.png")
    result = {"task": config.task, "error": errors, "baseline": problem.baseline}
    write_json(config.workdir / "summary.json", result)
    return result


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
