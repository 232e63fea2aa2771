"""DenseNet: every layer sees the feature maps of all layers before it; for ImageNet and CIFAR.

Source: Huang, Liu, van der Maaten, Weinberger, "Densely Connected Convolutional Networks", 2016,
table 1, section 3; Pleiss et al., "Memory-Efficient Implementation of DenseNets", 2017.
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
from jaxnets.models.layers import ConvNorm
from jaxnets.models.registry import IMAGENET_MEAN, IMAGENET_STD, register
from jaxnets.nn import BatchNorm, Conv, Dense, Dropout
from jaxnets.ops import avg_pool, global_avg_pool, max_pool, relu
from jaxnets.ops.half_bits import concatenate

# Table 1 (161: the released network): layers in each dense block.
STAGES = {
    121: (6, 12, 24, 16),
    169: (6, 12, 32, 32),
    201: (6, 12, 48, 32),
    264: (6, 12, 64, 48),
    161: (6, 12, 36, 24),
}


class DenseLayer(nn.Module):
    """``growth`` new feature maps from all maps before: bn-relu-conv3×3, with a bottleneck
    bn-relu-conv1×1 to 4·growth channels in front of it.
    """

    growth: int
    bottleneck: bool
    dropout_rate: float
    norm: Callable[..., nn.Module]
    conv: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, maps: Sequence[jax.Array], train: bool) -> jax.Array:
        x = relu(self.norm(name="bn1")(concatenate(maps, axis=-1), train=train))
        if self.bottleneck:
            x = self.conv(4 * self.growth, (1, 1), name="conv1")(x)
            x = Dropout(self.dropout_rate, name="dropout1")(x, train=train)
            x = relu(self.norm(name="bn2")(x, train=train))
        x = self.conv(self.growth, (3, 3), padding=1, name="conv2")(x)
        return Dropout(self.dropout_rate, name="dropout2")(x, train=train)


class DenseStage(nn.Module):
    """The paper's dense block: layers "block0", "block1", …, all maps concatenated.

    Attributes:
        depth: number of layers.
        layer: makes one, called as ``layer(name=…)(maps, train)``.
    """

    depth: int
    layer: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        maps = [x]
        for j in range(self.depth):
            maps.append(self.layer(name=f"block{j}")(maps, train))
        return concatenate(maps, axis=-1)


class Transition(nn.Module):
    """bn-relu-conv1×1 to ``features`` channels, dropout, 2×2 average pool."""

    features: int
    dropout_rate: float
    norm: Callable[..., nn.Module]
    conv: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = relu(self.norm(name="bn")(x, train=train))
        x = self.conv(self.features, (1, 1), name="conv")(x)
        x = Dropout(self.dropout_rate, name="dropout")(x, train=train)
        return avg_pool(x, (2, 2), strides=2)


class DenseNet(nn.Module):
    """A convolution, stages (the paper's dense blocks) with transitions between, pool, head.

    Attributes:
        num_classes: width of the head; None returns the endpoints stem and stage1, stage2, …
            (before their transitions; the last normalized and rectified).
        stages: layers in each dense block.
        growth: feature maps that a layer adds, k.
        stem_width: channels of the first convolution.
        imagenet: 7×7/2 stem with normalization and 3×3/2 max pool (strides 2, 4, 8, …), or a bare
            3×3 one for small images (strides 1, 1, 2, …).
        bottleneck: 1×1 convolution in every layer ("B").
        compression: share θ of the feature maps that a transition keeps ("C" where below 1).
        dropout_rate: after each convolution of a block; the paper takes 0.2 for CIFAR without
            augmentation.
        remat: keep only each layer's new maps for the backward pass and compute the concatenated
            and normalized ones again: memory linear, not quadratic, in the depth.
        norm, conv: layers.
        dtype: compute dtype.

    Call: images (N, H, W, C) → logits (N, num_classes), float32. Updates "batch_stats" where
    ``train`` is set; needs the rng "dropout" then, where ``dropout_rate`` > 0.
    """

    num_classes: int | None = 1000
    stages: Sequence[int] = STAGES[121]
    growth: int = 32
    stem_width: int = 64
    imagenet: bool = True
    bottleneck: bool = True
    compression: float = 0.5
    dropout_rate: float = 0.0
    remat: bool = False
    norm: Callable[..., nn.Module] = BatchNorm
    conv: Callable[..., nn.Module] = Conv
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False):
        smallest = (4 if self.imagenet else 1) * 2 ** (len(self.stages) - 1)
        check_images(self, x, smallest=smallest, stem="stem/conv")
        conv = partial(self.conv, use_bias=False, dtype=self.dtype)
        norm = partial(self.norm, dtype=self.dtype)
        layer = nn.remat(DenseLayer, static_argnums=(2,)) if self.remat else DenseLayer
        layer = partial(layer, self.growth, self.bottleneck, self.dropout_rate, norm, conv)
        stem = partial(ConvNorm, self.stem_width, conv=conv, dtype=self.dtype, name="stem")
        if self.imagenet:
            x = stem((7, 7), strides=2, padding=3, norm=norm)(x, train)
            endpoints = OrderedDict(stem=x)
            x = max_pool(x, (3, 3), strides=2, padding=1)
        else:
            x = stem((3, 3), padding=1, norm=None, activation=None)(x, train)
            endpoints = OrderedDict(stem=x)
        for i, depth in enumerate(self.stages, start=1):
            x = endpoints[f"stage{i}"] = DenseStage(depth, layer, name=f"stage{i}")(x, train)
            if i < len(self.stages):
                width = int(x.shape[-1] * self.compression)
                transition = Transition(width, self.dropout_rate, norm, conv, name=f"transition{i}")
                x = transition(x, train)
        x = endpoints[f"stage{len(self.stages)}"] = relu(norm(name="bn")(x, train=train))
        if self.num_classes is None:
            return endpoints
        x = global_avg_pool(x)
        return Dense(self.num_classes, dtype=self.dtype, name="head")(x).astype(jnp.float32)


_imagenet = partial(
    register,
    paper=papers.DENSENET,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    feature_strides={"stem": 2, "stage1": 4, "stage2": 8, "stage3": 16, "stage4": 32},
)
_cifar = partial(
    register,
    paper=papers.DENSENET,
    input_size=32,
    feature_strides={"stem": 1, "stage1": 1, "stage2": 2, "stage3": 4},
)
_error = "CIFAR-10 test error with augmentation {} %".format


def cifar_fields(depth: int, growth: int, bc: bool = False) -> dict[str, Any]:
    """Fields of the network of ``depth`` layers for 32×32 images, section 4.2.

    DenseNet-BC halves: two convolutions a layer, θ = 0.5, a stem of 2k maps.

    >>> cifar_fields(40, 12)["stages"], cifar_fields(100, 12, bc=True)["stages"]
    ((12, 12, 12), (16, 16, 16))
    """
    layers = (depth - 4) // (6 if bc else 3)
    return {
        "stages": (layers, layers, layers),
        "growth": growth,
        "stem_width": 2 * growth if bc else 16,
        "imagenet": False,
        "bottleneck": bc,
        "compression": 0.5 if bc else 1.0,
    }


@_imagenet(
    parameters=7_978_856,
    macs=2_834_161_664,
    weights=("torchvision densenet121", "timm densenet121"),
)
def densenet121(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> DenseNet:
    """DenseNet-121; ``fields`` of `DenseNet`."""
    return DenseNet(num_classes=num_classes, name=name, **{"stages": STAGES[121], **fields})


@_imagenet(
    parameters=14_149_480,
    macs=3_359_843_328,
    weights=("torchvision densenet169", "timm densenet169"),
)
def densenet169(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> DenseNet:
    """DenseNet-169; ``fields`` of `DenseNet`."""
    return DenseNet(num_classes=num_classes, name=name, **{"stages": STAGES[169], **fields})


@_imagenet(
    parameters=20_013_928,
    macs=4_291_365_888,
    weights=("torchvision densenet201", "timm densenet201"),
)
def densenet201(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> DenseNet:
    """DenseNet-201; ``fields`` of `DenseNet`."""
    return DenseNet(num_classes=num_classes, name=name, **{"stages": STAGES[201], **fields})


@_imagenet(parameters=33_337_704, macs=5_751_653_376)
def densenet264(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> DenseNet:
    """DenseNet-264; ``fields`` of `DenseNet`."""
    return DenseNet(num_classes=num_classes, name=name, **{"stages": STAGES[264], **fields})


@_imagenet(
    parameters=28_681_000,
    macs=7_727_907_072,
    weights=("torchvision densenet161", "timm densenet161"),
)
def densenet161(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> DenseNet:
    """DenseNet-161; ``fields`` of `DenseNet`."""
    return DenseNet(
        num_classes=num_classes,
        name=name,
        **{"stages": STAGES[161], "growth": 48, "stem_width": 96, **fields},
    )


@_cifar(parameters=1_019_722, macs=264_812_928, published=_error("5.24"))
def densenet40_k12(
    *, num_classes: int | None = 10, name: str | None = None, **fields: Any
) -> DenseNet:
    """DenseNet of 40 layers with growth 12 for CIFAR; ``fields`` of `DenseNet`."""
    return DenseNet(num_classes=num_classes, name=name, **{**cifar_fields(40, 12), **fields})


@_cifar(parameters=6_979_642, macs=1_769_516_448, published=_error("4.10"))
def densenet100_k12(
    *, num_classes: int | None = 10, name: str | None = None, **fields: Any
) -> DenseNet:
    """DenseNet of 100 layers with growth 12 for CIFAR; ``fields`` of `DenseNet`."""
    return DenseNet(num_classes=num_classes, name=name, **{**cifar_fields(100, 12), **fields})


@_cifar(parameters=27_249_082, macs=6_889_347_744, published=_error("3.74"))
def densenet100_k24(
    *, num_classes: int | None = 10, name: str | None = None, **fields: Any
) -> DenseNet:
    """DenseNet of 100 layers with growth 24 for CIFAR; ``fields`` of `DenseNet`."""
    return DenseNet(num_classes=num_classes, name=name, **{**cifar_fields(100, 24), **fields})


@_cifar(parameters=769_162, macs=287_929_692, published=_error("4.51"))
def densenet100_k12_bc(
    *, num_classes: int | None = 10, name: str | None = None, **fields: Any
) -> DenseNet:
    """DenseNet-BC of 100 layers with growth 12 for CIFAR; ``fields`` of `DenseNet`."""
    return DenseNet(
        num_classes=num_classes, name=name, **{**cifar_fields(100, 12, bc=True), **fields}
    )


@_cifar(parameters=15_324_406, macs=5_418_785_724, published=_error("3.62"))
def densenet250_k24_bc(
    *, num_classes: int | None = 10, name: str | None = None, **fields: Any
) -> DenseNet:
    """DenseNet-BC of 250 layers with growth 24 for CIFAR; ``fields`` of `DenseNet`."""
    return DenseNet(
        num_classes=num_classes, name=name, **{**cifar_fields(250, 24, bc=True), **fields}
    )


@_cifar(parameters=25_624_430, macs=9_301_945_740, published=_error("3.46"))
def densenet190_k40_bc(
    *, num_classes: int | None = 10, name: str | None = None, **fields: Any
) -> DenseNet:
    """DenseNet-BC of 190 layers with growth 40 for CIFAR; ``fields`` of `DenseNet`."""
    return DenseNet(
        num_classes=num_classes, name=name, **{**cifar_fields(190, 40, bc=True), **fields}
    )
