"""OverFeat: a network of seven or eight layers that slides over images of any size.

Source: Sermanet, Eigen, Zhang, Mathieu, Fergus, LeCun, "OverFeat: Integrated Recognition,
Localization and Detection using Convolutional Networks", 2013, tables 1 and 3.
"""

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.models import papers
from jaxnets.models.checks import check_images
from jaxnets.models.layers import SpatialDense
from jaxnets.models.registry import register
from jaxnets.nn import Conv, Dropout
from jaxnets.ops import interleave_offsets, max_pool, offset_max_pool, relu


class Layer(NamedTuple):
    """A row of the paper's tables 1 and 3.

    Attributes:
        features: channels.
        kernel: side of the convolution.
        stride: of the convolution.
        padding: zeros around the map.
        pool: side and stride of the max pooling behind it; 0: none.

    >>> FAST[0].kernel, FAST[0].stride
    (11, 4)
    """

    features: int
    kernel: int = 3
    stride: int = 1
    padding: int = 0
    pool: int = 0


# Table 1, for images of 231×231, and table 3, of 221×221.
FAST = (
    Layer(96, 11, 4, pool=2),
    Layer(256, 5, pool=2),
    Layer(512, padding=1),
    Layer(1024, padding=1),
    Layer(1024, padding=1, pool=2),
)
ACCURATE = (
    Layer(96, 7, 2, pool=3),
    Layer(256, 7, pool=2),
    *(Layer(512, padding=1),) * 2,
    Layer(1024, padding=1),
    Layer(1024, padding=1, pool=3),
)


class OverFeatMaps(NamedTuple):
    """What OverFeat says at every place that its window slides to.

    Attributes:
        logits: (N, H, W, K).
        boxes: (N, H, W, K, 4), corners of the object of each class in units of the window, 0 its
            left or upper side and 1 its right or lower one; None without a regressor.

    >>> OverFeatMaps._fields
    ('logits', 'boxes')
    """

    logits: jax.Array
    boxes: jax.Array | None = None


class OverFeat(nn.Module):
    """Convolutions, max poolings without overlap, connected layers that slide over the last map.

    Attributes:
        num_classes: width of the head, K; None returns the endpoints conv1, … before their
            pooling, and the last map behind it, "pool".
        layers: rows of `Layer`.
        fc_widths: of the connected layers before the head.
        fc_window: side of the map that the first of them sees.
        dense: return what is said at every place, as `OverFeatMaps`, instead of the mean.
        offsets: the last pooling begins at so many pixels of its first window in each direction,
            which brings the places closer together; 1: at the first alone.
        box_widths: of a second branch's connected layers, which ends in the four corners of an
            object of each class; None: no such branch. The paper's: (4096, 1024).
        dropout_rate: after each of ``fc_widths``.
        dtype: compute dtype.

    Call: images (N, H, W, C), as large as the network's window or larger → logits (N, K), float32;
    with ``dense`` `OverFeatMaps`. Needs the rng "dropout" in training.

    >>> network = overfeat_accurate(dense=True, offsets=3)
    >>> x = jax.ShapeDtypeStruct((1, 281, 317, 3), "float32")
    >>> jax.eval_shape(network.init_with_output, jax.random.key(0), x)[0].logits.shape
    (1, 6, 9, 1000)
    """

    num_classes: int | None = 1000
    layers: Sequence[Layer] = FAST
    fc_widths: Sequence[int] = (3072, 4096)
    fc_window: int = 6
    dense: bool = False
    offsets: int = 1
    box_widths: Sequence[int] | None = None
    dropout_rate: float = 0.5
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> Any:
        side, _ = window_of(self)
        check_images(self, x, smallest=side, stem="conv1")
        endpoints = OrderedDict()
        for i, row in enumerate(self.layers, start=1):
            layer = Conv(
                row.features,
                (row.kernel, row.kernel),
                strides=row.stride,
                padding=row.padding,
                dtype=self.dtype,
                name=f"conv{i}",
            )
            x = endpoints[f"conv{i}"] = relu(layer(x))
            if row.pool and i < len(self.layers):
                x = max_pool(x, row.pool)
        pooled = offset_max_pool(x, max(self.layers[-1].pool, 1), self.offsets)
        if self.num_classes is None:
            endpoints["pool"] = pooled[0]
            return endpoints
        # The connected layers see all offsets as one batch.
        x = pooled.reshape(-1, *pooled.shape[2:])
        fc = partial(SpatialDense, dtype=self.dtype)

        def branch(x, name, widths, outputs, rate):
            for i, width in enumerate(widths):
                window = self.fc_window if i == 0 else 1
                x = relu(fc(width, window, name=f"{name}fc{i}")(x))
                if rate:
                    x = Dropout(rate, name=f"{name}dropout{i}")(x, train=train)
            y = fc(outputs, name=f"{name}head")(x).astype(jnp.float32)
            return interleave_offsets(y.reshape(*pooled.shape[:2], *y.shape[1:]))

        logits = branch(x, "", self.fc_widths, self.num_classes, self.dropout_rate)
        if not self.dense:
            return logits.mean((1, 2))
        if self.box_widths is None:
            return OverFeatMaps(logits)
        corners = branch(x, "box_", self.box_widths, 4 * self.num_classes, 0.0)
        return OverFeatMaps(logits, corners.reshape(*logits.shape, 4))


def window_of(network: OverFeat) -> tuple[int, int]:
    """The part of an image that one place sees, and how far it is to the next, as the paper counts.

    The paper's size of its input: what falls together to the connected layers' window where maps
    are padded so that a 3×3 convolution keeps their size. Where images are divided evenly, place
    (y, x) sees the square from (stride·y, stride·x) on.

    Args:
        network: for its ``layers``, ``fc_window`` and ``offsets``.

    Returns:
        the window's side in pixels, and the stride in pixels.

    >>> window_of(overfeat_accurate()), window_of(overfeat_accurate(offsets=3))
    ((221, 36), (221, 12))
    >>> window_of(overfeat_fast())
    (231, 32)
    """
    side, stride = network.fc_window, 1
    for row in reversed(network.layers):
        side *= max(row.pool, 1)
        side = (side - 1) * row.stride + row.kernel - 2 * row.padding
        stride *= max(row.pool, 1) * row.stride
    if network.offsets > 1:
        stride = stride // network.layers[-1].pool
    return side, stride


_overfeat = partial(register, paper=papers.OVERFEAT)
_FAST_STRIDES = {"conv1": 4, "conv2": 8, **{f"conv{i}": 16 for i in (3, 4, 5)}, "pool": 32}
_ACCURATE_STRIDES = {"conv1": 2, "conv2": 6, **{f"conv{i}": 12 for i in (3, 4, 5, 6)}, "pool": 36}


@_overfeat(
    parameters=145_920_872,
    macs=2_801_403_904,
    input_size=231,
    feature_strides=_FAST_STRIDES,
    published="ImageNet top-5 error 16.39 %, at three scales with fine stride (paper, table 2)",
)
def overfeat_fast(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> OverFeat:
    """OverFeat, the fast one: seven layers; ``fields`` of `OverFeat`.

    Args:
        num_classes: width of the head.
        name: Flax's.
        **fields: of `OverFeat`.

    Returns:
        An `OverFeat` for images of 231×231 or more.

    >>> overfeat_fast().fc_widths
    (3072, 4096)
    """
    return OverFeat(num_classes=num_classes, name=name, **fields)


@_overfeat(
    parameters=144_656_488,
    macs=5_355_446_784,
    input_size=221,
    feature_strides=_ACCURATE_STRIDES,
    published="ImageNet top-5 error 14.18 %, at four scales with fine stride (paper, table 2)",
)
def overfeat_accurate(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> OverFeat:
    """OverFeat, the accurate one: eight layers; ``fields`` of `OverFeat`.

    Args:
        num_classes: width of the head.
        name: Flax's.
        **fields: of `OverFeat`.

    Returns:
        An `OverFeat` for images of 221×221 or more.

    >>> overfeat_accurate().fc_window
    5
    """
    published = {"layers": ACCURATE, "fc_widths": (4096, 4096), "fc_window": 5}
    return OverFeat(num_classes=num_classes, name=name, **{**published, **fields})
