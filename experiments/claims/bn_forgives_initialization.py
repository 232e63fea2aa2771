"""Does batch normalization make the scale of the first weights irrelevant?"""

import numpy as np

from experiments.claims._batch_norm import QUICK, TINY, Sweep, train
from experiments.claims.framework import Claim, Outcome, above, at_least, below, effect, figures


def spread(loss: np.ndarray, scales) -> np.ndarray:
    """Per key, how far the worst scale's last loss is from that of scale 1, in per cent."""
    worst = np.log(10)  # a run that ended in NaN knows nothing
    loss = np.where(np.isfinite(loss), loss, worst)
    middle = loss[list(scales).index(1.0)]
    return 100 * np.abs(loss / middle - 1).max(0)


def measure(settings: Sweep) -> Outcome:
    runs = {norm: train(settings, norm) for norm in (True, False)}
    loss = {norm: found.train_loss[..., -1] for norm, found in runs.items()}
    middle = list(settings.scales).index(1.0)
    lost = {n: (found.accuracy - found.accuracy[middle]).min(0) for n, found in runs.items()}
    figure, (left, right) = figures.new(2)
    names = {True: "with BN", False: "without"}
    for color, (norm, value) in zip(figures.COLORS, loss.items(), strict=False):
        shown = np.where(np.isfinite(value), np.minimum(value, 10), 10)
        left.loglog(settings.scales, shown, "o", color=color, ms=3, alpha=0.4)
        left.loglog(settings.scales, np.median(shown, 1), color=color, label=names[norm])
    left.set(xlabel="factor on He's initial weights", ylabel="last training loss (10: diverged)")
    left.legend()
    right.set_xscale("log")
    changes = {norm: spread(value, settings.scales) for norm, value in loss.items()}
    figures.dots(right, list(names.values()), [np.maximum(changes[n], 0.1) for n in names])
    right.axvline(10, color="0.5", lw=1, ls="--")
    right.set(xlabel="largest change of the last loss, %")
    return Outcome(
        effects=[
            effect("with BN: change of the last training loss", changes[True], below(10), unit="%"),
            effect(
                "with BN: test accuracy, worst scale minus scale 1",
                lost[True],
                at_least(-1),
                unit="points",
            ),
            effect(
                "without: change of the last training loss", changes[False], above(10), unit="%"
            ),
            effect("without: test accuracy, worst scale minus scale 1", lost[False], unit="points"),
        ],
        figure=figure,
    )


CLAIM = Claim(
    sentence="With batch normalization the scale of the initial weights hardly matters",
    notes="L43",
    row="A15",
    experiment="He's initial weights of all hidden layers times 0.1 to 10, one learning rate, with "
    "and without batch normalization. The claim wants the last training loss to change by less "
    "than 10 % with it, and by more without, and with it no loss of a point of test accuracy.",
    measure=measure,
    full=Sweep(
        dataset="mnist",
        train=5000,
        test=1000,
        keys=8,
        rates=(0.1,),
        scales=(0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0),
        steps=800,
        evaluations=4,
    ),
    quick=Sweep(rates=(0.1,), scales=(0.1, 0.3, 1.0, 3.0, 10.0), **QUICK),
    tiny=Sweep(rates=(0.1,), scales=(0.5, 1.0), **TINY),
)
