"""Which library names which family's layers how: torchvision, timm, Cadene and public repositories.

Laid beside the library's ``state_dict`` each table can be checked line by line. Where no library
has a network, its weights are kept under our own names with dots ("jaxnets").
"""

import itertools
from collections.abc import Callable

import flax.linen as nn
import jax

from jaxnets.models.mobilenet_v2 import split_into_stages
from jaxnets.models.resnet import ResNet
from jaxnets.models.wide_resnet import WideResNet
from jaxnets.pretrained.inception_names import (
    BN_INCEPTION,
    GOOGLENET,
    INCEPTION_V3,
    NASNET,
)
from jaxnets.pretrained.names import NameMap, Rules
from jaxnets.pretrained.rcnn_names import RCNN
from jaxnets.pretrained.retinanet_names import FCOS, RETINANET
from jaxnets.pretrained.segmentation_names import DEEPLAB, FCN, LRASPP
from jaxnets.pretrained.small_detector_names import FASTESTDET, SLIM_FACE
from jaxnets.pretrained.ssd_names import SSD300, SSDLITE
from jaxnets.pretrained.video_names import VIDEO_MAPS

OURS = NameMap("jaxnets", lambda model: ())


def rules(*table: tuple[str, str]) -> Callable[[nn.Module], Rules]:
    """Rules that do not depend on the network's fields."""
    return lambda model: table


def vgg_features(model: nn.Module) -> list[tuple[str, str]]:
    """Places in nn.Sequential: convolution, (normalization,) ReLU; a pooling ends a stage."""
    table, place = [], 0
    for i, kernels in enumerate(model.stages, start=1):
        for j, _ in enumerate(kernels, start=1):
            table.append((f"stage{i}/conv{j}", f"features.{place}"))
            table.append((f"stage{i}/bn{j}", f"features.{place + 1}"))
            place += 3 if model.batch_norm else 2
        place += 1
    return table


def vgg_torchvision(model: nn.Module) -> Rules:
    return [
        *vgg_features(model),
        ("fc6", "classifier.0"),
        ("fc7", "classifier.3"),
        ("head", "classifier.6"),
    ]


def vgg_timm(model: nn.Module) -> Rules:
    return [
        *vgg_features(model),
        ("fc6", "pre_logits.fc1"),
        ("fc7", "pre_logits.fc2"),
        ("head", "head.fc"),
    ]


ALEXNET = rules(
    ("conv1", "features.0"),
    ("conv2", "features.3"),
    ("conv3", "features.6"),
    ("conv4", "features.8"),
    ("conv5", "features.10"),
    ("fc6", "classifier.1"),
    ("fc7", "classifier.4"),
    ("head", "classifier.6"),
)


def squeezenet_torchvision(model: nn.Module) -> Rules:
    """Places in nn.Sequential: stem, ReLU, then for each stage a pooling and its fire modules."""
    table, place = [("stem", "features.0"), ("head", "classifier.1")], 2
    for i, stage in enumerate(model.stages, start=1):
        place += 1
        for j, _ in enumerate(stage):
            table.append((f"stage{i}/block{j}/{{layer}}", f"features.{place}.{{layer}}"))
            place += 1
    return table


RESNET = rules(
    ("stem/conv", "conv1"),
    ("stem/bn", "bn1"),
    ("stage{i}/block{j}/shortcut/conv", "layer{i}.{j}.downsample.0"),
    ("stage{i}/block{j}/shortcut/bn", "layer{i}.{j}.downsample.1"),
    ("stage{i}/block{j}/{layer}", "layer{i}.{j}.{layer}"),
    ("head", "fc"),
)

# akamaster/pytorch_resnet_cifar10.
RESNET_CIFAR = rules(
    ("stem/conv", "conv1"),
    ("stem/bn", "bn1"),
    ("stage{i}/block{j}/shortcut/conv", "layer{i}.{j}.shortcut.0"),
    ("stage{i}/block{j}/shortcut/bn", "layer{i}.{j}.shortcut.1"),
    ("stage{i}/block{j}/{layer}", "layer{i}.{j}.{layer}"),
    ("stage{i}/rest/{layer}", "layer{i}.{*+1}.{layer}"),
    ("head", "linear"),
)

# xternalz/WideResNet-pytorch and the many that took over its names.
WIDE_RESNET = rules(
    ("stem/conv", "conv1"),
    ("stage{i}/block{j}/shortcut", "block{i}.layer.{j}.convShortcut"),
    ("stage{i}/block{j}/{layer}", "block{i}.layer.{j}.{layer}"),
    ("bn", "bn1"),
    ("head", "fc"),
)

# Converted from Lua: every level of nesting is a number.
RESNEXT_CADENE = rules(
    ("stem/conv", "features.0"),
    ("stem/bn", "features.1"),
    ("stage{i}/block{j}/conv1", "features.{i+3}.{j}.0.0.0.0"),
    ("stage{i}/block{j}/bn1", "features.{i+3}.{j}.0.0.0.1"),
    ("stage{i}/block{j}/conv2", "features.{i+3}.{j}.0.0.0.3"),
    ("stage{i}/block{j}/bn2", "features.{i+3}.{j}.0.0.0.4"),
    ("stage{i}/block{j}/conv3", "features.{i+3}.{j}.0.0.1"),
    ("stage{i}/block{j}/bn3", "features.{i+3}.{j}.0.0.2"),
    ("stage{i}/block{j}/shortcut/conv", "features.{i+3}.{j}.0.1.0"),
    ("stage{i}/block{j}/shortcut/bn", "features.{i+3}.{j}.0.1.1"),
    ("head", "last_linear"),
)

# Cadene's and timm's "legacy_…": squeeze and excitation are 1×1 convolutions.
SENET = rules(
    ("stem/{layer}", "layer0.{layer}"),
    ("stage{i}/block{j}/se/squeeze", "layer{i}.{j}.se_module.fc1"),
    ("stage{i}/block{j}/se/excite", "layer{i}.{j}.se_module.fc2"),
    ("stage{i}/block{j}/shortcut/conv", "layer{i}.{j}.downsample.0"),
    ("stage{i}/block{j}/shortcut/bn", "layer{i}.{j}.downsample.1"),
    ("stage{i}/block{j}/{layer}", "layer{i}.{j}.{layer}"),
    ("head", "last_linear"),
)


def densenet(model: nn.Module) -> Rules:
    there = "features.denseblock{i}.denselayer{j+1}"
    return [
        ("stem/conv", "features.conv0"),
        ("stem/bn", "features.norm0"),
        ("stage{i}/block{j}/bn{k}", f"{there}.norm{{k}}"),
        ("stage{i}/block{j}/conv{k}", f"{there}.conv{{k}}"),
        ("transition{i}/bn", "features.transition{i}.norm"),
        ("transition{i}/conv", "features.transition{i}.conv"),
        ("bn", f"features.norm{len(model.stages) + 1}"),
        ("head", "classifier"),
    ]


MOBILENET_V1 = rules(
    ("stem/conv", "conv_stem"),
    ("stem/bn", "bn1"),
    ("stage{i}/block{j}/depthwise", "blocks.{i-1}.{j}.conv_dw"),
    ("stage{i}/block{j}/pointwise", "blocks.{i-1}.{j}.conv_pw"),
    ("stage{i}/block{j}/{layer}", "blocks.{i-1}.{j}.{layer}"),
    ("head", "classifier"),
)


def mobilenet_v2_blocks(model: nn.Module) -> list[tuple[str, int, int, int]]:
    """Of every block: our path, row of table 2, place in the row, expansion."""
    found, row = [], 0
    for i, rows in split_into_stages(model.blocks).items():
        paths = (f"stage{i}/block{number}" for number in itertools.count())
        for expansion, _, repeats, _ in rows:
            found += [(next(paths), row, j, expansion) for j in range(repeats)]
            row += 1
    return found


def mobilenet_v2_torchvision(model: nn.Module) -> Rules:
    table, number = [("stem/conv", "features.0.0"), ("stem/bn", "features.0.1")], 1
    for number, (ours, _, _, expansion) in enumerate(mobilenet_v2_blocks(model), start=1):
        there = f"features.{number}.conv"
        # Without expansion the first convolution is missing and the rest moves up.
        first = 0 if expansion == 1 else 1
        table += [
            (f"{ours}/expand", f"{there}.0.0"),
            (f"{ours}/expand_bn", f"{there}.0.1"),
            (f"{ours}/depthwise", f"{there}.{first}.0"),
            (f"{ours}/depthwise_bn", f"{there}.{first}.1"),
            (f"{ours}/project", f"{there}.{first + 1}"),
            (f"{ours}/project_bn", f"{there}.{first + 2}"),
        ]
    last = f"features.{number + 1}"
    table += [("last/conv", f"{last}.0"), ("last/bn", f"{last}.1")]
    return [*table, ("head", "classifier.1")]


def mobilenet_v2_timm(model: nn.Module) -> Rules:
    table = [("stem/conv", "conv_stem"), ("stem/bn", "bn1")]
    for ours, row, j, expansion in mobilenet_v2_blocks(model):
        there = f"blocks.{row}.{j}"
        layers = ["depthwise", "project"] if expansion == 1 else ["expand", "depthwise"]
        names = ["conv_dw", "conv_pw"] if expansion == 1 else ["conv_pw", "conv_dw"]
        if expansion != 1:
            layers, names = [*layers, "project"], [*names, "conv_pwl"]
        for k, (layer, name) in enumerate(zip(layers, names, strict=True), start=1):
            table.append((f"{ours}/{layer}", f"{there}.{name}"))
            table.append((f"{ours}/{layer}_bn", f"{there}.bn{k}"))
    return [*table, ("last/conv", "conv_head"), ("last/bn", "bn2"), ("head", "classifier")]


def pair(ours: str, theirs: str, place: int) -> tuple[tuple[str, str], tuple[str, str]]:
    """A convolution and its normalization, the next in an nn.Sequential."""
    return (f"{ours}/conv", f"{theirs}.{place}"), (f"{ours}/bn", f"{theirs}.{place + 1}")


SHUFFLENET_V2 = rules(
    *pair("stem", "conv1", 0),
    *pair("last", "conv5", 0),
    *pair("stage{i}/block{j}/left_depthwise", "stage{i}.{j}.branch1", 0),
    *pair("stage{i}/block{j}/left_expand", "stage{i}.{j}.branch1", 2),
    *pair("stage{i}/block{j}/reduce", "stage{i}.{j}.branch2", 0),
    *pair("stage{i}/block{j}/depthwise", "stage{i}.{j}.branch2", 3),
    *pair("stage{i}/block{j}/expand", "stage{i}.{j}.branch2", 5),
    ("head", "fc"),
)


# Layers of AlexNet and VGG that are matrices there and spatial here.
CONNECTED = ("fc6", "fc7", "head")


def _torchvision_alexnet(model: nn.Module) -> bool:
    return model.lrn is None and tuple(model.groups) == (1,) * 5


# Family of the registry → maps; of those that fit a file equally well the first is taken, and the
# first is what `save` writes.
MAPS: dict[str, tuple[NameMap, ...]] = {
    "alexnet": (NameMap("torchvision", ALEXNET, linear=CONNECTED, applies=_torchvision_alexnet),),
    "vgg": (
        NameMap("torchvision", vgg_torchvision, linear=CONNECTED),
        NameMap("timm", vgg_timm, linear=("head",)),
    ),
    "squeezenet": (
        NameMap("torchvision", squeezenet_torchvision, applies=lambda m: m.bypass != "complex"),
        # Names that `read_deep_compression` gives, which are our own.
        NameMap("deep_compression", rules(), applies=lambda m: m.bypass is None),
    ),
    "resnet": (NameMap("torchvision", RESNET), NameMap("timm", RESNET)),
    "resnet_cifar": (NameMap("akamaster", RESNET_CIFAR),),
    # The family has both kinds of network; names tell them apart.
    "wide_resnet": (
        NameMap("torchvision", RESNET, applies=lambda m: isinstance(m, ResNet)),
        NameMap("timm", RESNET, applies=lambda m: isinstance(m, ResNet)),
        NameMap("xternalz", WIDE_RESNET, applies=lambda m: isinstance(m, WideResNet)),
    ),
    "resnext": (
        NameMap("torchvision", RESNET),
        NameMap("timm", RESNET),
        NameMap("cadene", RESNEXT_CADENE),
    ),
    "senet": (
        NameMap("timm", SENET, convolutions=(".*/se/.*",)),
        NameMap("cadene", SENET, convolutions=(".*/se/.*",)),
    ),
    "densenet": tuple(
        NameMap(
            source,
            densenet,
            # torchvision's published files were written by PyTorch 0.3.
            renamed=((r"(denselayer\d+\.(?:norm|conv))\.(\d)\.", r"\1\2."),),
            applies=lambda m: m.imagenet,
        )
        for source in ("torchvision", "timm")
    ),
    "mobilenet_v1": (NameMap("timm", MOBILENET_V1, fields={"activation": jax.nn.relu6}),),
    "mobilenet_v2": (
        NameMap("torchvision", mobilenet_v2_torchvision),
        NameMap("timm", mobilenet_v2_timm),
    ),
    "fasterrcnn": (RCNN,),
    "maskrcnn": (RCNN,),
    "keypointrcnn": (RCNN,),
    "fastestdet": (FASTESTDET,),
    "fcn": (FCN,),
    "fcos": (FCOS,),
    "deeplab": (DEEPLAB,),
    "lraspp": (LRASPP,),
    "retinanet": (RETINANET,),
    "ssd300": (SSD300,),
    "slim_face": (SLIM_FACE,),
    "ssdlite": (SSDLITE,),
    "shufflenet_v2": (NameMap("torchvision", SHUFFLENET_V2),),
    "googlenet": (GOOGLENET,),
    "inception_v3": INCEPTION_V3,
    "inception_bn": (BN_INCEPTION,),
    "nasnet": NASNET,
    **VIDEO_MAPS,
}


def maps_of(family: str, model: nn.Module) -> tuple[NameMap, ...]:
    """The name maps that can describe a network, our own names last."""
    return (*(m for m in MAPS.get(family, ()) if m.applies(model)), OURS)
