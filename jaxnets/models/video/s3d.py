"""S3D: I3D with its convolutions split into one in space and one in time.

Source: Xie, Sun, Huang, Tu, Murphy, "Rethinking Spatiotemporal Feature Learning: Speed-Accuracy
Trade-offs in Video Classification", 2017, section 4.3 and figure 6; without gating, as torchvision.
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
from jaxnets.models.video.layers import FactoredConv, inception_head, scaled_widths
from jaxnets.models.video.resnet3d import KINETICS_MEAN, KINETICS_STD
from jaxnets.nn import BatchNorm, Conv
from jaxnets.ops import materialize, max_pool

# Channels: 1×1; reduce and 3×3; reduce and second 3×3; behind the pooling (Inception-v1).
MODULES = (
    ("3b", (64, 96, 128, 16, 32, 32)),
    ("3c", (128, 128, 192, 32, 96, 64)),
    ("4b", (192, 96, 208, 16, 48, 64)),
    ("4c", (160, 112, 224, 24, 64, 64)),
    ("4d", (128, 128, 256, 24, 64, 64)),
    ("4e", (112, 144, 288, 32, 64, 64)),
    ("4f", (256, 160, 320, 32, 128, 128)),
    ("5b", (256, 160, 320, 32, 128, 128)),
    ("5c", (384, 192, 384, 48, 128, 128)),
)
# Poolings in front of a module: window (of stride 2) and padding.
POOLED = {"4b": (3, 1), "5b": (2, 0)}


class SeparableInception(nn.Module):
    """1×1; 1×1 and separable 3×3×3, twice; 3×3×3 maximum and 1×1: side by side."""

    widths: Sequence[int]
    unit: Callable[..., nn.Module]
    separable: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = materialize(x)  # Not to be computed again by each of its readers.
        b0, b1_reduce, b1, b2_reduce, b2, b3 = self.widths
        y1 = self.unit(b1_reduce, name="branch1_reduce")(x, train)
        y2 = self.unit(b2_reduce, name="branch2_reduce")(x, train)
        pooled = max_pool(x, 3, strides=1, padding=1)
        branches = (
            self.unit(b0, name="branch0")(x, train),
            self.separable(b1, b1, name="branch1")(y1, train),
            self.separable(b2, b2, name="branch2")(y2, train),
            self.unit(b3, name="branch3")(pooled, train),
        )
        return jnp.concatenate(branches, -1)


class S3D(nn.Module):
    """Separable 7×7×7 and 3×3×3 stem, nine separable inception modules, average, 1×1×1 head.

    Attributes:
        num_classes: width of the head; None returns the endpoints stem, conv2, and mixed_3c, 4f and
            5c, the last of each size.
        width: factor on all channels.
        dropout_rate: in front of the head.
        norm, conv: layers.
        dtype: compute dtype.

    Call: clips (N, T, H, W, C) of at least 14 frames and 193×193 (the last average spans 2×7×7
    positions; smaller maps are averaged whole) → logits (N, num_classes), float32. Updates
    "batch_stats" and needs the rng "dropout" in training.

    >>> network = S3D(num_classes=None, width=1 / 16)
    >>> x = jax.ShapeDtypeStruct((1, 16, 64, 64, 3), jnp.float32)
    >>> maps = jax.eval_shape(lambda x: network.init_with_output(jax.random.key(0), x)[0], x)
    >>> maps["mixed_5c"].shape
    (1, 2, 2, 2, 64)
    """

    num_classes: int | None = 400
    width: float = 1.0
    dropout_rate: float = 0.2
    norm: Callable[..., nn.Module] = partial(BatchNorm, epsilon=1e-3, momentum=0.999)
    conv: Callable[..., nn.Module] = Conv
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False):
        check_clips(self, x, frames=8, smallest=16, stem="stem/space/conv")
        layers = {"norm": self.norm, "conv": self.conv, "dtype": self.dtype}
        unit = partial(ConvNorm, kernel_size=(1, 1, 1), **layers)
        separable = partial(FactoredConv, **layers)
        stem, conv1, conv2 = scaled_widths(self.width, (64, 64, 192))
        endpoints = OrderedDict()
        x = separable(stem, stem, 7, strides=(2, 2, 2), name="stem")(x, train)
        endpoints["stem"] = x
        x = max_pool(x, (1, 3, 3), strides=(1, 2, 2), padding=(0, 1, 1))
        x = unit(conv1, name="conv1")(x, train)
        x = endpoints["conv2"] = separable(conv2, conv2, name="conv2")(x, train)
        x = max_pool(x, (1, 3, 3), strides=(1, 2, 2), padding=(0, 1, 1))
        for place, widths in MODULES:
            if place in POOLED:
                window, padding = POOLED[place]
                x = max_pool(x, window, strides=2, padding=padding)
            module = SeparableInception(
                scaled_widths(self.width, widths), unit, separable, name=f"mixed_{place}"
            )
            x = module(x, train)
            if place in ("3c", "4f", "5c"):
                endpoints[f"mixed_{place}"] = x
        if self.num_classes is None:
            return endpoints
        return inception_head(self, x, train)


@register(
    paper=papers.S3D,
    parameters=8_320_048,
    macs=17_978_771_456,
    task="video classification",
    frames=16,
    mean=KINETICS_MEAN,
    std=KINETICS_STD,
    weights=("torchvision s3d",),
)
def s3d(*, num_classes: int | None = 400, name: str | None = None, **fields: Any) -> S3D:
    """S3D; ``fields`` of `S3D`."""
    return S3D(num_classes=num_classes, name=name, **fields)
