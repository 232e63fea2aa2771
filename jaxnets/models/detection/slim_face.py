"""A face detector of a quarter of a million parameters: an SSD on separable convolutions.

Source: the published network "slim-320" and its code,
github.com/Linzaer/Ultra-Light-Fast-Generic-Face-Detector-1MB, 2019; Liu et al., "SSD: Single Shot
MultiBox Detector", 2016.
"""

from collections import OrderedDict
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.models import papers
from jaxnets.models.checks import check_images
from jaxnets.models.detection.anchor_sets import AnchorShapes
from jaxnets.models.detection.ssd import SSDOutputs
from jaxnets.models.layers import ConvNorm
from jaxnets.models.mobilenet_v1 import SeparableConv
from jaxnets.models.registry import register
from jaxnets.nn import BatchNorm, Conv
from jaxnets.ops import relu

# Of the twelve separable convolutions: multiple of the stem's channels, and stride.
BLOCKS = (
    *((2, 1), (2, 2), (2, 1), (4, 2), (4, 1), (4, 1), (4, 1)),
    *((8, 2), (8, 1), (8, 1), (16, 2), (16, 1)),
)
# The blocks whose results are looked at.
SOURCES = (7, 10, 12)
# Sides of the square anchors of each map, in pixels.
SIDES = ((10, 16, 24), (32, 48), (64, 96), (128, 192, 256))


class SlimFace(nn.Module):
    """Thirteen convolutions, one more map, and heads on four maps at strides 8, 16, 32 and 64.

    Attributes:
        num_classes: K, background among them as class 0; None returns the maps.
        width: channels of the stem.
        sides: of the square anchors of each map, in pixels; what is larger than the image is cut to
            it.
        dtype: compute dtype.

    Call: images (N, H, W, C) of at least 32×32 → `SSDOutputs`, float32; for 240×320 with 4,420
    anchors.

    >>> x = jax.ShapeDtypeStruct((1, 240, 320, 3), "float32")
    >>> outputs, _ = jax.eval_shape(SlimFace().init_with_output, jax.random.key(0), x)
    >>> outputs.logits.shape, outputs.deltas.shape
    ((1, 4420, 2), (1, 4420, 4))
    """

    num_classes: int | None = 2
    width: int = 16
    sides: tuple[tuple[float, ...], ...] = SIDES
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> Any:
        check_images(self, x, smallest=32, stem="stem/conv")
        height, width = x.shape[1:3]
        conv = partial(Conv, dtype=self.dtype)
        norm = partial(BatchNorm, dtype=self.dtype)
        plain = partial(conv, use_bias=False)
        stem = ConvNorm(
            self.width, (3, 3), strides=2, padding=1, norm=norm, dtype=self.dtype, name="stem"
        )
        x = stem(x, train)
        maps = OrderedDict()
        for i, (factor, strides) in enumerate(BLOCKS, start=1):
            block = SeparableConv(factor * self.width, strides, plain, norm, relu, name=f"block{i}")
            x = block(x, train)
            if i in SOURCES:
                maps[f"block{i}"] = x
        x = relu(conv(4 * self.width, (1, 1), name="extra_reduce")(x))
        depthwise = partial(conv, kernel_size=(3, 3), padding=1)
        x = depthwise(4 * self.width, strides=2, groups=4 * self.width, name="extra_depthwise")(x)
        maps["extra"] = relu(conv(16 * self.width, (1, 1), name="extra_expand")(relu(x)))
        if self.num_classes is None:
            return maps
        logits, deltas, grids = [], [], []
        for i, (each, sides) in enumerate(zip(maps.values(), self.sides, strict=True)):
            grids.append(each.shape[1:3])
            for name, numbers, parts in (
                ("classification", self.num_classes, logits),
                ("regression", 4, deltas),
            ):
                features = len(sides) * numbers
                if i == len(self.sides) - 1:
                    y = depthwise(features, name=f"{name}{i}")(each)
                else:
                    channels = each.shape[-1]
                    y = depthwise(channels, groups=channels, name=f"{name}{i}_depthwise")(each)
                    y = conv(features, (1, 1), name=f"{name}{i}")(relu(y))
                parts.append(y.reshape(y.shape[0], -1, numbers).astype(jnp.float32))
        shapes = (((min(s, width), min(s, height)) for s in row) for row in self.sides)
        anchors = AnchorShapes(tuple(tuple(row) for row in shapes))
        return SSDOutputs(
            jnp.concatenate(logits, 1),
            jnp.concatenate(deltas, 1),
            anchors((height, width), grids),
            jnp.array([height, width], jnp.float32),
        )


@register(
    paper=papers.SLIM_FACE,
    parameters=260_188,
    macs=107_611_200,
    input_size=320,
    mean=(127 / 255,) * 3,
    std=(128 / 255,) * 3,
    weights=("Linzaer slim-320",),
    task="detection",
    published="WIDER faces AP easy .770, medium .671, hard .395, images of 240×320 (its author's)",
)
def ssd_slim_face(
    *, num_classes: int | None = 2, name: str | None = None, **fields: Any
) -> SlimFace:
    """The face detector slim-320; its weights were trained on images of 240×320.

    Args:
        num_classes: background among them.
        name: Flax's.
        **fields: of `SlimFace`.

    Returns:
        A `SlimFace`.

    >>> ssd_slim_face().width
    16
    """
    return SlimFace(num_classes=num_classes, name=name, **fields)
