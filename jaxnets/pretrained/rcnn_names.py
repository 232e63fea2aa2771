"""Names of the layers of torchvision's Faster, Mask and Keypoint R-CNN."""

import flax.linen as nn

from jaxnets.models.mobilenet_v3 import MobileNetV3
from jaxnets.pretrained.mobilenet_v3_names import features
from jaxnets.pretrained.names import NameMap, Rules
from jaxnets.pretrained.retinanet_names import OLD_PYRAMID, PYRAMID

HEADS = "roi_heads."


def _rcnn(model: nn.Module) -> Rules:
    table = [
        ("proposals/conv{i}", "rpn.head.conv.{i}.0"),
        ("proposals/objectness", "rpn.head.cls_logits"),
        ("proposals/offsets", "rpn.head.bbox_pred"),
        ("class_score", f"{HEADS}box_predictor.cls_score"),
        ("box_offsets", f"{HEADS}box_predictor.bbox_pred"),
        ("mask_head/enlarge", f"{HEADS}mask_predictor.conv5_mask"),
        ("mask_score", f"{HEADS}mask_predictor.mask_fcn_logits"),
        ("keypoint_head/score", f"{HEADS}keypoint_predictor.kps_score_lowres"),
    ]
    for ours, theirs in (("lateral", "inner"), ("output", "layer")):
        table += _pair(f"backbone/{ours}{{i}}", f"backbone.fpn.{theirs}_blocks.{{i}}")
    for name in ("box_head", "mask_head"):
        table += _pair(f"{name}/conv{{i}}", f"{HEADS}{name}.{{i}}")
    # A flattening and ReLUs count, too.
    convs = len(model.box_head.convs)
    for i in range(len(model.box_head.widths)):
        theirs = f"{convs + 1 + 2 * i}" if convs else f"fc{6 + i}"
        table.append((f"box_head/fc{i}", f"{HEADS}box_head.{theirs}"))
    if model.keypoint_head is not None:
        for i in range(len(model.keypoint_head.convs)):
            theirs = f"{HEADS}keypoint_head.{2 * i}"
            table.append((f"keypoint_head/conv{i}/conv", theirs))
    network = getattr(model.backbone.network, "network", None)
    if isinstance(network, MobileNetV3):
        table += features(network, "backbone/network/", "backbone.body")
    return table + PYRAMID


def _pair(ours: str, theirs: str) -> list[tuple[str, str]]:
    """A convolution, alone or with its normalization."""
    return [(ours, f"{theirs}.0"), (f"{ours}/conv", f"{theirs}.0"), (f"{ours}/bn", f"{theirs}.1")]


RCNN = NameMap(
    "torchvision",
    _rcnn,
    linear=(r"box_head/fc0",),
    # Before a normalization could stand behind each convolution.
    renamed=(
        (r"^(rpn\.head\.conv)\.(weight|bias)$", r"\1.0.0.\2"),
        OLD_PYRAMID,
        (r"mask_head\.mask_fcn1\.", "mask_head.0.0."),
        (r"mask_head\.mask_fcn2\.", "mask_head.1.0."),
        (r"mask_head\.mask_fcn3\.", "mask_head.2.0."),
        (r"mask_head\.mask_fcn4\.", "mask_head.3.0."),
    ),
)
