"""MobileNet v1: depthwise separable convolutions, and two knobs, width and resolution.

Source: Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision
Applications", 2017, table 1, sections 3.1 to 3.4.
"""

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.models import papers
from jaxnets.models.checks import check_images
from jaxnets.models.layers import ConvNorm, Stage
from jaxnets.models.registry import HALF, register
from jaxnets.nn import BatchNorm, Conv, Dense
from jaxnets.ops import global_avg_pool, relu

# Table 1: (output channels, stride) of the thirteen separable convolutions, a stage at each stride.
STAGES = (
    ((64, 1),),
    ((128, 2), (128, 1)),
    ((256, 2), (256, 1)),
    ((512, 2), (512, 1), (512, 1), (512, 1), (512, 1), (512, 1)),
    ((1024, 2), (1024, 1)),
)


class SeparableConv(nn.Module):
    """A 3×3 convolution for each channel alone, then a 1×1 one across channels; both normalized.

    It costs 1/C_out + 1/9 of the full 3×3 convolution (equation 5).
    """

    features: int
    strides: int
    conv: Callable[..., nn.Module]
    norm: Callable[..., nn.Module]
    activation: Callable[[jax.Array], jax.Array]

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        channels = x.shape[-1]
        x = self.conv(
            channels, (3, 3), strides=self.strides, padding=1, groups=channels, name="depthwise"
        )(x)
        x = self.activation(self.norm(name="bn1")(x, train=train))
        x = self.conv(self.features, (1, 1), name="pointwise")(x)
        return self.activation(self.norm(name="bn2")(x, train=train))


class MobileNetV1(nn.Module):
    """A 3×3/2 convolution, thirteen separable ones, average pool, head.

    Attributes:
        num_classes: width of the head; None returns the endpoints stage1…stage5 at strides 2, 4,
            8, 16, 32.
        width: multiplier α of all channels.
        activation: ReLU; weights trained with TensorFlow or timm want `jax.nn.relu6`.
        norm, conv: layers.
        dtype: compute dtype.

    Call: images (N, H, W, C) of at least 32×32 → logits (N, num_classes), float32. Updates
    "batch_stats" where ``train`` is set. The paper's ρ is the size of the images: 224, 192, 160,
    128.
    """

    num_classes: int | None = 1000
    width: float = 1.0
    activation: Callable[[jax.Array], jax.Array] = relu
    norm: Callable[..., nn.Module] = BatchNorm
    conv: Callable[..., nn.Module] = Conv
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False):
        check_images(self, x, smallest=32, stem="stem/conv")
        conv = partial(self.conv, use_bias=False, dtype=self.dtype)
        norm = partial(self.norm, dtype=self.dtype)
        endpoints = OrderedDict()
        stem = partial(ConvNorm, strides=2, padding=1, norm=norm, conv=conv, dtype=self.dtype)
        stem = partial(stem, activation=self.activation, name="stem")
        x = stem(int(32 * self.width), (3, 3))(x, train)
        block = partial(SeparableConv, conv=conv, norm=norm, activation=self.activation)
        for i, rows in enumerate(STAGES, start=1):
            blocks = [partial(block, int(width * self.width), strides) for width, strides in rows]
            x = endpoints[f"stage{i}"] = Stage(blocks, name=f"stage{i}")(x, train)
        if self.num_classes is None:
            return endpoints
        x = global_avg_pool(x)
        return Dense(self.num_classes, dtype=self.dtype, name="head")(x).astype(jnp.float32)


# The statistics are those of timm's weights.
_mobilenet = partial(
    register,
    paper=papers.MOBILENET_V1,
    mean=HALF,
    std=HALF,
    feature_strides={f"stage{i}": 2**i for i in range(1, 6)},
)
_accuracy = "ImageNet top-1 accuracy {} %".format


@_mobilenet(
    parameters=4_231_976,
    macs=568_740_352,
    published=_accuracy("70.6"),
    weights=("timm mobilenetv1_100 (activation=jax.nn.relu6)",),
)
def mobilenet_v1(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> MobileNetV1:
    """MobileNet; ``fields`` of `MobileNetV1`."""
    return MobileNetV1(num_classes=num_classes, name=name, **fields)


@_mobilenet(parameters=2_585_560, macs=325_400_448, published=_accuracy("68.4"))
def mobilenet_v1_075(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> MobileNetV1:
    """MobileNet with 0.75 times the channels; ``fields`` of `MobileNetV1`."""
    return MobileNetV1(num_classes=num_classes, name=name, **{"width": 0.75, **fields})


@_mobilenet(parameters=1_331_592, macs=149_497_088, published=_accuracy("63.7"))
def mobilenet_v1_050(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> MobileNetV1:
    """MobileNet with 0.5 times the channels; ``fields`` of `MobileNetV1`."""
    return MobileNetV1(num_classes=num_classes, name=name, **{"width": 0.5, **fields})


@_mobilenet(parameters=470_072, macs=41_030_272, published=_accuracy("50.6"))
def mobilenet_v1_025(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> MobileNetV1:
    """MobileNet with 0.25 times the channels; ``fields`` of `MobileNetV1`."""
    return MobileNetV1(num_classes=num_classes, name=name, **{"width": 0.25, **fields})
