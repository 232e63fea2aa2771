"""Augmentation in training, row by row, and views in testing."""

from experiments.claims.measures.augmentation import Augmented, Comparison, compare, several_views
from jaxnets.study.claims import Claim

ALEXNET = "Krizhevsky, Sutskever and Hinton (2012), section 4.1"
CIFAR = {"dataset": "cifar10", "test": 4000}
QUICK = {"convolutional": False, "keys": 4, "steps": 200, "sizes": (100,), "evaluations": 2}
TINY = QUICK | {"keys": 2, "steps": 4}
SAME = (
    "same first weights, batches, rate and number of steps. The quick form trains a dense network "
)


def _helps(
    name: str, sentence: str, source: str, kinds: tuple[str, str], experiment: str, **full
) -> Claim:
    """A row of the table: the second kind of augmentation against the first."""
    return Claim(
        name=name,
        sentence=sentence,
        source=source,
        experiment=f"A small convolutional network {experiment}",
        measure=compare,
        full=Comparison(kinds=kinds, **{**CIFAR, "keys": 5, **full}),
        minutes=2,
        quick=Comparison(kinds=kinds, **QUICK),
        tiny=Comparison(kinds=kinds, **TINY),
    )


CLAIMS = (
    _helps(
        "augmentation_helps",
        "Random crops and mirror images improve the test accuracy on a small training set",
        ALEXNET,
        ("as they are", "crops"),
        "with batch normalization is trained on 1,000 images of CIFAR-10, as they are or as random "
        f"crops of the padded image of which half are mirrored; {SAME}on digits, which are not "
        "mirrored.",
        sizes=(1000,),
        steps=600,
    ),
    _helps(
        "cutout_helps",
        "Cutout improves the test accuracy, especially on small training sets",
        "DeVries and Taylor (2017)",
        ("crops", "crops and cutout"),
        "is trained on 500 and on 4,000 images of CIFAR-10, augmented by crops and mirror images, "
        f"with and without a hidden square of half the image's side; {SAME}on digits.",
        sizes=(500, 4000),
    ),
    _helps(
        "mixup_helps",
        "Mixup improves the test accuracy, especially on small training sets",
        "Zhang, Cisse, Dauphin and Lopez-Paz (2018)",
        ("crops", "crops and mixup"),
        "is trained on 500 and on 4,000 images of CIFAR-10, augmented by crops and mirror images, "
        f"with and without mixup (α = 1) of neighbors in the batch; {SAME}on digits.",
        sizes=(500, 4000),
    ),
    _helps(
        "color_noise_helps",
        "Noise along the principal colors improves the test accuracy",
        ALEXNET,
        ("crops", "crops and color noise"),
        "is trained on 1,000 images of CIFAR-10, augmented by crops and mirror images, with and "
        f"without noise of the paper's size along ImageNet's principal colors; {SAME}on digits, "
        "whose only color is their brightness.",
        sizes=(1000,),
        keys=8,
    ),
    Claim(
        name="several_views_help",
        sentence="The mean over mirror images and crops classifies better than one view",
        source=ALEXNET,
        experiment="A small convolutional network is trained on 2,000 images of CIFAR-10 with "
        "crops and mirror images. The same network then classifies each test image once, together "
        "with its mirror image, and in ten crops of the padded image; class probabilities are "
        "averaged. The quick form trains a dense network on crops of digits and averages five "
        "crops.",
        measure=several_views,
        full=Augmented(**CIFAR, keys=8, sizes=(2000,), evaluations=1),
        minutes=2,
        quick=Augmented(**QUICK | {"evaluations": 1}),
        tiny=Augmented(**TINY | {"evaluations": 1}),
    ),
)
