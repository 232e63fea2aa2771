"""The families of video networks, each so small that it learns a generated suite in a minute."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.models.counting import jaxpr_macs, run_direct
from jaxnets.models.video import (
    C3D,
    GRURCN,
    LRCN,
    FrameCNN,
    FrameFusion,
    Inflated,
    NonLocal,
    Slow,
    SlowFast,
    TwoStream,
    VideoResNet,
)
from jaxnets.ops.flow import clip_flow


class VideoFamily(NamedTuple):
    """One row of the comparison.

    Attributes:
        title: as in tables.
        temporal: whether it can see motion at all.
        build: (number of classes, frames, size) → network.
        flow: clips (B, T, H, W, C) → what it takes beside them, or None. A network that takes flow
            has two streams, and each is trained by itself.

    >>> VIDEO_FAMILIES["single_frame"].temporal
    False
    """

    title: str
    temporal: bool
    build: Callable[[int, int, int], nn.Module]
    flow: Callable[[jax.Array], jax.Array] | None = None


# Channels, kernel, stride, padding, normalized, pooled.
_FUSION = ((16, 3, 1, 1, False, True), (32, 3, 1, 1, False, True))
_CNN = ((16, 3, 1, 1, 1, False, True), (32, 3, 1, 1, 1, False, True))


def _fusion(classes: int, length: int, size: int, /, **fields: Any) -> nn.Module:
    more = {"time_kernels": (1, 1), "time_strides": (1, 1), **fields}
    return FrameFusion(classes, _FUSION, fc_width=64, dropout_rate=0.0, **more)


def _slow_fusion(classes: int, frames: int, size: int) -> nn.Module:
    return _fusion(classes, frames, size, time_kernels=(3, 3), time_strides=(2, 1), head="concat")


def _c3d(classes: int, frames: int, size: int) -> nn.Module:
    window = (frames // 2, size // 4, size // 4)
    return C3D(classes, ((16,), (32,)), fc_width=64, fc_window=window, dropout_rate=0.0)


def _two_stream(classes: int, frames: int, size: int) -> nn.Module:
    """With dropout: a stream must not be sure of what it cannot see."""
    stream = FrameCNN(classes, _CNN, fc_widths=(64,), dropout_rate=0.8)
    return TwoStream(stream, stream.clone())


def _lrcn(classes: int, frames: int, size: int) -> nn.Module:
    """The LSTM reads maps: pooled to a few numbers a frame, a step of one pixel is hard to see."""
    layers = ((16, 3, 1, 1, 1, False, True), (16, 3, 1, 1, 1, False, False))
    network = FrameCNN(None, layers, fc_widths=(), dropout_rate=0.0)
    return LRCN(classes, network, 128, dropout_rate=0.0)


def _gru_rcn(classes: int, frames: int, size: int) -> nn.Module:
    cells = (("conv1", True, 16, 3), ("conv2", True, 16, 3))
    return GRURCN(classes, FrameCNN(None, _CNN, fc_widths=()), cells, dropout_rate=0.0)


def _bottlenecks(classes: int, frames: int, size: int, **fields: Any) -> nn.Module:
    kernels = (1, ((1,), (1,)))
    fields = {"stages": (1, 1), "time_kernels": kernels, "width": 8, "zero_gamma": False, **fields}
    return Slow(classes, dropout_rate=0.0, **fields)


def _non_local(classes: int, frames: int, size: int) -> nn.Module:
    """Attention is blind to the order of what it sees: the stem spans three frames."""
    block = partial(NonLocal, pool=None)
    return _bottlenecks(
        classes,
        frames,
        size,
        time_kernels=(3, ((1,), (1,))),
        non_local=((0,), ()),
        non_local_block=block,
    )


def _slowfast(classes: int, frames: int, size: int) -> nn.Module:
    return SlowFast(
        classes, (1, 1, 1, 1), alpha=4, width=8, beta_inverse=2, zero_gamma=False, dropout_rate=0.0
    )


def _inflated(classes: int, frames: int, size: int) -> nn.Module:
    return Inflated(FrameCNN(classes, _CNN, fc_widths=(64,), dropout_rate=0.0))


VIDEO_FAMILIES = {
    "single_frame": VideoFamily("Single frame", False, _fusion),
    "early_fusion": VideoFamily(
        "Early fusion", True, partial(_fusion, time_kernels=("all", 1), head="concat")
    ),
    "late_fusion": VideoFamily("Late fusion", True, partial(_fusion, frames=(0, 3), head="concat")),
    "slow_fusion": VideoFamily("Slow fusion", True, _slow_fusion),
    "c3d": VideoFamily("C3D", True, _c3d),
    "r3d": VideoFamily(
        "R(2+1)D",
        True,
        lambda classes, frames, size: VideoResNet(
            classes, stages=(1, 1), kinds=("2+1d", "2+1d"), stem="2+1d", width=16
        ),
    ),
    "two_stream": VideoFamily(
        "Two streams", True, _two_stream, partial(clip_flow, levels=1, warps=4, sigma=1.5)
    ),
    "lrcn": VideoFamily("CNN + LSTM", True, _lrcn),
    "gru_rcn": VideoFamily("ConvGRU", True, _gru_rcn),
    "inflated": VideoFamily("Inflated 2-D", True, _inflated),
    "non_local": VideoFamily("Non-local", True, _non_local),
    "slowfast": VideoFamily("SlowFast", True, _slowfast),
}


def family_inputs(family: VideoFamily, clip: jax.Array) -> dict[str, jax.Array]:
    """What a family's network takes for clips as they are stored.

    Args:
        family: of `VIDEO_FAMILIES`.
        clip: (B, T, H, W, C) uint8.

    Returns:
        "x", clips from −1 to 1, and "flow" where the family takes it.

    >>> clip = jnp.zeros((1, 4, 16, 16, 1), jnp.uint8)
    >>> sorted(family_inputs(VIDEO_FAMILIES["two_stream"], clip))
    ['flow', 'x']
    """
    found = {"x": clip.astype(jnp.float32) / 127.5 - 1}
    if family.flow is not None:
        found["flow"] = family.flow(clip)
    return found


def family_macs(family: VideoFamily, model: nn.Module, variables: Any, clip: Any) -> int:
    """Multiply-accumulates of a family's network for one clip, without those of optical flow.

    Args:
        family: of `VIDEO_FAMILIES`.
        model: its network.
        variables: the network's variables, or their shapes.
        clip: (1, T, H, W, C) uint8, or its shape.

    Returns:
        Their number.

    >>> family = VIDEO_FAMILIES["single_frame"]
    >>> model, clip = family.build(2, 4, 8), jnp.zeros((1, 4, 8, 8, 1), jnp.uint8)
    >>> shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), clip.astype(jnp.float32)))
    >>> family_macs(family, model, shapes, clip)
    381440
    """

    def run(variables, inputs):
        with nn.intercept_methods(run_direct):
            return model.apply(variables, **inputs)

    inputs = jax.eval_shape(partial(family_inputs, family), clip)
    return jaxpr_macs(jax.make_jaxpr(run)(variables, inputs).jaxpr)
