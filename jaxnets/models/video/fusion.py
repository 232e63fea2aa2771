"""Single frame, early, late and slow fusion: one image network, and where time is closed.

| fusion | frames that conv1, 2, 3 see (stride) | time is closed |
|---|---|---|
| single frame | 1, 1, 1 | by the mean of the predictions |
| early | all, 1, 1 | in the first layer |
| late | 1, 1, 1 | in the first connected layer, which sees the first and the last frame |
| late, pooled | 1, 1, 1 | by the mean of the maps of all frames |
| slow | 4 (2), 2 (2), 2 | little by little |

Source: Karpathy et al., "Large-scale Video Classification with Convolutional Neural Networks",
2014, section 3.1 and figure 1.
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
from jaxnets.models.registry import register
from jaxnets.nn import Conv, Dense, Dropout
from jaxnets.ops import local_response_norm, max_pool, relu

# C(96, 11, 3)-N-P-C(256, 5, 1)-N-P-C(384, 3, 1)-C(384, 3, 1)-C(256, 3, 1)-P: channels, kernel and
# stride in space, padding, whether normalized, whether pooled.
LAYERS = (
    (96, 11, 3, 0, True, True),
    (256, 5, 1, 2, True, True),
    (384, 3, 1, 1, False, False),
    (384, 3, 1, 1, False, False),
    (256, 3, 1, 1, False, True),
)
HEADS = ("mean", "concat", "pool")


def frames_seen(kernels: Sequence[int], strides: Sequence[int]) -> list[int]:
    """How many frames each layer of a stack sees: r_i = r_{i−1} + (k_i − 1) · Π_{j<i} s_j.

    Args:
        kernels: frames that each layer's kernel spans.
        strides: of each layer in time.

    Returns:
        One number a layer.

    >>> frames_seen((4, 2, 2), (2, 2, 1))  # slow fusion
    [4, 6, 10]
    """
    seen, step, found = 1, 1, []
    for kernel, stride in zip(kernels, strides, strict=True):
        seen += (kernel - 1) * step
        step *= stride
        found.append(seen)
    return found


class FrameFusion(nn.Module):
    """Five convolutions, three poolings of each frame, three connected layers.

    Attributes:
        num_classes: width of the head; None returns the endpoints conv1…conv5.
        layers: of the convolutions, see `LAYERS`.
        time_kernels: frames that each convolution sees, unpadded; with "all" those there are.
        time_strides: of the convolutions in time.
        frames: which frames are looked at; None: all.
        head: "mean": the connected layers look at every remaining step, and their predictions are
            averaged; "concat": at all steps side by side; "pool": at the mean over the steps, which
            cannot tell their order.
        fc_width: of fc6 and fc7.
        dropout_rate: after both.
        conv: convolution layer.
        dtype: compute dtype.

    Call: clips (N, T, H, W, C) → logits (N, num_classes), float32. Needs the rng "dropout" in
    training.

    Raises:
        ValueError: another head, or fewer frames than the kernels span.

    >>> network = slow_fusion(num_classes=5, layers=((4, 3, 1, 1, False, True),) * 3, fc_width=8)
    >>> x = jax.ShapeDtypeStruct((2, 10, 16, 16, 3), jnp.float32)
    >>> jax.eval_shape(lambda x: network.init_with_output(jax.random.key(0), x)[0], x).shape
    (2, 5)
    """

    num_classes: int | None = 487
    layers: Sequence[tuple] = LAYERS
    time_kernels: Sequence[int | str] = (1, 1, 1, 1, 1)
    time_strides: Sequence[int] = (1, 1, 1, 1, 1)
    frames: Sequence[int] | None = None
    head: str = "mean"
    fc_width: int = 4096
    dropout_rate: float = 0.5
    conv: Callable[..., nn.Module] = Conv
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False):
        check_clips(self, x, stem="conv1")
        if self.head not in HEADS:
            raise ValueError(f"FrameFusion: head must be one of {HEADS}, got {self.head!r}")
        if self.frames is not None:
            x = x[:, jnp.asarray(self.frames)]
        endpoints = OrderedDict()
        for i, (width, kernel, stride, padding, normalized, pooled) in enumerate(self.layers):
            time = x.shape[1] if self.time_kernels[i] == "all" else self.time_kernels[i]
            if time > x.shape[1]:
                raise ValueError(
                    f"FrameFusion: conv{i + 1} sees {time} frames or steps, and {x.shape[1]} are "
                    "left; give longer clips"
                )
            x = self.conv(
                width,
                (time, kernel, kernel),
                strides=(self.time_strides[i], stride, stride),
                padding=((0, 0), (padding, padding), (padding, padding)),
                dtype=self.dtype,
                name=f"conv{i + 1}",
            )(x)
            x = endpoints[f"conv{i + 1}"] = relu(x)
            x = local_response_norm(x) if normalized else x
            x = max_pool(x, (1, 2, 2)) if pooled else x
        if self.num_classes is None:
            return endpoints
        if self.head == "pool":
            x = x.mean(1, keepdims=True)
        elif self.head == "concat":
            x = jnp.moveaxis(x, 1, -2).reshape(x.shape[0], 1, *x.shape[2:4], -1)
        x = x.reshape(*x.shape[:2], -1)
        for name in ("fc6", "fc7"):
            x = relu(Dense(self.fc_width, dtype=self.dtype, name=name)(x))
            x = Dropout(self.dropout_rate, name=f"dropout_{name}")(x, train=train)
        x = Dense(self.num_classes, dtype=self.dtype, name="head")(x).astype(jnp.float32)
        return log_mean_softmax(x, 1) if self.head == "mean" else x[:, 0]


def log_mean_softmax(logits: jax.Array, axis: int) -> jax.Array:
    """log mean_i softmax(logits_i): what averaged predictions are as logits.

    One set of logits has its own log-softmax; the softmax of the result is the mean of theirs.

    Args:
        logits: (…, classes).
        axis: over which predictions are averaged.

    Returns:
        Without that axis, float32 or wider.

    >>> import numpy as np
    >>> both = jnp.array([[0.0, 2.0], [1.0, 0.0]])
    >>> mean = jax.nn.softmax(log_mean_softmax(both, 0))
    >>> bool(jnp.allclose(mean, jax.nn.softmax(both).mean(0)))
    True
    """
    logits = jax.nn.log_softmax(logits.astype(jnp.promote_types(logits.dtype, jnp.float32)))
    return jax.nn.logsumexp(logits, axis) - jnp.log(logits.shape[axis])


_fusion = partial(register, paper=papers.VIDEO_FUSION, task="video classification", input_size=170)


@_fusion(
    parameters=60_276_583,
    macs=1_129_356_416,
    frames=1,
    published="Sports-1M: clip 41.1 %, video 59.3 %, top-5 77.7 %",
)
def single_frame(
    *, num_classes: int | None = 487, name: str | None = None, **fields: Any
) -> FrameFusion:
    """Each frame by itself, predictions averaged; ``fields`` of `FrameFusion`."""
    return FrameFusion(num_classes=num_classes, name=name, **fields)


@_fusion(
    parameters=60_590_215,
    macs=2_043_907_328,
    frames=10,
    published="Sports-1M: clip 38.9 %, video 57.7 %, top-5 76.8 %",
)
def early_fusion(
    *, num_classes: int | None = 487, name: str | None = None, **fields: Any
) -> FrameFusion:
    """The first kernels see all frames; ``fields`` of `FrameFusion`."""
    fields = {"time_kernels": ("all", 1, 1, 1, 1), "head": "concat", **fields}
    return FrameFusion(num_classes=num_classes, name=name, **fields)


@_fusion(
    parameters=98_025_319,
    macs=2_239_940_864,
    frames=15,
    published="Sports-1M: clip 40.7 %, video 59.3 %, top-5 78.7 %",
)
def late_fusion(
    *, num_classes: int | None = 487, name: str | None = None, **fields: Any
) -> FrameFusion:
    """The first and the last frame, joined in fc6; ``fields`` of `FrameFusion`."""
    fields = {"frames": (0, -1), "head": "concat", **fields}
    return FrameFusion(num_classes=num_classes, name=name, **fields)


@_fusion(
    parameters=61_880_263,
    macs=4_146_821_120,
    frames=10,
    published="Sports-1M: clip 41.9 %, video 60.9 %, top-5 80.2 %",
)
def slow_fusion(
    *, num_classes: int | None = 487, name: str | None = None, **fields: Any
) -> FrameFusion:
    """Time is closed little by little in three layers; ``fields`` of `FrameFusion`."""
    kernels, strides = (4, 2, 2, 1, 1), (2, 2, 1, 1, 1)
    fields = {"time_kernels": kernels, "time_strides": strides, "head": "concat", **fields}
    return FrameFusion(num_classes=num_classes, name=name, **fields)
