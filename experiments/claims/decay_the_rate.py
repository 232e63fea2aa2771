"""Is a large first rate that decays better than the best constant one?"""

import numpy as np

from experiments.claims._rates import QUICK, TINY, Tuning, momentum, train
from experiments.claims.framework import Claim, Outcome, above, below, best, effect, figures


def measure(settings: Tuning) -> Outcome:
    runs = train(settings, momentum)
    loss, accuracy, curves, rates = {}, {}, {}, {}
    for kind, found in runs.items():
        last = found.train_loss[..., -1]
        chosen = best(last)
        loss[kind], curves[kind] = last[chosen], found.train_loss[chosen]
        accuracy[kind] = found.accuracy[best(-found.accuracy)]
        rates[kind] = settings.rates[chosen]
    figure, (left, right) = figures.new(2)
    left.set_yscale("log")
    for color, kind in zip(figures.COLORS, runs, strict=False):
        label = f"{kind}, from {rates[kind]:g}"
        figures.band(left, runs[kind].steps, curves[kind], label, color)
    left.set(xlabel="step", ylabel="training loss", title="best rate of each")
    left.set_ylim(max(1e-5, 0.5 * min(v.min() for v in loss.values())), 3)
    left.legend()
    figures.dots(right, list(accuracy), list(accuracy.values()))
    right.set(xlabel="test accuracy, best rate of each, %")
    ratio = np.maximum(loss["cosine"], 1e-12) / np.maximum(loss["constant"], 1e-12)
    return Outcome(
        effects=[
            effect(
                "last training loss, cosine / constant", ratio, below(1), unit="×", method="log"
            ),
            effect(
                "test accuracy, cosine minus constant",
                accuracy["cosine"] - accuracy["constant"],
                above(0),
                unit="points",
            ),
        ],
        figure=figure,
    )


CLAIM = Claim(
    sentence="Start with a large learning rate and let it decay: better than any constant rate",
    notes="L53, L66",
    row="B07",
    experiment="SGD with momentum on two hidden layers over a grid of first rates, constant and "
    "decayed to zero as a cosine, for equally many steps. Each gets its best rate: by last "
    "training loss for the loss, by test accuracy for the accuracy.",
    measure=measure,
    full=Tuning(dataset="mnist", train=10_000, test=5000, keys=5),
    quick=Tuning(**QUICK),
    tiny=Tuning(**TINY),
)
