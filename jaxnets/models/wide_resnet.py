"""Wide residual networks: fewer layers, many more channels; for CIFAR and for ImageNet.

Source: Zagoruyko, Komodakis, "Wide Residual Networks", 2016, table 1, sections 2.4 and 3.
"""

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.models import papers
from jaxnets.models.checks import check_images
from jaxnets.models.layers import ConvNorm, Stage
from jaxnets.models.registry import IMAGENET_MEAN, IMAGENET_STD, register
from jaxnets.models.resnet import STAGES, STRIDES, ResNet
from jaxnets.nn import BatchNorm, Conv, Dense, Dropout
from jaxnets.ops import global_avg_pool, materialize, relu


class WideBlock(nn.Module):
    """x' + conv3×3(dropout(relu(bn(conv3×3(relu(bn(x))))))): normalization before convolution.

    x' is x, or, where the shape changes, a 1×1 convolution of relu(bn(x)).
    """

    features: int
    strides: int
    dropout_rate: float
    norm: Callable[..., nn.Module]
    conv: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = materialize(x)  # Not to be computed again by each of its readers.
        active = relu(self.norm(name="bn1")(x, train=train))
        y = self.conv(self.features, (3, 3), strides=self.strides, padding=1, name="conv1")(active)
        y = relu(self.norm(name="bn2")(y, train=train))
        y = Dropout(self.dropout_rate, name="dropout")(y, train=train)
        y = self.conv(self.features, (3, 3), padding=1, name="conv2")(y)
        if x.shape == y.shape:
            return x + y
        return y + self.conv(self.features, (1, 1), strides=self.strides, name="shortcut")(active)


class WideResNet(nn.Module):
    """WRN-depth-width: 3×3 convolution, three stages of (depth − 4)/6 blocks, pool, head.

    Attributes:
        num_classes: width of the head; None returns the endpoints stem, stage1, stage2, stage3 at
            strides 1, 1, 2, 4 (stage3 normalized and rectified).
        depth: 6n + 4.
        width: multiplier k of the 16, 32, 64 channels.
        dropout_rate: between the convolutions of a block; the paper takes 0.3 where it uses it.
        norm, conv: layers.
        dtype: compute dtype.

    Call: images (N, H, W, C) → logits (N, num_classes), float32. Updates "batch_stats" where
    ``train`` is set; needs the rng "dropout" then, where ``dropout_rate`` > 0.
    """

    num_classes: int | None = 10
    depth: int = 28
    width: int = 10
    dropout_rate: float = 0.0
    norm: Callable[..., nn.Module] = BatchNorm
    conv: Callable[..., nn.Module] = Conv
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False):
        check_images(self, x, smallest=4, stem="stem/conv")
        if self.depth % 6 != 4 or self.depth < 10:
            raise ValueError(f"WideResNet: depth must be 6n + 4 (10, 16, …), got {self.depth}")
        conv = partial(self.conv, use_bias=False, dtype=self.dtype)
        norm = partial(self.norm, dtype=self.dtype)
        stem = partial(ConvNorm, padding=1, norm=None, conv=conv, activation=None)
        x = stem(16, (3, 3), dtype=self.dtype, name="stem")(x, train)
        endpoints = OrderedDict(stem=x)
        block = partial(WideBlock, dropout_rate=self.dropout_rate, norm=norm, conv=conv)
        for i in range(3):
            width = 16 * 2**i * self.width
            strides = [2 if i > 0 and j == 0 else 1 for j in range((self.depth - 4) // 6)]
            stage = Stage([partial(block, width, s) for s in strides], name=f"stage{i + 1}")
            x = endpoints[f"stage{i + 1}"] = stage(x, train)
        x = endpoints["stage3"] = relu(norm(name="bn")(x, train=train))
        if self.num_classes is None:
            return endpoints
        x = global_avg_pool(x)
        return Dense(self.num_classes, dtype=self.dtype, name="head")(x).astype(jnp.float32)


_cifar = partial(
    register,
    paper=papers.WIDE_RESNET,
    input_size=32,
    feature_strides={"stem": 1, "stage1": 1, "stage2": 2, "stage3": 4},
)
_imagenet = partial(
    register,
    paper=papers.WIDE_RESNET,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    feature_strides=STRIDES,
)
_error = "CIFAR-10/100 test error {} %".format


@_cifar(parameters=10_961_370, macs=1_548_145_664, published=_error("4.56/21.59"))
def wrn_16_8(*, num_classes: int | None = 10, name: str | None = None, **fields: Any) -> WideResNet:
    """WRN-16-8 for CIFAR; ``fields`` of `WideResNet`."""
    return WideResNet(num_classes=num_classes, name=name, **{"depth": 16, "width": 8, **fields})


@_cifar(parameters=36_479_194, macs=5_243_328_768, published=_error("4.00/19.25"))
def wrn_28_10(
    *, num_classes: int | None = 10, name: str | None = None, **fields: Any
) -> WideResNet:
    """WRN-28-10 for CIFAR; ``fields`` of `WideResNet`."""
    return WideResNet(num_classes=num_classes, name=name, **{"depth": 28, "width": 10, **fields})


@_cifar(parameters=8_949_210, macs=1_298_582_016, published=_error("4.97/22.89"))
def wrn_40_4(*, num_classes: int | None = 10, name: str | None = None, **fields: Any) -> WideResNet:
    """WRN-40-4 for CIFAR; ``fields`` of `WideResNet`."""
    return WideResNet(num_classes=num_classes, name=name, **{"depth": 40, "width": 4, **fields})


@_cifar(parameters=35_748_314, macs=5_172_024_320)
def wrn_40_8(*, num_classes: int | None = 10, name: str | None = None, **fields: Any) -> WideResNet:
    """WRN-40-8 for CIFAR; ``fields`` of `WideResNet`."""
    return WideResNet(num_classes=num_classes, name=name, **{"depth": 40, "width": 8, **fields})


@_imagenet(
    parameters=68_883_240,
    macs=11_398_021_120,
    weights=("torchvision wide_resnet50_2", "timm wide_resnet50_2"),
)
def wide_resnet50_2(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> ResNet:
    """ResNet-50 v1.5 with 3×3 convolutions twice as wide; ``fields`` of `ResNet`."""
    return ResNet(num_classes=num_classes, name=name, **{**STAGES[50], "width_factor": 2, **fields})


@_imagenet(
    parameters=126_886_696,
    macs=22_753_050_624,
    weights=("torchvision wide_resnet101_2", "timm wide_resnet101_2"),
)
def wide_resnet101_2(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> ResNet:
    """ResNet-101 v1.5 with 3×3 convolutions twice as wide; ``fields`` of `ResNet`."""
    return ResNet(
        num_classes=num_classes, name=name, **{**STAGES[101], "width_factor": 2, **fields}
    )
