"""GoogLeNet (Inception v1): of the paper, and the normalized variant that torchvision ships.

Source: Szegedy et al., "Going Deeper with Convolutions", 2014, table 1, figure 2b, section 5; local
response normalization as in the released Caffe network (whose 5 M parameters are
7 M, and whose second auxiliary classifier stands behind 4d).
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
from jaxnets.models.layers import ConvNorm, SpatialDense
from jaxnets.models.registry import HALF, IMAGENET_MEAN, IMAGENET_STD, register
from jaxnets.nn import BatchNorm, Conv, Dense, Dropout
from jaxnets.ops import (
    adaptive_avg_pool,
    avg_pool,
    global_avg_pool,
    local_response_norm,
    max_pool,
    relu,
)
from jaxnets.ops.half_bits import concatenate

# Table 1: #1×1, #3×3 reduce, #3×3, #5×5 reduce, #5×5, pool projection.
MODULES = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
AUXILIARY = {"4a": "aux1", "4d": "aux2"}
# Section 5: "the losses of the auxiliary classifiers were weighted by 0.3".
AUXILIARY_WEIGHTS = {"aux1": 0.3, "aux2": 0.3}
# The released network's: alpha divided by the size, k = 1.
_lrn = partial(local_response_norm, size=5, alpha=1e-4, beta=0.75, k=1.0, divide_by_size=True)


class Inception(nn.Module):
    """1×1, 1×1→3×3, 1×1→5×5 and pool→1×1 side by side: all scales, then aggregated.

    ``largest`` is the kernel of the third branch: 5, or torchvision's 3. Where a reduction or the
    projection is None there is none: with all three missing this is the naive module of figure 2a.
    """

    widths: tuple[int, int | None, int, int | None, int, int | None]
    largest: int
    layer: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        one, reduce3, three, reduce5, five, pool = self.widths
        k = self.largest
        layer = self.layer
        a = layer(one, name="1x1")(x, train)
        b = x if reduce3 is None else layer(reduce3, name="3x3_reduce")(x, train)
        b = layer(three, (3, 3), padding=1, name="3x3")(b, train)
        c = x if reduce5 is None else layer(reduce5, name="5x5_reduce")(x, train)
        c = layer(five, (k, k), padding=k // 2, name="5x5")(c, train)
        d = max_pool(x, (3, 3), strides=1, padding=1)
        d = d if pool is None else layer(pool, name="pool_proj")(d, train)
        return concatenate([a, b, c, d], axis=-1)


class AuxiliaryHead(nn.Module):
    """A classifier on a map in the middle: pool to 4×4, 1×1 to 128, 1024, dropout 0.7, classes."""

    num_classes: int
    width: float
    paper: bool
    layer: Callable[..., nn.Module]
    dtype: Any

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        if self.paper and min(x.shape[1:3]) >= 14:
            x = avg_pool(x, (5, 5), strides=3)
        x = adaptive_avg_pool(x, 4)
        x = self.layer(int(128 * self.width), name="conv")(x, train)
        x = relu(SpatialDense(int(1024 * self.width), 4, dtype=self.dtype, name="fc1")(x))
        x = Dropout(0.7, name="dropout")(x, train=train)
        x = SpatialDense(self.num_classes, dtype=self.dtype, name="fc2")(x)
        return x[:, 0, 0].astype(jnp.float32)


class GoogLeNet(nn.Module):
    """A stem, nine inception modules at strides 8, 16, 32, average pool, head.

    Attributes:
        num_classes: width of the head; None returns the endpoints conv1 (stride 2), conv2 (4),
            inception3a, 3b (8), 4a…4e (16), 5a, 5b (32).
        variant: "paper" (biases, local response normalization, a real 5×5) or "torchvision"
            (batch normalization, a 3×3 instead of the 5×5, pooling 2×2 before 5a).
        auxiliary: two more classifiers, behind 4a and 4d. In training their logits are put
            (with `flax.linen.Module.sow`) into the collection "aux_logits" as "aux1" and "aux2";
            the paper's loss is main + 0.3·aux1 + 0.3·aux2. In evaluation they are not computed.
        width: multiplier of all channels.
        naive: modules without reductions and projections (figure 2a), whose outputs grow by what
            they are given.
        dropout_rate: before the head.
        norm, conv: layers.
        dtype: compute dtype.

    Call: images (N, H, W, C) of at least 47×47 (torchvision: 31×31) → logits (N, num_classes),
    float32. Needs the rng "dropout" in training.
    """

    num_classes: int | None = 1000
    variant: str = "paper"
    auxiliary: bool = False
    width: float = 1.0
    naive: bool = False
    dropout_rate: float = 0.4
    norm: Callable[..., nn.Module] = BatchNorm
    conv: Callable[..., nn.Module] = Conv
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False):
        smallest = 47 if self.variant == "paper" else 31
        check_images(self, x, smallest=smallest, stem="conv1/conv")
        if self.variant not in ("paper", "torchvision"):
            raise ValueError(
                f"GoogLeNet: variant must be 'paper' or 'torchvision', got {self.variant!r}"
            )
        paper = self.variant == "paper"
        norm = None if paper else partial(self.norm, epsilon=1e-3)
        layer = partial(ConvNorm, use_bias=paper, norm=norm, conv=self.conv, dtype=self.dtype)
        lrn = _lrn if paper else lambda x: x
        pool = partial(max_pool, window=(3, 3), strides=2, ceil_mode=True)
        scale = lambda channels: int(channels * self.width)  # noqa: E731
        endpoints = OrderedDict()
        x = layer(scale(64), (7, 7), strides=2, padding=3, name="conv1")(x, train)
        endpoints["conv1"] = x
        x = layer(scale(64), name="conv2_reduce")(lrn(pool(x)), train)
        x = layer(scale(192), (3, 3), padding=1, name="conv2")(x, train)
        endpoints["conv2"] = x
        x = pool(lrn(x))
        for module, widths in MODULES.items():
            name = f"inception{module}"
            widths = tuple(scale(width) for width in widths)
            if self.naive:
                one, _, three, _, five, _ = widths
                widths = (one, None, three, None, five, None)
            x = Inception(widths, 5 if paper else 3, layer, name=name)(x, train)
            endpoints[name] = x
            if module in AUXILIARY:
                self._auxiliary(x, AUXILIARY[module], layer, train)
            if module == "3b":
                x = pool(x)
            elif module == "4e":
                x = pool(x) if paper else max_pool(x, (2, 2), strides=2, ceil_mode=True)
        if self.num_classes is None:
            return endpoints
        x = Dropout(self.dropout_rate, name="dropout")(global_avg_pool(x), train=train)
        return Dense(self.num_classes, dtype=self.dtype, name="head")(x).astype(jnp.float32)

    def _auxiliary(self, x: jax.Array, name: str, layer: Callable, train: bool) -> None:
        if not self.auxiliary or self.num_classes is None:
            return
        if not (train or self.is_initializing()):
            return
        paper = self.variant == "paper"
        head = AuxiliaryHead(
            self.num_classes, self.width, paper, layer, self.dtype, name=f"{name}_head"
        )
        logits = head(x, train)
        if not self.is_initializing():
            self.sow("aux_logits", name, logits, lambda old, new: new, lambda: None)


_googlenet = partial(
    register,
    paper=papers.GOOGLENET,
    feature_strides={
        "conv1": 2,
        "conv2": 4,
        **{f"inception{m}": {"3": 8, "4": 16, "5": 32}[m[0]] for m in MODULES},
    },
    auxiliary=AUXILIARY_WEIGHTS,
)


@_googlenet(
    parameters=6_998_552,
    macs=1_582_671_872,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    published="ImageNet top-5 error 10.07 % (one network, one crop)",
)
def googlenet(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> GoogLeNet:
    """GoogLeNet of the paper; ``fields`` of `GoogLeNet`."""
    return GoogLeNet(num_classes=num_classes, name=name, **fields)


# torchvision's published network first turns images that are normalized with ImageNet's statistics
# into (x − 0.5) / 0.5 (its transform_input); the weights are TensorFlow's.
@_googlenet(
    parameters=6_624_904,
    macs=1_498_376_192,
    mean=HALF,
    std=HALF,
    weights=("torchvision googlenet",),
)
def googlenet_bn(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> GoogLeNet:
    """GoogLeNet with batch normalization, as torchvision ships it; ``fields`` of `GoogLeNet`."""
    return GoogLeNet(
        num_classes=num_classes,
        name=name,
        **{"variant": "torchvision", "dropout_rate": 0.2, **fields},
    )
