"""Residual networks for 32×32 images: ResNet-20, 32, 44, 56, 110 and 1202.

Source: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", 2015, section 4.2.
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
from jaxnets.nn.batch_norm import MOMENTS
from jaxnets.ops import materialize, relu

# Layers in all → blocks n in each of the three stages: 6n + 2 layers.
BLOCKS = {20: 3, 32: 5, 44: 7, 56: 9, 110: 18, 1202: 200}


class BasicBlock(nn.Module):
    """y = relu(x' + bn(conv(relu(bn(conv(x)))))), both convolutions 3×3.

    Where the shape changes, x' is the shortcut: option "A" takes every second pixel and pads the
    new channels with zeros (no parameters), half of them before and half after the old ones;
    option "B" is a 1×1 convolution with batch normalization.
    """

    features: int
    strides: int = 1
    shortcut: str = "A"
    residual: bool = True
    norm: Callable[..., nn.Module] = BatchNorm
    conv: Callable[..., nn.Module] = Conv
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = materialize(x)  # Not to be computed again by each of its readers.
        conv = partial(self.conv, use_bias=False, dtype=self.dtype)
        norm = partial(self.norm, dtype=self.dtype)
        y = conv(self.features, (3, 3), strides=self.strides, padding=1, name="conv1")(x)
        y = relu(norm(name="bn1")(y, train=train))
        y = conv(self.features, (3, 3), padding=1, name="conv2")(y)
        y = norm(name="bn2")(y, train=train)
        if not self.residual:
            return relu(y)
        extra = self.features - x.shape[-1]
        if self.strides != 1 or extra:
            if self.shortcut == "A":
                x = x[:, :: self.strides, :: self.strides]
                x = jnp.pad(x, [(0, 0)] * 3 + [(extra // 2, extra - extra // 2)])
            else:
                new = partial(ConvNorm, norm=norm, conv=conv, activation=None, dtype=self.dtype)
                x = new(self.features, strides=self.strides, name="shortcut")(x, train)
        return relu(x + y)


class LoopedStage(nn.Module):
    """A stage that compiles one block and loops over it: "block0", then "rest".

    The blocks after the first are alike; their parameters are stacked: rest/conv1/kernel is
    (depth − 1, 3, 3, C, C).

    Attributes:
        first: makes the first block.
        other: makes the others.
        depth: blocks in all.
    """

    first: Callable[..., nn.Module]
    other: Callable[..., nn.Module]
    depth: int

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = self.first(name="block0")(x, train)
        loop = nn.scan(
            lambda module, carry, _: (module(carry, train), None),
            variable_axes={"params": 0, "batch_stats": 0, MOMENTS: 0, "intermediates": 0},
            split_rngs={"params": True},
            length=self.depth - 1,
        )
        return loop(self.other(name="rest"), x, None)[0]


class ResNetCIFAR(nn.Module):
    """3×3 convolution, three stages of basic blocks at strides 1, 2, 4, average pool, linear head.

    Attributes:
        num_classes: width of the head; None returns the endpoints stem, stage1, stage2, stage3 at
            strides 1, 1, 2, 4.
        blocks: blocks in each stage.
        widths: channels of the three stages.
        shortcut: "A" (the paper's CIFAR networks, no parameters) or "B" (1×1 convolutions).
        residual: False makes the plain network of the paper, without any shortcut.
        scan: compile one block of a stage and loop over it, see `LoopedStage`: stage2/rest holds
            the parameters of all blocks after the first, stacked. Otherwise they are those of
            stage2/block1, stage2/block2 and so on.
        norm: normalization layer, called as ``norm(dtype=…, name=…)(x, train=…)``.
        conv: convolution layer.
        dtype: compute dtype.

    Call: images (N, H, W, C) → logits (N, num_classes), float32. Updates "batch_stats" where
    ``train`` is set.
    """

    num_classes: int | None = 10
    blocks: int = 3
    widths: Sequence[int] = (16, 32, 64)
    shortcut: str = "A"
    residual: bool = True
    scan: bool = False
    norm: Callable[..., nn.Module] = BatchNorm
    conv: Callable[..., nn.Module] = Conv
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False):
        check_images(self, x, smallest=4, stem="stem/conv")
        if self.shortcut not in ("A", "B"):
            raise ValueError(f"ResNetCIFAR: shortcut must be 'A' or 'B', got {self.shortcut!r}")
        endpoints = OrderedDict()
        stem = partial(ConvNorm, padding=1, norm=self.norm, conv=self.conv, dtype=self.dtype)
        x = endpoints["stem"] = stem(self.widths[0], (3, 3), name="stem")(x, train)
        for i, width in enumerate(self.widths, start=1):
            stage = self._stage(width, strides=1 if i == 1 else 2, name=f"stage{i}")
            x = endpoints[f"stage{i}"] = stage(x, train)
        if self.num_classes is None:
            return endpoints
        x = jnp.mean(x, axis=(1, 2))
        return Dense(self.num_classes, dtype=self.dtype, name="head")(x).astype(jnp.float32)

    def _stage(self, width: int, *, strides: int, name: str) -> nn.Module:
        block = partial(
            BasicBlock,
            width,
            shortcut=self.shortcut,
            residual=self.residual,
            norm=self.norm,
            conv=self.conv,
            dtype=self.dtype,
        )
        if self.scan:
            return LoopedStage(partial(block, strides), block, self.blocks, name=name)
        return Stage([partial(block, strides), *[block] * (self.blocks - 1)], name=name)


_resnet = partial(
    register,
    paper=papers.RESNET,
    input_size=32,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    feature_strides={"stem": 1, "stage1": 1, "stage2": 2, "stage3": 4},
)


@_resnet(
    parameters=269_722,
    macs=40_551_040,
    weights=("akamaster/pytorch_resnet_cifar10 resnet20",),
    published="CIFAR-10 test error 8.75 %",
)
def resnet20(
    *, num_classes: int | None = 10, name: str | None = None, **fields: Any
) -> ResNetCIFAR:
    """ResNet-20 for CIFAR-10; ``fields`` of `ResNetCIFAR`."""
    return ResNetCIFAR(num_classes=num_classes, name=name, **{"blocks": BLOCKS[20], **fields})


@_resnet(
    parameters=464_154,
    macs=68_862_592,
    weights=("akamaster/pytorch_resnet_cifar10 resnet32",),
    published="CIFAR-10 test error 7.51 %",
)
def resnet32(
    *, num_classes: int | None = 10, name: str | None = None, **fields: Any
) -> ResNetCIFAR:
    """ResNet-32 for CIFAR-10; ``fields`` of `ResNetCIFAR`."""
    return ResNetCIFAR(num_classes=num_classes, name=name, **{"blocks": BLOCKS[32], **fields})


@_resnet(
    parameters=658_586,
    macs=97_174_144,
    weights=("akamaster/pytorch_resnet_cifar10 resnet44",),
    published="CIFAR-10 test error 7.17 %",
)
def resnet44(
    *, num_classes: int | None = 10, name: str | None = None, **fields: Any
) -> ResNetCIFAR:
    """ResNet-44 for CIFAR-10; ``fields`` of `ResNetCIFAR`."""
    return ResNetCIFAR(num_classes=num_classes, name=name, **{"blocks": BLOCKS[44], **fields})


@_resnet(
    parameters=853_018,
    macs=125_485_696,
    weights=("akamaster/pytorch_resnet_cifar10 resnet56",),
    published="CIFAR-10 test error 6.97 %",
)
def resnet56(
    *, num_classes: int | None = 10, name: str | None = None, **fields: Any
) -> ResNetCIFAR:
    """ResNet-56 for CIFAR-10; ``fields`` of `ResNetCIFAR`."""
    return ResNetCIFAR(num_classes=num_classes, name=name, **{"blocks": BLOCKS[56], **fields})


@_resnet(
    parameters=1_727_962,
    macs=252_887_680,
    weights=("akamaster/pytorch_resnet_cifar10 resnet110",),
    published="CIFAR-10 test error 6.43 %",
)
def resnet110(
    *, num_classes: int | None = 10, name: str | None = None, **fields: Any
) -> ResNetCIFAR:
    """ResNet-110 for CIFAR-10; ``fields`` of `ResNetCIFAR`."""
    return ResNetCIFAR(num_classes=num_classes, name=name, **{"blocks": BLOCKS[110], **fields})


@_resnet(
    parameters=19_421_274,
    macs=2_829_238_912,
    weights=("akamaster/pytorch_resnet_cifar10 resnet1202",),
    published="CIFAR-10 test error 7.93 %",
)
def resnet1202(
    *, num_classes: int | None = 10, name: str | None = None, **fields: Any
) -> ResNetCIFAR:
    """ResNet-1,202 for CIFAR-10; ``fields`` of `ResNetCIFAR`."""
    return ResNetCIFAR(
        num_classes=num_classes, name=name, **{"blocks": BLOCKS[1202], "scan": True, **fields}
    )
