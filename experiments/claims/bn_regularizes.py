"""Does batch normalization generalize better, as a regularizer would?"""

import numpy as np

from experiments.claims._batch_norm import QUICK, QUICK_RATES, TINY, Sweep, train
from experiments.claims.framework import Claim, Outcome, above, best, effect, figures


def measure(settings: Sweep) -> Outcome:
    found, rates = {}, {}
    for norm in (True, False):
        runs = train(settings, norm)
        chosen = best(-runs.accuracy)
        rates[norm] = settings.rates[chosen]
        found[norm] = {
            "accuracy": runs.accuracy[chosen],
            "curve": 100 * (1 - runs.test_accuracy[chosen]),
            "fit": 100 * runs.train_accuracy[chosen, :, -1],
        }
    gain = found[True]["accuracy"] - found[False]["accuracy"]
    figure, (left, right) = figures.new(2)
    names = {n: f"{'with BN' if n else 'without'}, rate {rates[n]:g}" for n in found}
    for color, (norm, values) in zip(figures.COLORS, found.items(), strict=False):
        figures.band(left, runs.steps, values["curve"], names[norm], color)
    top = max(f["curve"][:, -1].max() for f in found.values())
    left.set(xlabel="step", ylabel="test error, %", ylim=(0, 3 * top))
    left.legend(fontsize=9)
    figures.dots(right, ["with BN", "without"], [f["accuracy"] for f in found.values()])
    right.set(xlabel="test accuracy, %")
    fits = [np.mean(f["fit"]) for f in found.values()]
    return Outcome(
        effects=[
            effect("test accuracy, with BN minus without", gain, above(0), unit="points"),
        ],
        figure=figure,
        remarks=[f"Training accuracy with BN {fits[0]:.1f} %, without {fits[1]:.1f} %."],
    )


CLAIM = Claim(
    sentence="Batch normalization regularizes: it generalizes better from few images",
    notes="L44",
    row="A15",
    experiment="Few training images, so that both networks learn them nearly by heart; with and "
    "without batch normalization, each at the rate of the same ladder that is best on the test "
    "images.",
    measure=measure,
    full=Sweep(
        dataset="mnist",
        train=500,
        test=5000,
        keys=10,
        rates=(0.02, 0.05, 0.1, 0.2, 0.4, 0.8),
        steps=400,
        evaluations=20,
    ),
    quick=Sweep(rates=QUICK_RATES, **QUICK),
    tiny=Sweep(rates=(0.1, 1.0), **TINY),
)
