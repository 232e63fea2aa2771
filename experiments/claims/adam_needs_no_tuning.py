"""Does Adam work at its default constant rate?"""

import numpy as np

from experiments.claims._rates import QUICK, TINY, Tuning, adam, train
from experiments.claims.framework import Claim, Outcome, at_least, best, effect, figures

DEFAULT = 1e-3


def measure(settings: Tuning) -> Outcome:
    runs = train(settings, adam)
    default = int(np.argmin(np.abs(np.log(settings.rates) - np.log(DEFAULT))))
    constant, cosine = runs["constant"].accuracy, runs["cosine"].accuracy
    at_default = constant[default]
    tuned, decayed = best(-constant), best(-cosine)
    figure, (ax,) = figures.new()
    for color, (name, values) in zip(figures.COLORS, runs.items(), strict=False):
        figures.band(ax, settings.rates, values.accuracy.T, name, color, marker="o", ms=3)
    ax.axvline(DEFAULT, color="0.5", lw=1, ls="--")
    low = min(at_default.min(), np.median(constant[tuned])) - 12
    ax.set(xscale="log", xlabel="learning rate of Adam", ylabel="test accuracy, %")
    ax.set_ylim(max(0, low), 100)
    ax.legend(loc="lower center")
    return Outcome(
        effects=[
            effect(
                f"test accuracy, {settings.rates[default]:g} constant minus best constant rate",
                at_default - constant[tuned],
                at_least(-2),
                unit="points",
            ),
            effect(
                f"test accuracy, {settings.rates[default]:g} constant minus best with cosine decay",
                at_default - cosine[decayed],
                at_least(-2),
                unit="points",
            ),
        ],
        figure=figure,
        remarks=[
            f"Best constant rate {settings.rates[tuned]:g}; best first rate of a cosine "
            f"{settings.rates[decayed]:g} (both chosen on the test images)."
        ],
    )


CLAIM = Claim(
    sentence="Adam often works well even at its constant default rate",
    notes="L86",
    row="B13",
    experiment="A network of two hidden layers trained with Adam at 0.001 and at a grid of rates, "
    "each constant and decayed to zero as a cosine. The claim wants 0.001, constant, within 2 "
    "points of test accuracy of the best of both.",
    measure=measure,
    full=Tuning(dataset="mnist", train=10_000, test=5000, keys=5),
    quick=Tuning(**QUICK),
    tiny=Tuning(**TINY),
)
