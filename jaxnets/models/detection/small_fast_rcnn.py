"""A small Fast R-CNN for images of one's own and proposals from outside."""

from typing import Any, Final

from jaxnets.models.backbone import backbone
from jaxnets.models.detection.fast_rcnn import FastRCNN
from jaxnets.models.detection.region_heads import BoxHead
from jaxnets.models.detection.regions import RegionRules

RULES: Final = RegionRules(
    proposals=300, drawn=64, low=0.1, pairs=500, threshold=0.3, detections=50
)


def small_fast_rcnn(num_classes: int | None, *, width: int = 24, dtype: Any = None) -> FastRCNN:
    """A Fast R-CNN on the map of stride 8 of a residual network.

    Args:
        num_classes: K, background among them.
        width: channels of the stem and the first stage; the second, whose map is pooled from, has
            twice as many.
        dtype: compute dtype.

    Returns:
        A network for images whose sides are multiples of 8.

    >>> import jax
    >>> network = small_fast_rcnn(3, width=4)
    >>> x = jax.ShapeDtypeStruct((2, 64, 96, 3), "float32")
    >>> jax.eval_shape(network.init_with_output, jax.random.key(0), x)[0].found.boxes.shape
    (2, 50, 4)
    """
    network = backbone("resnet18", (8,), stages=(1, 2), width=width, dtype=dtype)
    head = BoxHead(widths=(256, 256), dtype=dtype)
    return FastRCNN(network, num_classes, head, rules=RULES, dtype=dtype)
