"""Residual networks for ImageNet: ResNet-18 to 152, as published (v1), as everybody trains them
(v1.5), with the three kinds of shortcut, and the plain networks that they were compared with.

Source: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", 2015, table 1,
section 3.3; v1.5: Goyal et al., "Accurate, Large Minibatch SGD", 2017, section 5.1, who also start
the last normalization of each block at zero.
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
from jaxnets.ops import global_avg_pool, materialize, max_pool, relu

# Table 1: blocks in each of the four stages, and whether they are bottlenecks.
STAGES = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
    152: ((3, 8, 36, 3), True),
}


class Shortcut(nn.Module):
    """What the residual is added to: x itself, or x brought to ``features`` channels and stride.

    Option "A": every stride-th pixel, new channels zero. "B": a 1×1 convolution with normalization
    where the shape changes. "C": such a convolution in every block.
    """

    features: int
    strides: int
    option: str
    norm: Callable[..., nn.Module]
    conv: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        new = self.features - x.shape[-1]
        if self.option != "C" and self.strides == 1 and new == 0:
            return x
        if self.option == "A":
            x = x[:, :: self.strides, :: self.strides]
            return jnp.pad(x, [(0, 0), (0, 0), (0, 0), (0, new)])
        x = self.conv(self.features, (1, 1), strides=self.strides, name="conv")(x)
        return self.norm(name="bn")(x, train=train)


class BasicBlock(nn.Module):
    """relu(shortcut(x) + bn(conv3×3(relu(bn(conv3×3(x)))))), the block of ResNet-18 and 34."""

    features: int
    strides: int
    shortcut: Callable[..., nn.Module] | None
    norm: Callable[..., nn.Module]
    conv: Callable[..., nn.Module]
    last_scale_init: nn.initializers.Initializer

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = materialize(x)  # Not to be computed again by each of its readers.
        y = self.conv(self.features, (3, 3), strides=self.strides, padding=1, name="conv1")(x)
        y = relu(self.norm(name="bn1")(y, train=train))
        y = self.conv(self.features, (3, 3), padding=1, name="conv2")(y)
        y = self.norm(scale_init=self.last_scale_init, name="bn2")(y, train=train)
        if self.shortcut is None:
            return relu(y)
        return relu(y + self.shortcut(self.features, self.strides, name="shortcut")(x, train))


class Bottleneck(nn.Module):
    """1×1 down, 3×3, 1×1 up to four times ``features``, around them the shortcut.

    ``v1`` says where the stride is: in the first 1×1, as published, or in the 3×3 (v1.5), which
    throws no pixel away unseen and costs 6 % more. ``inner_width`` is that of the 3×3.
    """

    features: int
    strides: int
    shortcut: Callable[..., nn.Module] | None
    norm: Callable[..., nn.Module]
    conv: Callable[..., nn.Module]
    last_scale_init: nn.initializers.Initializer
    v1: bool = False
    width_factor: int = 1

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = materialize(x)  # Not to be computed again by each of its readers.
        first, second = (self.strides, 1) if self.v1 else (1, self.strides)
        inner, outer = self.features * self.width_factor, 4 * self.features
        y = self.conv(inner, (1, 1), strides=first, name="conv1")(x)
        y = relu(self.norm(name="bn1")(y, train=train))
        y = self.conv(inner, (3, 3), strides=second, padding=1, name="conv2")(y)
        y = relu(self.norm(name="bn2")(y, train=train))
        y = self.conv(outer, (1, 1), name="conv3")(y)
        y = self.norm(scale_init=self.last_scale_init, name="bn3")(y, train=train)
        if self.shortcut is None:
            return relu(y)
        return relu(y + self.shortcut(outer, self.strides, name="shortcut")(x, train))


class ResNet(nn.Module):
    """7×7/2 convolution, 3×3/2 max pool, four stages of blocks, average pool, classifier.

    Args (fields):
        num_classes: width of the classifier; None returns the endpoints stem, stage1…stage4 at
            strides 2, 4, 8, 16, 32.
        stages: blocks in each stage.
        bottleneck: blocks of three convolutions (50 layers and more) or of two.
        width: channels of the stem; the stages have 1, 2, 4, 8 times as many (bottlenecks: put out
            four times that).
        width_factor: widens the 3×3 convolution of every bottleneck (Wide ResNet-50-2: 2).
        v1: stride in the first 1×1 convolution of a bottleneck (paper) or in its 3×3 (v1.5).
        shortcut: "A", "B" or "C", see `Shortcut`.
        residual: False makes the plain network of the paper.
        zero_gamma: start the last normalization of each block at zero, so that every block
            starts as the identity.
        norm: normalization layer, called as ``norm(dtype=…, name=…)(x, train=…)``, the last one of
            a block with ``scale_init=…`` as well.
        conv: convolution layer.
        dtype: compute dtype.

    Call: images (N, H, W, C) of at least 32×32 → logits (N, num_classes), float32. Updates
    "batch_stats" where ``train`` is set.
    """

    num_classes: int | None = 1000
    stages: Sequence[int] = (3, 4, 6, 3)
    bottleneck: bool = True
    width: int = 64
    width_factor: int = 1
    v1: bool = False
    shortcut: str = "B"
    residual: bool = True
    zero_gamma: bool = False
    norm: Callable[..., nn.Module] = BatchNorm
    conv: Callable[..., nn.Module] = Conv
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False):
        check_images(self, x, smallest=32, stem="conv1")
        if self.shortcut not in ("A", "B", "C"):
            raise ValueError(f"ResNet: shortcut must be 'A', 'B' or 'C', got {self.shortcut!r}")
        conv = partial(self.conv, use_bias=False, dtype=self.dtype)
        norm = partial(self.norm, dtype=self.dtype)
        block = self._block(conv, norm)
        endpoints = OrderedDict()
        x = conv(self.width, (7, 7), strides=2, padding=3, name="conv1")(x)
        x = endpoints["stem"] = relu(norm(name="bn1")(x, train=train))
        x = max_pool(x, (3, 3), strides=2, padding=1)
        for i, blocks in enumerate(self.stages):
            for j in range(blocks):
                strides = 2 if i > 0 and j == 0 else 1
                x = block(self.width * 2**i, strides, name=f"stage{i + 1}_block{j}")(x, train)
            endpoints[f"stage{i + 1}"] = x
        if self.num_classes is None:
            return endpoints
        x = global_avg_pool(x)
        return Dense(self.num_classes, dtype=self.dtype, name="fc")(x).astype(jnp.float32)

    def _block(self, conv: Callable, norm: Callable) -> Callable[..., nn.Module]:
        shortcut = partial(Shortcut, option=self.shortcut, norm=norm, conv=conv)
        zeros, ones = nn.initializers.zeros_init(), nn.initializers.ones_init()
        fields = {
            "shortcut": shortcut if self.residual else None,
            "norm": norm,
            "conv": conv,
            "last_scale_init": zeros if self.zero_gamma else ones,
        }
        if not self.bottleneck:
            return partial(BasicBlock, **fields)
        return partial(Bottleneck, v1=self.v1, width_factor=self.width_factor, **fields)


def _resnet(name: str, depth: int, parameters: int, macs: int, **more: Any):
    stages, bottleneck = STAGES[depth]
    fields = {"stages": stages, "bottleneck": bottleneck, **more.pop("fields", {})}
    info = ModelInfo(
        name=name,
        family="resnet",
        paper="He, Zhang, Ren, Sun, Deep Residual Learning for Image Recognition",
        year=2015,
        input_size=224,
        channels=3,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        parameters=parameters,
        macs=macs,
        feature_strides={"stem": 2, "stage1": 4, "stage2": 8, "stage3": 16, "stage4": 32},
        **more,
    )
    return register(info, ResNet, fields)


def _peers(name: str) -> tuple[str, ...]:
    return (f"torchvision {name}", f"timm {name}")


resnet18 = _resnet("resnet18", 18, 11_689_512, 1_814_073_344, weights=_peers("resnet18"))
resnet34 = _resnet("resnet34", 34, 21_797_672, 3_663_761_408, weights=_peers("resnet34"))
resnet50 = _resnet("resnet50", 50, 25_557_032, 4_089_184_256, weights=_peers("resnet50"))
resnet101 = _resnet("resnet101", 101, 44_549_160, 7_801_405_440, weights=_peers("resnet101"))
resnet152 = _resnet("resnet152", 152, 60_192_808, 11_513_626_624, weights=_peers("resnet152"))

_v1 = partial(_resnet, fields={"v1": True})
resnet50_v1 = _v1("resnet50_v1", 50, 25_557_032, 3_857_973_248)
resnet101_v1 = _v1("resnet101_v1", 101, 44_549_160, 7_570_194_432)
resnet152_v1 = _v1("resnet152_v1", 152, 60_192_808, 11_282_415_616)

_plain = partial(_resnet, fields={"residual": False})
plain18 = _plain("plain18", 18, 11_515_688, 1_794_805_760)
plain34 = _plain("plain34", 34, 21_623_848, 3_644_493_824)
