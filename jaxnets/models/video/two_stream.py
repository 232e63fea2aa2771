"""Two streams: one network sees a frame, one a stack of optical flow; their predictions are joined.

The network is CNN-M-2048, an image network with stride 2 in its first two convolutions.

Source: Simonyan, Zisserman, "Two-Stream Convolutional Networks for Action Recognition in Videos",
2014, section 2, figure 1; the network: Chatfield et al., "Return of the Devil in the Details",
2014, table 1.
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
from jaxnets.models.registry import register
from jaxnets.models.video.fusion import log_mean_softmax
from jaxnets.nn import Conv, Dense, Dropout
from jaxnets.ops import local_response_norm, max_pool, relu

# Channels, kernel, stride, padding, groups, whether normalized, whether pooled.
CNN_M = (
    (96, 7, 2, 0, 1, True, True),
    (256, 5, 2, 1, 1, True, True),
    (512, 3, 1, 1, 1, False, False),
    (512, 3, 1, 1, 1, False, False),
    (512, 3, 1, 1, 1, False, True),
)


class FrameCNN(nn.Module):
    """Five convolutions with 3×3/2 poolings as in AlexNet's time, then connected layers.

    Attributes:
        num_classes: width of the head; None returns the endpoints conv1…conv5, pool5, fc6, ….
        layers: of the convolutions, see `CNN_M`.
        fc_widths: of the connected layers fc6, fc7 in front of the head.
        pool_first: normalize behind the pooling (CaffeNet) and not in front of it.
        dropout_rate: after each connected layer.
        conv: convolution layer.
        dtype: compute dtype.

    Call: images (N, H, W, C), or flow stacks (N, H, W, 2L) → logits (N, num_classes), float32.
    Poolings round up, as Caffe's. Needs the rng "dropout" in training.

    >>> network = FrameCNN(layers=((4, 3, 2, 0, 1, True, True),), fc_widths=(8,), num_classes=5)
    >>> x = jax.ShapeDtypeStruct((2, 16, 16, 20), jnp.float32)
    >>> jax.eval_shape(lambda x: network.init_with_output(jax.random.key(0), x)[0], x).shape
    (2, 5)
    """

    num_classes: int | None = 101
    layers: Sequence[tuple] = CNN_M
    fc_widths: Sequence[int] = (4096, 2048)
    pool_first: bool = False
    dropout_rate: float = 0.5
    conv: Callable[..., nn.Module] = Conv
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False):
        check_images(self, x, smallest=self.layers[0][1], stem="conv1")
        endpoints = OrderedDict()
        for i, (width, k, stride, padding, groups, normalized, pooled) in enumerate(self.layers):
            x = self.conv(
                width,
                (k, k),
                strides=stride,
                padding=padding,
                groups=groups,
                dtype=self.dtype,
                name=f"conv{i + 1}",
            )(x)
            x = endpoints[f"conv{i + 1}"] = relu(x)
            steps = []
            if normalized:
                steps.append(partial(local_response_norm))
            if pooled:
                steps.append(partial(max_pool, window=3, strides=2, ceil_mode=True))
            for step in reversed(steps) if self.pool_first else steps:
                x = step(x)
        endpoints["pool5"] = x
        x = x.reshape(x.shape[0], -1)
        for i, width in enumerate(self.fc_widths, start=6):
            x = endpoints[f"fc{i}"] = relu(Dense(width, dtype=self.dtype, name=f"fc{i}")(x))
            x = Dropout(self.dropout_rate, name=f"dropout{i}")(x, train=train)
        if self.num_classes is None:
            return endpoints
        return Dense(self.num_classes, dtype=self.dtype, name="head")(x).astype(jnp.float32)


class TwoStream(nn.Module):
    """A spatial network on the frame in the middle, a temporal one on flow; softmaxes averaged.

    Each stream is trained by itself (the paper), or both by the loss of the mean.

    Attributes:
        spatial: takes images (N, H, W, C).
        temporal: takes flow stacks (N, H, W, 2L).

    Call: clips (N, T, H, W, C), flow (N, L, H, W, 2) → log of the mean of both softmaxes, which
    are logits (N, num_classes). The logits of each stream are in the collection "streams",
    (2, N, num_classes), for `jaxnets.tasks.separate_streams`.

    >>> tiny = FrameCNN(layers=((4, 3, 2, 0, 1, False, True),), fc_widths=(8,), num_classes=5)
    >>> network = TwoStream(tiny, tiny.clone())
    >>> clip, flow = jnp.zeros((2, 3, 16, 16, 3)), jnp.zeros((2, 2, 16, 16, 2))
    >>> run = lambda *x: network.init_with_output(jax.random.key(0), *x)[0]
    >>> jax.eval_shape(run, clip, flow).shape
    (2, 5)
    """

    spatial: nn.Module
    temporal: nn.Module

    @nn.compact
    def __call__(self, x: jax.Array, flow: jax.Array, *, train: bool = False) -> jax.Array:
        streams = (
            self.spatial(x[:, x.shape[1] // 2], train=train),
            self.temporal(flow_stack(flow), train=train),
        )
        logits = jnp.stack(streams)
        if not self.is_initializing():
            self.sow("streams", "logits", logits)
        return log_mean_softmax(logits, 0)


def flow_stack(flow: jax.Array) -> jax.Array:
    """Flow fields of several frames as channels: (N, L, H, W, 2) → (N, H, W, 2L).

    Args:
        flow: horizontal and vertical displacements.

    Returns:
        Channels in the order x₁, y₁, x₂, y₂, … (section 3, equation 1).

    Raises:
        ValueError: no flow.

    >>> flow_stack(jnp.zeros((1, 10, 4, 4, 2))).shape
    (1, 4, 4, 20)
    """
    if flow.ndim != 5 or flow.shape[-1] != 2:
        raise ValueError(f"flow: expected (N, L, H, W, 2), got {flow.shape}")
    return jnp.moveaxis(flow, 1, 3).reshape(flow.shape[0], *flow.shape[2:4], -1)


_two_stream = partial(register, paper=papers.TWO_STREAM, task="video classification")


@_two_stream(parameters=90_627_813, macs=1_663_894_560, published="UCF101, three splits: 73.0 %")
def two_stream_spatial(
    *, num_classes: int | None = 101, name: str | None = None, **fields: Any
) -> FrameCNN:
    """CNN-M-2048 on a frame; ``fields`` of `FrameCNN`."""
    return FrameCNN(num_classes=num_classes, name=name, **fields)


@_two_stream(
    parameters=90_707_781,
    macs=2_613_994_368,
    channels=20,
    published="UCF101, three splits: 83.7 %; both streams 86.9 % averaged, 88.0 % by an SVM",
)
def two_stream_temporal(
    *, num_classes: int | None = 101, name: str | None = None, **fields: Any
) -> FrameCNN:
    """CNN-M-2048 on ten flow fields, 20 channels; ``fields`` of `FrameCNN`."""
    return FrameCNN(num_classes=num_classes, name=name, **fields)
