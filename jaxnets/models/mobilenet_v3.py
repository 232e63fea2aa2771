"""MobileNet v3: inverted residuals with squeeze-and-excitation and hard swish, found by search.

Source: Howard et al., "Searching for MobileNetV3", 2019, tables 1 and 2.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.models.checks import check_images
from jaxnets.models.layers import ConvNorm
from jaxnets.models.mobilenet_v2 import round_to_eight
from jaxnets.nn import BatchNorm, Conv, Dense, Dropout
from jaxnets.ops import global_avg_pool, materialize, relu

# Kernel, expanded channels, channels, squeeze-and-excitation, hard swish, stride.
Row = tuple[int, int, int, bool, bool, int]
LARGE: tuple[Row, ...] = (
    (3, 16, 16, False, False, 1),
    (3, 64, 24, False, False, 2),
    (3, 72, 24, False, False, 1),
    (5, 72, 40, True, False, 2),
    (5, 120, 40, True, False, 1),
    (5, 120, 40, True, False, 1),
    (3, 240, 80, False, True, 2),
    (3, 200, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 480, 112, True, True, 1),
    (3, 672, 112, True, True, 1),
    (5, 672, 160, True, True, 2),
    (5, 960, 160, True, True, 1),
    (5, 960, 160, True, True, 1),
)
SMALL: tuple[Row, ...] = (
    (3, 16, 16, True, False, 2),
    (3, 72, 24, False, False, 2),
    (3, 88, 24, False, False, 1),
    (5, 96, 40, True, True, 2),
    (5, 240, 40, True, True, 1),
    (5, 240, 40, True, True, 1),
    (5, 120, 48, True, True, 1),
    (5, 144, 48, True, True, 1),
    (5, 288, 96, True, True, 2),
    (5, 576, 96, True, True, 1),
    (5, 576, 96, True, True, 1),
)


def halve_tail(rows: Sequence[Row]) -> tuple[Row, ...]:
    """The rows with half the channels in the last stage, as detectors and segmenters have it.

    Args:
        rows: of table 1 or 2.

    Returns:
        rows, table 6's "reduced" ones.

    >>> halve_tail(LARGE)[-3:]
    ((5, 672, 80, True, True, 2), (5, 480, 80, True, True, 1), (5, 480, 80, True, True, 1))
    """
    start = max(i for i, row in enumerate(rows) if row[5] == 2)
    changed = [
        (k, wide if i == start else wide // 2, out // 2, *rest) if i >= start else rows[i]
        for i, (k, wide, out, *rest) in enumerate(rows)
    ]
    return tuple(changed)


def split_rows(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows by the stage that they belong to; a stride of two begins the next.

    >>> [len(stage) for stage in split_rows(LARGE)], [len(stage) for stage in split_rows(SMALL)]
    ([1, 2, 3, 6, 3], [0, 1, 2, 5, 3])
    """
    stages: list[list[Row]] = [[]]
    for row in rows:
        if row[5] == 2:
            stages.append([])
        stages[-1].append(row)
    return stages


class SqueezeExcite(nn.Module):
    """x · hard_sigmoid(W₂ relu(W₁ mean(x))): channels weighted by what the whole map holds."""

    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        y = x.mean((1, 2), keepdims=True)
        conv = partial(Conv, kernel_size=(1, 1), dtype=self.dtype)
        y = relu(conv(round_to_eight(x.shape[-1] // 4), name="squeeze")(y))
        return x * jax.nn.hard_sigmoid(conv(x.shape[-1], name="excite")(y))


class InvertedResidual(nn.Module):
    """1×1 up, depthwise, squeeze-and-excitation, 1×1 down; the input is added where it fits.

    Attributes:
        row: of table 1 or 2.
        width: multiplier of all channels.
        dilation: of the depthwise convolution, in place of its stride.
        conv, norm: layers.
        dtype: compute dtype.

    Call: (N, H, W, C) → the result, and what the depthwise convolution gets.
    """

    row: Row
    width: float
    dilation: int
    conv: Callable[..., nn.Module]
    norm: Callable[..., nn.Module]
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> tuple[jax.Array, jax.Array]:
        kernel, wide, out, excite, swish, strides = self.row
        wide, out = round_to_eight(wide * self.width), round_to_eight(out * self.width)
        activation = jax.nn.hard_swish if swish else relu
        x = materialize(x)  # Not to be computed again by each of its readers.
        y = x
        if wide != x.shape[-1]:
            y = self.conv(wide, (1, 1), name="expand")(y)
            y = activation(self.norm(name="expand_bn")(y, train=train))
        expanded = y
        y = self.conv(
            wide,
            (kernel, kernel),
            strides=1 if self.dilation > 1 else strides,
            padding=kernel // 2 * self.dilation,
            dilation=self.dilation,
            groups=wide,
            name="depthwise",
        )(y)
        y = activation(self.norm(name="depthwise_bn")(y, train=train))
        if excite:
            y = SqueezeExcite(self.dtype, name="se")(y)
        y = self.norm(name="project_bn")(self.conv(out, (1, 1), name="project")(y), train=train)
        # A dilated block that would have a stride adds nothing, whatever its shape.
        return (x + y if x.shape == y.shape and strides == 1 else y), expanded


class MobileNetV3Stage(nn.Module):
    """Inverted residuals one after another, "block0", "block1", …

    Attributes:
        rows: of table 1 or 2.
        block: makes a block of a row.

    Call: (N, H, W, C) → the results of the first and the last block, and what the first block's
    depthwise convolution gets.
    """

    rows: Sequence[Row]
    block: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> tuple[jax.Array, jax.Array, jax.Array]:
        first = expanded = None
        for j, row in enumerate(self.rows):
            x, wide = self.block(row, name=f"block{j}")(x, train)
            first, expanded = (x, wide) if j == 0 else (first, expanded)
        return first, x, expanded


class MobileNetV3(nn.Module):
    """A 3×3/2 convolution, inverted residuals, 1×1 to six times the channels, two dense layers.

    Attributes:
        num_classes: width of the head; None returns the endpoints stage1…stage5 (strides 2, 4, 8,
            16, 32), "low" (stride 8: stage3's first block), "expanded" (stride 16: what stage5's
            first depthwise convolution gets), "high" (stride 32: stage5's first block) and "last".
        rows: of table 1 or 2.
        width: multiplier of all channels.
        dilated: the last stage keeps stride 16 and has dilation 2.
        last_width: of the layer before the classifier.
        dropout_rate: before the classifier.
        norm, conv: layers.
        dtype: compute dtype.

    Call: images (N, H, W, C) of at least 32×32 → logits (N, num_classes), float32. Updates
    "batch_stats" where ``train`` is set; needs the rng "dropout" then.
    """

    num_classes: int | None = 1000
    rows: Sequence[Row] = LARGE
    width: float = 1.0
    dilated: bool = False
    last_width: int = 1280
    dropout_rate: float = 0.2
    norm: Callable[..., nn.Module] = partial(BatchNorm, epsilon=1e-3, momentum=0.99)
    conv: Callable[..., nn.Module] = Conv
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False):
        check_images(self, x, smallest=32, stem="stem/conv")
        conv = partial(self.conv, use_bias=False, dtype=self.dtype)
        norm = partial(self.norm, dtype=self.dtype)
        layer = partial(
            ConvNorm, norm=norm, conv=conv, activation=jax.nn.hard_swish, dtype=self.dtype
        )
        block = partial(InvertedResidual, width=self.width, conv=conv, norm=norm, dtype=self.dtype)
        endpoints = OrderedDict()
        stem = round_to_eight(16 * self.width)
        x = layer(stem, (3, 3), strides=2, padding=1, name="stem")(x, train)
        stages = split_rows(self.rows)
        for i, rows in enumerate(stages, start=1):
            dilation = 2 if self.dilated and i == len(stages) else 1
            make = partial(block, dilation=dilation)
            first, x, expanded = MobileNetV3Stage(rows, make, name=f"stage{i}")(x, train)
            if i == len(stages):
                endpoints["expanded"] = expanded
                endpoints["high"] = first
            if i == len(stages) - 2:
                endpoints["low"] = first
            endpoints[f"stage{i}"] = x
        x = endpoints["last"] = layer(6 * x.shape[-1], name="last")(x, train)
        if self.num_classes is None:
            return endpoints
        x = Dense(round_to_eight(self.last_width * self.width), dtype=self.dtype, name="fc")(
            global_avg_pool(x)
        )
        x = Dropout(self.dropout_rate, name="dropout")(jax.nn.hard_swish(x), train=train)
        return Dense(self.num_classes, dtype=self.dtype, name="head")(x).astype(jnp.float32)
