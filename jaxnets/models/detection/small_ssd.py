"""A small SSD for images of one's own: a narrow residual network, anchors fitted to the objects."""

from collections import OrderedDict
from typing import Any

import flax.linen as nn
import jax

from jaxnets.models.backbone import backbone
from jaxnets.models.detection.anchor_sets import AnchorShapes
from jaxnets.models.detection.ssd import SSD
from jaxnets.models.layers import ConvNorm

STRIDES = (8, 16, 32)
# Channels of MobileNet v1's stem.
STEM = 32
SMALL_NORMAL = nn.initializers.normal(0.01)


class TopDown(nn.Module):
    """A backbone's maps, each joined with what the coarser ones know, all of one width.

    p_k = conv3×3(lateral(c_k) + p_(k+1) enlarged twice), normalized, as in a feature pyramid.

    Attributes:
        network: images → ordered mapping of maps, the finest first.
        features: channels of all maps.
        dtype: compute dtype.

    Call: images (N, H, W, C) → ordered mapping of maps (N, H / stride, W / stride, features).

    Source: Lin et al., "Feature Pyramid Networks for Object Detection", 2016, section 3.

    >>> maps = TopDown(backbone("resnet18", (8, 16), stages=(1, 1, 1), width=4), 8)
    >>> x = jax.ShapeDtypeStruct((1, 40, 64, 3), "float32")
    >>> found, _ = jax.eval_shape(maps.init_with_output, jax.random.key(0), x)
    >>> [each.shape for each in found.values()]
    [(1, 5, 8, 8), (1, 3, 4, 8)]
    """

    network: nn.Module
    features: int
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> "OrderedDict[str, jax.Array]":
        maps = self.network(x, train=train)
        result: dict[str, jax.Array] = {}
        above = None
        for name, each in reversed(maps.items()):
            y = ConvNorm(self.features, dtype=self.dtype, name=f"lateral_{name}")(each, train)
            if above is not None:
                height, width = y.shape[1:3]
                y = y + above.repeat(2, 1).repeat(2, 2)[:, :height, :width]
            above = result[name] = ConvNorm(
                self.features, (3, 3), padding=1, dtype=self.dtype, name=f"join_{name}"
            )(y, train)
        return OrderedDict(reversed(result.items()))


def small_ssd(
    num_classes: int | None,
    anchors: AnchorShapes,
    *,
    width: int = 24,
    mobile: bool = False,
    dtype: Any = None,
) -> SSD:
    """An SSD on a residual network of ten layers, with maps at strides 8, 16 and 32.

    Args:
        num_classes: K, background among them.
        anchors: of three maps, see `fit_anchor_shapes`.
        width: channels of the network's stem; its stages have 1, 2, 4 and 8 times as many.
        mobile: on a MobileNet v1 instead, whose stages have 2, 4, 8, 16 and 32 times as many.
        dtype: compute dtype.

    Returns:
        A network for images of any size, such as (N, 240, 320, 3).

    >>> shapes = AnchorShapes((((8, 8),), ((16, 16),), ((32, 32),)))
    >>> network = small_ssd(3, shapes, width=4)
    >>> x = jax.ShapeDtypeStruct((2, 64, 96, 3), "float32")
    >>> outputs, _ = jax.eval_shape(network.init_with_output, jax.random.key(0), x)
    >>> outputs.logits.shape  # 8·12 + 4·6 + 2·3 anchors
    (2, 126, 3)
    """
    if mobile:
        network = backbone("mobilenet_v1", STRIDES, width=width / STEM, dtype=dtype)
    else:
        network = backbone("resnet18", STRIDES, stages=(1, 1, 1, 1), width=width, dtype=dtype)
    maps = TopDown(network, 4 * width, dtype)
    return SSD(maps, anchors, num_classes=num_classes, kernel_init=SMALL_NORMAL, dtype=dtype)
