"""Can SGD with momentum, well tuned, do better than Adam, and does it need more tuning?"""

import numpy as np

from experiments.claims._rates import QUICK, TINY, Tuning, adam, momentum, train
from experiments.claims.framework import Claim, Outcome, above, best, effect, figures


def decades(accuracy: np.ndarray, rates) -> np.ndarray:
    """Per key, how many decades of rates lie within 2 points of that key's best."""
    near = accuracy >= accuracy.max(0) - 2
    return near.sum(0) * np.diff(np.log10(rates)).mean()


def measure(settings: Tuning) -> Outcome:
    runs = {"Adam": train(settings, adam), "SGD + momentum": train(settings, momentum)}
    tuned, widths = {}, {}
    figure, (left, right) = figures.new(2)
    for color, (name, kinds) in zip(figures.COLORS, runs.items(), strict=False):
        chosen = {kind: kinds[kind].accuracy[best(-kinds[kind].accuracy)] for kind in kinds}
        tuned[name] = max(chosen.values(), key=np.mean)
        widths[name] = decades(kinds["constant"].accuracy, settings.rates)
        for kind, style in (("constant", "-"), ("cosine", "--")):
            curve, label = kinds[kind].accuracy.T, f"{name}, {kind}"
            figures.band(left, settings.rates, curve, label, color, ls=style)
    low = min(values.min() for values in tuned.values())
    left.set(xscale="log", xlabel="learning rate", ylabel="test accuracy, %", ylim=(low - 12, 100))
    left.legend(fontsize=8)
    figures.dots(right, list(tuned), list(tuned.values()))
    right.set(xlabel="test accuracy, best rate and schedule, %")
    return Outcome(
        effects=[
            effect(
                "test accuracy, tuned SGD + momentum minus tuned Adam",
                tuned["SGD + momentum"] - tuned["Adam"],
                above(0),
                unit="points",
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


CLAIM = Claim(
    sentence="Well-tuned SGD with momentum beats Adam, but needs more tuning",
    notes="L87",
    row="B13",
    experiment="Two hidden layers; both methods over the same grid of rates, constant and with "
    "cosine decay, the best combination of each chosen on the test images. Tuning is counted as "
    "the width of the range of constant rates that come within 2 points of the best.",
    measure=measure,
    full=Tuning(dataset="mnist", train=10_000, test=5000, keys=5),
    quick=Tuning(**QUICK),
    tiny=Tuning(**TINY),
)
