"""Does AlexNet's color noise help?"""

from experiments.claims._augmentations import (
    FULL,
    QUICK,
    TINY,
    Augmented,
    compare,
    crops,
    crops_and_noise,
)
from experiments.claims.framework import Claim


def measure(settings: Augmented):
    return compare(settings, ("crops", "crops and color noise"), (crops, crops_and_noise))


CLAIM = Claim(
    sentence="Noise along the principal colors improves the test accuracy",
    notes="L202",
    row="F06",
    experiment="A small convolutional network is trained on 1,000 images of CIFAR-10, augmented by "
    "crops and mirror images, with and without noise of the paper's size along ImageNet's "
    "principal colors; same first weights, batches, rate and number of steps. The quick form "
    "trains a dense network on digits, whose only color is their brightness.",
    measure=measure,
    full=Augmented(**FULL | {"keys": 8}, sizes=(1000,)),
    quick=Augmented(**QUICK),
    tiny=Augmented(**TINY),
)
