"""Names of the layers of torchvision's RetinaNet and FCOS, and of the pyramid below them."""

import flax.linen as nn

from jaxnets.pretrained.names import NameMap, Rules

PYRAMID = [
    ("backbone/network/stem/conv", "backbone.body.conv1"),
    ("backbone/network/stem/bn", "backbone.body.bn1"),
    (
        "backbone/network/stage{i}/block{j}/shortcut/conv",
        "backbone.body.layer{i}.{j}.downsample.0",
    ),
    ("backbone/network/stage{i}/block{j}/shortcut/bn", "backbone.body.layer{i}.{j}.downsample.1"),
    ("backbone/network/stage{i}/block{j}/{layer}", "backbone.body.layer{i}.{j}.{layer}"),
    ("backbone/lateral{i}", "backbone.fpn.inner_blocks.{i}.0"),
    ("backbone/output{i}", "backbone.fpn.layer_blocks.{i}.0"),
    ("backbone/p{i}", "backbone.fpn.extra_blocks.p{i}"),
]

# Files that are older than normalizations behind a pyramid's convolutions.
OLD_PYRAMID = (
    r"^(backbone\.fpn\.(?:inner|layer)_blocks\.\d+)\.(weight|bias)$",
    r"\1.0.\2",
)


def _retinanet(model: nn.Module) -> Rules:
    table = list(PYRAMID)
    for head, last in (("classification", "cls_logits"), ("regression", "bbox_reg")):
        there = f"head.{head}_head"
        table += [
            (f"{head}_conv{{i}}", f"{there}.conv.{{i}}.0"),
            (f"{head}_score", f"{there}.{last}"),
        ]
    return table


RETINANET = NameMap(
    "torchvision",
    _retinanet,
    renamed=(
        OLD_PYRAMID,
        # Convolutions and ReLUs counted on.
        *(
            (rf"^(head\.\w+_head\.conv)\.{2 * i}\.(weight|bias)$", rf"\1.{i}.0.\2")
            for i in range(4)
        ),
    ),
)


def _fcos(model: nn.Module) -> Rules:
    table = [*PYRAMID, ("centerness_score", "head.regression_head.bbox_ctrness")]
    for head, last in (("classification", "cls_logits"), ("regression", "bbox_reg")):
        there = f"head.{head}_head"
        for i in range(model.depth):
            # Convolution, normalization and ReLU count on.
            table.append((f"{head}_conv{i}", f"{there}.conv.{3 * i}"))
            table.append((f"{head}_norm{i}", f"{there}.conv.{3 * i + 1}"))
        table.append((f"{head}_score", f"{there}.{last}"))
    return table


FCOS = NameMap("torchvision", _fcos)
