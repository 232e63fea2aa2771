"""What does the staleness of asynchronous SGD cost?"""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.claims.framework import (
    Claim,
    Outcome,
    Settings,
    at_least,
    best,
    effect,
    figures,
    make_keys,
    train_many,
)
from jaxnets import optim
from jaxnets.models.mlp import MLP

SLOTS = 32


@dataclass(frozen=True, kw_only=True)
class Stale(Settings):
    """Staleness of every gradient, in updates, over a grid of rates."""

    staleness: tuple[int, ...] = (0, 7, 31)
    rates: tuple[float, ...] = (0.01, 0.03, 0.1, 0.2, 0.4)
    steps: int = 1500
    evaluations: int = 15


class Queue(NamedTuple):
    """Updates on their way to the server."""

    count: jax.Array
    waiting: optax.Updates


def delayed_sgd(value):
    """SGD whose update of step t is applied at step t + τ: x ← x − η g(x_{t−τ}).

    The gradient of a worker that read τ versions ago is the gradient that was computed τ steps
    ago; so a queue of updates is a round of τ + 1 workers of equal speed.
    """

    def init(params):
        empty = jax.tree.map(lambda p: jnp.zeros((SLOTS, *p.shape), p.dtype), params)
        return Queue(jnp.zeros((), jnp.int32), empty)

    def update(gradients, state, params=None):
        del params
        now = state.count % SLOTS
        waiting = jax.tree.map(lambda q, g: q.at[now].set(g), state.waiting, gradients)
        due = (state.count - value["staleness"]) % SLOTS
        arrived = jax.tree.map(lambda q: q[due], waiting)
        return arrived, Queue(state.count + 1, waiting)

    return optax.chain(optax.GradientTransformation(init, update), optim.sgd(value["rate"]))


def measure(settings: Stale) -> Outcome:
    if max(settings.staleness) >= SLOTS:
        raise ValueError(f"staleness: got {settings.staleness}; expected less than {SLOTS}")
    rates, count = np.float32(settings.rates), len(settings.rates)
    runs = train_many(
        MLP(10, (32,)),
        delayed_sgd,
        {
            "staleness": np.repeat(np.int32(settings.staleness), count),
            "rate": np.tile(rates, len(settings.staleness)),
        },
        settings.data(),
        make_keys(settings.keys),
        steps=settings.steps,
        evaluations=settings.evaluations,
    )
    accuracy = runs.accuracy.reshape(len(settings.staleness), count, -1)
    chosen = [best(-a) for a in accuracy]
    tuned = [a[row] for a, row in zip(accuracy, chosen, strict=True)]
    same = [a[chosen[0]] for a in accuracy]
    figure, (left, right) = figures.new(2)
    for color, stale, values in zip(figures.COLORS, settings.staleness, accuracy, strict=False):
        figures.band(left, rates, values.T, f"staleness {stale}", color, marker="o", ms=3)
    left.set(xscale="log", xlabel="learning rate", ylabel="test accuracy, %", ylim=(0, 101))
    left.legend()
    labels = [
        f"staleness {s}\nrate {settings.rates[row]:g}"
        for s, row in zip(settings.staleness, chosen, strict=True)
    ]
    figures.dots(right, labels, tuned)
    right.set(xlabel="test accuracy at its best rate, %")
    pairs = list(zip(settings.staleness, tuned, same, strict=True))[1:]
    return Outcome(
        effects=[
            *(
                effect(
                    f"test accuracy, staleness {s} minus none, each at its best rate",
                    own - tuned[0],
                    at_least(-0.5),
                    unit="points",
                )
                for s, own, _ in pairs
            ),
            *(
                effect(
                    f"the same, at the best rate of no staleness ({settings.rates[chosen[0]]:g})",
                    at_same - tuned[0],
                    unit="points",
                )
                for s, _, at_same in pairs[-1:]
            ),
        ],
        figure=figure,
    )


CLAIM = Claim(
    sentence="Asynchronous SGD trains as well as serial SGD although its gradients are stale",
    notes="L264",
    row="B14",
    experiment="One hidden layer; every gradient is applied τ updates after the parameters it was "
    "computed with, as by τ + 1 workers of equal speed. Equally many updates, each staleness at "
    "its best rate; the claim allows half a point of test accuracy.",
    measure=measure,
    full=Stale(dataset="mnist", train=10_000, test=5000, keys=6),
    quick=Stale(keys=3, steps=120, evaluations=4, staleness=(0, 15), rates=(0.03, 0.1, 0.3)),
    tiny=Stale(keys=2, train=100, steps=2, evaluations=1, staleness=(0, 1), rates=(0.1,), test=50),
)
