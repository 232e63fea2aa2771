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

from jaxnets.models.checks import check_images
from jaxnets.models.registry import IMAGENET_MEAN, IMAGENET_STD, ModelInfo, register
from jaxnets.nn import BatchNorm, Conv, Dense
from jaxnets.ops import materialize, relu

# depth → blocks in each of the three stages: depth = 6n + 2.
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
                x = conv(self.features, (1, 1), strides=self.strides, name="shortcut_conv")(x)
                x = norm(name="shortcut_bn")(x, train=train)
        return relu(x + y)


class ResNetCIFAR(nn.Module):
    """3×3 convolution, three stages of basic blocks at strides 1, 2, 4, average pool, classifier.

    Args (fields):
        num_classes: width of the classifier; None returns the endpoints stem, stage1…stage3.
        blocks: blocks in each stage.
        widths: channels of the three stages.
        shortcut: "A" (the paper's CIFAR networks, no parameters) or "B" (1×1 convolutions).
        residual: False makes the plain network of the paper, without any shortcut.
        scan: compile one block and loop over it; a stage's blocks after its first have their
            parameters stacked: stage2/rest/conv1/kernel is (blocks − 1, 3, 3, 32, 32). Otherwise
            they are stage2/block1/conv1/kernel and so on.
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
        check_images(self, x, smallest=4, stem="conv1")
        if self.shortcut not in ("A", "B"):
            raise ValueError(f"ResNetCIFAR: shortcut must be 'A' or 'B', got {self.shortcut!r}")
        endpoints = OrderedDict()
        conv = partial(self.conv, use_bias=False, dtype=self.dtype)
        x = conv(self.widths[0], (3, 3), padding=1, name="conv1")(x)
        x = endpoints["stem"] = relu(self.norm(dtype=self.dtype, name="bn1")(x, train=train))
        for i, width in enumerate(self.widths, start=1):
            x = self._stage(x, width, strides=1 if i == 1 else 2, name=f"stage{i}", train=train)
            endpoints[f"stage{i}"] = x
        if self.num_classes is None:
            return endpoints
        x = jnp.mean(x, axis=(1, 2))
        return Dense(self.num_classes, dtype=self.dtype, name="fc")(x).astype(jnp.float32)

    def _stage(self, x: jax.Array, width: int, *, strides: int, name: str, train: bool):
        block = partial(
            BasicBlock,
            shortcut=self.shortcut,
            residual=self.residual,
            norm=self.norm,
            conv=self.conv,
            dtype=self.dtype,
        )
        x = block(width, strides, name=f"{name}_block0")(x, train)
        if not self.scan:
            for j in range(1, self.blocks):
                x = block(width, name=f"{name}_block{j}")(x, train)
            return x
        loop = nn.scan(
            lambda module, carry, _: (module(carry, train), None),
            variable_axes={"params": 0, "batch_stats": 0},
            split_rngs={"params": True},
            length=self.blocks - 1,
        )
        return loop(block(width, name=f"{name}_rest"), x, None)[0]


def _resnet(depth: int, parameters: int, macs: int, error: str, **fields: Any):
    info = ModelInfo(
        name=f"resnet{depth}",
        family="resnet_cifar",
        paper="He, Zhang, Ren, Sun, Deep Residual Learning for Image Recognition",
        year=2015,
        input_size=32,
        channels=3,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        parameters=parameters,
        macs=macs,
        weights=(f"akamaster/pytorch_resnet_cifar10 resnet{depth}",),
        feature_strides={"stem": 1, "stage1": 1, "stage2": 2, "stage3": 4},
        published=f"CIFAR-10 test error {error} %",
    )
    return register(info, ResNetCIFAR, {"blocks": BLOCKS[depth], **fields})


resnet20 = _resnet(20, 269_722, 40_551_040, "8.75")
resnet32 = _resnet(32, 464_154, 68_862_592, "7.51")
resnet44 = _resnet(44, 658_586, 97_174_144, "7.17")
resnet56 = _resnet(56, 853_018, 125_485_696, "6.97")
resnet110 = _resnet(110, 1_727_962, 252_887_680, "6.43")
resnet1202 = _resnet(1202, 19_421_274, 2_829_238_912, "7.93", scan=True)
