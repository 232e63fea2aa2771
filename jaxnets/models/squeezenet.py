"""SqueezeNet: AlexNet's accuracy with fifty times fewer parameters, by fire modules.

Source: Iandola, Han, Moskewicz, Ashraf, Dally, Keutzer, "SqueezeNet: AlexNet-level accuracy with
50x fewer parameters and <0.5MB model size", 2016, table 1, figure 2.
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
from jaxnets.models.layers import Stage
from jaxnets.models.registry import IMAGENET_MEAN, IMAGENET_STD, register
from jaxnets.nn import Conv, Dropout
from jaxnets.ops import global_avg_pool, max_pool, relu
from jaxnets.ops.half_bits import concatenate

# Table 1: (squeeze, expand) of fire2…fire9; a stage ends where its map is pooled, so that fire2 is
# stage1/block0. The expand layers put out as many channels by 1×1 as by 3×3 kernels.
V1_0_STAGES = (
    ((16, 64), (16, 64), (32, 128)),
    ((32, 128), (48, 192), (48, 192), (64, 256)),
    ((64, 256),),
)
V1_1_STAGES = (
    ((16, 64), (16, 64)),
    ((32, 128), (32, 128)),
    ((48, 192), (48, 192), (64, 256), (64, 256)),
)


class Fire(nn.Module):
    """Squeeze to few channels with 1×1, then expand with 1×1 and 3×3 side by side.

    Attributes:
        squeeze: channels of the first 1×1.
        expand: channels of each of the two that follow.
        bypass: see `SqueezeNet`; the 1×1 convolution of a complex bypass is named "shortcut".
        conv: convolution layer.
    """

    squeeze: int
    expand: int
    bypass: str | None
    conv: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        y = relu(self.conv(self.squeeze, (1, 1), name="squeeze")(x))
        left = relu(self.conv(self.expand, (1, 1), name="expand1x1")(y))
        right = relu(self.conv(self.expand, (3, 3), padding=1, name="expand3x3")(y))
        y = concatenate([left, right], axis=-1)
        if self.bypass and x.shape == y.shape:
            return x + y
        if self.bypass == "complex":
            return y + self.conv(2 * self.expand, (1, 1), name="shortcut")(x)
        return y


class SqueezeNet(nn.Module):
    """A convolution, eight fire modules in three stages, a 1×1 convolution as classifier.

    Attributes:
        num_classes: channels of the head, the paper's conv10; None returns the endpoints stem,
            stage1, stage2, stage3 at strides 2, 4, 8, 16.
        stages: (squeeze, expand) of the fire modules of each stage.
        stem_width, stem_kernel: channels and kernel size of the stem, the paper's conv1.
        bypass: None; "simple": x is added to the output of every fire module that keeps the number
            of channels; "complex": in the others a 1×1 convolution of x is added.
        head_padding: of the head; 1 in the published v1.0.
        dropout_rate: before the head.
        conv: convolution layer.
        dtype: compute dtype.

    Call: images (N, H, W, C) of at least 25×25 (29×29 with a 7×7 stem) → logits (N,
    num_classes), float32. Needs the rng "dropout" in training.
    """

    num_classes: int | None = 1000
    stages: Sequence[Sequence[tuple[int, int]]] = V1_1_STAGES
    stem_width: int = 64
    stem_kernel: int = 3
    bypass: str | None = None
    head_padding: int = 0
    dropout_rate: float = 0.5
    conv: Callable[..., nn.Module] = Conv
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False):
        check_images(self, x, smallest=22 + self.stem_kernel, stem="stem")
        if self.bypass not in (None, "simple", "complex"):
            raise ValueError(
                f"SqueezeNet: bypass must be None, 'simple' or 'complex', got {self.bypass!r}"
            )
        conv = partial(self.conv, dtype=self.dtype)
        k = self.stem_kernel
        x = relu(conv(self.stem_width, (k, k), strides=2, name="stem")(x))
        endpoints = OrderedDict(stem=x)
        for i, widths in enumerate(self.stages, start=1):
            x = max_pool(x, (3, 3), strides=2, ceil_mode=True)
            stage = Stage(
                [partial(Fire, *width, self.bypass, conv) for width in widths], name=f"stage{i}"
            )
            x = endpoints[f"stage{i}"] = stage(x, train)
        if self.num_classes is None:
            return endpoints
        x = Dropout(self.dropout_rate, name="dropout")(x, train=train)
        x = conv(self.num_classes, (1, 1), padding=self.head_padding, name="head")(x)
        return global_avg_pool(relu(x)).astype(jnp.float32)


V1_0 = {"stages": V1_0_STAGES, "stem_width": 96, "stem_kernel": 7}
# Caffe's images have gray levels 0 … 255 less these; images from 0 to 1, as ours, give the same by
# x = (image − mean) / std.
CAFFE_MEAN = (123 / 255, 117 / 255, 104 / 255)
CAFFE_STD = (1 / 255, 1 / 255, 1 / 255)
# As published: on 227×227 images the head pads its map.
PAPER = {**V1_0, "head_padding": 1}

_squeezenet = partial(
    register,
    paper=papers.SQUEEZENET,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    feature_strides={"stem": 2, "stage1": 4, "stage2": 8, "stage3": 16},
)
_accuracy = "ImageNet top-1/top-5 accuracy {} %".format


@_squeezenet(parameters=1_248_424, macs=818_924_576, weights=("torchvision squeezenet1_0",))
def squeezenet1_0(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> SqueezeNet:
    """SqueezeNet 1.0 as torchvision ships it; ``fields`` of `SqueezeNet`."""
    return SqueezeNet(num_classes=num_classes, name=name, **{**V1_0, **fields})


@_squeezenet(parameters=1_235_496, macs=349_151_936, weights=("torchvision squeezenet1_1",))
def squeezenet1_1(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> SqueezeNet:
    """SqueezeNet 1.1, which costs less than half; ``fields`` of `SqueezeNet`."""
    return SqueezeNet(num_classes=num_classes, name=name, **fields)


@_squeezenet(
    parameters=1_248_424,
    macs=861_339_936,
    input_size=227,
    mean=CAFFE_MEAN,
    std=CAFFE_STD,
    published=_accuracy("57.5/80.3"),
    weights=("deep_compression squeezenet",),
)
def squeezenet1_0_paper(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> SqueezeNet:
    """SqueezeNet of the paper; ``fields`` of `SqueezeNet`."""
    return SqueezeNet(num_classes=num_classes, name=name, **{**PAPER, **fields})


@_squeezenet(
    parameters=1_248_424, macs=861_339_936, input_size=227, published=_accuracy("60.4/82.5")
)
def squeezenet1_0_simple(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> SqueezeNet:
    """SqueezeNet of the paper with simple bypasses; ``fields`` of `SqueezeNet`."""
    return SqueezeNet(num_classes=num_classes, name=name, **{**PAPER, "bypass": "simple", **fields})


@_squeezenet(
    parameters=1_589_672, macs=1_212_625_184, input_size=227, published=_accuracy("58.8/82.0")
)
def squeezenet1_0_complex(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> SqueezeNet:
    """SqueezeNet of the paper with complex bypasses; ``fields`` of `SqueezeNet`."""
    return SqueezeNet(
        num_classes=num_classes, name=name, **{**PAPER, "bypass": "complex", **fields}
    )
