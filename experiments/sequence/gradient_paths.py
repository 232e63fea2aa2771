"""How far gradients reach: RNN, LSTM and GRU through time, plain and residual networks in depth.

Command:  python -m experiments.sequence.gradient_paths
Time:     under a minute on two CPU cores, seconds on an accelerator.
Result:   gradient_paths.png and summary.json: through 100 steps a plain network's gradient dies or
          explodes, an LSTM with forget gates near 1 keeps it; through 50 layers of tanh it dies
          without shortcuts and lives with them.
"""

from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets import command, ops
from jaxnets.inspect import frozen_gates, gradient_through_depth, gradient_through_time
from jaxnets.study.figures import new_figure, save_figure
from jaxnets.study.summaries import write_settings
from jaxnets.train.run_directory import write_json


@dataclass(frozen=True)
class Config:
    """What to look at.

    Attributes:
        steps: of time.
        units: of the recurrent networks.
        forget_bias: of the LSTM.
        depth: layers of the deep networks.
        width: of the deep networks.
        seed: of weights and inputs.
        workdir: where the figure and summary.json go.
    """

    steps: int = 100
    units: int = 32
    forget_bias: float = 5.0
    depth: int = 50
    width: int = 64
    seed: int = 0
    workdir: Path = Path("runs/gradient_paths")


def smoke() -> Config:
    """Short and narrow."""
    return Config(steps=6, units=4, depth=3, width=5)


def layer(key: jax.Array, cell: str, units: int, radius: float, forget_bias: float):
    """Weights for inputs of 8 features, each recurrent gate of the given spectral radius."""
    gates = ops.RECURRENT_CELLS[cell].gates
    keys = jax.random.split(key, gates + 1)
    draw = jax.nn.initializers.orthogonal()
    recurrent = jnp.concatenate([radius * draw(k, (units, units)) for k in keys[1:]], -1)
    inputs = 0.1 * jax.random.normal(keys[0], (8, gates * units))
    bias = jnp.zeros(gates * units)
    if cell in ("lstm", "gru"):  # the forget gate, and the update gate: both keep the state
        bias = bias.at[units : 2 * units].set(forget_bias)
    return ops.RecurrentWeights(inputs, recurrent, bias)


def through_time(config: Config) -> dict[str, np.ndarray]:
    """Norms of ∂s_T/∂s_t, t = 0 … T, by network."""
    key = jax.random.key(config.seed)
    x = jax.random.normal(jax.random.fold_in(key, 1), (config.steps, 8))
    cases = {
        "linear, radius 1.1": ("rnn_linear", 1.1),
        "linear, radius 0.9": ("rnn_linear", 0.9),
        "tanh, radius 0.9": ("rnn", 0.9),
        "GRU": ("gru", 0.2),
        "LSTM": ("lstm", 0.2),
    }
    found = {}
    for name, (cell, radius) in cases.items():
        weights = layer(key, cell, config.units, radius, config.forget_bias)
        found[name] = np.asarray(gradient_through_time(cell, x, weights).norms)
    found["LSTM, product of forget gates"] = np.asarray(frozen_gates(x, weights)[0].max(-1))
    return found


def through_depth(config: Config) -> dict[str, np.ndarray]:
    """Norms of ∂h_L/∂h_l, l = 0 … L, of a plain and a residual network."""
    key = jax.random.key(config.seed)
    x = jax.random.normal(jax.random.fold_in(key, 2), (config.width,))

    def initializer(key, shape, dtype):
        return 0.5 * ops.xavier_normal(key, shape, dtype)

    return {
        name: np.asarray(
            gradient_through_depth(
                key, x, depth=config.depth, initializer=initializer, residual=residual
            ).norms
        )
        for name, residual in (("plain", False), ("residual", True))
    }


def main(config: Config) -> dict:
    """Both analyses; draws them and returns the norms at the far end."""
    write_settings(config)
    found = through_time(config), through_depth(config)
    figure, panels = new_figure(2)
    titles = ("steps back in time", "layers back from the last")
    for ax, curves, title in zip(panels, found, titles, strict=True):
        for name, norms in curves.items():
            style = "--" if "product" in name else "-"
            ax.semilogy(range(len(norms)), np.maximum(norms[::-1], 1e-30), style, label=name)
        ax.set_xlabel(title)
        ax.set_ylabel("largest singular value")
        ax.legend(fontsize=8)
    save_figure(figure, config.workdir / "gradient_paths.png")
    result = {
        "time": {name: float(norms[0]) for name, norms in found[0].items()},
        "depth": {name: float(norms[0]) for name, norms in found[1].items()},
    }
    result["lstm_over_tanh"] = result["time"]["LSTM"] / max(
        result["time"]["tanh, radius 0.9"], 1e-30
    )
    write_json(config.workdir / "summary.json", result)
    return result


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
