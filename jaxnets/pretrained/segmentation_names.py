"""Names of the layers of torchvision's segmenters."""

import flax.linen as nn

from jaxnets.models.mobilenet_v3 import MobileNetV3
from jaxnets.pretrained.mobilenet_v3_names import features
from jaxnets.pretrained.names import NameMap, Rules

RESNET = [
    ("backbone/stem/conv", "backbone.conv1"),
    ("backbone/stem/bn", "backbone.bn1"),
    ("backbone/stage{i}/block{j}/shortcut/conv", "backbone.layer{i}.{j}.downsample.0"),
    ("backbone/stage{i}/block{j}/shortcut/bn", "backbone.layer{i}.{j}.downsample.1"),
    ("backbone/stage{i}/block{j}/{layer}", "backbone.layer{i}.{j}.{layer}"),
]


def _backbone(model: nn.Module) -> list[tuple[str, str]]:
    if isinstance(model.backbone, MobileNetV3):
        return features(model.backbone, "backbone/", "backbone")
    return list(RESNET)


def _head(ours: str, theirs: str, first: int) -> list[tuple[str, str]]:
    """A normalized convolution, and after activation (and dropout) the scores."""
    last = first + (4 if first == 0 else 3)
    return [
        (f"{ours}/block/conv", f"{theirs}.{first}"),
        (f"{ours}/block/bn", f"{theirs}.{first + 1}"),
        (f"{ours}/score", f"{theirs}.{last}"),
    ]


def _auxiliary() -> list[tuple[str, str]]:
    return _head("aux_head", "aux_classifier", 0)


def _fcn(model: nn.Module) -> Rules:
    return [*_backbone(model), *_head("head", "classifier", 0), *_auxiliary()]


def _deeplab(model: nn.Module) -> Rules:
    pooling = len((12, 24, 36)) + 1
    return [
        *_backbone(model),
        # The mean of the map comes first in its branch.
        (f"head/branch{pooling}/conv", f"classifier.0.convs.{pooling}.1"),
        (f"head/branch{pooling}/bn", f"classifier.0.convs.{pooling}.2"),
        ("head/branch{i}/conv", "classifier.0.convs.{i}.0"),
        ("head/branch{i}/bn", "classifier.0.convs.{i}.1"),
        ("head/project/conv", "classifier.0.project.0"),
        ("head/project/bn", "classifier.0.project.1"),
        *_head("head", "classifier", 1),
        *_auxiliary(),
    ]


def _lraspp(model: nn.Module) -> Rules:
    return [
        *_backbone(model),
        ("block/conv", "classifier.cbr.0"),
        ("block/bn", "classifier.cbr.1"),
        ("scale", "classifier.scale.1"),
        ("{which}_score", "classifier.{which}_classifier"),
    ]


OPTIONAL = (r"aux_classifier\.",)
FCN = NameMap("torchvision", _fcn, optional=OPTIONAL)
DEEPLAB = NameMap("torchvision", _deeplab, optional=OPTIONAL)
LRASPP = NameMap("torchvision", _lraspp)
