"""Does the learning-rate range test come near the best rate of a grid?"""

from dataclasses import dataclass

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from experiments.claims.framework import (
    Claim,
    Outcome,
    Settings,
    at_most,
    effect,
    figures,
    make_keys,
    train_many,
)
from jaxnets import optim
from jaxnets.data import Split
from jaxnets.errors import JaxnetsError
from jaxnets.nn import Dense
from jaxnets.ops import relu, tanh
from jaxnets.tune import classification_loss, draw_batches, range_test

RULES = {"sgd": optim.sgd, "momentum": optim.momentum, "adam": optim.adam}
ACTIVATIONS = {"relu": relu, "tanh": tanh}


class Net(nn.Module):
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
class Compare(Settings):
    """Networks as (depth, activation, optimizer)."""

    networks: tuple[tuple[int, str, str], ...] = (
        (0, "relu", "sgd"),
        (2, "relu", "sgd"),
        (2, "relu", "momentum"),
        (2, "tanh", "sgd"),
        (3, "relu", "adam"),
    )
    steps: int = 220
    sweep: int = 100
    rates: int = 25


def measure(settings: Compare) -> Outcome:
    data, keys = settings.data(), make_keys(settings.keys)
    grid = np.geomspace(1e-5, 10, settings.rates).astype(np.float32)
    split = Split(np.asarray(data.train.images), np.asarray(data.train.labels))
    ratios, rows = {}, []
    for depth, activation, rule in settings.networks:
        model = Net(depth, activation)
        runs = train_many(model, RULES[rule], grid, data, keys, steps=settings.steps, evaluations=1)
        end = np.where(np.isfinite(runs.train_loss[..., -1]), runs.train_loss[..., -1], np.inf)
        best = grid[end.argmin(0)]
        suggested = _suggestions(model, rule, split, keys, settings)
        name = f"{'softmax' if depth == 0 else f'{depth} {activation} layers'}, {rule}"
        ratios[name] = suggested / best
        rows.append((name, end, suggested, best))
    figure, (left, right) = figures.new(2)
    for (name, end, suggested, _), color in zip(rows, figures.COLORS, strict=False):
        loss = np.minimum(np.median(end, 1), 10)
        left.loglog(grid, loss, color=color, label=name)
        place = np.exp(np.log(suggested).mean())
        left.plot(place, np.exp(np.interp(np.log(place), np.log(grid), np.log(loss))), "o",
                  color=color, ms=8)  # fmt: skip
    left.set(xlabel="learning rate", ylabel="training loss at the end", title="dots: suggested")
    left.set_ylim(left.get_ylim()[0] / 300, None)
    left.legend(fontsize=7, loc="lower left")
    figures.dots(right, list(ratios), list(ratios.values()))
    for limit in (1 / 3, 3):
        right.axvline(limit, color="0.5", lw=1, ls="--")
    right.set(xscale="log", xlabel="suggested / best of the grid")
    return Outcome(
        effects=[
            effect(f"factor away, {name}", np.maximum(r, 1 / r), at_most(3), unit="×", method="log")
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


CLAIM = Claim(
    sentence="The learning-rate range test finds a rate within a factor of 3 of the best of a grid",
    notes="L116",
    row="C15",
    experiment="Small dense networks under three optimizers: the range test (100 steps, the rate "
    "rises from 1e-5 to 10) suggests a rate; the best is the one of 25 rates, four a decade, with "
    "the lowest training loss after 220 steps from the same weights. The claim fails where the two "
    "lie further apart than a factor of 3, in either direction.",
    measure=measure,
    full=Compare(keys=8),
    quick=Compare(keys=3, networks=((0, "relu", "sgd"),), steps=100, rates=13),
    tiny=Compare(keys=2, networks=((0, "relu", "sgd"),), steps=2, sweep=10, rates=3, train=100),
)
