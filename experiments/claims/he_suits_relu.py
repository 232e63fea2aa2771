"""Does the factor 2 of He's initialization keep the signal behind ReLUs, and does it matter?"""

from dataclasses import dataclass

import numpy as np

from experiments.claims.framework import (
    Claim,
    Outcome,
    Settings,
    above,
    best,
    effect,
    figures,
    make_keys,
    train_many,
    within,
)
from experiments.claims.xavier_suits_tanh import Depth, statistics
from jaxnets import optim
from jaxnets.models.mlp import MLP
from jaxnets.ops import he_normal, relu, xavier_normal


@dataclass(frozen=True, kw_only=True)
class Both(Settings):
    """The signal at the start, and training of a deep plain network."""

    width: int = 512
    depth: int = 50
    examples: int = 256
    trained_layers: int = 20
    rates: tuple[float, ...] = (0.003, 0.01, 0.03, 0.1, 0.3)
    steps: int = 400
    evaluations: int = 20


def _sgd(value):
    return optim.sgd(value["rate"])


def _scaled(params, value):
    """Hidden weights × scale: 1 is He's initialization, √½ Xavier's."""
    return {
        name: layer | {"kernel": layer["kernel"] * value["scale"]}
        if name.startswith("fc")
        else layer
        for name, layer in params.items()
    }


def measure(settings: Both) -> Outcome:
    signal = Depth(
        keys=settings.keys, width=settings.width, depth=settings.depth, examples=settings.examples
    )
    moments = {
        name: statistics(signal, relu, initializer)["second_moment"]
        for name, initializer in (("He", he_normal), ("Xavier", xavier_normal))
    }
    factor = (moments["He"][:, -1] / moments["He"][:, 0]) ** (1 / (settings.depth - 1))
    rates, count = np.float32(settings.rates), len(settings.rates)
    runs = train_many(
        MLP(10, (32,) * settings.trained_layers),
        _sgd,
        {
            "rate": np.tile(rates, 2),
            "scale": np.repeat(np.float32([1, np.sqrt(0.5)]), count),
        },
        settings.data(),
        make_keys(settings.keys),
        steps=settings.steps,
        evaluations=settings.evaluations,
        start=_scaled,
    )
    accuracy, curves = {}, {}
    for name, rows in (("He", slice(0, count)), ("Xavier", slice(count, None))):
        last = 100 * runs.train_accuracy[rows, :, -1]
        chosen = best(-last)
        accuracy[name] = last[chosen]
        curves[f"{name}, rate {rates[chosen]:g}"] = 100 * runs.train_accuracy[rows][chosen]
    figure, (left, right) = figures.new(2)
    layers = np.arange(1, settings.depth + 1)
    for color, (name, values) in zip(figures.COLORS, moments.items(), strict=False):
        left.semilogy(layers, values.T, color=color, lw=0.7, alpha=0.5)
        left.plot([], [], color=color, label=name)
    left.set(xlabel="layer", ylabel="second moment behind ReLU", title="at the start")
    left.legend()
    for color, (name, curve) in zip(figures.COLORS, curves.items(), strict=False):
        figures.band(right, runs.steps, curve, name, color)
    right.set(
        xlabel="step",
        ylabel="training accuracy, %",
        ylim=(0, 102),
        title=f"{settings.trained_layers} hidden layers",
    )
    right.legend()
    return Outcome(
        effects=[
            effect(
                "second moment behind ReLU, factor a layer (He)",
                factor,
                within(0.95, 1.05),
                unit="×",
                method="log",
            ),
            effect(
                f"training accuracy of {settings.trained_layers} layers, He minus Xavier",
                accuracy["He"] - accuracy["Xavier"],
                above(0),
                unit="points",
            ),
        ],
        figure=figure,
    )


CLAIM = Claim(
    sentence="He initialization keeps the signal alive behind ReLU, and deep networks train better",
    notes="L32-L35",
    row="A13",
    experiment="First, Gaussian inputs through 50 square ReLU layers with weights of variance 2/d "
    "(He) and 1/d (Xavier). Then a deep plain network is trained from both, each at the best of "
    "the same rates. (The notes print N(2, 2/d); meant is N(0, 2/d).)",
    measure=measure,
    full=Both(keys=8),
    quick=Both(
        keys=3,
        width=256,
        examples=64,
        trained_layers=12,
        rates=(0.03, 0.1),
        steps=80,
        evaluations=4,
    ),
    tiny=Both(
        keys=2,
        width=32,
        depth=5,
        examples=16,
        trained_layers=2,
        train=100,
        steps=2,
        evaluations=1,
        rates=(0.1,),
    ),
)
