"""Do crops and mirror images help on a small training set?"""

from experiments.claims._augmentations import FULL, QUICK, TINY, Augmented, compare, crops
from experiments.claims.framework import Claim


def measure(settings: Augmented):
    return compare(settings, ("as they are", "crops"), (None, crops))


CLAIM = Claim(
    sentence="Random crops and mirror images improve the test accuracy on a small training set",
    notes="L103, L109",
    row="C08",
    experiment="A small convolutional network with batch normalization is trained on 1,000 images "
    "of CIFAR-10, as they are or as random crops of the padded image of which half are mirrored; "
    "same first weights, batches, rate and number of steps. The quick form trains a dense network "
    "on digits, which are not mirrored.",
    measure=measure,
    full=Augmented(**FULL, sizes=(1000,), steps=600),
    quick=Augmented(**QUICK),
    tiny=Augmented(**TINY),
)
