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

from jaxnets.models.checks import check_images
from jaxnets.models.registry import IMAGENET_MEAN, IMAGENET_STD, ModelInfo, register
from jaxnets.nn import BatchNorm, Conv, Dense, Dropout
from jaxnets.ops import avg_pool, global_avg_pool, max_pool, relu

# Table 1: layers in each dense block.
BLOCKS = {
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
        x = relu(self.norm(name="bn1")(jnp.concatenate(maps, axis=-1), train=train))
        if self.bottleneck:
            x = self.conv(4 * self.growth, (1, 1), name="conv1")(x)
            x = Dropout(self.dropout_rate, name="dropout1")(x, train=train)
            x = relu(self.norm(name="bn2")(x, train=train))
        x = self.conv(self.growth, (3, 3), padding=1, name="conv2")(x)
        return Dropout(self.dropout_rate, name="dropout2")(x, train=train)


class DenseNet(nn.Module):
    """A convolution, dense blocks with transitions (bn-relu-conv1×1, 2×2 average pool) between.

    Args (fields):
        num_classes: width of the classifier; None returns the endpoints stem and block1, block2,
            … (before their transitions; the last normalized and rectified).
        blocks: layers in each dense block.
        growth: feature maps that a layer adds, k.
        stem: channels of the first convolution.
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
    blocks: Sequence[int] = BLOCKS[121]
    growth: int = 32
    stem: int = 64
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
        smallest = (4 if self.imagenet else 1) * 2 ** (len(self.blocks) - 1)
        check_images(self, x, smallest=smallest, stem="conv0")
        conv = partial(self.conv, use_bias=False, dtype=self.dtype)
        norm = partial(self.norm, dtype=self.dtype)
        layer = nn.remat(DenseLayer, static_argnums=(2,)) if self.remat else DenseLayer
        layer = partial(layer, self.growth, self.bottleneck, self.dropout_rate, norm, conv)
        if self.imagenet:
            x = conv(self.stem, (7, 7), strides=2, padding=3, name="conv0")(x)
            x = relu(norm(name="bn0")(x, train=train))
            endpoints = OrderedDict(stem=x)
            x = max_pool(x, (3, 3), strides=2, padding=1)
        else:
            x = conv(self.stem, (3, 3), padding=1, name="conv0")(x)
            endpoints = OrderedDict(stem=x)
        for i, depth in enumerate(self.blocks, start=1):
            maps = [x]
            for j in range(1, depth + 1):
                maps.append(layer(name=f"block{i}_layer{j}")(maps, train))
            x = endpoints[f"block{i}"] = jnp.concatenate(maps, axis=-1)
            if i < len(self.blocks):
                x = relu(norm(name=f"transition{i}_bn")(x, train=train))
                width = int(x.shape[-1] * self.compression)
                x = conv(width, (1, 1), name=f"transition{i}_conv")(x)
                x = Dropout(self.dropout_rate, name=f"transition{i}_dropout")(x, train=train)
                x = avg_pool(x, (2, 2), strides=2)
        x = endpoints[f"block{len(self.blocks)}"] = relu(norm(name="bn")(x, train=train))
        if self.num_classes is None:
            return endpoints
        x = global_avg_pool(x)
        return Dense(self.num_classes, dtype=self.dtype, name="fc")(x).astype(jnp.float32)


_info = partial(
    ModelInfo,
    family="densenet",
    paper="Huang, Liu, van der Maaten, Weinberger, Densely Connected Convolutional Networks",
    year=2016,
    channels=3,
)


def _imagenet(depth: int, parameters: int, macs: int, peers: bool = True, **fields: Any):
    name = f"densenet{depth}"
    info = _info(
        name=name,
        input_size=224,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        parameters=parameters,
        macs=macs,
        weights=(f"torchvision {name}", f"timm {name}") if peers else (),
        feature_strides={"stem": 2, **{f"block{i}": 2 ** (i + 1) for i in range(1, 5)}},
    )
    return register(info, DenseNet, {"blocks": BLOCKS[depth], **fields})


def _cifar(depth: int, growth: int, parameters: int, macs: int, error: str, bc: bool = False):
    """DenseNet-BC halves: two convolutions a layer, θ = 0.5, a stem of 2k maps."""
    layers = (depth - 4) // (6 if bc else 3)
    info = _info(
        name=f"densenet{depth}_k{growth}" + ("_bc" if bc else ""),
        input_size=32,
        parameters=parameters,
        macs=macs,
        feature_strides={"stem": 1, "block1": 1, "block2": 2, "block3": 4},
        published=f"CIFAR-10 test error with augmentation {error} %",
    )
    fields = {
        "num_classes": 10,
        "blocks": (layers, layers, layers),
        "growth": growth,
        "stem": 2 * growth if bc else 16,
        "imagenet": False,
        "bottleneck": bc,
        "compression": 0.5 if bc else 1.0,
    }
    return register(info, DenseNet, fields)


densenet121 = _imagenet(121, 7_978_856, 2_834_161_664)
densenet169 = _imagenet(169, 14_149_480, 3_359_843_328)
densenet201 = _imagenet(201, 20_013_928, 4_291_365_888)
densenet264 = _imagenet(264, 33_337_704, 5_751_653_376, peers=False)
densenet161 = _imagenet(161, 28_681_000, 7_727_907_072, growth=48, stem=96)

densenet40_k12 = _cifar(40, 12, 1_019_722, 264_812_928, "5.24")
densenet100_k12 = _cifar(100, 12, 6_979_642, 1_769_516_448, "4.10")
densenet100_k24 = _cifar(100, 24, 27_249_082, 6_889_347_744, "3.74")
densenet100_k12_bc = _cifar(100, 12, 769_162, 287_929_692, "4.51", bc=True)
densenet250_k24_bc = _cifar(250, 24, 15_324_406, 5_418_785_724, "3.62", bc=True)
densenet190_k40_bc = _cifar(190, 40, 25_624_430, 9_301_945_740, "3.46", bc=True)
