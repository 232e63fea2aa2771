"""Adam, and SGD with momentum, over a grid of rates, constant and decaying; the range test."""

from dataclasses import dataclass

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxnets import optim
from jaxnets.data import Split
from jaxnets.errors import JaxnetsError
from jaxnets.models.mlp import MLP
from jaxnets.nn import Dense
from jaxnets.ops import relu, tanh
from jaxnets.study.claims import Outcome, TrainingSettings
from jaxnets.study.effects import above, at_least, at_most, below, effect, points, ratio
from jaxnets.study.figures import COLORS, band, curves_and_dots, dots, new_figure
from jaxnets.study.sweep import make_keys
from jaxnets.study.training import Runs, best
from jaxnets.tune import classification_loss, draw_batches, range_test

NETWORK = MLP(10, (64, 64))


@dataclass(frozen=True, kw_only=True)
class Tuning(TrainingSettings):
    """A grid of rates, each constant and decaying to zero as a cosine."""

    rates: tuple[float, ...] = tuple(float(f"{r:.3g}") for r in np.geomspace(1e-4, 1, 9))
    steps: int = 1000
    evaluations: int = 20


def schedule(value):
    """rate × (floor + (1 − floor)·½(1 + cos πt/T)): a floor of 1 is a constant rate."""

    def at(count):
        falling = 0.5 * (1 + jnp.cos(jnp.pi * jnp.minimum(count / value["total"], 1)))
        return value["rate"] * (value["floor"] + (1 - value["floor"]) * falling)

    return at


def adam(value):
    """Adam at that schedule."""
    return optim.adam(schedule(value))


def momentum(value):
    """Momentum 0.9 at that schedule."""
    return optim.momentum(schedule(value))


def train(settings: Tuning, rule) -> dict[str, Runs]:
    """Runs at "constant" and "cosine" rates, each with leading axes (rates, keys)."""
    rates = np.float32(settings.rates)
    values = {
        "rate": np.tile(rates, 2),
        "floor": np.repeat(np.float32([1, 0]), len(rates)),
        "total": np.full(2 * len(rates), settings.steps, np.float32),
    }
    runs = settings.runs(NETWORK, rule, values)
    count = len(rates)
    return {"constant": runs.take(slice(count)), "cosine": runs.take(slice(count, None))}


DEFAULT = 1e-3


def adam_default(settings: Tuning) -> Outcome:
    """Does Adam work at its default constant rate?"""
    runs = train(settings, adam)
    default = int(np.argmin(np.abs(np.log(settings.rates) - np.log(DEFAULT))))
    constant, cosine = runs["constant"].accuracy, runs["cosine"].accuracy
    at_default = constant[default]
    tuned, decayed = best(-constant), best(-cosine)
    figure, (ax,) = new_figure()
    for color, (name, values) in zip(COLORS, runs.items(), strict=False):
        band(ax, settings.rates, values.accuracy.T, name, color, marker="o", ms=3)
    ax.axvline(DEFAULT, color="0.5", lw=1, ls="--")
    low = min(at_default.min(), np.median(constant[tuned])) - 12
    ax.set(xscale="log", xlabel="learning rate of Adam", ylabel="test accuracy, %")
    ax.set_ylim(max(0, low), 100)
    ax.legend(loc="lower center")
    return Outcome(
        effects=[
            points(
                f"test accuracy, {settings.rates[default]:g} constant minus best constant rate",
                at_default - constant[tuned],
                at_least(-2),
            ),
            points(
                f"test accuracy, {settings.rates[default]:g} constant minus best with cosine decay",
                at_default - cosine[decayed],
                at_least(-2),
            ),
        ],
        figure=figure,
        remarks=[
            f"Best constant rate {settings.rates[tuned]:g}; best first rate of a cosine "
            f"{settings.rates[decayed]:g} (both chosen on the test images)."
        ],
    )


def decades(accuracy: np.ndarray, rates) -> np.ndarray:
    """Per key, how many decades of rates lie within 2 points of that key's best."""
    near = accuracy >= accuracy.max(0) - 2
    return near.sum(0) * np.diff(np.log10(rates)).mean()


def momentum_against_adam(settings: Tuning) -> Outcome:
    """Can SGD with momentum, well tuned, do better than Adam, and does it need more tuning?"""
    runs = {"Adam": train(settings, adam), "SGD + momentum": train(settings, momentum)}
    tuned, widths = {}, {}
    figure, (left, right) = new_figure(2)
    for color, (name, kinds) in zip(COLORS, runs.items(), strict=False):
        chosen = {kind: kinds[kind].accuracy[best(-kinds[kind].accuracy)] for kind in kinds}
        tuned[name] = max(chosen.values(), key=np.mean)
        widths[name] = decades(kinds["constant"].accuracy, settings.rates)
        for kind, style in (("constant", "-"), ("cosine", "--")):
            curve, label = kinds[kind].accuracy.T, f"{name}, {kind}"
            band(left, settings.rates, curve, label, color, ls=style)
    low = min(values.min() for values in tuned.values())
    left.set(xscale="log", xlabel="learning rate", ylabel="test accuracy, %", ylim=(low - 12, 100))
    left.legend(fontsize=8)
    dots(right, list(tuned), list(tuned.values()))
    right.set(xlabel="test accuracy, best rate and schedule, %")
    return Outcome(
        effects=[
            points(
                "test accuracy, tuned SGD + momentum minus tuned Adam",
                tuned["SGD + momentum"] - tuned["Adam"],
                above(0),
            ),
            effect(
                "decades of rates within 2 points of the best, Adam minus SGD + momentum",
                widths["Adam"] - widths["SGD + momentum"],
                above(0),
                unit="decades",
            ),
        ],
        figure=figure,
    )


def decay(settings: Tuning) -> Outcome:
    """Is a large first rate that decays better than the best constant one?"""
    runs = train(settings, momentum)
    loss, accuracy, curves = {}, {}, {}
    for kind, found in runs.items():
        last = found.train_loss[..., -1]
        chosen = best(last)
        loss[kind] = last[chosen]
        curves[f"{kind}, from {settings.rates[chosen]:g}"] = found.train_loss[chosen]
        accuracy[kind] = found.accuracy[best(-found.accuracy)]
    limits = (max(1e-5, 0.5 * min(v.min() for v in loss.values())), 3)
    panel = {"xlabel": "step", "ylabel": "training loss", "title": "best rate of each"}
    figure = curves_and_dots(
        found.steps,
        curves,
        accuracy,
        left={**panel, "yscale": "log", "ylim": limits},
        right={"xlabel": "test accuracy, best rate of each, %"},
        legend={"fontsize": None},
    )
    floor = 1e-12
    return Outcome(
        effects=[
            ratio(
                "last training loss, cosine / constant",
                np.maximum(loss["cosine"], floor) / np.maximum(loss["constant"], floor),
                below(1),
            ),
            points(
                "test accuracy, cosine minus constant",
                accuracy["cosine"] - accuracy["constant"],
                above(0),
            ),
        ],
        figure=figure,
    )


RULES = {"sgd": optim.sgd, "momentum": optim.momentum, "adam": optim.adam}
ACTIVATIONS = {"relu": relu, "tanh": tanh}


class Layers(nn.Module):
    """Dense hidden layers, none for softmax regression."""

    depth: int
    activation: str = "relu"
    width: int = 64

    @nn.compact
    def __call__(self, x, *, train: bool = False):
        x = x.reshape(x.shape[0], -1)
        for layer in range(self.depth):
            x = ACTIVATIONS[self.activation](Dense(self.width, name=f"fc{layer}")(x))
        return Dense(10, name="classifier")(x)


@dataclass(frozen=True, kw_only=True)
class RangeTests(TrainingSettings):
    """Networks as (depth, activation, optimizer)."""

    networks: tuple[tuple[int, str, str], ...] = (
        (0, "relu", "sgd"),
        (2, "relu", "sgd"),
        (2, "relu", "momentum"),
        (2, "tanh", "sgd"),
        (3, "relu", "adam"),
    )
    steps: int = 220
    evaluations: int = 1
    sweep: int = 100
    rates: int = 25


def range_tests(settings: RangeTests) -> Outcome:
    """Does the learning-rate range test come near the best rate of a grid?"""
    data, keys = settings.data(), make_keys(settings.keys)
    grid = np.geomspace(1e-5, 10, settings.rates).astype(np.float32)
    split = Split(np.asarray(data.train.images), np.asarray(data.train.labels))
    ratios, rows = {}, []
    for depth, activation, rule in settings.networks:
        model = Layers(depth, activation)
        runs = settings.runs(model, RULES[rule], grid)
        end = np.where(np.isfinite(runs.train_loss[..., -1]), runs.train_loss[..., -1], np.inf)
        best = grid[end.argmin(0)]
        suggested = _suggestions(model, rule, split, keys, settings)
        name = f"{'softmax' if depth == 0 else f'{depth} {activation} layers'}, {rule}"
        ratios[name] = suggested / best
        rows.append((name, end, suggested, best))
    figure, (left, right) = new_figure(2)
    for (name, end, suggested, _), color in zip(rows, COLORS, strict=False):
        loss = np.minimum(np.median(end, 1), 10)
        left.loglog(grid, loss, color=color, label=name)
        place = np.exp(np.log(suggested).mean())
        height = np.exp(np.interp(np.log(place), np.log(grid), np.log(loss)))
        left.plot(place, height, "o", color=color, ms=8)
    left.set(xlabel="learning rate", ylabel="training loss at the end", title="dots: suggested")
    left.set_ylim(left.get_ylim()[0] / 300, None)
    left.legend(fontsize=7, loc="lower left")
    dots(right, list(ratios), list(ratios.values()))
    for limit in (1 / 3, 3):
        right.axvline(limit, color="0.5", lw=1, ls="--")
    right.set(xscale="log", xlabel="suggested / best of the grid")
    return Outcome(
        effects=[
            ratio(f"factor away, {name}", np.maximum(r, 1 / r), at_most(3))
            for name, r in ratios.items()
        ],
        figure=figure,
        remarks=[
            "Suggested / best (geometric mean): "
            + "; ".join(f"{name} {np.exp(np.log(r).mean()):.2g}" for name, r in ratios.items())
            + "."
        ],
    )


def _suggestions(model, rule, split, keys, settings) -> np.ndarray:
    images = jnp.asarray(split.images[:2])
    init = jax.jit(lambda seed: model.init(jax.random.key(seed, impl="rbg"), images))
    loss_of = classification_loss(model, {})
    found = []
    for key in keys:
        batches = draw_batches(split, min(64, len(split)), settings.sweep, seed=int(key))
        try:
            swept = range_test(
                loss_of, init(key)["params"], batches, lowest=1e-5, highest=10, optimizer=rule
            )
            found.append(swept.suggestion)
        except JaxnetsError:
            # No suggestion counts as the end of the range, far from any good rate.
            found.append(1e-5)
    return np.array(found)
