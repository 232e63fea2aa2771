"""ShuffleNet v1: cheap grouped 1×1 convolutions, and a shuffle so that the groups still meet.

Source: Zhang, Zhou, Lin, Sun, "ShuffleNet: An Extremely Efficient Convolutional Neural Network for
Mobile Devices", 2017, table 1, figure 2.
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
from jaxnets.nn import BatchNorm, Conv, Dense
from jaxnets.ops import avg_pool, global_avg_pool, materialize, max_pool, relu
from jaxnets.ops.half_bits import concatenate

# Table 1: groups → channels of stages 2, 3, 4; units in each.
V1_CHANNELS = {
    1: (144, 288, 576),
    2: (200, 400, 800),
    3: (240, 480, 960),
    4: (272, 544, 1088),
    8: (384, 768, 1536),
}
STAGES = (4, 8, 4)


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
            return relu(concatenate([x, y], axis=-1))
        return relu(x + y)


def stem_and_stages(
    network: nn.Module,
    x: jax.Array,
    train: bool,
    units: Callable[..., tuple[Callable[..., nn.Module], Callable[..., nn.Module]]],
) -> "OrderedDict[str, jax.Array]":
    """What both ShuffleNets begin with: 3×3/2 convolution, 3×3/2 max pool, stages 2, 3, 4.

    Args:
        network: within its call; gives ``stem_width``, ``stages`` and the layers.
        x: images (N, H, W, C).
        train: whether to use the batch's statistics.
        units: ``units(i, layer)`` of stage i, from 2 on: makers of its first unit, which has
            stride 2, and of each further one.

    Returns:
        The endpoints, the last one last.
    """
    check_images(network, x, smallest=32, stem="stem/conv")
    layer = partial(ConvNorm, norm=network.norm, conv=network.conv, dtype=network.dtype)
    stem = layer(network.stem_width, (3, 3), strides=2, padding=1, name="stem")
    endpoints = OrderedDict(stem=stem(x, train))
    x = max_pool(endpoints["stem"], (3, 3), strides=2, padding=1)
    for i, depth in enumerate(network.stages, start=2):
        first, other = units(i, layer)
        stage = Stage([first, *[other] * (depth - 1)], name=f"stage{i}")
        x = endpoints[f"stage{i}"] = stage(x, train)
    return endpoints


class ShuffleNetV1(nn.Module):
    """3×3/2 convolution, 3×3/2 max pool, three stages of shuffle units, pool, head.

    Attributes:
        num_classes: width of the head; None returns the endpoints stem, stage2, stage3, stage4
            (numbered as in the paper) at strides 2, 8, 16, 32.
        groups: of the 1×1 convolutions.
        channels: of each stage.
        stages: units in each stage.
        stem_width: channels of the first convolution.
        group_first: group the very first 1×1 as well. The paper does not, its input being narrow.
        norm, conv: layers.
        dtype: compute dtype.

    Call: images (N, H, W, C) of at least 32×32 → logits (N, num_classes), float32. Updates
    "batch_stats" where ``train`` is set.
    """

    num_classes: int | None = 1000
    groups: int = 3
    channels: Sequence[int] = V1_CHANNELS[3]
    stages: Sequence[int] = STAGES
    stem_width: int = 24
    group_first: bool = False
    norm: Callable[..., nn.Module] = BatchNorm
    conv: Callable[..., nn.Module] = Conv
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False):
        def units(i: int, layer: Callable[..., nn.Module]):
            unit = partial(ShuffleUnit, self.channels[i - 2], groups=self.groups, layer=layer)
            first_groups = 1 if i == 2 and not self.group_first else self.groups
            return (
                partial(unit, strides=2, first_groups=first_groups),
                partial(unit, strides=1, first_groups=self.groups),
            )

        if len(self.channels) != len(self.stages):
            raise ValueError(
                f"ShuffleNetV1: channels and stages must have the same length, got {self.channels} "
                f"and {self.stages}"
            )
        endpoints = stem_and_stages(self, x, train, units)
        if self.num_classes is None:
            return endpoints
        *_, x = endpoints.values()
        x = global_avg_pool(x)
        return Dense(self.num_classes, dtype=self.dtype, name="head")(x).astype(jnp.float32)


_shufflenet = partial(
    register,
    paper=papers.SHUFFLENET_V1,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    feature_strides={"stem": 2, "stage2": 8, "stage3": 16, "stage4": 32},
)
_error = "ImageNet top-1 error {} %".format


@_shufflenet(parameters=1_531_936, macs=143_078_976, published=_error("33.6"))
def shufflenet_v1_g1(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> ShuffleNetV1:
    """ShuffleNet with 1 group; ``fields`` of `ShuffleNetV1`."""
    return ShuffleNetV1(
        num_classes=num_classes, name=name, **{"groups": 1, "channels": V1_CHANNELS[1], **fields}
    )


@_shufflenet(parameters=1_733_848, macs=140_836_512, published=_error("32.7"))
def shufflenet_v1_g2(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> ShuffleNetV1:
    """ShuffleNet with 2 groups; ``fields`` of `ShuffleNetV1`."""
    return ShuffleNetV1(
        num_classes=num_classes, name=name, **{"groups": 2, "channels": V1_CHANNELS[2], **fields}
    )


@_shufflenet(parameters=1_865_728, macs=137_460_672, published=_error("32.6"))
def shufflenet_v1_g3(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> ShuffleNetV1:
    """ShuffleNet with 3 groups; ``fields`` of `ShuffleNetV1`."""
    return ShuffleNetV1(
        num_classes=num_classes, name=name, **{"groups": 3, "channels": V1_CHANNELS[3], **fields}
    )


@_shufflenet(parameters=1_968_344, macs=134_339_776, published=_error("32.8"))
def shufflenet_v1_g4(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> ShuffleNetV1:
    """ShuffleNet with 4 groups; ``fields`` of `ShuffleNetV1`."""
    return ShuffleNetV1(
        num_classes=num_classes, name=name, **{"groups": 4, "channels": V1_CHANNELS[4], **fields}
    )


@_shufflenet(parameters=2_434_768, macs=138_365_952, published=_error("32.4"))
def shufflenet_v1_g8(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> ShuffleNetV1:
    """ShuffleNet with 8 groups; ``fields`` of `ShuffleNetV1`."""
    return ShuffleNetV1(
        num_classes=num_classes, name=name, **{"groups": 8, "channels": V1_CHANNELS[8], **fields}
    )
