"""Mask R-CNN as torchvision has it: Faster R-CNN with a head that paints each detection.

Source: He, Gkioxari, Dollár, Girshick, "Mask R-CNN", 2017; the second version: Li et al.,
"Benchmarking Detection Transfer Learning with Vision Transformers", 2021, appendix A.2.
"""

from typing import Any, Final

from jaxnets.models import papers
from jaxnets.models.detection.fasterrcnn import improved_box_head, pooled_pyramid
from jaxnets.models.detection.rcnn import RCNN
from jaxnets.models.detection.region_heads import BoxHead, MaskHead
from jaxnets.models.registry import IMAGENET_MEAN, IMAGENET_STD, register
from jaxnets.nn import BatchNorm

COMMON: Final = {
    "paper": papers.MASK_RCNN,
    "input_size": 800,
    "mean": IMAGENET_MEAN,
    "std": IMAGENET_STD,
    "task": "detection",
}


@register(
    parameters=44_454_513,
    macs=187_586_351_616,
    weights=("torchvision maskrcnn_resnet50_fpn",),
    published="COCO AP 37.9, of masks 34.6 (torchvision)",
    **COMMON,
)
def maskrcnn_resnet50_fpn(
    *, num_classes: int | None = 91, name: str | None = None, **fields: Any
) -> RCNN:
    """Mask R-CNN on a ResNet-50 with a feature pyramid.

    The published weights were trained with frozen normalizations without an epsilon:
    ``backbone=pooled_pyramid(norm=partial(BatchNorm, epsilon=0.0))``.

    Args:
        num_classes: with class 0 for the background, as torchvision counts.
        name: Flax's.
        **fields: of `RCNN`.

    Returns:
        An `RCNN` for images whose sides are multiples of 32.

    >>> maskrcnn_resnet50_fpn().mask_head.features
    256
    """
    dtype = fields.get("dtype")
    published = {
        "backbone": pooled_pyramid(dtype=dtype),
        "box_head": BoxHead(dtype=dtype),
        "mask_head": MaskHead(dtype=dtype),
    }
    return RCNN(num_classes=num_classes, name=name, **{**published, **fields})


@register(
    parameters=46_359_409,
    macs=333_577_359_872,
    weights=("torchvision maskrcnn_resnet50_fpn_v2",),
    published="COCO AP 47.4, of masks 41.8 (torchvision)",
    **COMMON,
)
def maskrcnn_resnet50_fpn_v2(
    *, num_classes: int | None = 91, name: str | None = None, **fields: Any
) -> RCNN:
    """Mask R-CNN on a ResNet-50 with normalized pyramid and heads.

    Args:
        num_classes: with class 0 for the background, as torchvision counts.
        name: Flax's.
        **fields: of `RCNN`.

    Returns:
        An `RCNN` for images whose sides are multiples of 32.

    >>> maskrcnn_resnet50_fpn_v2().depth
    2
    """
    dtype = fields.get("dtype")
    published = {
        "backbone": pooled_pyramid(improved=True, dtype=dtype),
        "box_head": improved_box_head(dtype),
        "mask_head": MaskHead(norm=BatchNorm, dtype=dtype),
        "depth": 2,
    }
    return RCNN(num_classes=num_classes, name=name, **{**published, **fields})
