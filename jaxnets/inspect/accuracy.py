"""Published accuracies as numbers: the papers' out of the registry, and torchvision's weights'."""

import dataclasses
import re

from jaxnets.models.registry import ModelInfo

# Top-1 and top-5 accuracy in per cent on ImageNet's validation images that torchvision 0.28 states
# for its weights IMAGENET1K_V1: one center crop at the network's input size. resnext101_64x4d came
# late and was trained by the longer recipe that the others have in their V2 weights only.
TORCHVISION_V1 = {
    "alexnet": (56.522, 79.066),
    "densenet121": (74.434, 91.972),
    "densenet161": (77.138, 93.56),
    "densenet169": (75.6, 92.806),
    "densenet201": (76.896, 93.37),
    "googlenet": (69.778, 89.53),
    "inception_v3": (77.294, 93.45),
    "mobilenet_v2": (71.878, 90.286),
    "resnet18": (69.758, 89.078),
    "resnet34": (73.314, 91.42),
    "resnet50": (76.13, 92.862),
    "resnet101": (77.374, 93.546),
    "resnet152": (78.312, 94.046),
    "resnext50_32x4d": (77.618, 93.698),
    "resnext101_32x8d": (79.312, 94.526),
    "resnext101_64x4d": (83.246, 96.454),
    "shufflenet_v2_x0_5": (60.552, 81.746),
    "shufflenet_v2_x1_0": (69.362, 88.316),
    "shufflenet_v2_x1_5": (72.996, 91.086),
    "shufflenet_v2_x2_0": (76.23, 93.006),
    "squeezenet1_0": (58.092, 80.42),
    "squeezenet1_1": (58.178, 80.624),
    "vgg11": (69.02, 88.628),
    "vgg11_bn": (70.37, 89.81),
    "vgg13": (69.928, 89.246),
    "vgg13_bn": (71.586, 90.374),
    "vgg16": (71.592, 90.382),
    "vgg16_bn": (73.36, 91.516),
    "vgg19": (72.376, 90.876),
    "vgg19_bn": (74.218, 91.842),
    "wide_resnet50_2": (78.468, 94.086),
    "wide_resnet101_2": (78.848, 94.284),
}


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """One published figure.

    Attributes:
        dataset: "ImageNet", "CIFAR-10", "CIFAR-100", "MNIST".
        top1, top5: accuracy in per cent; None where it is not stated.
        source: "paper" or "torchvision".

    >>> from jaxnets.models import model_info
    >>> best = max(accuracies(model_info("vgg16")), key=lambda figure: figure.top1)
    >>> f"{best.dataset} {best.top1} % ({best.source})"
    'ImageNet 73.0 % (paper)'
    """

    dataset: str
    top1: float | None
    top5: float | None
    source: str


_FIGURE = re.compile(
    r"(?P<data>ImageNet|CIFAR-10/100|CIFAR-100?|MNIST) (?P<what>top-1/top-5|top-1|top-5|test) "
    r"(?P<kind>error|accuracy)[a-z ]* (?P<first>[\d.]+)(?:/(?P<second>[\d.]+))? %"
)


def accuracies(info: ModelInfo) -> list[Accuracy]:
    """All accuracies that are published for a registered network; errors are turned round.

    Papers measure in different ways (crops, scales, averaging); torchvision's figures are all of
    one center crop.

    Args:
        info: of `jaxnets.models.model_info`.

    Returns:
        torchvision's figures first, then the paper's; none where nothing is published.

    >>> from jaxnets.models import model_info
    >>> for figure in accuracies(model_info("vgg16")):
    ...     print(figure)
    Accuracy(dataset='ImageNet', top1=71.592, top5=90.382, source='torchvision')
    Accuracy(dataset='ImageNet', top1=73.0, top5=91.2, source='paper')
    """
    found = []
    for weights in info.weights:
        library, _, peer = weights.partition(" ")
        if library == "torchvision" and peer.split()[0] in TORCHVISION_V1:
            top1, top5 = TORCHVISION_V1[peer.split()[0]]
            found.append(Accuracy("ImageNet", top1, top5, "torchvision"))
    for match in _FIGURE.finditer(info.published):
        first, second = (_accuracy(match[key], match["kind"]) for key in ("first", "second"))
        if match["data"] == "CIFAR-10/100":
            found += [
                Accuracy("CIFAR-10", first, None, "paper"),
                Accuracy("CIFAR-100", second, None, "paper"),
            ]
        elif match["what"] == "top-5":
            found.append(Accuracy(match["data"], None, first, "paper"))
        else:
            found.append(Accuracy(match["data"], first, second, "paper"))
    return found


def _accuracy(text: str | None, kind: str) -> float | None:
    if text is None:
        return None
    return round(100 - float(text), 4) if kind == "error" else float(text)
