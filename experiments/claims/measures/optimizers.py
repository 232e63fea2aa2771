"""Effective rates, averaged parameters, stale gradients."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.claims.measures.learning_rates import NETWORK, Tuning, schedule
from jaxnets import optim
from jaxnets.losses import cross_entropy
from jaxnets.models.mlp import MLP
from jaxnets.optim.adaptive import SquaresState
from jaxnets.study.claims import Outcome, TrainingSettings
from jaxnets.study.effects import above, at_least, below, points, ratio
from jaxnets.study.figures import COLORS, band, curves_and_dots, dots, new_figure
from jaxnets.study.training import best


@dataclass(frozen=True, kw_only=True)
class Rules(TrainingSettings):
    """AdaGrad and RMSProp over one grid of rates."""

    rates: tuple[float, ...] = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1)
    steps: int = 2000
    evaluations: int = 40


def effective_rate(state, data):
    """Median over all parameters of 1/√G: what a gradient is multiplied with, but for the rate."""
    del data
    found = jax.tree.leaves(state.opt_state, is_leaf=lambda s: isinstance(s, SquaresState))
    (squares,) = [s.squares for s in found if isinstance(s, SquaresState)]
    # Weights of pixels that never change have no gradient, ever.
    values = jnp.concatenate([s.ravel() for s in jax.tree.leaves(squares)])
    return 1 / jnp.sqrt(jnp.nanmedian(jnp.where(values > 0, values, jnp.nan)))


def effective_rates(settings: Rules) -> Outcome:
    """Do AdaGrad's steps get ever smaller, and does that cost training loss?"""
    rates, curves, lasts, chosen = {}, {}, {}, {}
    for name, rule in (("AdaGrad", optim.adagrad), ("RMSProp", optim.rmsprop)):
        runs = settings.runs(MLP(10, (64,)), rule, np.float32(settings.rates), probe=effective_rate)
        row = best(runs.train_loss[..., -1])
        chosen[name] = settings.rates[row]
        rates[name], curves[name] = runs.probe[row], runs.train_loss[row]
        lasts[name] = np.maximum(runs.train_loss[row, :, -1], 1e-9)
    # The first evaluation after the start, and the last.
    shrink = {name: r[:, -1] / r[:, 1] for name, r in rates.items()}
    figure, (left, right) = new_figure(2)
    left.set(xscale="log", yscale="log")
    right.set_yscale("log")
    for color, name in zip(COLORS, rates, strict=False):
        relative = rates[name][:, 1:] / rates[name][:, 1:2]
        band(left, runs.steps[1:], relative, name, color)
        label = f"{name}, rate {chosen[name]:g}"
        band(right, runs.steps, curves[name], label, color)
    left.set(xlabel="step", ylabel="effective rate / its first")
    bottom = min(last.min() for last in lasts.values())
    right.set(xlabel="step", ylabel="training loss", ylim=(0.5 * bottom, 3))
    for ax in (left, right):
        ax.legend(fontsize=9)
    return Outcome(
        effects=[
            ratio("AdaGrad: effective rate, last / first", shrink["AdaGrad"], below(0.5)),
            ratio(
                "last training loss, AdaGrad / RMSProp",
                lasts["AdaGrad"] / lasts["RMSProp"],
                above(1),
            ),
            ratio("RMSProp: effective rate, last / first", shrink["RMSProp"]),
        ],
        figure=figure,
    )


DECAY = 0.98


def averaged_momentum(value):
    """Momentum, and beside it an exponential average of the parameters."""
    rule = optim.momentum(schedule(value))
    return optax.chain(rule, optim.track(optim.ema(DECAY, debias=True)))


def averaged(state, data):
    """Test loss and accuracy (%) of the averaged parameters."""
    params = optim.averaged_params(state.opt_state, state.params)
    logits = state.apply_fn({"params": params}, data.test.images)
    hits = (jnp.argmax(logits, -1) == data.test.labels).mean()
    return {"loss": cross_entropy(logits, data.test.labels), "accuracy": 100 * hits}


def averaging(settings: Tuning) -> Outcome:
    """Are averaged parameters better than the last ones?"""
    rates = np.float32(settings.rates)
    runs = settings.runs(
        NETWORK,
        averaged_momentum,
        {"rate": rates, "floor": np.ones_like(rates), "total": np.ones_like(rates)},
        probe=averaged,
    )
    # Each at its own best rate: the average stands a larger one.
    row = {"last": best(-runs.accuracy), "averaged": best(-runs.probe["accuracy"][..., -1])}
    accuracy = {
        "last": runs.accuracy[row["last"]],
        "averaged": runs.probe["accuracy"][row["averaged"], :, -1],
    }
    same = row["last"]
    gain = runs.probe["accuracy"][same, :, -1] - accuracy["last"]
    loss = runs.probe["loss"][same, :, -1] / runs.test_loss[same, :, -1]
    errors = {
        "last": (100 - 100 * runs.test_accuracy[same])[:, 1:],
        "averaged": (100 - runs.probe["accuracy"][same])[:, 1:],
    }
    limits = (0, 4 * max(curve[:, -1].max() for curve in errors.values()))
    title = f"rate {settings.rates[same]:g}"
    figure = curves_and_dots(
        runs.steps[1:],
        errors,
        {f"{name}, rate {settings.rates[r]:g}": accuracy[name] for name, r in row.items()},
        left={"xlabel": "step", "ylabel": "test error, %", "ylim": limits, "title": title},
        right={"xlabel": "test accuracy, each at its best rate, %"},
        legend={"fontsize": None},
    )
    return Outcome(
        effects=[
            points("test accuracy at the last's best rate, averaged minus last", gain, above(0)),
            ratio("test loss at the same rate, averaged / last", loss, below(1)),
            points(
                "test accuracy, each at its own best rate, averaged minus last",
                accuracy["averaged"] - accuracy["last"],
            ),
        ],
        figure=figure,
    )


SLOTS = 32


@dataclass(frozen=True, kw_only=True)
class Stale(TrainingSettings):
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


def staleness(settings: Stale) -> Outcome:
    """What does the staleness of asynchronous SGD cost?"""
    if max(settings.staleness) >= SLOTS:
        raise ValueError(f"staleness: got {settings.staleness}; expected less than {SLOTS}")
    rates, count = np.float32(settings.rates), len(settings.rates)
    runs = settings.runs(
        MLP(10, (32,)),
        delayed_sgd,
        {
            "staleness": np.repeat(np.int32(settings.staleness), count),
            "rate": np.tile(rates, len(settings.staleness)),
        },
    )
    accuracy = runs.accuracy.reshape(len(settings.staleness), count, -1)
    chosen = [best(-a) for a in accuracy]
    tuned = [a[row] for a, row in zip(accuracy, chosen, strict=True)]
    same = [a[chosen[0]] for a in accuracy]
    figure, (left, right) = new_figure(2)
    for color, stale, values in zip(COLORS, settings.staleness, accuracy, strict=False):
        band(left, rates, values.T, f"staleness {stale}", color, marker="o", ms=3)
    left.set(xscale="log", xlabel="learning rate", ylabel="test accuracy, %", ylim=(0, 101))
    left.legend()
    labels = [
        f"staleness {s}\nrate {settings.rates[row]:g}"
        for s, row in zip(settings.staleness, chosen, strict=True)
    ]
    dots(right, labels, tuned)
    right.set(xlabel="test accuracy at its best rate, %")
    pairs = list(zip(settings.staleness, tuned, same, strict=True))[1:]
    return Outcome(
        effects=[
            *(
                points(
                    f"test accuracy, staleness {s} minus none, each at its best rate",
                    own - tuned[0],
                    at_least(-0.5),
                )
                for s, own, _ in pairs
            ),
            *(
                points(
                    f"the same, at the best rate of no staleness ({settings.rates[chosen[0]]:g})",
                    at_same - tuned[0],
                )
                for s, _, at_same in pairs[-1:]
            ),
        ],
        figure=figure,
    )
