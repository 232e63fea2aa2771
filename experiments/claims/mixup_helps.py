"""Does mixup help, and most of all where images are few?"""

from experiments.claims._augmentations import (
    FULL,
    QUICK,
    TINY,
    Augmented,
    compare,
    crops,
    crops_and_mixup,
)
from experiments.claims.framework import Claim


def measure(settings: Augmented):
    return compare(settings, ("crops", "crops and mixup"), (crops, crops_and_mixup))


CLAIM = Claim(
    sentence="Mixup improves the test accuracy, especially on small training sets",
    notes="L107, L110",
    row="C12",
    experiment="A small convolutional network is trained on 500 and on 4,000 images of CIFAR-10, "
    "augmented by crops and mirror images, with and without mixup (α = 1) of neighbors in the "
    "batch; same first weights, batches, rate and number of steps. The quick form trains a dense "
    "network on digits.",
    measure=measure,
    full=Augmented(**FULL, sizes=(500, 4000)),
    quick=Augmented(**QUICK),
    tiny=Augmented(**TINY),
)
