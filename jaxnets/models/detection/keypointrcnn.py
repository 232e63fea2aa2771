"""Keypoint R-CNN as torchvision has it: Faster R-CNN with a head that finds each one's joints.

Source: He, Gkioxari, Dollár, Girshick, "Mask R-CNN", 2017, section 5.
"""

from typing import Any

from jaxnets.models import papers
from jaxnets.models.detection.fasterrcnn import pooled_pyramid
from jaxnets.models.detection.rcnn import RCNN
from jaxnets.models.detection.region_heads import BoxHead, KeypointHead
from jaxnets.models.registry import IMAGENET_MEAN, IMAGENET_STD, register


@register(
    paper=papers.MASK_RCNN,
    parameters=59_190_378,
    macs=483_470_127_616,
    input_size=800,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    weights=("torchvision keypointrcnn_resnet50_fpn",),
    task="detection",
    published="COCO AP of people 54.6, of their key points 65.0 (torchvision)",
)
def keypointrcnn_resnet50_fpn(
    *, num_classes: int | None = 2, name: str | None = None, **fields: Any
) -> RCNN:
    """Keypoint R-CNN on a ResNet-50 with a feature pyramid: people with 17 key points.

    For another number of them: ``keypoint_head=KeypointHead(keypoints=14)``. The published weights
    were trained with frozen normalizations without an epsilon:
    ``backbone=pooled_pyramid(norm=partial(BatchNorm, epsilon=0.0))``.

    Args:
        num_classes: with class 0 for the background, as torchvision counts.
        name: Flax's.
        **fields: of `RCNN`.

    Returns:
        An `RCNN` for images whose sides are multiples of 32.

    >>> keypointrcnn_resnet50_fpn().keypoint_head.keypoints
    17
    """
    dtype = fields.get("dtype")
    published = {
        "backbone": pooled_pyramid(dtype=dtype),
        "box_head": BoxHead(dtype=dtype),
        "keypoint_head": KeypointHead(dtype=dtype),
    }
    return RCNN(num_classes=num_classes, name=name, **{**published, **fields})
