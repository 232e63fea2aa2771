"""Do AdaGrad's steps get ever smaller, and does that cost training loss?"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from experiments.claims.framework import (
    Claim,
    Outcome,
    Settings,
    above,
    below,
    best,
    effect,
    figures,
    make_keys,
    train_many,
)
from jaxnets import optim
from jaxnets.models.mlp import MLP
from jaxnets.optim.adaptive import SquaresState


@dataclass(frozen=True, kw_only=True)
class Rules(Settings):
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


def measure(settings: Rules) -> Outcome:
    rates, curves, lasts, chosen = {}, {}, {}, {}
    for name, rule in (("AdaGrad", optim.adagrad), ("RMSProp", optim.rmsprop)):
        runs = train_many(
            MLP(10, (64,)),
            rule,
            np.float32(settings.rates),
            settings.data(),
            make_keys(settings.keys),
            steps=settings.steps,
            evaluations=settings.evaluations,
            probe=effective_rate,
        )
        row = best(runs.train_loss[..., -1])
        chosen[name] = settings.rates[row]
        rates[name], curves[name] = runs.probe[row], runs.train_loss[row]
        lasts[name] = np.maximum(runs.train_loss[row, :, -1], 1e-9)
    # The first evaluation after the start, and the last.
    shrink = {name: r[:, -1] / r[:, 1] for name, r in rates.items()}
    figure, (left, right) = figures.new(2)
    left.set(xscale="log", yscale="log")
    right.set_yscale("log")
    for color, name in zip(figures.COLORS, rates, strict=False):
        relative = rates[name][:, 1:] / rates[name][:, 1:2]
        figures.band(left, runs.steps[1:], relative, name, color)
        label = f"{name}, rate {chosen[name]:g}"
        figures.band(right, runs.steps, curves[name], label, color)
    left.set(xlabel="step", ylabel="effective rate / its first")
    bottom = min(last.min() for last in lasts.values())
    right.set(xlabel="step", ylabel="training loss", ylim=(0.5 * bottom, 3))
    for ax in (left, right):
        ax.legend(fontsize=9)
    return Outcome(
        effects=[
            effect(
                "AdaGrad: effective rate, last / first",
                shrink["AdaGrad"],
                below(0.5),
                unit="×",
                method="log",
            ),
            effect(
                "last training loss, AdaGrad / RMSProp",
                lasts["AdaGrad"] / lasts["RMSProp"],
                above(1),
                unit="×",
                method="log",
            ),
            effect(
                "RMSProp: effective rate, last / first", shrink["RMSProp"], unit="×", method="log"
            ),
        ],
        figure=figure,
    )


CLAIM = Claim(
    sentence="AdaGrad's steps get ever smaller, so that it falls behind RMSProp",
    notes="L63, L64",
    row="B04",
    experiment="One hidden layer trained with AdaGrad and RMSProp, each at the best of the same "
    "rates. Measured: the effective rate 1/√G of the median parameter from the first evaluation "
    "to the last, and the last training losses.",
    measure=measure,
    full=Rules(dataset="mnist", train=5000, test=500, keys=6),
    quick=Rules(keys=4, steps=120, evaluations=12, rates=(0.001, 0.01, 0.1)),
    tiny=Rules(keys=2, train=100, steps=4, evaluations=2, rates=(0.01,)),
)
