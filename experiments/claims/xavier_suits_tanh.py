"""Does Xavier initialization keep a signal alive behind tanh, and lose it behind ReLU?"""

from dataclasses import dataclass

import jax
import numpy as np

from experiments.claims.framework import (
    Claim,
    Outcome,
    Settings,
    above,
    effect,
    figures,
    make_keys,
    within,
)
from jaxnets.ops import relu, tanh, xavier_normal
from jaxnets.ops.signal_propagation import propagate


@dataclass(frozen=True, kw_only=True)
class Depth(Settings):
    """A plain network of square layers at its start."""

    width: int = 512
    depth: int = 50
    examples: int = 256


def statistics(settings: Depth, activation, initializer) -> dict[str, np.ndarray]:
    """Standard deviation and second moment of each layer's output, (keys, depth)."""

    def one(seed):
        first, rest = jax.random.split(jax.random.key(seed))
        x = jax.random.normal(first, (settings.examples, settings.width))
        options = {"depth": settings.depth, "initializer": initializer, "activation": activation}
        return propagate(rest, x, **options)

    run = jax.jit(one)
    found = [jax.device_get(run(seed)) for seed in make_keys(settings.keys)]
    return {name: np.stack([f[name] for f in found]) for name in ("std", "second_moment")}


def measure(settings: Depth) -> Outcome:
    through_tanh = statistics(settings, tanh, xavier_normal)["std"]
    through_relu = statistics(settings, relu, xavier_normal)["second_moment"]
    # The mean factor from one layer to the next; 1/2 is what theory says.
    factor = (through_relu[:, -1] / through_relu[:, 0]) ** (1 / (settings.depth - 1))
    figure, (left, right) = figures.new(2)
    layers = np.arange(1, settings.depth + 1)
    figures.band(left, layers, through_tanh, "tanh", figures.COLORS[0])
    left.axhline(0.1, color="0.5", lw=1, ls="--")
    left.set(xlabel="layer", ylabel="standard deviation", ylim=(0, None), title="tanh")
    right.semilogy(layers, through_relu.T, color=figures.COLORS[1], lw=0.8, alpha=0.6)
    right.semilogy(layers, 0.5**layers, "k:", lw=1.5, label="1/2 a layer")
    right.set(xlabel="layer", ylabel="second moment", title="ReLU, one line a key")
    right.legend()
    last = settings.depth
    return Outcome(
        effects=[
            effect(f"deviation of tanh units in layer {last}", through_tanh[:, -1], above(0.1)),
            effect("second moment of ReLU units, factor a layer", factor, within(0.4, 0.6)),
        ],
        figure=figure,
        remarks=[
            f"After {last} layers the second moment behind ReLU is "
            f"{np.median(through_relu[:, -1]):.1e} (median)."
        ],
    )


CLAIM = Claim(
    sentence="Xavier initialization keeps the signal alive behind tanh but loses it behind ReLU",
    notes="L31",
    row="A12",
    experiment="Gaussian inputs through 50 square layers with weights of variance 1/d: the claim "
    "wants a deviation above 0.1 in the last tanh layer, and a second moment that about halves "
    "with every ReLU layer.",
    measure=measure,
    full=Depth(),
    quick=Depth(width=256, examples=64, keys=5),
    tiny=Depth(width=32, depth=5, examples=16, keys=2),
)
