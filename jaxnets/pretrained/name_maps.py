"""Which library names which family's layers how: torchvision, timm, Cadene and public repositories.

Laid beside the library's ``state_dict`` each table can be checked line by line. Where no library
has a network, its weights are kept under our own names with dots ("jaxnets").
"""

from collections.abc import Callable

import flax.linen as nn
import jax

from jaxnets.pretrained.inception_names import (
    BN_INCEPTION,
    GOOGLENET,
    INCEPTION_V3,
    NASNET,
)
from jaxnets.pretrained.names import NameMap, Rules

OURS = NameMap("jaxnets", lambda model: ())


def rules(*table: tuple[str, str]) -> Callable[[nn.Module], Rules]:
    """Rules that do not depend on the network's fields."""
    return lambda model: table


def vgg_features(model: nn.Module) -> list[tuple[str, str]]:
    """Places in nn.Sequential: convolution, (normalization,) ReLU; a pooling ends a stage."""
    table, place = [], 0
    for i, kernels in enumerate(model.stages, start=1):
        for j, _ in enumerate(kernels, start=1):
            table.append((f"stage{i}_conv{j}", f"features.{place}"))
            table.append((f"stage{i}_bn{j}", f"features.{place + 1}"))
            place += 3 if model.batch_norm else 2
        place += 1
    return table


def vgg_torchvision(model: nn.Module) -> Rules:
    return [
        *vgg_features(model),
        ("fc6", "classifier.0"),
        ("fc7", "classifier.3"),
        ("fc8", "classifier.6"),
    ]


def vgg_timm(model: nn.Module) -> Rules:
    return [
        *vgg_features(model),
        ("fc6", "pre_logits.fc1"),
        ("fc7", "pre_logits.fc2"),
        ("fc8", "head.fc"),
    ]


ALEXNET = rules(
    ("conv1", "features.0"),
    ("conv2", "features.3"),
    ("conv3", "features.6"),
    ("conv4", "features.8"),
    ("conv5", "features.10"),
    ("fc6", "classifier.1"),
    ("fc7", "classifier.4"),
    ("fc8", "classifier.6"),
)


def squeezenet_torchvision(model: nn.Module) -> Rules:
    """Places in nn.Sequential: conv1, ReLU, then for each stage a pooling and its fire modules."""
    table, number, place = [("conv1", "features.0"), ("conv10", "classifier.1")], 2, 2
    for stage in model.stages:
        place += 1
        for _ in stage:
            table.append((f"fire{number}/{{layer}}", f"features.{place}.{{layer}}"))
            number, place = number + 1, place + 1
    return table


RESNET = rules(
    ("stage{i}_block{j}/shortcut/conv", "layer{i}.{j}.downsample.0"),
    ("stage{i}_block{j}/shortcut/bn", "layer{i}.{j}.downsample.1"),
    ("stage{i}_block{j}/shortcut_conv", "layer{i}.{j}.downsample.0"),
    ("stage{i}_block{j}/shortcut_bn", "layer{i}.{j}.downsample.1"),
    ("stage{i}_block{j}/{layer}", "layer{i}.{j}.{layer}"),
)

# akamaster/pytorch_resnet_cifar10.
RESNET_CIFAR = rules(
    ("stage{i}_block{j}/shortcut_conv", "layer{i}.{j}.shortcut.0"),
    ("stage{i}_block{j}/shortcut_bn", "layer{i}.{j}.shortcut.1"),
    ("stage{i}_block{j}/{layer}", "layer{i}.{j}.{layer}"),
    ("stage{i}_rest/{layer}", "layer{i}.{*+1}.{layer}"),
    ("fc", "linear"),
)

# xternalz/WideResNet-pytorch and the many that took over its names.
WIDE_RESNET = rules(
    ("stage{i}_block{j}/shortcut", "block{i}.layer.{j}.convShortcut"),
    ("stage{i}_block{j}/{layer}", "block{i}.layer.{j}.{layer}"),
    ("bn", "bn1"),
)

# Converted from Lua: every level of nesting is a number.
RESNEXT_CADENE = rules(
    ("conv1", "features.0"),
    ("bn1", "features.1"),
    ("stage{i}_block{j}/conv1", "features.{i+3}.{j}.0.0.0.0"),
    ("stage{i}_block{j}/bn1", "features.{i+3}.{j}.0.0.0.1"),
    ("stage{i}_block{j}/conv2", "features.{i+3}.{j}.0.0.0.3"),
    ("stage{i}_block{j}/bn2", "features.{i+3}.{j}.0.0.0.4"),
    ("stage{i}_block{j}/conv3", "features.{i+3}.{j}.0.0.1"),
    ("stage{i}_block{j}/bn3", "features.{i+3}.{j}.0.0.2"),
    ("stage{i}_block{j}/shortcut_conv", "features.{i+3}.{j}.0.1.0"),
    ("stage{i}_block{j}/shortcut_bn", "features.{i+3}.{j}.0.1.1"),
    ("fc", "last_linear"),
)

# Cadene's and timm's "legacy_…": squeeze and excitation are 1×1 convolutions.
SENET = rules(
    ("conv{i}", "layer0.conv{i}"),
    ("bn{i}", "layer0.bn{i}"),
    ("stage{i}_block{j}/se/squeeze", "layer{i}.{j}.se_module.fc1"),
    ("stage{i}_block{j}/se/excite", "layer{i}.{j}.se_module.fc2"),
    ("stage{i}_block{j}/shortcut_conv", "layer{i}.{j}.downsample.0"),
    ("stage{i}_block{j}/shortcut_bn", "layer{i}.{j}.downsample.1"),
    ("stage{i}_block{j}/{layer}", "layer{i}.{j}.{layer}"),
    ("fc", "last_linear"),
)


def densenet(model: nn.Module) -> Rules:
    return [
        ("conv0", "features.conv0"),
        ("bn0", "features.norm0"),
        ("block{i}_layer{j}/bn{k}", "features.denseblock{i}.denselayer{j}.norm{k}"),
        ("block{i}_layer{j}/conv{k}", "features.denseblock{i}.denselayer{j}.conv{k}"),
        ("transition{i}_bn", "features.transition{i}.norm"),
        ("transition{i}_conv", "features.transition{i}.conv"),
        ("bn", f"features.norm{len(model.blocks) + 1}"),
        ("fc", "classifier"),
    ]


MOBILENET_V1 = rules(
    ("conv1", "conv_stem"),
    ("stage{i}_block{j}/depthwise", "blocks.{i-1}.{j}.conv_dw"),
    ("stage{i}_block{j}/pointwise", "blocks.{i-1}.{j}.conv_pw"),
    ("stage{i}_block{j}/{layer}", "blocks.{i-1}.{j}.{layer}"),
    ("fc", "classifier"),
)


def mobilenet_v2_torchvision(model: nn.Module) -> Rules:
    table, number = [("conv1", "features.0.0"), ("bn1", "features.0.1")], 0
    for expansion, _, repeats, _ in model.blocks:
        for _ in range(repeats):
            there = f"features.{number + 1}.conv"
            # Without expansion the first convolution is missing and the rest moves up.
            first = 0 if expansion == 1 else 1
            table += [
                (f"block{number}/expand", f"{there}.0.0"),
                (f"block{number}/expand_bn", f"{there}.0.1"),
                (f"block{number}/depthwise", f"{there}.{first}.0"),
                (f"block{number}/depthwise_bn", f"{there}.{first}.1"),
                (f"block{number}/project", f"{there}.{first + 1}"),
                (f"block{number}/project_bn", f"{there}.{first + 2}"),
            ]
            number += 1
    last = f"features.{number + 1}"
    return [*table, ("last_conv", f"{last}.0"), ("last_bn", f"{last}.1"), ("fc", "classifier.1")]


def mobilenet_v2_timm(model: nn.Module) -> Rules:
    table, number = [("conv1", "conv_stem")], 0
    for stage, (expansion, _, repeats, _) in enumerate(model.blocks):
        for j in range(repeats):
            there = f"blocks.{stage}.{j}"
            layers = ["depthwise", "project"] if expansion == 1 else ["expand", "depthwise"]
            names = ["conv_dw", "conv_pw"] if expansion == 1 else ["conv_pw", "conv_dw"]
            if expansion != 1:
                layers, names = [*layers, "project"], [*names, "conv_pwl"]
            for k, (layer, name) in enumerate(zip(layers, names, strict=True), start=1):
                table.append((f"block{number}/{layer}", f"{there}.{name}"))
                table.append((f"block{number}/{layer}_bn", f"{there}.bn{k}"))
            number += 1
    return [*table, ("last_conv", "conv_head"), ("last_bn", "bn2"), ("fc", "classifier")]


def pair(ours: str, theirs: str, place: int) -> tuple[tuple[str, str], tuple[str, str]]:
    """A convolution and its normalization, the next in an nn.Sequential."""
    return (f"{ours}/conv", f"{theirs}.{place}"), (f"{ours}/bn", f"{theirs}.{place + 1}")


SHUFFLENET_V2 = rules(
    *pair("conv1", "conv1", 0),
    *pair("last", "conv5", 0),
    *pair("stage{i}_unit{j}/left_depthwise", "stage{i}.{j}.branch1", 0),
    *pair("stage{i}_unit{j}/left_expand", "stage{i}.{j}.branch1", 2),
    *pair("stage{i}_unit{j}/reduce", "stage{i}.{j}.branch2", 0),
    *pair("stage{i}_unit{j}/depthwise", "stage{i}.{j}.branch2", 3),
    *pair("stage{i}_unit{j}/expand", "stage{i}.{j}.branch2", 5),
)


def _torchvision_alexnet(model: nn.Module) -> bool:
    return model.lrn is None and tuple(model.groups) == (1,) * 5


# Family of the registry → maps; of those that fit a file equally well the first is taken, and the
# first is what `save` writes.
MAPS: dict[str, tuple[NameMap, ...]] = {
    "alexnet": (NameMap("torchvision", ALEXNET, linear=("fc.",), applies=_torchvision_alexnet),),
    "vgg": (
        NameMap("torchvision", vgg_torchvision, linear=("fc.",)),
        NameMap("timm", vgg_timm, linear=("fc8",)),
    ),
    "squeezenet": (
        NameMap("torchvision", squeezenet_torchvision, applies=lambda m: m.bypass != "complex"),
    ),
    "resnet": (NameMap("torchvision", RESNET), NameMap("timm", RESNET)),
    "resnet_cifar": (NameMap("akamaster", RESNET_CIFAR),),
    # The family has both kinds of network; names tell them apart.
    "wide_resnet": (
        NameMap("torchvision", RESNET, applies=lambda m: hasattr(m, "bottleneck")),
        NameMap("timm", RESNET, applies=lambda m: hasattr(m, "bottleneck")),
        NameMap("xternalz", WIDE_RESNET, applies=lambda m: not hasattr(m, "bottleneck")),
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
    "shufflenet": (
        NameMap("torchvision", SHUFFLENET_V2, applies=lambda m: not hasattr(m, "group_first")),
    ),
    "googlenet": (GOOGLENET,),
    "inception_v3": INCEPTION_V3,
    "inception_bn": (BN_INCEPTION,),
    "nasnet": NASNET,
}


def maps_of(family: str, model: nn.Module) -> tuple[NameMap, ...]:
    """The name maps that can describe a network, our own names last."""
    return (*(m for m in MAPS.get(family, ()) if m.applies(model)), OURS)
