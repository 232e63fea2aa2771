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
from jaxnets.ops import elu, he_normal, leaky_relu, relu, sigmoid, tanh, xavier_normal

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
    """Dense hidden layers with the named activation.

    Maxout has two pieces a unit. Weights after He, behind tanh and sigmoid after Xavier.
    """

    activation: str
    widths: tuple[int, ...]

    @nn.compact
    def __call__(self, x, *, train: bool = False):
        saturates = self.activation in ("tanh", "sigmoid")
        init = xavier_normal if saturates else he_normal
        x = x.reshape(x.shape[0], -1)
        for i, width in enumerate(self.widths):
            options = {"kernel_init": init, "name": f"hidden{i}"}
            if self.activation == "Maxout":
                x = Maxout(width, pieces=2, **options)(x)
                continue
            x = Dense(width, **options)(x)
            function = ACTIVATIONS[self.activation]
            x = PReLU(name=f"prelu{i}")(x) if function is None else function(x)
        return Dense(10, name="classifier")(x)


@dataclass(frozen=True, kw_only=True)
class BakeOff(Settings):
    """Every activation gets the rate at which it is fastest.

    Attributes:
        activations: of `ACTIVATIONS`; ReLU, tanh and sigmoid must be among them.
        error: training error to reach.
    """

    activations: tuple[str, ...] = tuple(ACTIVATIONS)
    widths: tuple[int, ...] = (64, 64, 64, 64)
    rates: tuple[float, ...] = (0.03, 0.3)
    steps: int = 1000
    evaluations: int = 50
    error: float = 0.25


def measure(settings: BakeOff) -> Outcome:
    data, keys = settings.data(), make_keys(settings.keys)
    needed, curves = {}, {}
    for name in settings.activations:
        runs = train_many(
            Net(name, settings.widths),
            optim.momentum,
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
    for (name, curve), color in zip(curves.items(), figures.COLORS, strict=False):
        figures.band(left, runs.steps, curve, name, color)
    left.axhline(100 * settings.error, color="0.5", lw=1, ls="--")
    left.set(xlabel="step", ylabel="training error, %", ylim=(0, 95), title="each at its best rate")
    left.legend(fontsize=8)
    right.set_xscale("log")
    figures.dots(right, list(needed), list(needed.values()))
    right.set(xlabel=f"steps to {100 * settings.error:g} % training error")
    slower = {name: needed[name] / needed["ReLU"] for name in needed}
    others = [np.log(needed[n]) for n in needed if n != "sigmoid"]
    last = np.exp(np.log(needed["sigmoid"]) - np.max(others, axis=0))
    return Outcome(
        effects=[
            effect("steps, tanh / ReLU", slower["tanh"], above(1), unit="×", method="log"),
            effect("steps, sigmoid / slowest other", last, above(1), unit="×", method="log"),
            *(
                effect(f"steps, {n} / ReLU", slower[n], unit="×", method="log")
                for n in settings.activations
                if n not in ("ReLU", "tanh")
            ),
        ],
        figure=figure,
    )


CLAIM = Claim(
    sentence="ReLU trains faster than tanh, and sigmoid is the slowest of all",
    notes="L16, L18-L23",
    row="A07",
    experiment="Four dense hidden layers with each of seven activations, momentum 0.9, each at the "
    "fastest of the same rates; counted are the steps until the training error falls to a limit. "
    "AlexNet's figure 1 found ReLU six times faster than tanh in a convolutional network on "
    "CIFAR-10. Same batches for all.",
    measure=measure,
    full=BakeOff(
        dataset="mnist",
        train=5000,
        test=1000,
        keys=5,
        rates=(0.003, 0.01, 0.03, 0.1, 0.3),
        steps=600,
        evaluations=60,
        error=0.05,
    ),
    quick=BakeOff(activations=("ReLU", "tanh", "sigmoid"), keys=3, steps=80, evaluations=16),
    tiny=BakeOff(
        activations=("ReLU", "tanh", "sigmoid"),
        keys=2,
        train=100,
        steps=2,
        rates=(0.1,),
        evaluations=1,
    ),
)
