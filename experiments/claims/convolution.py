"""Kernels and pooling of convolutional networks."""

from experiments.claims.measures import augmentation, convolution
from jaxnets.study.claims import Claim

CIFAR = {"dataset": "cifar10", "train": 5000, "test": 2000, "keys": 4}
BODIES = {
    "quick": convolution.Bodies(keys=2, channels=8, rates=(0.1,), steps=40, evaluations=2),
    "tiny": convolution.Bodies(
        keys=2, train=64, test=20, channels=4, rates=(0.1,), steps=1, evaluations=1
    ),
}

CLAIMS = (
    Claim(
        name="small_kernels",
        sentence="A stack of 3×3 convolutions replaces a 7×7: fewer weights, and no less accurate",
        source="Simonyan and Zisserman (2015), section 2.3",
        experiment="A small network whose middle is one 7×7 convolution, or three 3×3 ones (each "
        "with batch norm and ReLU) with the same receptive field and width; momentum, each at the "
        "better of the same rates. The claim allows half a point of test accuracy.",
        measure=convolution.stack_of_small_kernels,
        full=convolution.Bodies(**CIFAR, steps=160),
        **BODIES,
    ),
    Claim(
        name="bottlenecks_save_work",
        sentence="1×1 bottlenecks save computation without costing accuracy",
        source="Szegedy et al. (2015), section 4; He, Zhang, Ren and Sun (2016), figure 5",
        experiment="A small network whose middle is two 3×3 convolutions, or a 1×1 to a quarter "
        "of the channels, a 3×3 there, and a 1×1 back; momentum, each at the better of the same "
        "rates. The claim allows half a point of test accuracy.",
        measure=convolution.bottleneck,
        full=convolution.Bodies(**CIFAR, channels=32, steps=120),
        **BODIES,
    ),
    Claim(
        name="overlapping_pooling_helps",
        sentence="Overlapping max pooling classifies better than pooling without overlap",
        source="Krizhevsky, Sutskever and Hinton (2012), section 3.4",
        experiment="Two convolutions, each followed by max pooling of stride 2 with windows of 3 "
        "or of 2 pixels, are trained on 4,000 images of CIFAR-10 with crops and mirror images; "
        "the maps are of equal size, and first weights, batches and rate the same. AlexNet's gain "
        "was 0.4 points.",
        measure=augmentation.overlapping_pooling,
        full=augmentation.Augmented(dataset="cifar10", test=4000, keys=6, sizes=(4000,), steps=320),
        quick=augmentation.Augmented(keys=3, sizes=(300,), steps=40, evaluations=1),
        tiny=augmentation.Augmented(keys=2, sizes=(300,), steps=2, evaluations=1),
    ),
    Claim(
        name="fractional_pooling_regularizes",
        sentence="Fractional max pooling regularizes: random regions generalize better than fixed "
        "ones",
        source="Graham, Fractional max-pooling (2014)",
        experiment="Networks with three poolings by √2 learn few images; in training the regions "
        "of each image are drawn at random, or are always the even ones of the test pass. Same "
        "first weights, batches and learning rate for both.",
        measure=convolution.fractional_pooling,
        full=convolution.Pooling(train=200, keys=6),
        quick=convolution.Pooling(train=150, keys=2, width=8, steps=40, evaluations=2),
        tiny=convolution.Pooling(train=64, test=64, keys=2, width=4, steps=2, evaluations=1),
    ),
)
