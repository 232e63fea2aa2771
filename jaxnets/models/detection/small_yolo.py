"""A small YOLO for images of one's own: YOLO v3's outputs on the maps of a feature pyramid."""

import math
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.models.backbone import backbone
from jaxnets.models.detection.anchor_sets import AnchorShapes
from jaxnets.models.detection.darknet import Section
from jaxnets.models.detection.small_ssd import STRIDES, TopDown
from jaxnets.nn import Conv

# Every anchor begins as an object with this probability.
PRIOR = 0.01


class GridDetector(nn.Module):
    """A 1×1 convolution on each map of a pyramid says boxes, objectness and classes.

    Attributes:
        maps: images → ordered mapping of maps, the finest first.
        num_classes: K, without background; None returns the maps.
        anchors_per_map: A of each map.
        dtype: compute dtype.

    Call: images (N, H, W, C) → of each map (N, H', W', A, 5 + K), as `Darknet` with [yolo] gives
    them: for `yolo_losses` and `yolo_detections`.

    Source: Redmon, Farhadi, "YOLOv3: An Incremental Improvement", 2018, sections 2.1 to 2.3.

    >>> network = small_yolo(3, AnchorShapes((((8, 8),), ((16, 16),), ((32, 32),))), width=4)
    >>> x = jax.ShapeDtypeStruct((2, 64, 96, 3), "float32")
    >>> outputs, _ = jax.eval_shape(network.init_with_output, jax.random.key(0), x)
    >>> [raw.shape for raw in outputs]
    [(2, 8, 12, 1, 8), (2, 4, 6, 1, 8), (2, 2, 3, 1, 8)]
    """

    maps: nn.Module
    num_classes: int | None
    anchors_per_map: tuple[int, ...]
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> Any:
        maps = self.maps(x, train=train)
        if self.num_classes is None:
            return maps
        numbers, found = 5 + self.num_classes, []
        for (name, y), count in zip(maps.items(), self.anchors_per_map, strict=True):
            raw = Conv(
                count * numbers,
                (1, 1),
                bias_init=_unlikely(count, numbers),
                dtype=self.dtype,
                name=f"head_{name}",
            )(y)
            found.append(raw.astype(jnp.float32).reshape(*y.shape[:3], count, numbers))
        return tuple(found)


def _unlikely(count: int, numbers: int) -> Any:
    """Biases with which no anchor is likely to be an object."""

    def init(key, shape, dtype=jnp.float32):
        rows = jnp.zeros((count, numbers), dtype)
        return rows.at[:, 4].set(math.log(PRIOR / (1 - PRIOR))).reshape(shape)

    return init


def small_yolo(
    num_classes: int | None, anchors: AnchorShapes, *, width: int = 24, dtype: Any = None
) -> GridDetector:
    """A YOLO on a residual network of ten layers, with maps at strides 8, 16 and 32.

    Args:
        num_classes: K, without background.
        anchors: of three maps, see `fit_anchor_shapes`.
        width: channels of the network's stem; its stages have 1, 2, 4 and 8 times as many.
        dtype: compute dtype.

    Returns:
        A network for images of any size of at least 32×32.

    >>> small_yolo(3, AnchorShapes((((8, 8),), ((16, 16),), ((32, 32),)))).anchors_per_map
    (1, 1, 1)
    """
    network = backbone("resnet18", STRIDES, stages=(1, 1, 1, 1), width=width, dtype=dtype)
    counts = tuple(len(shapes) for shapes in anchors.shapes)
    return GridDetector(TopDown(network, 4 * width, dtype), num_classes, counts, dtype)


def yolo_sections(
    anchors: AnchorShapes, num_classes: int, size: tuple[int, int]
) -> tuple[Section, ...]:
    """The [yolo] sections of a `GridDetector`, for `yolo_losses` and `yolo_detections`.

    Args:
        anchors: of the maps.
        num_classes: K, without background.
        size: height and width of the images.

    Returns:
        [net] and a [yolo] for each map.

    >>> anchors = AnchorShapes((((8, 8),), ((16, 12),), ((32, 32),)))
    >>> sections = yolo_sections(anchors, 3, (64, 96))
    >>> sections[2].get("anchors", (0.0,)), sections[0].get("width", 0)
    ((16.0, 12.0), 96)
    """
    net = Section("net", 0, (("height", str(size[0])), ("width", str(size[1]))))
    heads = zip(anchors.shapes, STRIDES, strict=True)
    return (net, *(_head(shapes, stride, num_classes) for shapes, stride in heads))


def _head(shapes: Sequence[tuple[float, float]], stride: int, num_classes: int) -> Section:
    pairs = ",".join(f"{float(w)!r},{float(h)!r}" for w, h in shapes)
    mask = ",".join(map(str, range(len(shapes))))
    # Said, since a canvas may end in the middle of a cell.
    options = {"mask": mask, "anchors": pairs, "classes": num_classes, "stride": stride}
    return Section("yolo", 0, tuple((name, str(value)) for name, value in options.items()))
