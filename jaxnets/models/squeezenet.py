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

from jaxnets.models.checks import check_images
from jaxnets.models.registry import IMAGENET_MEAN, IMAGENET_STD, ModelInfo, register
from jaxnets.nn import Conv, Dropout
from jaxnets.ops import global_avg_pool, max_pool, relu

# Table 1: (squeeze, expand) of fire2…fire9; a stage ends where its map is pooled. The expand
# layers put out as many channels by 1×1 as by 3×3 kernels.
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
    """Squeeze to few channels with 1×1, then expand with 1×1 and 3×3 side by side."""

    squeeze: int
    expand: int
    conv: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = relu(self.conv(self.squeeze, (1, 1), name="squeeze")(x))
        left = relu(self.conv(self.expand, (1, 1), name="expand1x1")(x))
        right = relu(self.conv(self.expand, (3, 3), padding=1, name="expand3x3")(x))
        return jnp.concatenate([left, right], axis=-1)


class SqueezeNet(nn.Module):
    """A convolution, eight fire modules in three stages, a 1×1 convolution as classifier.

    Args (fields):
        num_classes: channels of the last convolution; None returns the endpoints conv1 (stride 2),
            stage1, stage2, stage3 (strides 4, 8, 16).
        stages: (squeeze, expand) of the fire modules of each stage.
        stem: channels and kernel size of conv1.
        bypass: None; "simple": x is added to the output of every fire module that keeps the number
            of channels; "complex": in the others a 1×1 convolution of x is added.
        classifier_padding: of conv10; 1 in the published v1.0.
        dropout_rate: before conv10.
        conv: convolution layer.
        dtype: compute dtype.

    Call: images (N, H, W, C) of at least 25×25 (29×29 with a 7×7 stem) → logits (N,
    num_classes), float32. Needs the rng "dropout" in training.
    """

    num_classes: int | None = 1000
    stages: Sequence[Sequence[tuple[int, int]]] = V1_1_STAGES
    stem: tuple[int, int] = (64, 3)
    bypass: str | None = None
    classifier_padding: int = 0
    dropout_rate: float = 0.5
    conv: Callable[..., nn.Module] = Conv
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False):
        check_images(self, x, smallest=22 + self.stem[1], stem="conv1")
        if self.bypass not in (None, "simple", "complex"):
            raise ValueError(
                f"SqueezeNet: bypass must be None, 'simple' or 'complex', got {self.bypass!r}"
            )
        conv = partial(self.conv, dtype=self.dtype)
        width, kernel = self.stem
        x = relu(conv(width, (kernel, kernel), strides=2, name="conv1")(x))
        endpoints = OrderedDict(conv1=x)
        number = 2
        for i, stage in enumerate(self.stages, start=1):
            x = max_pool(x, (3, 3), strides=2, ceil_mode=True)
            for squeeze, expand in stage:
                y = Fire(squeeze, expand, conv, name=f"fire{number}")(x)
                if self.bypass and x.shape == y.shape:
                    y = x + y
                elif self.bypass == "complex":
                    y = y + conv(2 * expand, (1, 1), name=f"bypass{number}")(x)
                x, number = y, number + 1
            endpoints[f"stage{i}"] = x
        if self.num_classes is None:
            return endpoints
        x = Dropout(self.dropout_rate, name="dropout")(x, train=train)
        x = conv(self.num_classes, (1, 1), padding=self.classifier_padding, name="conv10")(x)
        return global_avg_pool(relu(x)).astype(jnp.float32)


def _squeezenet(name: str, parameters: int, macs: int, input_size: int = 224, **more: Any):
    info = ModelInfo(
        name=name,
        family="squeezenet",
        paper="Iandola, Han, Moskewicz, Ashraf, Dally, Keutzer, SqueezeNet",
        year=2016,
        input_size=input_size,
        channels=3,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        parameters=parameters,
        macs=macs,
        weights=more.pop("weights", ()),
        feature_strides={"conv1": 2, "stage1": 4, "stage2": 8, "stage3": 16},
        published=more.pop("published", ""),
    )
    return register(info, SqueezeNet, more)


_v1_0 = partial(_squeezenet, stages=V1_0_STAGES, stem=(96, 7))
_paper = partial(_v1_0, input_size=227, classifier_padding=1)

squeezenet1_0 = _v1_0(
    "squeezenet1_0", 1_248_424, 818_924_576, weights=("torchvision squeezenet1_0",)
)
squeezenet1_1 = _squeezenet(
    "squeezenet1_1", 1_235_496, 349_151_936, weights=("torchvision squeezenet1_1",)
)
squeezenet1_0_paper = _paper(
    "squeezenet1_0_paper",
    1_248_424,
    861_339_936,
    published="ImageNet top-1/top-5 accuracy 57.5/80.3 %",
)
squeezenet1_0_simple = _paper(
    "squeezenet1_0_simple",
    1_248_424,
    861_339_936,
    bypass="simple",
    published="ImageNet top-1/top-5 accuracy 60.4/82.5 %",
)
squeezenet1_0_complex = _paper(
    "squeezenet1_0_complex",
    1_589_672,
    1_212_625_184,
    bypass="complex",
    published="ImageNet top-1/top-5 accuracy 58.8/82.0 %",
)
