"""MobileNet v2: inverted residuals with linear bottlenecks.

Source: Sandler, Howard, Zhu, Zhmoginov, Chen, "MobileNetV2: Inverted Residuals and Linear
Bottlenecks", 2018, table 2.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.models import papers
from jaxnets.models.checks import check_images
from jaxnets.models.layers import ConvNorm, Stage
from jaxnets.models.registry import IMAGENET_MEAN, IMAGENET_STD, register
from jaxnets.nn import BatchNorm, Conv, Dense, Dropout
from jaxnets.ops import global_avg_pool, materialize

# Table 2: expansion t, output channels c, repetitions n, stride s of the first.
BLOCKS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def round_to_eight(channels: float) -> int:
    """The nearest multiple of eight, but never less than nine tenths.

    >>> round_to_eight(24 * 0.5), round_to_eight(32 * 1.4)
    (16, 48)
    """
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def split_into_stages(
    blocks: Sequence[tuple[int, int, int, int]],
) -> dict[int, list[tuple[int, int, int, int]]]:
    """Rows of table 2 by the stage that they belong to; a stride of two begins the next.

    >>> {stage: len(rows) for stage, rows in split_into_stages(BLOCKS).items()}
    {1: 1, 2: 1, 3: 1, 4: 2, 5: 2}
    """
    stages: dict[int, list[tuple[int, int, int, int]]] = {}
    stage = 1
    for row in blocks:
        stage += row[3] == 2
        stages.setdefault(stage, []).append(row)
    return stages


class InvertedResidual(nn.Module):
    """1×1 up to ``expansion`` times the channels, depthwise 3×3, 1×1 down without activation.

    The input is added where stride and channels allow it.
    """

    features: int
    strides: int
    expansion: int
    conv: Callable[..., nn.Module]
    norm: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = materialize(x)  # Not to be computed again by each of its readers.
        wide, y = x.shape[-1] * self.expansion, x
        if self.expansion != 1:
            y = self.conv(wide, (1, 1), name="expand")(y)
            y = jax.nn.relu6(self.norm(name="expand_bn")(y, train=train))
        y = self.conv(wide, (3, 3), strides=self.strides, padding=1, groups=wide, name="depthwise")(
            y
        )
        y = jax.nn.relu6(self.norm(name="depthwise_bn")(y, train=train))
        y = self.norm(name="project_bn")(
            self.conv(self.features, (1, 1), name="project")(y), train=train
        )
        return x + y if x.shape == y.shape else y


class MobileNetV2(nn.Module):
    """A 3×3/2 convolution, seventeen inverted residuals, 1×1 to 1280, average pool, head.

    Attributes:
        num_classes: width of the head; None returns the endpoints stage1…stage5 (the last
            block at each of the strides 2, 4, 8, 16, 32) and "last" (stride 32).
        width: multiplier of all channels; the last layer is never narrower than 1280.
        blocks: rows (t, c, n, s) of table 2: n blocks that expand t times to c channels, the first
            with stride s. A stage begins with each stride of two.
        last_width: channels of the last 1×1 convolution.
        dropout_rate: before the classifier.
        norm, conv: layers.
        dtype: compute dtype.

    Call: images (N, H, W, C) of at least 32×32 → logits (N, num_classes), float32. Updates
    "batch_stats" where ``train`` is set; needs the rng "dropout" then.
    """

    num_classes: int | None = 1000
    width: float = 1.0
    blocks: Sequence[tuple[int, int, int, int]] = BLOCKS
    last_width: int = 1280
    dropout_rate: float = 0.2
    norm: Callable[..., nn.Module] = BatchNorm
    conv: Callable[..., nn.Module] = Conv
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False):
        check_images(self, x, smallest=32, stem="stem/conv")
        conv = partial(self.conv, use_bias=False, dtype=self.dtype)
        norm = partial(self.norm, dtype=self.dtype)
        layer = partial(ConvNorm, norm=norm, conv=conv, activation=jax.nn.relu6, dtype=self.dtype)
        stem, last = 32 * self.width, self.last_width * max(1.0, self.width)
        block = partial(InvertedResidual, conv=conv, norm=norm)
        endpoints = OrderedDict()
        x = layer(round_to_eight(stem), (3, 3), strides=2, padding=1, name="stem")(x, train)
        for i, rows in split_into_stages(self.blocks).items():
            blocks = [
                partial(block, round_to_eight(c * self.width), s if j == 0 else 1, t)
                for t, c, n, s in rows
                for j in range(n)
            ]
            x = endpoints[f"stage{i}"] = Stage(blocks, name=f"stage{i}")(x, train)
        x = endpoints["last"] = layer(round_to_eight(last), name="last")(x, train)
        if self.num_classes is None:
            return endpoints
        x = Dropout(self.dropout_rate, name="dropout")(global_avg_pool(x), train=train)
        return Dense(self.num_classes, dtype=self.dtype, name="head")(x).astype(jnp.float32)


@register(
    parameters=3_504_872,
    macs=300_774_272,
    weights=("torchvision mobilenet_v2", "timm mobilenetv2_100"),
    paper=papers.MOBILENET_V2,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    feature_strides={**{f"stage{i}": 2**i for i in range(1, 6)}, "last": 32},
    published="ImageNet top-1 accuracy 72.0 %",
)
def mobilenet_v2(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> MobileNetV2:
    """MobileNetV2; ``fields`` of `MobileNetV2`."""
    return MobileNetV2(num_classes=num_classes, name=name, **fields)
