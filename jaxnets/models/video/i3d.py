"""I3D: Inception-v1 whose kernels and poolings have grown into time, for RGB and for flow.

Source: Carreira, Zisserman, "Quo Vadis, Action Recognition? A New Model and the Kinetics Dataset",
2017, section 2.4 and figure 3. Padding is TensorFlow's, as in the published weights.
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
from jaxnets.models.registry import HALF, register
from jaxnets.models.video.layers import inception_head, scaled_widths, tensorflow_same
from jaxnets.models.video.s3d import MODULES
from jaxnets.nn import BatchNorm, Conv
from jaxnets.ops import materialize, max_pool

# Poolings in front of a module: window, equal to strides but for 4b's overlapping one.
POOLED = {"3b": ((1, 3, 3), (1, 2, 2)), "4b": ((3, 3, 3), (2, 2, 2)), "5b": ((2, 2, 2), (2, 2, 2))}


def same_max_pool(x: jax.Array, window: Sequence[int], strides: Sequence[int]) -> jax.Array:
    """Maximum over windows with TensorFlow's "SAME" padding.

    >>> same_max_pool(jnp.ones((1, 5, 6, 6, 1)), (3, 3, 3), (2, 2, 2)).shape
    (1, 3, 3, 3, 1)
    """
    padding = tensorflow_same(x.shape[1:4], window, strides)
    return max_pool(x, window, strides=strides, padding=padding)


class Inception3D(nn.Module):
    """1×1; 1×1 and 3×3×3, twice; 3×3×3 maximum and 1×1: side by side."""

    widths: Sequence[int]
    unit: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = materialize(x)  # Not to be computed again by each of its readers.
        b0, b1_reduce, b1, b2_reduce, b2, b3 = self.widths
        y1 = self.unit(b1_reduce, name="b1a")(x, train)
        y2 = self.unit(b2_reduce, name="b2a")(x, train)
        cube = partial(self.unit, kernel_size=(3, 3, 3), padding=1)
        branches = (
            self.unit(b0, name="b0")(x, train),
            cube(b1, name="b1b")(y1, train),
            cube(b2, name="b2b")(y2, train),
            self.unit(b3, name="b3b")(same_max_pool(x, (3, 3, 3), (1, 1, 1)), train),
        )
        return jnp.concatenate(branches, -1)


class I3D(nn.Module):
    """7×7×7/2 convolution, 1×1, 3×3×3, nine inception modules, average over 2×7×7, 1×1×1 head.

    Attributes:
        num_classes: width of the head; None returns the endpoints conv_1a, conv_2c, mixed_3c, 4f
            and 5c, the last of each size.
        width: factor on all channels.
        dropout_rate: in front of the head.
        norm, conv: layers.
        dtype: compute dtype.

    Call: clips (N, T, H, W, C) of at least 9 frames, made for 64 of 224×224 (smaller maps are
    averaged whole) → logits (N, num_classes), float32, the mean over time. Updates "batch_stats"
    and needs the rng "dropout" in training.

    >>> network = I3D(num_classes=None, width=1 / 16)
    >>> x = jax.ShapeDtypeStruct((1, 16, 64, 64, 2), jnp.float32)
    >>> maps = jax.eval_shape(lambda x: network.init_with_output(jax.random.key(0), x)[0], x)
    >>> maps["mixed_5c"].shape
    (1, 2, 2, 2, 64)
    """

    num_classes: int | None = 400
    width: float = 1.0
    dropout_rate: float = 0.5
    norm: Callable[..., nn.Module] = partial(BatchNorm, epsilon=1e-3, momentum=0.99)
    conv: Callable[..., nn.Module] = Conv
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False):
        check_clips(self, x, frames=2, smallest=8, stem="conv_1a/conv")
        unit = partial(
            ConvNorm, kernel_size=(1, 1, 1), norm=self.norm, conv=self.conv, dtype=self.dtype
        )
        stem, conv_2b, conv_2c = scaled_widths(self.width, (64, 64, 192))
        endpoints = OrderedDict()
        kernel, strides = (7, 7, 7), (2, 2, 2)
        padding = tensorflow_same(x.shape[1:4], kernel, strides)
        x = unit(stem, kernel_size=kernel, strides=strides, padding=padding, name="conv_1a")(
            x, train
        )
        endpoints["conv_1a"] = x
        x = same_max_pool(x, (1, 3, 3), (1, 2, 2))
        x = unit(conv_2b, name="conv_2b")(x, train)
        x = unit(conv_2c, kernel_size=(3, 3, 3), padding=1, name="conv_2c")(x, train)
        endpoints["conv_2c"] = x
        for place, widths in MODULES:
            if place in POOLED:
                x = same_max_pool(x, *POOLED[place])
            x = Inception3D(scaled_widths(self.width, widths), unit, name=f"mixed_{place}")(
                x, train
            )
            if place in ("3c", "4f", "5c"):
                endpoints[f"mixed_{place}"] = x
        if self.num_classes is None:
            return endpoints
        return inception_head(self, x, train)


_i3d = partial(register, paper=papers.I3D, task="video classification", frames=64)


@_i3d(
    parameters=12_697_264,
    macs=111_153_143_808,
    mean=HALF,
    std=HALF,
    weights=("piergiaj i3d_rgb",),
)
def i3d_rgb(*, num_classes: int | None = 400, name: str | None = None, **fields: Any) -> I3D:
    """I3D for RGB clips; ``fields`` of `I3D`."""
    return I3D(num_classes=num_classes, name=name, **fields)


@_i3d(parameters=12_675_312, macs=102_341_435_392, channels=2, weights=("piergiaj i3d_flow",))
def i3d_flow(*, num_classes: int | None = 400, name: str | None = None, **fields: Any) -> I3D:
    """I3D for optical flow (horizontal, vertical; ±20 pixels as −1…1); ``fields`` of `I3D`."""
    return I3D(num_classes=num_classes, name=name, **fields)
