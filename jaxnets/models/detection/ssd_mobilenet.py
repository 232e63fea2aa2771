"""SSD300 on MobileNet v1, the detector of vehicles and pedestrians on small devices.

Source: Liu et al., "SSD: Single Shot MultiBox Detector", 2016; Howard et al., "MobileNets", 2017,
section 4.6; the published Caffe network, github.com/chuanqi305/MobileNet-SSD.
"""

from collections import OrderedDict
from functools import partial
from typing import Any

import flax.linen as nn
import jax

from jaxnets.models import papers
from jaxnets.models.checks import check_images
from jaxnets.models.detection.anchor_sets import AnchorShapes
from jaxnets.models.detection.ssd import SSD
from jaxnets.models.layers import ConvNorm
from jaxnets.models.mobilenet_v1 import MobileNetV1
from jaxnets.models.registry import HALF, register

# Channels of the 1×1 and of the 3×3/2 convolution of each further map.
EXTRA = ((256, 512), (128, 256), (128, 256), (64, 128))
# Side of the square anchors of each map, and of the next larger ones, in pixels.
SIDES = (60, 105, 150, 195, 240, 285, 300)


def mobilenet_ssd_anchors(sides: tuple[float, ...] = SIDES) -> AnchorShapes:
    """Three shapes at the first map's cells, six at the others': 1,917 anchors for 300×300.

    A map has squares of side s_k and, but for the first map, of √(s_k·s_(k+1)); and boxes of the
    area s_k² whose sides are in the ratios 2, ½ and, but for the first map, 3, ⅓.

    Args:
        sides: s_k of six maps, and of one more.

    Returns:
        `AnchorShapes`.

    Source: the published network's PriorBox layers.

    >>> mobilenet_ssd_anchors().per_cell
    (3, 6, 6, 6, 6, 6)
    """
    rows = []
    for level, side in enumerate(sides[:-1]):
        row = [(side, side)]
        if level:
            between = (side * sides[level + 1]) ** 0.5
            row.append((between, between))
        for ratio in (2, 3) if level else (2,):
            root = ratio**0.5
            row += [(side * root, side / root), (side / root, side * root)]
        rows.append(tuple((float(w), float(h)) for w, h in row))
    return AnchorShapes(tuple(rows))


class SSDMobileNet(nn.Module):
    """MobileNet v1's maps at strides 16 and 32, then four smaller ones.

    Attributes:
        network: a `MobileNetV1` without head.
        extra: channels of the smaller maps' convolutions.
        dtype: compute dtype.

    Call: images (N, H, W, C) → six maps by name, for 300×300 of 19², 10², 5², 3², 2², 1².

    >>> x = jax.ShapeDtypeStruct((1, 300, 300, 3), "float32")
    >>> module = SSDMobileNet(MobileNetV1(num_classes=None, width=0.25))
    >>> maps, _ = jax.eval_shape(module.init_with_output, jax.random.key(0), x)
    >>> [each.shape[1] for each in maps.values()]
    [19, 10, 5, 3, 2, 1]
    """

    network: nn.Module
    extra: tuple[tuple[int, int], ...] = EXTRA
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> "OrderedDict[str, jax.Array]":
        check_images(self, x, smallest=32)
        found = self.network(x, train=train)
        maps = OrderedDict((name, found[name]) for name in ("stage4", "stage5"))
        x = maps["stage5"]
        layer = partial(ConvNorm, dtype=self.dtype)
        for i, (narrow, width) in enumerate(self.extra, start=1):
            x = layer(narrow, name=f"extra{i}_reduce")(x, train)
            x = layer(width, (3, 3), strides=2, padding=1, name=f"extra{i}_conv")(x, train)
            maps[f"extra{i}"] = x
        return maps


@register(
    paper=papers.MOBILENET_V1,
    parameters=5_796_089,
    macs=1_148_479_168,
    input_size=300,
    mean=HALF,
    std=HALF,
    task="detection",
    published="VOC 2007 mAP 72.7 (of the Caffe network, begun on COCO; 68 without)",
)
def ssd300_mobilenet_v1(
    *, num_classes: int | None = 21, name: str | None = None, **fields: Any
) -> SSD:
    """SSD300 on MobileNet v1, with 1,917 anchors.

    The published network has its normalizations folded into the convolutions, and then 5,783,417
    parameters.

    Args:
        num_classes: background among them.
        name: Flax's.
        **fields: of `SSD`.

    Returns:
        An `SSD` for images of 300×300.

    >>> ssd300_mobilenet_v1().head_size
    1
    """
    dtype = fields.get("dtype")
    published = {
        "backbone": SSDMobileNet(MobileNetV1(num_classes=None, dtype=dtype), dtype=dtype),
        "anchors": mobilenet_ssd_anchors(),
        "head_size": 1,
    }
    return SSD(num_classes=num_classes, name=name, **{**published, **fields})
