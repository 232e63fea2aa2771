"""How much larger may the learning rate be with batch normalization?"""

import numpy as np

from experiments.claims._batch_norm import QUICK, QUICK_RATES, TINY, Sweep, train
from experiments.claims.framework import Claim, Outcome, at_least, effect, figures


def largest(loss: np.ndarray, rates) -> np.ndarray:
    """Per key, the largest rate up to which no run ends above its chance level; (keys,)."""
    good = np.isfinite(loss) & (loss < np.log(10))
    count = np.logical_and.accumulate(good, axis=0).sum(0)
    # Nothing works: half of the smallest rate tried.
    ladder = np.concatenate([[rates[0] / 2], rates])
    return ladder[count]


def measure(settings: Sweep) -> Outcome:
    rates = np.asarray(settings.rates)
    loss = {norm: train(settings, norm).train_loss[..., -1] for norm in (True, False)}
    limit = {norm: largest(value, rates) for norm, value in loss.items()}
    figure, (left, right) = figures.new(2)
    names = {True: "with BN", False: "without"}
    for color, (norm, value) in zip(figures.COLORS, loss.items(), strict=False):
        shown = np.where(np.isfinite(value), np.clip(value, 1e-4, 10), 10)
        left.loglog(rates, shown, "o", color=color, ms=3, alpha=0.4)
        left.loglog(rates, np.median(shown, 1), color=color, label=names[norm])
    left.axhline(np.log(10), color="0.5", lw=1, ls="--")
    left.set(xlabel="learning rate", ylabel="last training loss (10: diverged)", ylim=(1e-4, 13))
    left.legend(loc="lower right")
    right.set_xscale("log")
    figures.dots(right, list(names.values()), [limit[norm] for norm in names])
    right.set(xlabel="largest rate that ends below chance level")
    censored = (limit[True] == rates[-1]).mean()
    return Outcome(
        effects=[
            effect(
                "largest rate that trains, with BN / without",
                limit[True] / limit[False],
                at_least(5),
                unit="×",
                method="log",
            )
        ],
        figure=figure,
        remarks=[
            f"With BN {100 * censored:.0f} % of the keys still train at the largest rate tried, "
            f"{rates[-1]:g}: for them the ratio is a lower bound."
        ],
    )


CLAIM = Claim(
    sentence="Batch normalization allows learning rates at least five times larger",
    notes="L42",
    row="A15",
    experiment="The same network of four hidden layers with and without batch normalization, plain "
    "SGD over a ladder of rates; a rate trains if the last training loss is below that of guessing "
    "(ln 10), as it must be for all smaller rates.",
    measure=measure,
    full=Sweep(dataset="mnist", train=5000, test=1000, keys=6),
    quick=Sweep(rates=QUICK_RATES, **QUICK),
    tiny=Sweep(rates=(0.1, 1.0), **TINY),
)
