"""ResNet-18 in space and time: R3D, MC3 and R(2+1)D, as torchvision ships them.

R3D convolves in three dimensions throughout; MC3 in its first stage, and each frame by itself
after it; R(2+1)D splits every convolution into one in space and one in time, with so many channels
between that the count of weights stays.

Source: Tran, Wang, Torresani, Ray, LeCun, Paluri, "A Closer Look at Spatiotemporal Convolutions for
Action Recognition", 2017, section 3 and table 1.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.models import papers
from jaxnets.models.checks import check_clips
from jaxnets.models.layers import ConvNorm, Stage
from jaxnets.models.registry import register
from jaxnets.models.video.layers import FactoredConv, centered
from jaxnets.nn import BatchNorm, Conv, Dense
from jaxnets.ops import global_avg_pool, materialize, relu

KINDS = ("3d", "2d", "2+1d")
# Channels between the two halves of R(2+1)D's stem.
STEM_MIDDLE = 45
# Statistics of Kinetics-400 that torchvision's weights were trained with.
KINETICS_MEAN = (0.43216, 0.394666, 0.37645)
KINETICS_STD = (0.22803, 0.22145, 0.216989)


def middle_channels(inputs: int, features: int) -> int:
    """Channels between a 1×3×3 and a 3×1×1 convolution that make the weights of one 3×3×3.

    M = ⌊27 · N_in · N_out / (9 · N_in + 3 · N_out)⌋ (section 3.5).

    >>> middle_channels(64, 64), middle_channels(64, 128)
    (144, 230)
    """
    return 27 * inputs * features // (9 * inputs + 3 * features)


class VideoBlock(nn.Module):
    """relu(shortcut(x) + bn(conv(relu(bn(conv(x)))))), its convolutions of one of `KINDS`."""

    features: int
    stride: int
    kind: str
    norm: Callable[..., nn.Module]
    conv: Callable[..., nn.Module]
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = materialize(x)  # Not to be computed again by each of its readers.
        strides = (1 if self.kind == "2d" else self.stride, self.stride, self.stride)
        middle = middle_channels(x.shape[-1], self.features)
        y = self._convolution(middle, strides, "conv1")(x, train)
        y = relu(self.norm(name="bn1")(y, train=train))
        y = self._convolution(middle, (1, 1, 1), "conv2")(y, train)
        y = self.norm(name="bn2")(y, train=train)
        if self.stride != 1 or x.shape[-1] != self.features:
            x = ConvNorm(
                self.features,
                (1, 1, 1),
                strides=strides,
                norm=self.norm,
                conv=self.conv,
                activation=None,
                dtype=self.dtype,
                name="shortcut",
            )(x, train)
        return relu(y + x)

    def _convolution(self, middle: int, strides: Sequence[int], name: str) -> nn.Module:
        layers = {"norm": self.norm, "conv": self.conv, "dtype": self.dtype, "name": name}
        if self.kind == "2+1d":
            return FactoredConv(
                self.features, middle, strides=strides, activation=None, final_norm=False, **layers
            )
        kernel = (3 if self.kind == "3d" else 1, 3, 3)
        return ConvNorm(
            self.features,
            kernel,
            strides=strides,
            padding=centered(kernel),
            activation=None,
            **{**layers, "norm": None},
        )


class VideoResNet(nn.Module):
    """7×7 convolution over 3 frames, four stages of basic blocks, average pool, linear head.

    Attributes:
        num_classes: width of the head; None returns the endpoints stem, stage1…stage4.
        stages: blocks in each stage.
        kinds: of the convolutions of each stage: "3d", "2d" (each frame by itself) or "2+1d".
        stem: "3d", or "2+1d" with 45 channels between.
        width: channels of the stem and the first stage; each further stage has twice as many.
        norm, conv: layers.
        dtype: compute dtype.

    Call: clips (N, T, H, W, C) → logits (N, num_classes), float32. Updates "batch_stats" where
    ``train`` is set.

    >>> network = VideoResNet(num_classes=None, stages=(1, 1), kinds=("3d", "2d"), width=4)
    >>> x = jax.ShapeDtypeStruct((1, 4, 16, 16, 3), jnp.float32)
    >>> maps = jax.eval_shape(lambda x: network.init_with_output(jax.random.key(0), x)[0], x)
    >>> {name: value.shape[1:] for name, value in maps.items()}
    {'stem': (4, 8, 8, 4), 'stage1': (4, 8, 8, 4), 'stage2': (4, 4, 4, 8)}
    """

    num_classes: int | None = 400
    stages: Sequence[int] = (2, 2, 2, 2)
    kinds: Sequence[str] = ("3d",) * 4
    stem: str = "3d"
    width: int = 64
    norm: Callable[..., nn.Module] = BatchNorm
    conv: Callable[..., nn.Module] = Conv
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False):
        factored = self.stem == "2+1d"
        check_clips(self, x, stem="stem/space/conv" if factored else "stem/conv")
        if self.stem not in ("3d", "2+1d") or not set(self.kinds) <= set(KINDS):
            raise ValueError(
                f"VideoResNet: expected kinds among {KINDS} and a stem '3d' or '2+1d', got "
                f"kinds={tuple(self.kinds)}, stem={self.stem!r}"
            )
        norm = partial(self.norm, dtype=self.dtype)
        layers = {"norm": norm, "conv": self.conv, "dtype": self.dtype}
        endpoints = OrderedDict()
        if factored:
            middle = STEM_MIDDLE * self.width // 64 or 1
            stem = FactoredConv(self.width, middle, 7, 3, strides=(1, 2, 2), name="stem", **layers)
        else:
            kernel = (3, 7, 7)
            stem = ConvNorm(
                self.width,
                kernel,
                strides=(1, 2, 2),
                padding=centered(kernel),
                name="stem",
                **layers,
            )
        x = endpoints["stem"] = stem(x, train)
        for i, (depth, kind) in enumerate(zip(self.stages, self.kinds, strict=True)):
            strides = [2 if i > 0 and j == 0 else 1 for j in range(depth)]
            blocks = [partial(VideoBlock, self.width * 2**i, s, kind, **layers) for s in strides]
            x = endpoints[f"stage{i + 1}"] = Stage(blocks, name=f"stage{i + 1}")(x, train)
        if self.num_classes is None:
            return endpoints
        x = global_avg_pool(x)
        return Dense(self.num_classes, dtype=self.dtype, name="head")(x).astype(jnp.float32)


_resnet3d = partial(
    register,
    paper=papers.R2PLUS1D,
    task="video classification",
    input_size=112,
    frames=16,
    mean=KINETICS_MEAN,
    std=KINETICS_STD,
)


@_resnet3d(parameters=33_371_472, macs=40_696_553_472, weights=("torchvision r3d_18",))
def r3d_18(*, num_classes: int | None = 400, name: str | None = None, **fields: Any) -> VideoResNet:
    """R3D-18, convolutions in space and time throughout; ``fields`` of `VideoResNet`."""
    return VideoResNet(num_classes=num_classes, name=name, **fields)


@_resnet3d(parameters=11_695_440, macs=43_342_635_008, weights=("torchvision mc3_18",))
def mc3_18(*, num_classes: int | None = 400, name: str | None = None, **fields: Any) -> VideoResNet:
    """MC3-18, in time only up to its first stage; ``fields`` of `VideoResNet`."""
    fields = {"kinds": ("3d", "2d", "2d", "2d"), **fields}
    return VideoResNet(num_classes=num_classes, name=name, **fields)


@_resnet3d(parameters=31_505_325, macs=40_519_080_960, weights=("torchvision r2plus1d_18",))
def r2plus1d_18(
    *, num_classes: int | None = 400, name: str | None = None, **fields: Any
) -> VideoResNet:
    """R(2+1)D-18, space and time apart; ``fields`` of `VideoResNet`."""
    fields = {"kinds": ("2+1d",) * 4, "stem": "2+1d", **fields}
    return VideoResNet(num_classes=num_classes, name=name, **fields)
