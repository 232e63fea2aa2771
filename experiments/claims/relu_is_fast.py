"""Which activation trains fastest? AlexNet's figure 1 in small, with seven activations."""

from collections.abc import Callable
from dataclasses import dataclass

import flax.linen as nn
import numpy as np

from experiments.claims.framework import (
    Claim,
    Outcome,
    Settings,
    above,
    effect,
    figures,
    make_keys,
    steps_to,
    train_many,
)
from jaxnets import optim
from jaxnets.nn import Dense, Maxout, PReLU
from jaxnets.ops import elu, leaky_relu, relu, sigmoid, tanh, xavier_normal

ACTIVATIONS: dict[str, Callable] = {
    "ReLU": relu,
    "leaky ReLU": leaky_relu,
    "ELU": elu,
    "PReLU": None,
    "Maxout": None,
    "tanh": tanh,
    "sigmoid": sigmoid,
}


class Net(nn.Module):
    """Dense hidden layers with the named activation; Maxout has two pieces a unit."""

    activation: str
    width: int = 64
    depth: int = 4

    @nn.compact
    def __call__(self, x, *, train: bool = False):
        x = x.reshape(x.shape[0], -1)
        for i in range(self.depth):
            if self.activation == "Maxout":
                x = Maxout(self.width, pieces=2, name=f"maxout{i}")(x)
                continue
            init = {"kernel_init": xavier_normal} if self.activation in ("tanh", "sigmoid") else {}
            x = Dense(self.width, name=f"fc{i}", **init)(x)
            function = ACTIVATIONS[self.activation]
            x = PReLU(name=f"prelu{i}")(x) if function is None else function(x)
        return Dense(10, name="classifier")(x)


@dataclass(frozen=True, kw_only=True)
class BakeOff(Settings):
    """Every activation gets the rate at which it is fastest."""

    rates: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3, 1.0)
    steps: int = 1000
    evaluations: int = 50
    error: float = 0.25


def measure(settings: BakeOff) -> Outcome:
    data, keys = settings.data(), make_keys(settings.keys)
    needed, curves = {}, {}
    for name in ACTIVATIONS:
        runs = train_many(
            Net(name),
            optim.sgd,
            np.float32(settings.rates),
            data,
            keys,
            steps=settings.steps,
            evaluations=settings.evaluations,
        )
        errors = 1 - runs.train_accuracy
        by_rate = steps_to(runs.steps, errors, settings.error)
        best = int(np.argmin(np.log(by_rate + 1).mean(1)))
        needed[name], curves[name] = np.maximum(by_rate[best], 1), 100 * errors[best]
    figure, (left, right) = figures.new(2)
    for (name, curve), colour in zip(curves.items(), figures.COLOURS, strict=True):
        figures.band(left, runs.steps, curve, name, colour)
    left.axhline(100 * settings.error, color="0.5", lw=1, ls="--")
    left.set(xlabel="step", ylabel="training error, %", ylim=(0, 95), title="each at its best rate")
    left.legend(fontsize=8)
    figures.dots(right, list(needed), list(needed.values()))
    right.set(xscale="log", xlabel=f"steps to {100 * settings.error:g} % training error")
    slower = {name: needed[name] / needed["ReLU"] for name in needed}
    others = [np.log(needed[n]) for n in needed if n != "sigmoid"]
    last = np.exp(np.log(needed["sigmoid"]) - np.max(others, axis=0))
    return Outcome(
        effects=[
            effect("steps, tanh / ReLU", slower["tanh"], above(1), unit="×", method="log"),
            effect("steps, sigmoid / slowest other", last, above(1), unit="×", method="log"),
            *(
                effect(f"steps, {n} / ReLU", slower[n], unit="×", method="log")
                for n in ("leaky ReLU", "ELU", "PReLU", "Maxout", "sigmoid")
            ),
        ],
        figure=figure,
    )


CLAIM = Claim(
    sentence="ReLU trains faster than tanh, and sigmoid is the slowest of all",
    notes="L16, L18-L23",
    row="A07",
    experiment="Four dense hidden layers of 64 units with each of seven activations, SGD without "
    "momentum, each at the fastest of a grid of rates; counted are the steps until a quarter of "
    "the training images is still wrong (AlexNet's figure 1, which found a factor of six for a "
    "convolutional network). Same keys, same batches for all.",
    measure=measure,
    full=BakeOff(dataset="mnist", train=10_000, test=1000, keys=8),
    quick=BakeOff(keys=4, steps=200, rates=(0.03, 0.3), evaluations=40),
    tiny=BakeOff(keys=2, steps=4, rates=(0.1,), evaluations=2),
)
