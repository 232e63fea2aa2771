"""Is momentum smoother and faster than gradient descent, at the price of overshooting?"""

import numpy as np

from experiments.claims._quadratic import Valley, fastest_rate, loss, paths, steps_to_share
from experiments.claims.framework import Claim, Outcome, above, below, effect, figures
from jaxnets import optim


def heavy(value):
    return optim.momentum(value["rate"], momentum=value["momentum"])


def ahead(value):
    return optim.nesterov(value["rate"], momentum=value["momentum"])


def overshoot(path: np.ndarray) -> np.ndarray:
    """How far beyond the minimum a run gets along the valley, in per cent of its start."""
    return 100 * np.maximum(-path[..., 1].min(1), 0) / path[:, 0, 1]


def measure(settings: Valley) -> Outcome:
    ones = np.ones(settings.keys, np.float32)
    value = {"rate": ones, "momentum": 0.9 * ones}
    found = {
        "gradient descent": paths(settings, optim.sgd, fastest_rate(settings)),
        "momentum 0.9": paths(settings, heavy, value),
        "Nesterov 0.9": paths(settings, ahead, value),
    }
    over = {name: overshoot(path) for name, path in found.items()}
    needed = {name: steps_to_share(settings, path) for name, path in found.items()}
    figure, (left, right) = figures.new(2)
    shown = min(120, settings.steps)
    for color, (name, path) in zip(figures.COLORS, found.items(), strict=False):
        along = (path[..., 1] / path[:, :1, 1])[:, : shown + 1]
        figures.band(left, np.arange(shown + 1), along, name, color)
        figures.band(
            right,
            np.arange(shown + 1),
            np.log10(loss(settings, path)[:, : shown + 1]),
            name,
            color,
        )
    left.axhline(0, color="0.5", lw=1, ls="--")
    left.set(xlabel="step", ylabel="place along the valley / start", title="overshoot")
    right.set(xlabel="step", ylabel="log₁₀ of f", title="speed", ylim=(-8, 1))
    left.legend(fontsize=8)
    ratio = needed["gradient descent"] / needed["momentum 0.9"]
    return Outcome(
        effects=[
            effect(
                "momentum: overshoot, share of the start", over["momentum 0.9"], above(10), unit="%"
            ),
            effect(
                "Nesterov's overshoot minus momentum's",
                over["Nesterov 0.9"] - over["momentum 0.9"],
                below(0),
                unit="points",
            ),
            effect(
                "steps to 1e-4 of f, gradient descent / momentum",
                ratio,
                above(1),
                unit="×",
                method="log",
            ),
            effect("gradient descent: overshoot", over["gradient descent"], unit="%"),
        ],
        figure=figure,
    )


CLAIM = Claim(
    sentence="Momentum is faster but overshoots; Nesterov's look ahead overshoots less",
    notes="L61, L62",
    row="B02, B03",
    experiment="From random points of valleys, one direction 20 to 100 times steeper: gradient "
    "descent at its fastest rate, momentum and Nesterov's momentum of 0.9 at the inverse of the "
    "steepest curvature. The claim wants momentum to run more than 10 % of its way beyond the "
    "minimum, Nesterov less far, and momentum to arrive first.",
    measure=measure,
    full=Valley(keys=20),
    quick=Valley(keys=8),
    tiny=Valley(keys=2, steps=40),
)
