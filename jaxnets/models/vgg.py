"""VGG: nothing but 3×3 convolutions, 11 to 19 layers deep, in all configurations of the paper.

Source: Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition",
2014, table 1.
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
from jaxnets.models.layers import SpatialDense, pool_to_window
from jaxnets.models.registry import IMAGENET_MEAN, IMAGENET_STD, register
from jaxnets.nn import BatchNorm, Conv, Dropout
from jaxnets.ops import local_response_norm, max_pool, relu

# Table 1: kernel sizes of the convolutions in the five stages; each stage has one width.
CONFIGURATIONS = {
    "A": ((3,), (3,), (3, 3), (3, 3), (3, 3)),
    "B": ((3, 3), (3, 3), (3, 3), (3, 3), (3, 3)),
    "C": ((3, 3), (3, 3), (3, 3, 1), (3, 3, 1), (3, 3, 1)),
    "D": ((3, 3), (3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3)),
    "E": ((3, 3), (3, 3), (3, 3, 3, 3), (3, 3, 3, 3), (3, 3, 3, 3)),
}


class VGGStage(nn.Module):
    """Convolutions with ReLU at one resolution: "conv1", "conv2", …, each with "bn1", … or without.

    Attributes:
        features: channels.
        kernels: kernel size of each convolution.
        lrn: local response normalization after the first.
        norm: normalization layer, or None.
        conv: convolution layer.
    """

    features: int
    kernels: Sequence[int]
    lrn: bool
    norm: Callable[..., nn.Module] | None
    conv: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        for j, k in enumerate(self.kernels, start=1):
            x = self.conv(self.features, (k, k), padding=k // 2, name=f"conv{j}")(x)
            if self.norm is not None:
                x = self.norm(name=f"bn{j}")(x, train=train)
            x = relu(x)
            if self.lrn and j == 1:
                x = local_response_norm(x)
        return x


class VGG(nn.Module):
    """Five stages of convolutions with max pooling between them, then three connected layers.

    Attributes:
        num_classes: width of the head, also called fc8; None returns the endpoints
            stage1…stage5 (before their pooling, strides 1 to 16) and pool5 (stride 32).
        stages: kernel sizes of each stage's convolutions, see `CONFIGURATIONS`.
        widths: channels of each stage.
        fc_width: width of fc6 and fc7.
        fc_window: side of the map that fc6 sees; larger maps are pooled to it adaptively,
            smaller ones stretched, as torchvision does.
        fc_endpoints: without classifier, return "fc6" and "fc7" as well.
        dense: evaluate fully convolutionally: the connected layers slide over the whole feature
            map and the scores of all places are averaged (section 3.2).
        batch_norm: normalize after every convolution.
        lrn: local response normalization after the first convolution (A-LRN).
        dropout_rate: after fc6 and fc7.
        norm, conv: layers.
        dtype: compute dtype.

    Call: images (N, H, W, C) of at least 32×32 → logits (N, num_classes), float32. Needs the rng
    "dropout" in training.
    """

    num_classes: int | None = 1000
    stages: Sequence[Sequence[int]] = CONFIGURATIONS["D"]
    widths: Sequence[int] = (64, 128, 256, 512, 512)
    fc_width: int = 4096
    fc_window: int = 7
    fc_endpoints: bool = False
    dense: bool = False
    batch_norm: bool = False
    lrn: bool = False
    dropout_rate: float = 0.5
    norm: Callable[..., nn.Module] = BatchNorm
    conv: Callable[..., nn.Module] = Conv
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False):
        check_images(self, x, smallest=32, stem="stage1/conv1")
        conv = partial(self.conv, dtype=self.dtype)
        norm = partial(self.norm, dtype=self.dtype) if self.batch_norm else None
        endpoints = OrderedDict()
        for i, (kernels, width) in enumerate(zip(self.stages, self.widths, strict=True), start=1):
            stage = VGGStage(width, kernels, self.lrn and i == 1, norm, conv, name=f"stage{i}")
            x = endpoints[f"stage{i}"] = stage(x, train)
            x = max_pool(x, (2, 2), strides=2)
        endpoints["pool5"] = x
        if self.num_classes is None and not self.fc_endpoints:
            return endpoints
        if not self.dense:
            x = pool_to_window(self, x, stretch=True)
        elif min(x.shape[1:3]) < self.fc_window:
            raise ValueError(
                f"VGG: dense evaluation needs images of at least {32 * self.fc_window} pixels, "
                f"got a last feature map of {x.shape[1:3]}."
            )
        fc = partial(SpatialDense, dtype=self.dtype)
        x = endpoints["fc6"] = relu(fc(self.fc_width, self.fc_window, name="fc6")(x))
        x = Dropout(self.dropout_rate, name="dropout6")(x, train=train)
        x = endpoints["fc7"] = relu(fc(self.fc_width, name="fc7")(x))
        if self.num_classes is None:
            return endpoints
        x = Dropout(self.dropout_rate, name="dropout7")(x, train=train)
        scores = fc(self.num_classes, name="head")(x)
        return jnp.mean(scores.astype(jnp.float32), axis=(1, 2))


_vgg = partial(
    register,
    paper=papers.VGG,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    feature_strides={**{f"stage{i + 1}": 2**i for i in range(5)}, "pool5": 32},
)
_error = "ImageNet top-1/top-5 error {} % (paper, table 3, single scale)".format


@_vgg(
    parameters=132_863_336,
    macs=7_609_090_048,
    weights=("torchvision vgg11", "timm vgg11"),
    published=_error("29.6/10.4"),
)
def vgg11(*, num_classes: int | None = 1000, name: str | None = None, **fields: Any) -> VGG:
    """VGG-11, configuration A; ``fields`` of `VGG`."""
    published = {"stages": CONFIGURATIONS["A"]}
    return VGG(num_classes=num_classes, name=name, **{**published, **fields})


@_vgg(parameters=132_863_336, macs=7_609_090_048, published=_error("29.7/10.5"))
def vgg11_lrn(*, num_classes: int | None = 1000, name: str | None = None, **fields: Any) -> VGG:
    """VGG-11 with local response normalization, A-LRN; ``fields`` of `VGG`."""
    published = {"stages": CONFIGURATIONS["A"], "lrn": True}
    return VGG(num_classes=num_classes, name=name, **{**published, **fields})


@_vgg(
    parameters=133_047_848,
    macs=11_308_466_176,
    weights=("torchvision vgg13", "timm vgg13"),
    published=_error("28.7/9.9"),
)
def vgg13(*, num_classes: int | None = 1000, name: str | None = None, **fields: Any) -> VGG:
    """VGG-13, configuration B; ``fields`` of `VGG`."""
    published = {"stages": CONFIGURATIONS["B"]}
    return VGG(num_classes=num_classes, name=name, **{**published, **fields})


@_vgg(parameters=133_638_952, macs=11_770_888_192, published=_error("28.1/9.4"))
def vgg16_c(*, num_classes: int | None = 1000, name: str | None = None, **fields: Any) -> VGG:
    """VGG-16 with 1×1 convolutions, configuration C; ``fields`` of `VGG`."""
    published = {"stages": CONFIGURATIONS["C"]}
    return VGG(num_classes=num_classes, name=name, **{**published, **fields})


@_vgg(
    parameters=138_357_544,
    macs=15_470_264_320,
    weights=("torchvision vgg16", "timm vgg16"),
    published=_error("27.0/8.8"),
)
def vgg16(*, num_classes: int | None = 1000, name: str | None = None, **fields: Any) -> VGG:
    """VGG-16, configuration D; ``fields`` of `VGG`."""
    published = {"stages": CONFIGURATIONS["D"]}
    return VGG(num_classes=num_classes, name=name, **{**published, **fields})


@_vgg(
    parameters=143_667_240,
    macs=19_632_062_464,
    weights=("torchvision vgg19", "timm vgg19"),
    published=_error("27.3/9.0"),
)
def vgg19(*, num_classes: int | None = 1000, name: str | None = None, **fields: Any) -> VGG:
    """VGG-19, configuration E; ``fields`` of `VGG`."""
    published = {"stages": CONFIGURATIONS["E"]}
    return VGG(num_classes=num_classes, name=name, **{**published, **fields})


@_vgg(parameters=132_868_840, macs=7_609_090_048, weights=("torchvision vgg11_bn", "timm vgg11_bn"))
def vgg11_bn(*, num_classes: int | None = 1000, name: str | None = None, **fields: Any) -> VGG:
    """VGG-11 with batch normalization; ``fields`` of `VGG`."""
    published = {"stages": CONFIGURATIONS["A"], "batch_norm": True}
    return VGG(num_classes=num_classes, name=name, **{**published, **fields})


@_vgg(
    parameters=133_053_736, macs=11_308_466_176, weights=("torchvision vgg13_bn", "timm vgg13_bn")
)
def vgg13_bn(*, num_classes: int | None = 1000, name: str | None = None, **fields: Any) -> VGG:
    """VGG-13 with batch normalization; ``fields`` of `VGG`."""
    published = {"stages": CONFIGURATIONS["B"], "batch_norm": True}
    return VGG(num_classes=num_classes, name=name, **{**published, **fields})


@_vgg(
    parameters=138_365_992, macs=15_470_264_320, weights=("torchvision vgg16_bn", "timm vgg16_bn")
)
def vgg16_bn(*, num_classes: int | None = 1000, name: str | None = None, **fields: Any) -> VGG:
    """VGG-16 with batch normalization; ``fields`` of `VGG`."""
    published = {"stages": CONFIGURATIONS["D"], "batch_norm": True}
    return VGG(num_classes=num_classes, name=name, **{**published, **fields})


@_vgg(
    parameters=143_678_248, macs=19_632_062_464, weights=("torchvision vgg19_bn", "timm vgg19_bn")
)
def vgg19_bn(*, num_classes: int | None = 1000, name: str | None = None, **fields: Any) -> VGG:
    """VGG-19 with batch normalization; ``fields`` of `VGG`."""
    published = {"stages": CONFIGURATIONS["E"], "batch_norm": True}
    return VGG(num_classes=num_classes, name=name, **{**published, **fields})
