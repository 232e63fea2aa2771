"""ShuffleNet v2: half of the channels pass a unit untouched, and a shuffle mixes the halves.

Source: Ma, Zhang, Zheng, Sun, "ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture
Design", 2018, table 5, figure 3.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.models import papers
from jaxnets.models.layers import ConvNorm
from jaxnets.models.registry import IMAGENET_MEAN, IMAGENET_STD, register
from jaxnets.models.shufflenet_v1 import STAGES, channel_shuffle, stem_and_stages
from jaxnets.nn import BatchNorm, Conv, Dense
from jaxnets.ops import global_avg_pool, materialize
from jaxnets.ops.half_bits import concatenate

# Table 5: width → channels of stages 2, 3, 4 and of the last layer.
V2_CHANNELS = {
    0.5: (48, 96, 192, 1024),
    1.0: (116, 232, 464, 1024),
    1.5: (176, 352, 704, 1024),
    2.0: (244, 488, 976, 2048),
}


class ShuffleUnitV2(nn.Module):
    """Half of the channels pass, the other half go through 1×1, depthwise 3×3, 1×1; shuffle.

    With a stride both branches see all channels, and the first is a depthwise 3×3 and a 1×1. With
    ``parity`` the even channels pass and there is no shuffle.
    """

    features: int
    strides: int
    layer: Callable[..., nn.Module]
    parity: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = materialize(x)  # Not to be computed again by each of its readers.
        layer, half = self.layer, self.features // 2
        depthwise = partial(
            layer, kernel_size=(3, 3), strides=self.strides, padding=1, activation=None
        )
        if self.strides == 1:
            halves = (x[..., ::2], x[..., 1::2]) if self.parity else jnp.split(x, 2, axis=-1)
            left, x = halves
        else:
            c = x.shape[-1]
            left = depthwise(c, groups=c, name="left_depthwise")(x, train)
            left = layer(half, name="left_expand")(left, train)
        y = layer(half, name="reduce")(x, train)
        y = depthwise(half, groups=half, name="depthwise")(y, train)
        y = layer(half, name="expand")(y, train)
        joined = concatenate([left, y], axis=-1)
        return joined if self.parity else channel_shuffle(joined, 2)


class ShuffleNetV2(nn.Module):
    """3×3/2 convolution, 3×3/2 max pool, three stages, a 1×1 convolution, pool, head.

    Attributes:
        num_classes: width of the head; None returns the endpoints stem, stage2, stage3, stage4
            (numbered as in the paper) and last at strides 2, 8, 16, 32, 32.
        channels: of each stage and of the last 1×1 convolution; without that number there is no
            such convolution, and no head.
        stages: units in each stage.
        stem_width: channels of the first convolution.
        parity: units split channels by parity instead of shuffling them, as the authors' code does;
            weights of one kind do not fit the other.
        norm, conv: layers.
        dtype: compute dtype.

    Call: images (N, H, W, C) of at least 32×32 → logits (N, num_classes), float32. Updates
    "batch_stats" where ``train`` is set.
    """

    num_classes: int | None = 1000
    channels: Sequence[int] = V2_CHANNELS[1.0]
    stages: Sequence[int] = STAGES
    stem_width: int = 24
    parity: bool = False
    norm: Callable[..., nn.Module] = BatchNorm
    conv: Callable[..., nn.Module] = Conv
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False):
        def units(i: int, layer: Callable[..., nn.Module]):
            unit = partial(ShuffleUnitV2, self.channels[i - 2], layer=layer, parity=self.parity)
            return partial(unit, strides=2), partial(unit, strides=1)

        endpoints = stem_and_stages(self, x, train, units)
        *_, x = endpoints.values()
        if len(self.channels) > len(self.stages):
            last = ConvNorm(
                self.channels[-1], norm=self.norm, conv=self.conv, dtype=self.dtype, name="last"
            )
            x = endpoints["last"] = last(x, train)
        if self.num_classes is None:
            return endpoints
        x = global_avg_pool(x)
        return Dense(self.num_classes, dtype=self.dtype, name="head")(x).astype(jnp.float32)


_shufflenet = partial(
    register,
    paper=papers.SHUFFLENET_V2,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    feature_strides={"stem": 2, "stage2": 8, "stage3": 16, "stage4": 32, "last": 32},
)


@_shufflenet(parameters=1_366_792, macs=40_476_448, weights=("torchvision shufflenet_v2_x0_5",))
def shufflenet_v2_x0_5(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> ShuffleNetV2:
    """ShuffleNetV2 with 0.5 times the channels; ``fields`` of `ShuffleNetV2`."""
    return ShuffleNetV2(
        num_classes=num_classes, name=name, **{"channels": V2_CHANNELS[0.5], **fields}
    )


@_shufflenet(parameters=2_278_604, macs=144_907_992, weights=("torchvision shufflenet_v2_x1_0",))
def shufflenet_v2_x1_0(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> ShuffleNetV2:
    """ShuffleNetV2 with 1.0 times the channels; ``fields`` of `ShuffleNetV2`."""
    return ShuffleNetV2(
        num_classes=num_classes, name=name, **{"channels": V2_CHANNELS[1.0], **fields}
    )


@_shufflenet(parameters=3_503_624, macs=295_759_392, weights=("torchvision shufflenet_v2_x1_5",))
def shufflenet_v2_x1_5(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> ShuffleNetV2:
    """ShuffleNetV2 with 1.5 times the channels; ``fields`` of `ShuffleNetV2`."""
    return ShuffleNetV2(
        num_classes=num_classes, name=name, **{"channels": V2_CHANNELS[1.5], **fields}
    )


@_shufflenet(parameters=7_393_996, macs=583_253_464, weights=("torchvision shufflenet_v2_x2_0",))
def shufflenet_v2_x2_0(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> ShuffleNetV2:
    """ShuffleNetV2 with 2.0 times the channels; ``fields`` of `ShuffleNetV2`."""
    return ShuffleNetV2(
        num_classes=num_classes, name=name, **{"channels": V2_CHANNELS[2.0], **fields}
    )
