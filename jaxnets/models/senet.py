"""SENet: every residual branch weighs its channels by what it sees of the whole image.

Source: Hu, Shen, Albanie, Sun, Wu, "Squeeze-and-Excitation Networks", 2017, section 3, table 1; the
authors' released Caffe networks (stride in the first 1×1 convolution of SE-ResNet, max pooling
rounded up, SENet-154).
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
from jaxnets.ops import global_avg_pool, materialize, max_pool, relu

# Fields of the networks of table 1 and of the appendix.
SE_RESNEXT = {"inner": (2, 2), "groups": 32, "stride_first": False}
SENET_154 = {
    "inner": (2, 4),
    "groups": 64,
    "stride_first": False,
    "deep_stem": True,
    "dropout_rate": 0.2,
}
STAGES = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


class SqueezeExcite(nn.Module):
    """x · σ(W₂ relu(W₁ s + b₁) + b₂), s the mean of each channel over the image.

    Attributes:
        reduction: W₁ puts out C/reduction values.
        dtype: compute dtype.
    """

    reduction: int = 16
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        channels = x.shape[-1]
        s = global_avg_pool(x)
        s = relu(Dense(channels // self.reduction, dtype=self.dtype, name="squeeze")(s))
        s = jax.nn.sigmoid(Dense(channels, dtype=self.dtype, name="excite")(s))
        return x * s[:, None, None]


class SEBottleneck(nn.Module):
    """relu(shortcut(x) + SE(bn(1×1(3×3(1×1(x)))))), normalized and rectified between.

    ``inner`` are the channels of the first 1×1 and of the 3×3 convolution.
    """

    features: int
    strides: int
    inner: tuple[int, int]
    groups: int
    stride_first: bool
    shortcut_kernel: int
    reduction: int
    norm: Callable[..., nn.Module]
    conv: Callable[..., nn.Module]
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = materialize(x)  # Not to be computed again by each of its readers.
        first, second = (self.strides, 1) if self.stride_first else (1, self.strides)
        y = self.conv(self.inner[0], (1, 1), strides=first, name="conv1")(x)
        y = relu(self.norm(name="bn1")(y, train=train))
        y = self.conv(
            *(self.inner[1], (3, 3)), strides=second, padding=1, groups=self.groups, name="conv2"
        )(y)
        y = relu(self.norm(name="bn2")(y, train=train))
        y = self.conv(self.features, (1, 1), name="conv3")(y)
        y = self.norm(name="bn3")(y, train=train)
        if self.strides != 1 or x.shape[-1] != self.features:
            k = self.shortcut_kernel
            new = partial(ConvNorm, norm=self.norm, conv=self.conv, activation=None)
            new = partial(new, strides=self.strides, padding=k // 2, dtype=self.dtype)
            x = new(self.features, (k, k), name="shortcut")(x, train)
        y = SqueezeExcite(self.reduction, self.dtype, name="se")(y)
        return relu(x + y)


class SEStem(nn.Module):
    """Normalized convolutions with ReLU: "conv1", "bn1", and so on.

    Attributes:
        layers: (channels, kernel size, stride) of each.
        norm, conv: layers.
    """

    layers: Sequence[tuple[int, int, int]]
    norm: Callable[..., nn.Module]
    conv: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        for i, (features, k, strides) in enumerate(self.layers, start=1):
            conv = partial(self.conv, strides=strides, padding=k // 2, name=f"conv{i}")
            x = relu(self.norm(name=f"bn{i}")(conv(features, (k, k))(x), train=train))
        return x


class SENet(nn.Module):
    """SE-ResNet, SE-ResNeXt and SENet-154: a stem, four stages of SE bottlenecks, head.

    Attributes:
        num_classes: width of the head; None returns the endpoints stem, stage1…stage4 at strides
            2, 4, 8, 16, 32.
        stages: blocks in each stage.
        width: stage i puts out 4·2^(i−1) times as many channels.
        inner: channels of the first two convolutions of a block, as multiples of the stage's
            ``width``·2^(i−1).
        groups: of the 3×3 convolutions.
        stride_first: stride in the first 1×1 (SE-ResNet) or in the 3×3 convolution.
        deep_stem: three 3×3 convolutions instead of a 7×7, and 3×3 instead of 1×1 shortcuts
            (SENet-154).
        reduction: of the squeeze.
        dropout_rate: before the classifier.
        norm, conv: layers.
        dtype: compute dtype.

    Call: images (N, H, W, C) of at least 32×32 → logits (N, num_classes), float32. Updates
    "batch_stats" where ``train`` is set; needs the rng "dropout" then, where ``dropout_rate`` > 0.
    """

    num_classes: int | None = 1000
    stages: Sequence[int] = (3, 4, 6, 3)
    width: int = 64
    inner: tuple[int, int] = (1, 1)
    groups: int = 1
    stride_first: bool = True
    deep_stem: bool = False
    reduction: int = 16
    dropout_rate: float = 0.0
    norm: Callable[..., nn.Module] = BatchNorm
    conv: Callable[..., nn.Module] = Conv
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False):
        check_images(self, x, smallest=32, stem="stem/conv1")
        conv = partial(self.conv, use_bias=False, dtype=self.dtype)
        norm = partial(self.norm, dtype=self.dtype)
        w = self.width
        stem = ((w, 3, 2), (w, 3, 1), (2 * w, 3, 1)) if self.deep_stem else ((w, 7, 2),)
        endpoints = OrderedDict()
        x = endpoints["stem"] = SEStem(stem, norm, conv, name="stem")(x, train)
        x = max_pool(x, (3, 3), strides=2, ceil_mode=True)
        for i, depth in enumerate(self.stages):
            width = self.width * 2**i
            block = partial(
                SEBottleneck,
                features=4 * width,
                inner=(self.inner[0] * width, self.inner[1] * width),
                groups=self.groups,
                stride_first=self.stride_first,
                shortcut_kernel=3 if self.deep_stem and i > 0 else 1,
                reduction=self.reduction,
                norm=norm,
                conv=conv,
                dtype=self.dtype,
            )
            strides = [2 if i > 0 and j == 0 else 1 for j in range(depth)]
            stage = Stage([partial(block, strides=s) for s in strides], name=f"stage{i + 1}")
            x = endpoints[f"stage{i + 1}"] = stage(x, train)
        if self.num_classes is None:
            return endpoints
        x = Dropout(self.dropout_rate, name="dropout")(global_avg_pool(x), train=train)
        return Dense(self.num_classes, dtype=self.dtype, name="head")(x).astype(jnp.float32)


_senet = partial(
    register,
    paper=papers.SENET,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    feature_strides={"stem": 2, "stage1": 4, "stage2": 8, "stage3": 16, "stage4": 32},
)


@_senet(
    parameters=28_088_024,
    macs=3_860_488_192,
    weights=("timm legacy_seresnet50", "Cadene se_resnet50"),
    published="ImageNet top-1 error 22.37 %",
)
def se_resnet50(*, num_classes: int | None = 1000, name: str | None = None, **fields: Any) -> SENet:
    """SE-ResNet-50; ``fields`` of `SENet`."""
    return SENet(num_classes=num_classes, name=name, **{"stages": STAGES[50], **fields})


@_senet(
    parameters=49_326_872,
    macs=7_574_937_600,
    weights=("timm legacy_seresnet101", "Cadene se_resnet101"),
    published="ImageNet top-1 error 21.75 %",
)
def se_resnet101(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> SENet:
    """SE-ResNet-101; ``fields`` of `SENet`."""
    return SENet(num_classes=num_classes, name=name, **{"stages": STAGES[101], **fields})


@_senet(
    parameters=66_821_848,
    macs=11_288_993_792,
    weights=("timm legacy_seresnet152", "Cadene se_resnet152"),
    published="ImageNet top-1 error 21.34 %",
)
def se_resnet152(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> SENet:
    """SE-ResNet-152; ``fields`` of `SENet`."""
    return SENet(num_classes=num_classes, name=name, **{"stages": STAGES[152], **fields})


@_senet(
    parameters=27_559_896,
    macs=4_232_994_816,
    weights=("timm legacy_seresnext50_32x4d", "Cadene se_resnext50_32x4d"),
    published="ImageNet top-1 error 20.97 %",
)
def se_resnext50_32x4d(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> SENet:
    """SE-ResNeXt-50; ``fields`` of `SENet`."""
    return SENet(
        num_classes=num_classes, name=name, **{"stages": STAGES[50], **SE_RESNEXT, **fields}
    )


@_senet(
    parameters=48_955_416,
    macs=7_974_739_968,
    weights=("timm legacy_seresnext101_32x4d", "Cadene se_resnext101_32x4d"),
    published="ImageNet top-1 error 19.81 %",
)
def se_resnext101_32x4d(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> SENet:
    """SE-ResNeXt-101; ``fields`` of `SENet`."""
    return SENet(
        num_classes=num_classes, name=name, **{"stages": STAGES[101], **SE_RESNEXT, **fields}
    )


@_senet(
    parameters=115_088_984,
    macs=20_688_363_520,
    weights=("timm legacy_senet154", "Cadene senet154"),
    published="ImageNet top-1 error 18.68 %",
)
def senet154(*, num_classes: int | None = 1000, name: str | None = None, **fields: Any) -> SENet:
    """SENet-154; ``fields`` of `SENet`."""
    return SENet(
        num_classes=num_classes, name=name, **{"stages": STAGES[152], **SENET_154, **fields}
    )
