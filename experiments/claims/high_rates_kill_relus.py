"""How many ReLU units are dead after training, by learning rate?"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from scipy import stats

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
from jaxnets.metrics.dead_units import alive_units
from jaxnets.models.mlp import MLP

HIDDEN = (64, 64)


@dataclass(frozen=True, kw_only=True)
class Rates(Settings):
    """The ladder of learning rates."""

    rates: tuple[float, ...] = (0.01, 0.03, 0.1, 0.2, 0.4, 0.7, 1.0, 1.5)
    steps: int = 500
    evaluations: int = 5


def dead_share(state, data):
    """Share of hidden units that no training image brings above zero."""
    features = MLP(None, HIDDEN).apply({"params": _hidden(state.params)}, data.train.images)
    alive = alive_units(features)
    return 1 - jnp.concatenate(list(alive.values())).mean()


def _hidden(params):
    return {name: layer for name, layer in params.items() if name != "classifier"}


def measure(settings: Rates) -> Outcome:
    runs = train_many(
        MLP(10, HIDDEN),
        optim.sgd,
        np.float32(settings.rates),
        settings.data(),
        make_keys(settings.keys),
        steps=settings.steps,
        evaluations=settings.evaluations,
        probe=dead_share,
    )
    dead = 100 * runs.probe[..., -1]
    # Equal everywhere, such as no dead unit at all: there is no order to find.
    rising = [
        stats.spearmanr(settings.rates, column).statistic if np.ptp(column) > 0 else 0.0
        for column in dead.T
    ]
    figure, (left, right) = figures.new(2)
    figures.band(left, settings.rates, dead.T, "", figures.COLORS[0], marker="o", ms=3)
    left.set(xscale="log", xlabel="learning rate", ylabel="dead units, %", ylim=(-2, 102))
    figures.band(right, settings.rates, runs.accuracy.T, "", figures.COLORS[1], marker="o", ms=3)
    right.set(xscale="log", xlabel="learning rate", ylabel="test accuracy, %", ylim=(0, 100))
    sentences = [
        f"Rate {rate:g}: {d.mean():.1f} % dead, test accuracy {a.mean():.1f} %."
        for rate, d, a in zip(settings.rates, dead, runs.accuracy, strict=True)
    ]
    return Outcome(
        effects=[
            effect(
                f"dead units, rate {settings.rates[-1]:g} minus {settings.rates[0]:g}",
                dead[-1] - dead[0],
                above(10),
                unit="points",
            ),
            effect("rank correlation of dead units and rate", rising, above(0)),
        ],
        figure=figure,
        remarks=[" ".join(sentences)],
    )


CLAIM = Claim(
    sentence="Too large a learning rate kills ReLU units, so mind the rate",
    notes="L16, L20",
    row="A03",
    experiment="Two hidden layers of 64 ReLUs trained with SGD over a ladder of rates; a unit is "
    "dead if no training image brings it above zero (all are in a run that diverged to NaN). The "
    "claim wants the share to rise with the rate, by more than 10 points over the ladder.",
    measure=measure,
    full=Rates(dataset="mnist", train=5000, test=1000, keys=8),
    quick=Rates(keys=4, steps=100, evaluations=1, rates=(0.01, 0.1, 0.5, 2.0)),
    tiny=Rates(keys=2, train=100, steps=2, evaluations=1, rates=(0.1, 1.0)),
)
