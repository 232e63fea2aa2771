"""Label smoothing: calibration, and clusters of the last hidden layer."""

import numpy as np

from experiments.claims.measures.smoothed_networks import (
    Smoothing,
    examined,
    smoothed,
    template_kernel,
)
from jaxnets.losses import cross_entropy
from jaxnets.metrics import (
    expected_calibration_error,
    fit_temperature,
    reliability,
    template_plane,
)
from jaxnets.study.claims import Outcome
from jaxnets.study.effects import below, points, ratio
from jaxnets.study.figures import COLORS, dots, new_figure


def _after_temperature(logits, labels) -> float:
    """Calibration error (%) on one half of the examples with the temperature of the other."""
    half = len(labels) // 2
    t = fit_temperature(logits[:half], labels[:half])
    return 100 * float(expected_calibration_error(logits[half:] / t, labels[half:]))


def calibration(settings: Smoothing) -> Outcome:
    """Does label smoothing calibrate a network?"""
    labels = settings.data().test.labels
    found = {
        name: examined(settings, loss)[1]
        for name, loss in (("smoothed", smoothed), ("plain", cross_entropy))
    }
    smooth, plain = found["smoothed"], found["plain"]
    figure, (left, right) = new_figure(2)
    for color, (name, f) in zip(COLORS, found.items(), strict=False):
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
    dots(right, names, [smooth["ece"], plain["ece"], np.array(cooled)])
    right.set(xlabel="calibration error, %")
    return Outcome(
        effects=[
            points(
                "calibration error, smoothed minus plain", smooth["ece"] - plain["ece"], below(0)
            ),
            points("test accuracy, smoothed minus plain", smooth["accuracy"] - plain["accuracy"]),
        ],
        figure=figure,
        remarks=[
            f"{name}: mean confidence {f['confidence'].mean():.1f} %, accuracy "
            f"{f['accuracy'].mean():.1f} %."
            for name, f in found.items()
        ]
        + [f"A temperature fitted on half of the test images leaves {np.mean(cooled):.2f} %."],
    )


CLASSES = (0, 1, 2)


def clusters(settings: Smoothing) -> Outcome:
    """Does label smoothing pull each class into a tight cluster?"""
    labels = np.asarray(settings.data().test.labels)
    figure, axes = new_figure(2)
    tightness = {}
    losses = (("smoothed", smoothed), ("plain", cross_entropy))
    for axis, (name, loss) in zip(axes, losses, strict=True):
        runs, found = examined(settings, loss)
        tightness[name] = found["tightness"]
        plane = template_plane(np.asarray(template_kernel(runs, 0))[:, list(CLASSES)].T)
        for label, color in zip(CLASSES, COLORS, strict=False):
            places = np.asarray(plane.project(found["features"][0][labels == label]))
            axis.plot(*places.T, ".", ms=4, color=color, label=f"class {label}")
        axis.set(title=f"{name}, key 0", xlabel="along the plane of three templates")
        axis.set_aspect("equal", "datalim")
    axes[0].legend(fontsize=9)
    return Outcome(
        effects=[
            ratio(
                "variance within / between classes, smoothed / plain",
                tightness["smoothed"] / tightness["plain"],
                below(1),
            )
        ],
        figure=figure,
        remarks=[
            f"{name}: variance within classes over that between them {t.mean():.3f}."
            for name, t in tightness.items()
        ],
    )
