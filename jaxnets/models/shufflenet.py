"""ShuffleNet v1 and v2: cheap 1×1 convolutions, and a shuffle so that the groups still meet.

Source: Zhang, Zhou, Lin, Sun, "ShuffleNet", 2017, table 1, figure 2; Ma, Zhang, Zheng, Sun,
"ShuffleNet V2", 2018, table 5, figure 3.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.models.checks import check_images
from jaxnets.models.conv_norm import ConvNorm
from jaxnets.models.registry import IMAGENET_MEAN, IMAGENET_STD, ModelInfo, register
from jaxnets.nn import BatchNorm, Conv, Dense
from jaxnets.ops import avg_pool, global_avg_pool, materialize, max_pool, relu

# v1, table 1: groups → channels of stages 2, 3, 4. v2, table 5: width → those and the last layer's.
V1_CHANNELS = {
    1: (144, 288, 576),
    2: (200, 400, 800),
    3: (240, 480, 960),
    4: (272, 544, 1088),
    8: (384, 768, 1536),
}
V2_CHANNELS = {
    0.5: (48, 96, 192, 1024),
    1.0: (116, 232, 464, 1024),
    1.5: (176, 352, 704, 1024),
    2.0: (244, 488, 976, 2048),
}
REPEATS = (4, 8, 4)


def channel_shuffle(x: jax.Array, groups: int) -> jax.Array:
    """Channel (i, j) of ``groups`` groups of n goes to place (j, i): a transposition.

    Its inverse is the shuffle with n groups.

    >>> channel_shuffle(jnp.arange(6), 2).tolist()
    [0, 3, 1, 4, 2, 5]
    """
    if x.shape[-1] % groups:
        raise ValueError(
            f"groups: got {groups}, expected a divisor of the {x.shape[-1]} channels of x"
        )
    x = x.reshape(*x.shape[:-1], groups, -1)
    return jnp.swapaxes(x, -1, -2).reshape(*x.shape[:-2], -1)


class ShuffleUnit(nn.Module):
    """Grouped 1×1, shuffle, depthwise 3×3, grouped 1×1; added to x, or beside its average pool.

    The inner layers have a quarter of the channels. With a stride the result is concatenated with
    the 3×3/2 average pool of x, so the layers make only the missing channels.
    """

    features: int
    strides: int
    groups: int
    first_groups: int
    layer: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = materialize(x)  # Not to be computed again by each of its readers.
        made = self.features - (x.shape[-1] if self.strides > 1 else 0)
        inner, layer = self.features // 4, self.layer
        y = layer(inner, groups=self.first_groups, name="reduce")(x, train)
        y = channel_shuffle(y, self.groups)
        y = layer(
            inner,
            (3, 3),
            strides=self.strides,
            padding=1,
            groups=inner,
            activation=None,
            name="depthwise",
        )(y, train)
        y = layer(made, groups=self.groups, activation=None, name="expand")(y, train)
        if self.strides > 1:
            x = avg_pool(x, (3, 3), strides=2, padding=1)
            return relu(jnp.concatenate([x, y], axis=-1))
        return relu(x + y)


class ShuffleNetV1(nn.Module):
    """3×3/2 convolution, 3×3/2 max pool, three stages of shuffle units, pool, classifier.

    Args (fields):
        num_classes: width of the classifier; None returns the endpoints stem, stage2, stage3,
            stage4 at strides 2, 8, 16, 32.
        groups: of the 1×1 convolutions.
        channels: of the three stages.
        repeats: units in each stage.
        stem: channels of the first convolution.
        group_first: group the very first 1×1 as well. The paper does not, its input being narrow.
        norm, conv: layers.
        dtype: compute dtype.

    Call: images (N, H, W, C) of at least 32×32 → logits (N, num_classes), float32. Updates
    "batch_stats" where ``train`` is set.
    """

    num_classes: int | None = 1000
    groups: int = 3
    channels: Sequence[int] = V1_CHANNELS[3]
    repeats: Sequence[int] = REPEATS
    stem: int = 24
    group_first: bool = False
    norm: Callable[..., nn.Module] = BatchNorm
    conv: Callable[..., nn.Module] = Conv
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False):
        check_images(self, x, smallest=32, stem="conv1/conv")
        layer = partial(ConvNorm, norm=self.norm, conv=self.conv, dtype=self.dtype)
        endpoints = OrderedDict()
        x = layer(self.stem, (3, 3), strides=2, padding=1, name="conv1")(x, train)
        endpoints["stem"] = x
        x = max_pool(x, (3, 3), strides=2, padding=1)
        for i, (channels, repeats) in enumerate(
            zip(self.channels, self.repeats, strict=True), start=2
        ):
            for j in range(repeats):
                first = i == 2 and j == 0 and not self.group_first
                x = ShuffleUnit(
                    channels,
                    2 if j == 0 else 1,
                    self.groups,
                    1 if first else self.groups,
                    layer,
                    name=f"stage{i}_unit{j}",
                )(x, train)
            endpoints[f"stage{i}"] = x
        if self.num_classes is None:
            return endpoints
        x = global_avg_pool(x)
        return Dense(self.num_classes, dtype=self.dtype, name="fc")(x).astype(jnp.float32)


class ShuffleUnitV2(nn.Module):
    """Half of the channels pass, the other half go through 1×1, depthwise 3×3, 1×1; shuffle.

    With a stride both branches see all channels, and the first is a depthwise 3×3 and a 1×1.
    """

    features: int
    strides: int
    layer: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = materialize(x)  # Not to be computed again by each of its readers.
        layer, half = self.layer, self.features // 2
        depthwise = partial(
            layer, kernel_size=(3, 3), strides=self.strides, padding=1, activation=None
        )
        if self.strides == 1:
            left, x = jnp.split(x, 2, axis=-1)
        else:
            c = x.shape[-1]
            left = depthwise(c, groups=c, name="left_depthwise")(x, train)
            left = layer(half, name="left_expand")(left, train)
        y = layer(half, name="reduce")(x, train)
        y = depthwise(half, groups=half, name="depthwise")(y, train)
        y = layer(half, name="expand")(y, train)
        return channel_shuffle(jnp.concatenate([left, y], axis=-1), 2)


class ShuffleNetV2(nn.Module):
    """3×3/2 convolution, 3×3/2 max pool, three stages, a 1×1 convolution, pool, classifier.

    Args (fields):
        num_classes: width of the classifier; None returns the endpoints stem, stage2, stage3,
            stage4 and last at strides 2, 8, 16, 32, 32.
        channels: of the three stages and of the last 1×1 convolution.
        repeats: units in each stage.
        stem: channels of the first convolution.
        norm, conv: layers.
        dtype: compute dtype.

    Call: images (N, H, W, C) of at least 32×32 → logits (N, num_classes), float32. Updates
    "batch_stats" where ``train`` is set.
    """

    num_classes: int | None = 1000
    channels: Sequence[int] = V2_CHANNELS[1.0]
    repeats: Sequence[int] = REPEATS
    stem: int = 24
    norm: Callable[..., nn.Module] = BatchNorm
    conv: Callable[..., nn.Module] = Conv
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False):
        check_images(self, x, smallest=32, stem="conv1/conv")
        layer = partial(ConvNorm, norm=self.norm, conv=self.conv, dtype=self.dtype)
        endpoints = OrderedDict()
        x = layer(self.stem, (3, 3), strides=2, padding=1, name="conv1")(x, train)
        endpoints["stem"] = x
        x = max_pool(x, (3, 3), strides=2, padding=1)
        for i, repeats in enumerate(self.repeats, start=2):
            for j in range(repeats):
                strides, name = 2 if j == 0 else 1, f"stage{i}_unit{j}"
                x = ShuffleUnitV2(self.channels[i - 2], strides, layer, name=name)(x, train)
            endpoints[f"stage{i}"] = x
        x = endpoints["last"] = layer(self.channels[-1], name="last")(x, train)
        if self.num_classes is None:
            return endpoints
        x = global_avg_pool(x)
        return Dense(self.num_classes, dtype=self.dtype, name="fc")(x).astype(jnp.float32)


_info = partial(
    ModelInfo,
    family="shufflenet",
    input_size=224,
    channels=3,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
)
_STRIDES = {"stem": 2, "stage2": 8, "stage3": 16, "stage4": 32}


def _v1(groups: int, parameters: int, macs: int, error: str):
    info = _info(
        name=f"shufflenet_v1_g{groups}",
        paper="Zhang, Zhou, Lin, Sun, ShuffleNet: An Extremely Efficient Convolutional Neural "
        "Network for Mobile Devices",
        year=2017,
        parameters=parameters,
        macs=macs,
        feature_strides=_STRIDES,
        published=f"ImageNet top-1 error {error} %",
    )
    return register(info, ShuffleNetV1, {"groups": groups, "channels": V1_CHANNELS[groups]})


def _v2(width: float, parameters: int, macs: int):
    name = f"shufflenet_v2_x{width}".replace(".", "_")
    info = _info(
        name=name,
        paper="Ma, Zhang, Zheng, Sun, ShuffleNet V2: Practical Guidelines for Efficient CNN "
        "Architecture Design",
        year=2018,
        parameters=parameters,
        macs=macs,
        weights=(f"torchvision {name}",),
        feature_strides={**_STRIDES, "last": 32},
    )
    return register(info, ShuffleNetV2, {"channels": V2_CHANNELS[width]})


shufflenet_v1_g1 = _v1(1, 1_531_936, 143_078_976, "33.6")
shufflenet_v1_g2 = _v1(2, 1_733_848, 140_836_512, "32.7")
shufflenet_v1_g3 = _v1(3, 1_865_728, 137_460_672, "32.6")
shufflenet_v1_g4 = _v1(4, 1_968_344, 134_339_776, "32.8")
shufflenet_v1_g8 = _v1(8, 2_434_768, 138_365_952, "32.4")

shufflenet_v2_x0_5 = _v2(0.5, 1_366_792, 40_476_448)
shufflenet_v2_x1_0 = _v2(1.0, 2_278_604, 144_907_992)
shufflenet_v2_x1_5 = _v2(1.5, 3_503_624, 295_759_392)
shufflenet_v2_x2_0 = _v2(2.0, 7_393_996, 583_253_464)
