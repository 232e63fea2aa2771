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

from jaxnets.models.checks import check_images
from jaxnets.models.registry import IMAGENET_MEAN, IMAGENET_STD, ModelInfo, register
from jaxnets.nn import BatchNorm, Conv, Dense, Dropout
from jaxnets.ops import global_avg_pool, materialize, max_pool, relu


class SqueezeExcite(nn.Module):
    """x · σ(W₂ relu(W₁ s + b₁) + b₂), s the mean of each channel over the image.

    Args (fields):
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
            x = self.conv(
                self.features, (k, k), strides=self.strides, padding=k // 2, name="shortcut_conv"
            )(x)
            x = self.norm(name="shortcut_bn")(x, train=train)
        y = SqueezeExcite(self.reduction, self.dtype, name="se")(y)
        return relu(x + y)


class SENet(nn.Module):
    """SE-ResNet, SE-ResNeXt and SENet-154: a stem, four stages of SE bottlenecks, classifier.

    Args (fields):
        num_classes: width of the classifier; None returns the endpoints stem, stage1…stage4 at
            strides 2, 4, 8, 16, 32.
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
        check_images(self, x, smallest=32, stem="conv1")
        conv = partial(self.conv, use_bias=False, dtype=self.dtype)
        norm = partial(self.norm, dtype=self.dtype)
        stem = ((1, 3, 2), (1, 3, 1), (2, 3, 1)) if self.deep_stem else ((1, 7, 2),)
        endpoints = OrderedDict()
        for i, (factor, k, strides) in enumerate(stem, start=1):
            x = conv(
                *(factor * self.width, (k, k)), strides=strides, padding=k // 2, name=f"conv{i}"
            )(x)
            x = relu(norm(name=f"bn{i}")(x, train=train))
        endpoints["stem"] = x
        x = max_pool(x, (3, 3), strides=2, ceil_mode=True)
        for i, blocks in enumerate(self.stages):
            for j in range(blocks):
                width = self.width * 2**i
                block = SEBottleneck(
                    features=4 * width,
                    strides=2 if i > 0 and j == 0 else 1,
                    inner=(self.inner[0] * width, self.inner[1] * width),
                    groups=self.groups,
                    stride_first=self.stride_first,
                    shortcut_kernel=3 if self.deep_stem and i > 0 else 1,
                    reduction=self.reduction,
                    norm=norm,
                    conv=conv,
                    dtype=self.dtype,
                    name=f"stage{i + 1}_block{j}",
                )
                x = block(x, train)
            endpoints[f"stage{i + 1}"] = x
        if self.num_classes is None:
            return endpoints
        x = Dropout(self.dropout_rate, name="dropout")(global_avg_pool(x), train=train)
        return Dense(self.num_classes, dtype=self.dtype, name="fc")(x).astype(jnp.float32)


def _senet(name: str, parameters: int, macs: int, error: str, peer: str, **fields: Any):
    info = ModelInfo(
        name=name,
        family="senet",
        paper="Hu, Shen, Albanie, Sun, Wu, Squeeze-and-Excitation Networks",
        year=2017,
        input_size=224,
        channels=3,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        parameters=parameters,
        macs=macs,
        weights=(f"timm {peer}", f"Cadene {name}"),
        feature_strides={"stem": 2, "stage1": 4, "stage2": 8, "stage3": 16, "stage4": 32},
        published=f"ImageNet top-1 error {error} %",
    )
    return register(info, SENet, fields)


_50, _101, _152 = (3, 4, 6, 3), (3, 4, 23, 3), (3, 8, 36, 3)
se_resnet50 = _senet(
    "se_resnet50", 28_088_024, 3_860_488_192, "22.37", "legacy_seresnet50", stages=_50
)
se_resnet101 = _senet(
    "se_resnet101", 49_326_872, 7_574_937_600, "21.75", "legacy_seresnet101", stages=_101
)
se_resnet152 = _senet(
    "se_resnet152", 66_821_848, 11_288_993_792, "21.34", "legacy_seresnet152", stages=_152
)
_x = partial(_senet, inner=(2, 2), groups=32, stride_first=False)
se_resnext50_32x4d = _x(
    *("se_resnext50_32x4d", 27_559_896, 4_232_994_816, "20.97", "legacy_seresnext50_32x4d"),
    stages=_50,
)
se_resnext101_32x4d = _x(
    *("se_resnext101_32x4d", 48_955_416, 7_974_739_968, "19.81", "legacy_seresnext101_32x4d"),
    stages=_101,
)
senet154 = _senet(
    *("senet154", 115_088_984, 20_688_363_520, "18.68", "legacy_senet154"),
    stages=_152,
    inner=(2, 4),
    groups=64,
    stride_first=False,
    deep_stem=True,
    dropout_rate=0.2,
)
