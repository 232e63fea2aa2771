"""Snapshot ensembles: a cyclic rate, one network a cycle, the mean of their softmaxes."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from experiments.claims.framework import (
    Claim,
    Outcome,
    Settings,
    above,
    effect,
    figures,
    make_keys,
    train_many,
)
from jaxnets import optim
from jaxnets.models import create_model

NETWORK = create_model("mlp", hidden=(64,), num_classes=10)


@dataclass(frozen=True, kw_only=True)
class Cycles(Settings):
    """Both schedules get the best of the same rates."""

    cycles: int = 5
    rates: tuple[float, ...] = (0.01, 0.03, 0.1)
    steps: int = 1000


def cyclic(value):
    """Momentum with Huang et al.'s rate; one cycle is half a cosine over the whole run."""

    def rate(t):
        place = jnp.mod(t, value["length"]) / value["length"]
        return value["rate"] / 2 * (jnp.cos(jnp.pi * place) + 1)

    return optim.momentum(rate)


def probabilities(state, data):
    """Class probabilities of the test images."""
    return jax.nn.softmax(state.apply_fn(state.variables, data.test.images, train=False))


def measure(settings: Cycles) -> Outcome:
    data, count = settings.data(), len(settings.rates)
    length = settings.steps // settings.cycles
    values = {
        "rate": np.tile(np.float32(settings.rates), 2),
        "length": np.repeat(np.float32([length, settings.steps]), count),
    }
    runs = train_many(
        NETWORK,
        cyclic,
        values,
        data,
        make_keys(settings.keys),
        steps=settings.steps,
        evaluations=settings.cycles,
        probe=probabilities,
    )
    labels = np.asarray(data.test.labels)
    snapshots, whole = runs.probe[:count, :, 1:], runs.probe[count:, :, -1]

    def accuracy(p):
        return 100 * (p.argmax(-1) == labels).mean(-1)

    together = accuracy(snapshots.mean(2))  # (rates, keys)
    chosen = int(together.mean(1).argmax())
    single = accuracy(whole)
    single = single[int(single.mean(1).argmax())]
    each, ensemble, p = accuracy(snapshots[chosen]), together[chosen], snapshots[chosen]
    best = each.max(1)
    top = p.argmax(-1)
    pairs = [
        100 * (top[:, i] != top[:, j]).mean(-1) for i in range(settings.cycles) for j in range(i)
    ]
    figure, (left, right) = figures.new(2)
    numbers = np.arange(1, settings.cycles + 1)
    growth = np.stack([accuracy(p[:, :k].mean(1)) for k in numbers], 1)
    figures.band(left, numbers, each, "each snapshot", figures.COLORS[1])
    figures.band(left, numbers, growth, "snapshots together", figures.COLORS[0])
    left.set(xlabel="cycle", ylabel="test accuracy, %", title=data.name)
    left.set_xticks(numbers)
    left.legend(fontsize=8)
    figures.dots(right, ["best snapshot", "ensemble", "one half cosine"], [best, ensemble, single])
    right.set(xlabel="test accuracy, %")
    return Outcome(
        effects=[
            effect("ensemble − best snapshot", ensemble - best, above(0), unit="points"),
            effect("ensemble − one run, same cost", ensemble - single, above(0), unit="points"),
            effect("snapshots that disagree", np.mean(pairs, 0), above(0), unit="% of images"),
        ],
        figure=figure,
        remarks=[
            "The best snapshot is chosen on the test images, which favors it over the ensemble.",
            f"Rates: cyclic {settings.rates[chosen]:g}; every schedule its best of the grid.",
        ],
    )


CLAIM = Claim(
    sentence="A rate that rises again and again gives snapshots whose ensemble beats the best one",
    notes="L93",
    row="C04",
    experiment="One run of five cosine cycles, a snapshot at the end of each; their mean softmax "
    "against the best single snapshot and against one run of the same length with a single half "
    "cosine, each schedule at the best of the same rates. It fails where the mean is no better.",
    measure=measure,
    full=Cycles(dataset="cifar10", train=4000, test=2000, keys=6, rates=(0.01, 0.03, 0.1)),
    quick=Cycles(keys=4, steps=150, train=300, rates=(0.03, 0.1)),
    tiny=Cycles(keys=2, steps=6, cycles=2, rates=(0.1,), train=100, test=50),
)
