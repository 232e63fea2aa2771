"""ResNets of bottleneck blocks in space and time with one pathway: Slow, C2D and I3D.

They differ in which of their convolutions see several frames, and may have non-local blocks.

Source: Feichtenhofer, Fan, Malik, He, "SlowFast Networks for Video Recognition", 2018, table 1
(Slow); Wang, Girshick, Gupta, He, "Non-local Neural Networks", 2017, section 4.1 and table 1 (C2D,
I3D); details as in PySlowFast, whose parameters have the same shapes.
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
from jaxnets.models.layers import ConvNorm
from jaxnets.models.registry import register
from jaxnets.models.video.layers import centered
from jaxnets.models.video.non_local import NonLocal
from jaxnets.nn import BatchNorm, Conv, Dense, Dropout
from jaxnets.ops import global_avg_pool, materialize, max_pool, relu

# Blocks in each of the four stages.
DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
# Frames that each kernel sees: of the stem, and in each stage of the first convolution of its
# blocks, repeated in turn.
TIME_KERNELS: dict[str, tuple[int, tuple[tuple[int, ...], ...]]] = {
    "slow": (1, ((1,), (1,), (3,), (3,))),
    "c2d": (1, ((1,), (1,), (1,), (1,))),
    "i3d": (5, ((3,), (3, 1), (3, 1), (1, 3))),
}
# Behind which blocks of which stage the five non-local blocks stand (section 5.1).
FIVE_NON_LOCAL = ((), (1, 3), (1, 3, 5), ())
# Kinetics as PySlowFast normalizes it.
SLOWFAST_MEAN, SLOWFAST_STD = (0.45, 0.45, 0.45), (0.225, 0.225, 0.225)


class Bottleneck3D(nn.Module):
    """t×1×1 down, 1×3×3, 1×1×1 up; the shortcut is projected where the shape changes.

    Attributes:
        inner, features: channels within and of the result.
        time_kernel: t.
        stride: of the 1×3×3 in space.
        zero_gamma: start the last normalization at zero.
        norm, conv: layers.
        dilation: of the 1×3×3 in space.
    """

    inner: int
    features: int
    time_kernel: int
    stride: int
    zero_gamma: bool
    norm: Callable[..., nn.Module]
    conv: Callable[..., nn.Module]
    dilation: int = 1

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = materialize(x)  # Not to be computed again by each of its readers.
        init = nn.initializers.zeros_init() if self.zero_gamma else nn.initializers.ones_init()
        first, second = (self.time_kernel, 1, 1), (1, 3, 3)
        strides = (1, self.stride, self.stride)
        y = self.conv(self.inner, first, padding=centered(first), name="conv1")(x)
        y = relu(self.norm(name="bn1")(y, train=train))
        y = self.conv(
            self.inner,
            second,
            strides=strides,
            padding=(0, self.dilation, self.dilation),
            dilation=(1, self.dilation, self.dilation),
            name="conv2",
        )(y)
        y = relu(self.norm(name="bn2")(y, train=train))
        y = self.conv(self.features, (1, 1, 1), name="conv3")(y)
        y = self.norm(scale_init=init, name="bn3")(y, train=train)
        if self.stride != 1 or x.shape[-1] != self.features:
            x = self.conv(self.features, (1, 1, 1), strides=strides, name="shortcut_conv")(x)
            x = self.norm(name="shortcut_bn")(x, train=train)
        return relu(y + x)


class PathwayStage(nn.Module):
    """Blocks "block0", "block1", … with non-local blocks "nonlocal1", … behind some of them.

    Attributes:
        depth: number of blocks.
        inner, features, zero_gamma, norm, conv: of each block.
        time_kernels: of the blocks, repeated in turn.
        temporal: how many of the blocks have them; the others have 1; None: all.
        stride: of the first block in space.
        non_local: numbers of the blocks that a non-local block follows.
        block: makes a non-local block, called with ``name``.
        dilation: of all blocks in space.
    """

    depth: int
    inner: int
    features: int
    time_kernels: Sequence[int]
    temporal: int | None
    stride: int
    non_local: Sequence[int]
    block: Callable[..., nn.Module]
    zero_gamma: bool
    norm: Callable[..., nn.Module]
    conv: Callable[..., nn.Module]
    dilation: int = 1

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        temporal = self.depth if self.temporal is None else self.temporal
        for j in range(self.depth):
            kernel = self.time_kernels[j % len(self.time_kernels)] if j < temporal else 1
            x = Bottleneck3D(
                self.inner,
                self.features,
                kernel,
                self.stride if j == 0 else 1,
                self.zero_gamma,
                self.norm,
                self.conv,
                self.dilation,
                name=f"block{j}",
            )(x, train)
            if j in self.non_local:
                x = self.block(name=f"nonlocal{j}")(x, train)
        return x


class Slow(nn.Module):
    """7×7 stem, four stages of bottlenecks, average pool, dropout, linear head, on few frames.

    Attributes:
        num_classes: width of the head; None returns the endpoints stem, stage1…stage4.
        stages: blocks in each stage.
        time_kernels: frames that the stem's kernel and those of the stages' blocks see, see
            `TIME_KERNELS`.
        time_pool: stride and window of a maximum along time behind the first stage.
        width: channels of the stem; the stages put out 4, 8, 16, 32 times as many.
        non_local: for each stage the numbers of the blocks that a non-local block follows.
        non_local_block: makes it, called with ``name``, ``norm``, ``conv`` and ``dtype``.
        output_stride: 32, or 16: the last stage keeps its maps' size, its kernels dilated by two,
            as for the detection of actions.
        zero_gamma: start the last normalization of each block at zero.
        dropout_rate: in front of the head.
        norm, conv: layers.
        dtype: compute dtype.

    Call: clips (N, T, H, W, C) → logits (N, num_classes), float32. Updates "batch_stats" and needs
    the rng "dropout" in training.

    >>> network = Slow(num_classes=None, stages=(1, 1, 1, 1), width=4, non_local=((), (0,), (), ()))
    >>> x = jax.ShapeDtypeStruct((1, 4, 32, 32, 3), jnp.float32)
    >>> maps = jax.eval_shape(lambda x: network.init_with_output(jax.random.key(0), x)[0], x)
    >>> maps["stage2"].shape, maps["stage4"].shape
    ((1, 4, 4, 4, 32), (1, 4, 1, 1, 128))
    """

    num_classes: int | None = 400
    stages: Sequence[int] = DEPTHS[50]
    time_kernels: tuple[int, Sequence[Sequence[int]]] = TIME_KERNELS["slow"]
    time_pool: int = 1
    width: int = 64
    non_local: Sequence[Sequence[int]] = ((), (), (), ())
    non_local_block: Callable[..., nn.Module] = partial(NonLocal, scale=True)
    output_stride: int = 32
    zero_gamma: bool = True
    dropout_rate: float = 0.5
    norm: Callable[..., nn.Module] = BatchNorm
    conv: Callable[..., nn.Module] = Conv
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False):
        check_clips(self, x, smallest=2, frames=self.time_pool, stem="stem/conv")
        strides, dilations = stage_strides(self)
        conv = partial(self.conv, use_bias=False, dtype=self.dtype)
        norm = partial(self.norm, dtype=self.dtype)
        block = partial(self.non_local_block, norm=self.norm, conv=self.conv, dtype=self.dtype)
        endpoints = OrderedDict()
        x = endpoints["stem"] = video_stem(
            self.width, self.time_kernels[0], norm, conv, self.dtype, "stem"
        )(x, train)
        x = max_pool(x, (1, 3, 3), strides=(1, 2, 2), padding=(0, 1, 1))
        for i, depth in enumerate(self.stages):
            stage = PathwayStage(
                depth,
                self.width * 2**i,
                self.width * 2 ** (i + 2),
                self.time_kernels[1][i],
                None,
                strides[i],
                self.non_local[i],
                block,
                self.zero_gamma,
                norm,
                conv,
                dilations[i],
                name=f"stage{i + 1}",
            )
            x = endpoints[f"stage{i + 1}"] = stage(x, train)
            if i == 0 and self.time_pool > 1:
                x = max_pool(x, (self.time_pool, 1, 1))
        if self.num_classes is None:
            return endpoints
        x = Dropout(self.dropout_rate, name="dropout")(global_avg_pool(x), train=train)
        return Dense(self.num_classes, dtype=self.dtype, name="head")(x).astype(jnp.float32)


def stage_strides(network: nn.Module) -> tuple[list[int], list[int]]:
    """Strides and dilations in space of the stages, by the network's ``output_stride``.

    >>> stage_strides(Slow(output_stride=16))
    ([1, 2, 2, 1], [1, 1, 1, 2])
    """
    if network.output_stride not in (16, 32):
        raise ValueError(
            f"{type(network).__name__}: output_stride must be 16 or 32, got {network.output_stride}"
        )
    dilated = [network.output_stride == 16 and i == 3 for i in range(len(network.stages))]
    return [2 if i and not d else 1 for i, d in enumerate(dilated)], [1 + d for d in dilated]


def video_stem(
    features: int,
    time_kernel: int,
    norm: Callable[..., nn.Module],
    conv: Callable[..., nn.Module],
    dtype: Any,
    name: str,
) -> ConvNorm:
    """The t×7×7 convolution, stride 2 in space, with normalization and ReLU."""
    kernel = (time_kernel, 7, 7)
    return ConvNorm(
        features,
        kernel,
        strides=(1, 2, 2),
        padding=centered(kernel),
        norm=norm,
        conv=conv,
        dtype=dtype,
        name=name,
    )


_video = partial(register, task="video classification", mean=SLOWFAST_MEAN, std=SLOWFAST_STD)
_slow = partial(_video, paper=papers.SLOWFAST)
_non_local = partial(_video, paper=papers.NON_LOCAL, frames=8)


@_slow(
    parameters=32_454_096,
    macs=20_870_823_936,
    frames=4,
    weights=("pyslowfast SLOW_4x16_R50",),
)
def slow_4x16_r50(*, num_classes: int | None = 400, name: str | None = None, **fields: Any) -> Slow:
    """The slow pathway alone, 4 frames, 16 apart, ResNet-50; ``fields`` of `Slow`."""
    return Slow(num_classes=num_classes, name=name, **fields)


@_slow(
    parameters=32_454_096,
    macs=41_740_828_672,
    frames=8,
    weights=("pyslowfast SLOW_8x8_R50",),
)
def slow_8x8_r50(*, num_classes: int | None = 400, name: str | None = None, **fields: Any) -> Slow:
    """The slow pathway alone, 8 frames, 8 apart, ResNet-50; ``fields`` of `Slow`."""
    return Slow(num_classes=num_classes, name=name, **fields)


@_slow(
    parameters=39_812_560,
    macs=28_998_533_120,
    frames=4,
    weights=("pyslowfast SLOW_NLN_4x16_R50",),
)
def slow_nln_4x16_r50(
    *, num_classes: int | None = 400, name: str | None = None, **fields: Any
) -> Slow:
    """`slow_4x16_r50` with five non-local blocks; ``fields`` of `Slow`."""
    fields = {"non_local": FIVE_NON_LOCAL, **fields}
    return Slow(num_classes=num_classes, name=name, **fields)


def _resnet(kind: str, depth: int, non_local: bool, fields: dict[str, Any]) -> dict[str, Any]:
    chosen = {"stages": DEPTHS[depth], "time_kernels": TIME_KERNELS[kind], "time_pool": 2}
    return {**chosen, **({"non_local": FIVE_NON_LOCAL} if non_local else {}), **fields}


@_non_local(parameters=24_327_632, macs=19_493_191_680, weights=("pyslowfast C2D_8x8_R50",))
def c2d_8x8_r50(*, num_classes: int | None = 400, name: str | None = None, **fields: Any) -> Slow:
    """ResNet-50 of each frame, pooled once along time; ``fields`` of `Slow`."""
    return Slow(num_classes=num_classes, name=name, **_resnet("c2d", 50, False, fields))


@_non_local(parameters=31_686_096, macs=27_620_900_864, weights=("pyslowfast C2D_NLN_8x8_R50",))
def c2d_nln_8x8_r50(
    *, num_classes: int | None = 400, name: str | None = None, **fields: Any
) -> Slow:
    """`c2d_8x8_r50` with five non-local blocks; ``fields`` of `Slow`."""
    return Slow(num_classes=num_classes, name=name, **_resnet("c2d", 50, True, fields))


@_non_local(parameters=28_043_472, macs=28_407_660_544, weights=("pyslowfast I3D_8x8_R50",))
def i3d_8x8_r50(*, num_classes: int | None = 400, name: str | None = None, **fields: Any) -> Slow:
    """Inflated ResNet-50: every second block sees three frames; ``fields`` of `Slow`."""
    return Slow(num_classes=num_classes, name=name, **_resnet("i3d", 50, False, fields))


@_non_local(parameters=35_401_936, macs=36_535_369_728, weights=("pyslowfast I3D_NLN_8x8_R50",))
def i3d_nln_8x8_r50(
    *, num_classes: int | None = 400, name: str | None = None, **fields: Any
) -> Slow:
    """`i3d_8x8_r50` with five non-local blocks; ``fields`` of `Slow`."""
    return Slow(num_classes=num_classes, name=name, **_resnet("i3d", 50, True, fields))


@_non_local(parameters=51_754_192, macs=46_955_921_408, weights=("pyslowfast I3D_8x8_R101",))
def i3d_8x8_r101(*, num_classes: int | None = 400, name: str | None = None, **fields: Any) -> Slow:
    """Inflated ResNet-101; ``fields`` of `Slow`."""
    return Slow(num_classes=num_classes, name=name, **_resnet("i3d", 101, False, fields))


@_non_local(parameters=59_112_656, macs=55_083_630_592, weights=("pyslowfast I3D_NLN_8x8_R101",))
def i3d_nln_8x8_r101(
    *, num_classes: int | None = 400, name: str | None = None, **fields: Any
) -> Slow:
    """`i3d_8x8_r101` with five non-local blocks; ``fields`` of `Slow`."""
    return Slow(num_classes=num_classes, name=name, **_resnet("i3d", 101, True, fields))
