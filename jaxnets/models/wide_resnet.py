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

from jaxnets.models.checks import check_images
from jaxnets.models.registry import IMAGENET_MEAN, IMAGENET_STD, ModelInfo, register
from jaxnets.models.resnet import STAGES, ResNet
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
    """WRN-depth-width: 3×3 convolution, three stages of (depth − 4)/6 blocks, pool, classifier.

    Args (fields):
        num_classes: width of the classifier; None returns the endpoints stem, stage1, stage2,
            stage3 at strides 1, 1, 2, 4 (stage3 normalized and rectified).
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
        check_images(self, x, smallest=4, stem="conv1")
        if self.depth % 6 != 4 or self.depth < 10:
            raise ValueError(f"WideResNet: depth must be 6n + 4 (10, 16, …), got {self.depth}")
        conv = partial(self.conv, use_bias=False, dtype=self.dtype)
        norm = partial(self.norm, dtype=self.dtype)
        x = conv(16, (3, 3), padding=1, name="conv1")(x)
        endpoints = OrderedDict(stem=x)
        for i in range(3):
            for j in range((self.depth - 4) // 6):
                block = WideBlock(
                    16 * 2**i * self.width,
                    2 if i > 0 and j == 0 else 1,
                    self.dropout_rate,
                    norm,
                    conv,
                    name=f"stage{i + 1}_block{j}",
                )
                x = block(x, train)
            endpoints[f"stage{i + 1}"] = x
        x = endpoints["stage3"] = relu(norm(name="bn")(x, train=train))
        if self.num_classes is None:
            return endpoints
        x = global_avg_pool(x)
        return Dense(self.num_classes, dtype=self.dtype, name="fc")(x).astype(jnp.float32)


_info = partial(
    ModelInfo,
    family="wide_resnet",
    paper="Zagoruyko, Komodakis, Wide Residual Networks",
    year=2016,
    channels=3,
)


def _wrn(depth: int, width: int, parameters: int, macs: int, published: str = ""):
    info = _info(
        name=f"wrn_{depth}_{width}",
        input_size=32,
        parameters=parameters,
        macs=macs,
        feature_strides={"stem": 1, "stage1": 1, "stage2": 2, "stage3": 4},
        published=published,
    )
    return register(info, WideResNet, {"depth": depth, "width": width})


def _wide_imagenet(depth: int, parameters: int, macs: int):
    name = f"wide_resnet{depth}_2"
    info = _info(
        name=name,
        input_size=224,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        parameters=parameters,
        macs=macs,
        weights=(f"torchvision {name}", f"timm {name}"),
        feature_strides={"stem": 2, "stage1": 4, "stage2": 8, "stage3": 16, "stage4": 32},
    )
    return register(info, ResNet, {"stages": STAGES[depth][0], "width_factor": 2})


_cifar = "CIFAR-10/100 test error {} %".format
wrn_16_8 = _wrn(16, 8, 10_961_370, 1_548_145_664, _cifar("4.56/21.59"))
wrn_28_10 = _wrn(28, 10, 36_479_194, 5_243_328_768, _cifar("4.00/19.25"))
wrn_40_4 = _wrn(40, 4, 8_949_210, 1_298_582_016, _cifar("4.97/22.89"))
wrn_40_8 = _wrn(40, 8, 35_748_314, 5_172_024_320)
wide_resnet50_2 = _wide_imagenet(50, 68_883_240, 11_398_021_120)
wide_resnet101_2 = _wide_imagenet(101, 126_886_696, 22_753_050_624)
