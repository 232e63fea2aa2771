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

from jaxnets.models import papers
from jaxnets.models.checks import check_images
from jaxnets.models.layers import ConvNorm, Stage
from jaxnets.models.registry import IMAGENET_MEAN, IMAGENET_STD, register
from jaxnets.nn import BatchNorm, Conv, Dense
from jaxnets.ops import global_avg_pool, materialize, max_pool, relu

STRIDES = {"stem": 2, "stage1": 4, "stage2": 8, "stage3": 16, "stage4": 32}


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
    throws no pixel away unseen and costs 6 % more. The 3×3 has ``width_factor`` times as many
    channels as ``features`` and sees every ``dilation``-th pixel.
    """

    features: int
    strides: int
    shortcut: Callable[..., nn.Module] | None
    norm: Callable[..., nn.Module]
    conv: Callable[..., nn.Module]
    last_scale_init: nn.initializers.Initializer
    v1: bool = False
    width_factor: int = 1
    dilation: int = 1

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = materialize(x)  # Not to be computed again by each of its readers.
        first, second = (self.strides, 1) if self.v1 else (1, self.strides)
        inner, outer = self.features * self.width_factor, 4 * self.features
        y = self.conv(inner, (1, 1), strides=first, name="conv1")(x)
        y = relu(self.norm(name="bn1")(y, train=train))
        d = self.dilation
        y = self.conv(inner, (3, 3), strides=second, padding=d, dilation=d, name="conv2")(y)
        y = relu(self.norm(name="bn2")(y, train=train))
        y = self.conv(outer, (1, 1), name="conv3")(y)
        y = self.norm(scale_init=self.last_scale_init, name="bn3")(y, train=train)
        if self.shortcut is None:
            return relu(y)
        return relu(y + self.shortcut(outer, self.strides, name="shortcut")(x, train))


# Table 1: blocks in each of the four stages, and of which kind.
STAGES = {
    18: {"stages": (2, 2, 2, 2), "block": BasicBlock},
    34: {"stages": (3, 4, 6, 3), "block": BasicBlock},
    50: {"stages": (3, 4, 6, 3), "block": Bottleneck},
    101: {"stages": (3, 4, 23, 3), "block": Bottleneck},
    152: {"stages": (3, 8, 36, 3), "block": Bottleneck},
}


class ResNet(nn.Module):
    """7×7/2 convolution, 3×3/2 max pool, four stages of blocks, average pool, linear head.

    Attributes:
        num_classes: width of the head; None returns the endpoints stem, stage1…stage4 at strides
            2, 4, 8, 16, 32.
        stages: blocks in each stage.
        block: `Bottleneck` (50 layers and more), `BasicBlock`, or a module of your own, called as
            ``block(features, strides, shortcut=…, norm=…, conv=…, last_scale_init=…)(x, train)``.
        width: channels of the stem; the stages have 1, 2, 4, 8 times as many (bottlenecks: put out
            four times that).
        width_factor: widens the 3×3 convolution of every `Bottleneck` (Wide ResNet-50-2: 2).
        v1: stride in the first 1×1 convolution of a `Bottleneck` (paper) or in its 3×3 (v1.5).
        shortcut: "A", "B" or "C", see `Shortcut`.
        residual: False makes the plain network of the paper.
        output_stride: 32, or 16 or 8: stages that would go beyond it keep their maps' size, and
            their `Bottleneck` blocks see every second or fourth pixel (Chen et al., "Rethinking
            Atrous Convolution", 2017, section 3.2; torchvision's segmenters).
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
    block: Callable[..., nn.Module] = Bottleneck
    width: int = 64
    width_factor: int = 1
    v1: bool = False
    shortcut: str = "B"
    residual: bool = True
    output_stride: int = 32
    zero_gamma: bool = False
    norm: Callable[..., nn.Module] = BatchNorm
    conv: Callable[..., nn.Module] = Conv
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False):
        check_images(self, x, smallest=32, stem="stem/conv")
        if self.shortcut not in ("A", "B", "C"):
            raise ValueError(f"ResNet: shortcut must be 'A', 'B' or 'C', got {self.shortcut!r}")
        conv = partial(self.conv, use_bias=False, dtype=self.dtype)
        norm = partial(self.norm, dtype=self.dtype)
        block = self._block(conv, norm)
        stem = partial(ConvNorm, strides=2, padding=3, norm=norm, conv=conv, dtype=self.dtype)
        endpoints = OrderedDict()
        x = endpoints["stem"] = stem(self.width, (7, 7), name="stem")(x, train)
        x = max_pool(x, (3, 3), strides=2, padding=1)
        dilation = 1
        for i, depth in enumerate(self.stages):
            dilated = i > 0 and 4 * 2**i > self.output_stride
            # The first block of a dilated stage still sees the pixels of the stage before.
            dilations = [dilation] + [dilation * (1 + dilated)] * (depth - 1)
            dilation *= 1 + dilated
            blocks = [
                partial(
                    block,
                    self.width * 2**i,
                    2 if i > 0 and j == 0 and not dilated else 1,
                    **({"dilation": d} if d > 1 else {}),
                )
                for j, d in enumerate(dilations)
            ]
            x = endpoints[f"stage{i + 1}"] = Stage(blocks, name=f"stage{i + 1}")(x, train)
        if self.num_classes is None:
            return endpoints
        x = global_avg_pool(x)
        return Dense(self.num_classes, dtype=self.dtype, name="head")(x).astype(jnp.float32)

    def _block(self, conv: Callable, norm: Callable) -> Callable[..., nn.Module]:
        shortcut = partial(Shortcut, option=self.shortcut, norm=norm, conv=conv)
        zeros, ones = nn.initializers.zeros_init(), nn.initializers.ones_init()
        fields: dict[str, Any] = {
            "shortcut": shortcut if self.residual else None,
            "norm": norm,
            "conv": conv,
            "last_scale_init": zeros if self.zero_gamma else ones,
        }
        if isinstance(self.block, type) and issubclass(self.block, Bottleneck):
            fields |= {"v1": self.v1, "width_factor": self.width_factor}
        elif self.v1 or self.width_factor != 1:
            raise ValueError(
                f"ResNet: v1 and width_factor are fields of Bottleneck, got v1={self.v1}, "
                f"width_factor={self.width_factor} with block={self.block}"
            )
        return partial(self.block, **fields)


_resnet = partial(
    register,
    paper=papers.RESNET,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    feature_strides=STRIDES,
)


@_resnet(
    parameters=11_689_512, macs=1_814_073_344, weights=("torchvision resnet18", "timm resnet18")
)
def resnet18(*, num_classes: int | None = 1000, name: str | None = None, **fields: Any) -> ResNet:
    """ResNet-18, of basic blocks; ``fields`` of `ResNet`."""
    return ResNet(num_classes=num_classes, name=name, **{**STAGES[18], **fields})


@_resnet(
    parameters=21_797_672, macs=3_663_761_408, weights=("torchvision resnet34", "timm resnet34")
)
def resnet34(*, num_classes: int | None = 1000, name: str | None = None, **fields: Any) -> ResNet:
    """ResNet-34, of basic blocks; ``fields`` of `ResNet`."""
    return ResNet(num_classes=num_classes, name=name, **{**STAGES[34], **fields})


@_resnet(
    parameters=25_557_032, macs=4_089_184_256, weights=("torchvision resnet50", "timm resnet50")
)
def resnet50(*, num_classes: int | None = 1000, name: str | None = None, **fields: Any) -> ResNet:
    """ResNet-50 v1.5; ``fields`` of `ResNet`."""
    return ResNet(num_classes=num_classes, name=name, **{**STAGES[50], **fields})


@_resnet(
    parameters=44_549_160, macs=7_801_405_440, weights=("torchvision resnet101", "timm resnet101")
)
def resnet101(*, num_classes: int | None = 1000, name: str | None = None, **fields: Any) -> ResNet:
    """ResNet-101 v1.5; ``fields`` of `ResNet`."""
    return ResNet(num_classes=num_classes, name=name, **{**STAGES[101], **fields})


@_resnet(
    parameters=60_192_808, macs=11_513_626_624, weights=("torchvision resnet152", "timm resnet152")
)
def resnet152(*, num_classes: int | None = 1000, name: str | None = None, **fields: Any) -> ResNet:
    """ResNet-152 v1.5; ``fields`` of `ResNet`."""
    return ResNet(num_classes=num_classes, name=name, **{**STAGES[152], **fields})


@_resnet(parameters=25_557_032, macs=3_857_973_248)
def resnet50_v1(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> ResNet:
    """ResNet-50 as published, strides in the first 1×1; ``fields`` of `ResNet`."""
    return ResNet(num_classes=num_classes, name=name, **{**STAGES[50], "v1": True, **fields})


@_resnet(parameters=44_549_160, macs=7_570_194_432)
def resnet101_v1(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> ResNet:
    """ResNet-101 as published, strides in the first 1×1; ``fields`` of `ResNet`."""
    return ResNet(num_classes=num_classes, name=name, **{**STAGES[101], "v1": True, **fields})


@_resnet(parameters=60_192_808, macs=11_282_415_616)
def resnet152_v1(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> ResNet:
    """ResNet-152 as published, strides in the first 1×1; ``fields`` of `ResNet`."""
    return ResNet(num_classes=num_classes, name=name, **{**STAGES[152], "v1": True, **fields})


@_resnet(parameters=11_515_688, macs=1_794_805_760)
def plain18(*, num_classes: int | None = 1000, name: str | None = None, **fields: Any) -> ResNet:
    """The plain network that ResNet-18 was compared with; ``fields`` of `ResNet`."""
    return ResNet(num_classes=num_classes, name=name, **{**STAGES[18], "residual": False, **fields})


@_resnet(parameters=21_623_848, macs=3_644_493_824)
def plain34(*, num_classes: int | None = 1000, name: str | None = None, **fields: Any) -> ResNet:
    """The plain network that ResNet-34 was compared with; ``fields`` of `ResNet`."""
    return ResNet(num_classes=num_classes, name=name, **{**STAGES[34], "residual": False, **fields})
