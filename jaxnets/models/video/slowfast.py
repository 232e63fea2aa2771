"""SlowFast: few frames with many channels beside many frames with few, joined on the way.

Source: Feichtenhofer, Fan, Malik, He, "SlowFast Networks for Video Recognition", 2018, section 3
and table 1; details as in PySlowFast, whose parameters have the same shapes.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.models import papers
from jaxnets.models.checks import check_clips
from jaxnets.models.layers import ConvNorm
from jaxnets.models.registry import register
from jaxnets.models.video.layers import centered
from jaxnets.models.video.non_local import NonLocal
from jaxnets.models.video.slow import (
    DEPTHS,
    FIVE_NON_LOCAL,
    SLOWFAST_MEAN,
    SLOWFAST_STD,
    PathwayStage,
    stage_strides,
    video_stem,
)
from jaxnets.nn import BatchNorm, Conv, Dense, Dropout
from jaxnets.ops import global_avg_pool, max_pool

# Frames that each kernel sees: of the stem, and of the first convolution in the stages' blocks.
SLOW_KERNELS = (1, (1, 1, 3, 3))
FAST_KERNELS = (5, (3, 3, 3, 3))


def slow_frames(frames: int, alpha: int) -> np.ndarray:
    """Which of the fast pathway's frames the slow one sees: ⌊frames / α⌋ from first to last.

    PySlowFast's choice, ⌊linspace⌋; the paper only says every α-th.

    Args:
        frames: of the fast pathway.
        alpha: frames of the fast pathway for one of the slow.

    Returns:
        Indices, ascending.

    >>> slow_frames(32, 8).tolist()
    [0, 10, 20, 31]
    """
    return np.linspace(0, frames - 1, frames // alpha).astype(int)


class SlowFast(nn.Module):
    """Two ResNets of bottlenecks on one clip; lateral convolutions lead from the fast to the slow.

    Behind the stem and the first three stages a k×1×1 convolution of stride α in time turns the
    fast map of βC channels into ``fusion_ratio`` · βC, which are put beside the slow one's.

    Attributes:
        num_classes: width of the head; None returns the endpoints slow_stem, fast_stem,
            slow_stage1, …, fast_stage4.
        stages: blocks in each stage.
        alpha: frames of the fast pathway for one of the slow.
        beta_inverse: channels of the slow pathway for one of the fast.
        fusion_ratio: see above.
        fusion_kernel: k.
        temporal: how many blocks of each stage have kernels along time; None: all.
        width: channels of the slow stem.
        non_local: for each stage the numbers of the slow blocks that a non-local block follows.
        non_local_block: makes it, called with ``name``, ``norm``, ``conv`` and ``dtype``.
        output_stride: 32, or 16: the last stage keeps its maps' size, its kernels dilated by two,
            as for the detection of actions.
        zero_gamma: start the last normalization of each block at zero.
        dropout_rate: in front of the head.
        norm, conv: layers.
        dtype: compute dtype.

    Call: clips (N, T, H, W, C) with the fast pathway's frames, T a multiple of α; the slow
    pathway sees T/α of them (`slow_frames`) → logits (N, num_classes), float32. Updates
    "batch_stats" and needs the rng "dropout" in training.

    >>> network = SlowFast(num_classes=None, stages=(1, 1, 1, 1), width=16, alpha=4)
    >>> x = jax.ShapeDtypeStruct((1, 8, 32, 32, 3), jnp.float32)
    >>> maps = jax.eval_shape(lambda x: network.init_with_output(jax.random.key(0), x)[0], x)
    >>> maps["slow_stage4"].shape, maps["fast_stage4"].shape
    ((1, 2, 1, 1, 512), (1, 8, 1, 1, 64))
    """

    num_classes: int | None = 400
    stages: Sequence[int] = DEPTHS[50]
    alpha: int = 8
    beta_inverse: int = 8
    fusion_ratio: int = 2
    fusion_kernel: int = 5
    temporal: Sequence[int] | None = None
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
        check_clips(self, x, frames=self.alpha, smallest=2, stem="fast_stem/conv")
        if x.shape[1] % self.alpha:
            raise ValueError(
                f"SlowFast: expected a number of frames that α = {self.alpha} divides, got "
                f"{x.shape[1]} (shape {x.shape})"
            )
        strides, dilations = stage_strides(self)
        conv = partial(self.conv, use_bias=False, dtype=self.dtype)
        norm = partial(self.norm, dtype=self.dtype)
        widths = {"slow": self.width, "fast": self.width // self.beta_inverse}
        kernels = {"slow": SLOW_KERNELS, "fast": FAST_KERNELS}
        maps = {"slow": x[:, slow_frames(x.shape[1], self.alpha)], "fast": x}
        endpoints = OrderedDict()
        for path in maps:
            name = f"{path}_stem"
            stem = video_stem(widths[path], kernels[path][0], norm, conv, self.dtype, name)
            endpoints[name] = y = stem(maps[path], train)
            maps[path] = max_pool(y, (1, 3, 3), strides=(1, 2, 2), padding=(0, 1, 1))
        maps["slow"] = self._fused(maps, norm, conv, "fuse_stem", train)
        for i, depth in enumerate(self.stages):
            for path in maps:
                name = f"{path}_stage{i + 1}"
                maps[path] = endpoints[name] = PathwayStage(
                    depth,
                    widths[path] * 2**i,
                    widths[path] * 2 ** (i + 2),
                    (kernels[path][1][i],),
                    None if self.temporal is None else self.temporal[i],
                    strides[i],
                    self.non_local[i] if path == "slow" else (),
                    partial(self.non_local_block, norm=self.norm, conv=self.conv, dtype=self.dtype),
                    self.zero_gamma,
                    norm,
                    conv,
                    dilations[i],
                    name=name,
                )(maps[path], train)
            if i < len(self.stages) - 1:
                maps["slow"] = self._fused(maps, norm, conv, f"fuse_stage{i + 1}", train)
        if self.num_classes is None:
            return endpoints
        x = jnp.concatenate([global_avg_pool(maps[path]) for path in ("slow", "fast")], -1)
        x = Dropout(self.dropout_rate, name="dropout")(x, train=train)
        return Dense(self.num_classes, dtype=self.dtype, name="head")(x).astype(jnp.float32)

    def _fused(self, maps, norm, conv, name: str, train: bool) -> jax.Array:
        """The slow map with the lateral connection's channels behind its own."""
        kernel = (self.fusion_kernel, 1, 1)
        lateral = ConvNorm(
            maps["fast"].shape[-1] * self.fusion_ratio,
            kernel,
            strides=(self.alpha, 1, 1),
            padding=centered(kernel),
            norm=norm,
            conv=conv,
            dtype=self.dtype,
            name=name,
        )
        return jnp.concatenate((maps["slow"], lateral(maps["fast"], train)), -1)


_slowfast = partial(
    register,
    paper=papers.SLOWFAST,
    task="video classification",
    mean=SLOWFAST_MEAN,
    std=SLOWFAST_STD,
)
# ResNet-101 with kernels along time in the first blocks of each stage only, as it was published.
R101 = {"stages": DEPTHS[101], "alpha": 4, "temporal": (3, 4, 6, 3)}


@_slowfast(
    parameters=34_480_216,
    macs=27_638_665_216,
    frames=32,
    weights=("pyslowfast SLOWFAST_4x16_R50",),
)
def slowfast_4x16_r50(
    *, num_classes: int | None = 400, name: str | None = None, **fields: Any
) -> SlowFast:
    """SlowFast-50 with 4 and 32 frames; ``fields`` of `SlowFast`."""
    return SlowFast(num_classes=num_classes, name=name, **fields)


@_slowfast(
    parameters=34_566_488,
    macs=50_308_583_424,
    frames=32,
    weights=("pyslowfast SLOWFAST_8x8_R50",),
)
def slowfast_8x8_r50(
    *, num_classes: int | None = 400, name: str | None = None, **fields: Any
) -> SlowFast:
    """SlowFast-50 with 8 and 32 frames, laterals of seven frames; ``fields`` of `SlowFast`."""
    fields = {"alpha": 4, "fusion_kernel": 7, **fields}
    return SlowFast(num_classes=num_classes, name=name, **fields)


@_slowfast(
    parameters=41_838_680,
    macs=35_766_374_400,
    frames=32,
    weights=("pyslowfast SLOWFAST_NLN_4x16_R50",),
)
def slowfast_nln_4x16_r50(
    *, num_classes: int | None = 400, name: str | None = None, **fields: Any
) -> SlowFast:
    """`slowfast_4x16_r50` with five non-local blocks; ``fields`` of `SlowFast`."""
    fields = {"non_local": FIVE_NON_LOCAL, **fields}
    return SlowFast(num_classes=num_classes, name=name, **fields)


@_slowfast(
    parameters=53_774_808,
    macs=81_547_759_616,
    frames=32,
    weights=("pyslowfast SLOWFAST_8x8_R101_50_50",),
)
def slowfast_8x8_r101(
    *, num_classes: int | None = 400, name: str | None = None, **fields: Any
) -> SlowFast:
    """SlowFast-101 with 8 and 32 frames; ``fields`` of `SlowFast`."""
    return SlowFast(num_classes=num_classes, name=name, **{**R101, **fields})


@_slowfast(
    parameters=53_774_808,
    macs=163_094_597_632,
    frames=64,
    weights=("pyslowfast SLOWFAST_16x8_R101_50_50",),
)
def slowfast_16x8_r101(
    *, num_classes: int | None = 400, name: str | None = None, **fields: Any
) -> SlowFast:
    """SlowFast-101 with 16 and 64 frames; ``fields`` of `SlowFast`."""
    return SlowFast(num_classes=num_classes, name=name, **{**R101, **fields})
