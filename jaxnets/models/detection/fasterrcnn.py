"""Faster R-CNN as torchvision has it: on ResNet-50, plain and improved, and on MobileNet v3.

Source: Ren, He, Girshick, Sun, "Faster R-CNN", 2015; on a pyramid: Lin et al., "Feature Pyramid
Networks for Object Detection", 2016; the second version: Li et al., "Benchmarking Detection
Transfer Learning with Vision Transformers", 2021, appendix A.2.
"""

from functools import partial
from typing import Any, Final

from jaxnets.models import papers
from jaxnets.models.backbone import Backbone
from jaxnets.models.detection.pyramid import FeaturePyramid, resnet_pyramid
from jaxnets.models.detection.rcnn import RCNN
from jaxnets.models.detection.region_heads import BoxHead
from jaxnets.models.detection.regions import RegionRules
from jaxnets.models.mobilenet_v3 import MobileNetV3
from jaxnets.models.registry import IMAGENET_MEAN, IMAGENET_STD, register
from jaxnets.nn import BatchNorm

STRIDES: Final = (4, 8, 16, 32)
# MobileNet's maps are few, so each has anchors of all sizes.
MOBILE_SIZES: Final = ((32, 64, 128, 256, 512),) * 3
MOBILE_320: Final = RegionRules(candidates=150, proposals=150, proposal_score=0.05)
COMMON: Final = {
    "paper": papers.FASTER_RCNN,
    "mean": IMAGENET_MEAN,
    "std": IMAGENET_STD,
    "task": "detection",
}


def pooled_pyramid(*, improved: bool = False, dtype: Any = None, **fields: Any) -> FeaturePyramid:
    """A pyramid on ResNet-50 with one more map for large anchors, for detectors of two stages.

    Args:
        improved: the pyramid's convolutions are normalized, as in torchvision's second versions.
        dtype: compute dtype.
        **fields: of the residual network.

    Returns:
        A `FeaturePyramid` with maps at strides 4 to 64.

    >>> pooled_pyramid().pooled
    True
    """
    pyramid = resnet_pyramid("resnet50", STRIDES, dtype=dtype, **fields)
    return pyramid.clone(coarser=False, pooled=True, norm=BatchNorm if improved else None)


def improved_box_head(dtype: Any = None) -> BoxHead:
    """Four normalized convolutions, then one fully connected layer.

    Args:
        dtype: compute dtype.

    Returns:
        A `BoxHead`.

    >>> improved_box_head().widths
    (1024,)
    """
    return BoxHead((256,) * 4, (1024,), norm=BatchNorm, dtype=dtype)


def mobilenet_pyramid(*, dtype: Any = None, **fields: Any) -> FeaturePyramid:
    """A pyramid on MobileNetV3-Large: two maps of stride 32, and one of 64.

    Args:
        dtype: compute dtype.
        **fields: of the network.

    Returns:
        A `FeaturePyramid`.

    >>> list(mobilenet_pyramid().network.strides)
    ['high', 'last']
    """
    published = {"norm": partial(BatchNorm, epsilon=1e-5), "dtype": dtype}
    network = MobileNetV3(num_classes=None, **{**published, **fields})
    maps = Backbone(network, {"high": 32, "last": 32})
    return FeaturePyramid(maps, coarser=False, pooled=True, dtype=dtype)


@register(
    parameters=41_808_406,
    macs=134_379_721_216,
    input_size=800,
    weights=("torchvision fasterrcnn_resnet50_fpn",),
    published="COCO AP 37.0 (torchvision)",
    **COMMON,
)
def fasterrcnn_resnet50_fpn(
    *, num_classes: int | None = 91, name: str | None = None, **fields: Any
) -> RCNN:
    """Faster R-CNN on a ResNet-50 with a feature pyramid.

    The published weights were trained with frozen normalizations without an epsilon:
    ``backbone=pooled_pyramid(norm=partial(BatchNorm, epsilon=0.0))``.

    Args:
        num_classes: with class 0 for the background, as torchvision counts.
        name: Flax's.
        **fields: of `RCNN`.

    Returns:
        An `RCNN` for images whose sides are multiples of 32.

    >>> fasterrcnn_resnet50_fpn().rules.proposals
    1000
    """
    dtype = fields.get("dtype")
    published = {"backbone": pooled_pyramid(dtype=dtype), "box_head": BoxHead(dtype=dtype)}
    return RCNN(num_classes=num_classes, name=name, **{**published, **fields})


@register(
    parameters=43_712_278,
    macs=280_370_729_472,
    input_size=800,
    weights=("torchvision fasterrcnn_resnet50_fpn_v2",),
    published="COCO AP 46.7 (torchvision)",
    **COMMON,
)
def fasterrcnn_resnet50_fpn_v2(
    *, num_classes: int | None = 91, name: str | None = None, **fields: Any
) -> RCNN:
    """Faster R-CNN on a ResNet-50, its pyramid and head normalized, with deeper region proposals.

    Args:
        num_classes: with class 0 for the background, as torchvision counts.
        name: Flax's.
        **fields: of `RCNN`.

    Returns:
        An `RCNN` for images whose sides are multiples of 32.

    >>> fasterrcnn_resnet50_fpn_v2().depth
    2
    """
    dtype = fields.get("dtype")
    published = {
        "backbone": pooled_pyramid(improved=True, dtype=dtype),
        "box_head": improved_box_head(dtype),
        "depth": 2,
    }
    return RCNN(num_classes=num_classes, name=name, **{**published, **fields})


@register(
    parameters=19_410_754,
    macs=18_853_144_256,
    input_size=800,
    weights=("torchvision fasterrcnn_mobilenet_v3_large_fpn",),
    published="COCO AP 32.8 (torchvision)",
    **COMMON,
)
def fasterrcnn_mobilenet_v3_large_fpn(
    *, num_classes: int | None = 91, name: str | None = None, **fields: Any
) -> RCNN:
    """Faster R-CNN on MobileNetV3-Large, whose two maps have anchors of all sizes.

    Args:
        num_classes: with class 0 for the background, as torchvision counts.
        name: Flax's.
        **fields: of `RCNN`.

    Returns:
        An `RCNN` for images whose sides are multiples of 32.

    >>> len(fasterrcnn_mobilenet_v3_large_fpn().sizes)
    3
    """
    dtype = fields.get("dtype")
    published = {
        "backbone": mobilenet_pyramid(dtype=dtype),
        "box_head": BoxHead(dtype=dtype),
        "sizes": MOBILE_SIZES,
    }
    return RCNN(num_classes=num_classes, name=name, **{**published, **fields})


@register(
    parameters=19_410_754,
    macs=2_872_931_200,
    input_size=320,
    weights=("torchvision fasterrcnn_mobilenet_v3_large_320_fpn",),
    published="COCO AP 22.8 (torchvision)",
    **COMMON,
)
def fasterrcnn_mobilenet_v3_large_320_fpn(
    *, num_classes: int | None = 91, name: str | None = None, **fields: Any
) -> RCNN:
    """The same for images of 320×320, with at most 150 regions of each map.

    Args:
        num_classes: with class 0 for the background, as torchvision counts.
        name: Flax's.
        **fields: of `RCNN`.

    Returns:
        An `RCNN` for images whose sides are multiples of 32.

    >>> fasterrcnn_mobilenet_v3_large_320_fpn().rules.proposals
    150
    """
    fields = {"rules": MOBILE_320, **fields}
    return fasterrcnn_mobilenet_v3_large_fpn(num_classes=num_classes, name=name, **fields)
