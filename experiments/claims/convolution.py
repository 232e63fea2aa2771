"""Kernels, pooling, normalization and depth of convolutional networks."""

from experiments.claims.measures import augmentation, convolution, deeper_networks, response_norm
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
        minutes=2,
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
        minutes=2,
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
        minutes=2,
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
        minutes=2,
        quick=convolution.Pooling(train=150, keys=2, width=8, steps=40, evaluations=2),
        tiny=convolution.Pooling(train=64, test=64, keys=2, width=4, steps=2, evaluations=1),
    ),
    Claim(
        name="lrn_gains_nothing",
        sentence="Local response normalization only costs time: networks classify as well without",
        source="Simonyan and Zisserman (2015), section 2.1 and table 3",
        experiment="A small network after AlexNet, three 5×5 convolutions with overlapping "
        "pooling, has AlexNet's normalization behind the first two or not; each at the better of "
        "the same rates, same first weights and batches. A training step of both is timed in "
        "turn. The claim allows a gain of one point; VGG's was −0.1 of top-1, AlexNet reports 2 "
        "points on CIFAR-10.",
        measure=response_norm.accuracy_and_time,
        full=response_norm.Normalized(**CIFAR),
        minutes=5,
        quick=response_norm.Normalized(
            keys=2, widths=(4, 8, 8), rates=(0.03,), steps=40, evaluations=2, rounds=5
        ),
        tiny=response_norm.Normalized(
            keys=2,
            train=64,
            test=20,
            widths=(2, 4, 4),
            rates=(0.1,),
            steps=1,
            evaluations=1,
            rounds=2,
        ),
    ),
    Claim(
        name="shallower_networks_start_deeper_ones",
        sentence="A deep plain network learns from the layers of a shallower one, but well chosen "
        "random weights do as well",
        source="Simonyan and Zisserman (2015), section 3.1",
        experiment="VGG in small on CIFAR-10: four convolutions are trained, and eight begin with "
        "these four and their classifier, all else at random. First weights are half as large as "
        "He's, which VGG's were in the widest layers; beside them, eight layers that are all "
        "random, half of He's and He's own. Each at the better of the same rates. The claim wants "
        "the first to beat fresh weights of that size, and He's to be no worse by a point.",
        measure=deeper_networks.deeper,
        full=deeper_networks.Depths(**{**CIFAR, "test": 1000}),
        minutes=8,
        quick=deeper_networks.Depths(
            keys=2, widths=(4, 4, 8), rates=(0.03,), steps=40, evaluations=2
        ),
        tiny=deeper_networks.Depths(
            keys=2, train=64, test=20, widths=(2, 2, 4), rates=(0.1,), steps=1, evaluations=1
        ),
    ),
)
