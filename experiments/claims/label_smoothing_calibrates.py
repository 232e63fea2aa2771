"""Does label smoothing make confidence honest?"""

import numpy as np

from experiments.claims._smoothing import QUICK, TINY, Smoothing, examined, smoothed
from experiments.claims.framework import Claim, Outcome, below, effect, figures
from jaxnets.losses import cross_entropy
from jaxnets.metrics import expected_calibration_error, fit_temperature, reliability


def _after_temperature(logits, labels) -> float:
    """Calibration error (%) on one half of the examples with the temperature of the other."""
    half = len(labels) // 2
    t = fit_temperature(logits[:half], labels[:half])
    return 100 * float(expected_calibration_error(logits[half:] / t, labels[half:]))


def measure(settings: Smoothing) -> Outcome:
    data = settings.data()
    labels = data.test.labels
    found = {
        name: examined(settings, data, loss)[1]
        for name, loss in (("smoothed", smoothed), ("plain", cross_entropy))
    }
    smooth, plain = found["smoothed"], found["plain"]
    figure, (left, right) = figures.new(2)
    for color, (name, f) in zip(figures.COLORS, found.items(), strict=False):
        # All keys' predictions together, to fill the bins.
        logits = f["logits"].reshape(-1, f["logits"].shape[-1])
        table = reliability(logits, np.tile(labels, settings.keys), bins=10)
        kept = np.asarray(table.share) > 0.005
        left.plot(
            np.asarray(table.confidence)[kept],
            np.asarray(table.accuracy)[kept],
            "o-",
            color=color,
            label=name,
        )
    left.plot([0, 1], [0, 1], color="0.6", lw=1, ls="--")
    left.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1.02), ylim=(0, 1.02))
    left.legend(fontsize=9)
    cooled = [_after_temperature(z, labels) for z in plain["logits"]]
    names = ["smoothed", "plain", "plain, temperature fitted"]
    figures.dots(right, names, [smooth["ece"], plain["ece"], np.array(cooled)])
    right.set(xlabel="calibration error, %")
    return Outcome(
        effects=[
            effect(
                "calibration error, smoothed minus plain",
                smooth["ece"] - plain["ece"],
                below(0),
                unit="points",
            ),
            effect(
                "test accuracy, smoothed minus plain",
                smooth["accuracy"] - plain["accuracy"],
                unit="points",
            ),
        ],
        figure=figure,
        remarks=[
            f"{name}: mean confidence {f['confidence'].mean():.1f} %, accuracy "
            f"{f['accuracy'].mean():.1f} %."
            for name, f in found.items()
        ]
        + [f"A temperature fitted on half of the test images leaves {np.mean(cooled):.2f} %."],
    )


CLAIM = Claim(
    sentence="Label smoothing makes a network's confidence honest: its calibration error falls",
    notes="L329-L335",
    row="F29",
    experiment="The same networks with and without label smoothing of 0.1 learn few images by "
    "heart; the expected calibration error (15 bins) on test images is compared. It fails if "
    "smoothing makes predictions so cautious that the error is as large the other way round.",
    measure=measure,
    full=Smoothing(dataset="mnist", train=500, test=2000, keys=8),
    quick=Smoothing(**QUICK),
    tiny=Smoothing(**TINY),
)
