"""Does label smoothing pull each class into a tight cluster?"""

import numpy as np

from experiments.claims._smoothing import (
    QUICK,
    TINY,
    Smoothing,
    examined,
    smoothed,
    template_kernel,
)
from experiments.claims.framework import Claim, Outcome, below, effect, figures
from jaxnets.losses import cross_entropy
from jaxnets.metrics import template_plane

CLASSES = (0, 1, 2)


def measure(settings: Smoothing) -> Outcome:
    data = settings.data()
    labels = np.asarray(data.test.labels)
    figure, axes = figures.new(2)
    tightness = {}
    losses = (("smoothed", smoothed), ("plain", cross_entropy))
    for axis, (name, loss) in zip(axes, losses, strict=True):
        runs, found = examined(settings, data, loss)
        tightness[name] = found["tightness"]
        plane = template_plane(np.asarray(template_kernel(runs, 0))[:, list(CLASSES)].T)
        for label, color in zip(CLASSES, figures.COLORS, strict=False):
            places = np.asarray(plane.project(found["features"][0][labels == label]))
            axis.plot(*places.T, ".", ms=4, color=color, label=f"class {label}")
        axis.set(title=f"{name}, key 0", xlabel="along the plane of three templates")
        axis.set_aspect("equal", "datalim")
    axes[0].legend(fontsize=9)
    ratio = tightness["smoothed"] / tightness["plain"]
    return Outcome(
        effects=[
            effect(
                "variance within / between classes, smoothed / plain",
                ratio,
                below(1),
                unit="×",
                method="log",
            )
        ],
        figure=figure,
        remarks=[
            f"{name}: variance within classes over that between them {t.mean():.3f}."
            for name, t in tightness.items()
        ],
    )


CLAIM = Claim(
    sentence="Label smoothing pulls the classes into tighter clusters of the last hidden layer",
    notes="L335",
    row="F29",
    experiment="The same networks with and without label smoothing of 0.1; on test images the "
    "variance of the last hidden layer within classes is set against that between them. The "
    "picture shows it projected on the plane through the templates of three classes.",
    measure=measure,
    full=Smoothing(dataset="mnist", train=2000, test=1000, keys=8),
    quick=Smoothing(**QUICK),
    tiny=Smoothing(**TINY),
)
