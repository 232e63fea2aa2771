"""Inception-v2 as table 1 of "Rethinking the Inception Architecture" prints it.

Not to be confused with `bn_inception`, which others call Inception-v2 as well, nor with
`inception_v3`, the released network, whose stem has a 1×1 where this one has a 3×3, and whose
second reduction factorizes a 7×7.

Printed in the paper: the stem with its channels, the sizes and channels of the maps (35×35×288,
17×17×768, 8×8×1280, 8×8×2048), three modules of figure 5, five of figure 6 (n = 7), two of
figure 7, reductions as in figure 10. The sizes of the filter banks inside the modules were in a
file beside the paper. Chosen here: those of the released Inception-v3 where it has the same branch;
inside the five modules of figure 6 128, 160, 160, 160, 192; padding in the stem's last convolution
(the map stays 35×35); dropout 0.5.

Two sentences of the paper cannot be had from its table. "42 layers": the longest path of the table
has 6 + 3·3 + 5·5 + 2·3 + 1 = 47, reductions not counted; with four modules of figure 6, as
Inception-v3 was released, 42. "About 2.5 times the cost of GoogLeNet": this network takes 6.30 G
multiply-adds, 3.98 times GoogLeNet's 1.58 G and 3.1 times BN-Inception's 2.03 G; the printed stem
alone takes 1.63 G.

Source: Szegedy, Vanhoucke, Ioffe, Shlens, Wojna, "Rethinking the Inception Architecture for
Computer Vision", 2015, table 1, figures 5, 6, 7, 10.
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
from jaxnets.models.inception_v3 import (
    ONE,
    THREE,
    Branches,
    Path,
    module_b,
    module_c,
    module_e,
    scale_step,
)
from jaxnets.models.layers import ConvNorm
from jaxnets.models.registry import register
from jaxnets.nn import BatchNorm, Conv, Dense, Dropout
from jaxnets.ops import global_avg_pool, max_pool


def figure_5() -> tuple[Sequence[Path], int]:
    """5×5 as two 3×3, at 35×35: 64 + 64 + 96 + 64 = 288 channels."""
    return (
        ((64, ONE, 1),),
        ((48, ONE, 1), (64, THREE, 1)),
        ((64, ONE, 1), (96, THREE, 1), (96, THREE, 1)),
    ), 64


def figure_10() -> tuple[Sequence[Path], int]:
    """17×17×768 → 8×8×1280: two paths of convolutions with stride and a pooling side by side."""
    return (
        ((192, ONE, 1), (320, THREE, 2)),
        ((192, ONE, 1), (192, THREE, 1), (192, THREE, 2)),
    ), 0


MODULES = {
    "mixed5b": figure_5(),
    "mixed5c": figure_5(),
    "mixed5d": figure_5(),
    "mixed6a": module_b(),
    "mixed6b": module_c(128),
    "mixed6c": module_c(160),
    "mixed6d": module_c(160),
    "mixed6e": module_c(160),
    "mixed6f": module_c(192),
    "mixed7a": figure_10(),
    "mixed7b": module_e(),
    "mixed7c": module_e(),
}


class InceptionV2(nn.Module):
    """299×299: six convolutions to 35×35×288, twelve modules, average pool, head.

    Attributes:
        num_classes: width of the head; None returns the endpoints stem1, stem2, stem3 (strides 2,
            4, 8), mixed5b…5d (8), 6a…6f (16), 7a…7c (32).
        width: multiplier of all channels.
        dropout_rate: before the head.
        norm, conv: layers.
        dtype: compute dtype.

    Call: images (N, H, W, C) of at least 75×75 → logits (N, num_classes), float32. Needs the rng
    "dropout" in training.

    >>> from jaxnets.models import count_macs, create_model
    >>> count_macs(create_model("inception_v2", num_classes=10), (75, 75, 3))
    218551904
    """

    num_classes: int | None = 1000
    width: float = 1.0
    dropout_rate: float = 0.5
    norm: Callable[..., nn.Module] = BatchNorm
    conv: Callable[..., nn.Module] = Conv
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False):
        check_images(self, x, smallest=75, stem="conv1/conv")
        norm = partial(self.norm, epsilon=1e-3)
        layer = partial(ConvNorm, norm=norm, conv=self.conv, dtype=self.dtype)
        scale = lambda channels: int(channels * self.width)  # noqa: E731
        endpoints = OrderedDict()
        x = layer(scale(32), THREE, strides=2, name="conv1")(x, train)
        x = layer(scale(32), THREE, name="conv2")(x, train)
        x = endpoints["stem1"] = layer(scale(64), THREE, padding=1, name="conv3")(x, train)
        x = max_pool(x, (3, 3), strides=2)
        x = endpoints["stem2"] = layer(scale(80), THREE, name="conv4")(x, train)
        x = layer(scale(192), THREE, strides=2, name="conv5")(x, train)
        x = endpoints["stem3"] = layer(scale(288), THREE, padding=1, name="conv6")(x, train)
        for name, (paths, pool) in MODULES.items():
            paths = tuple(tuple(scale_step(s, self.width) for s in path) for path in paths)
            x = Branches(paths, scale(pool), layer, name=name)(x, train)
            endpoints[name] = x
        if self.num_classes is None:
            return endpoints
        x = Dropout(self.dropout_rate, name="dropout")(global_avg_pool(x), train=train)
        return Dense(self.num_classes, dtype=self.dtype, name="head")(x).astype(jnp.float32)


@register(
    parameters=25_769_544,
    macs=6_299_294_304,
    paper=papers.INCEPTION_V3,
    input_size=299,
    feature_strides={
        "stem1": 2,
        "stem2": 4,
        "stem3": 8,
        **{name: {"5": 8, "6": 16, "7": 32}[name[5]] for name in MODULES},
    },
    published="ImageNet top-1 error 23.4 %",
)
def inception_v2(
    *, num_classes: int | None = 1000, name: str | None = None, **fields: Any
) -> InceptionV2:
    """Inception-v2 of table 1; ``fields`` of `InceptionV2`."""
    return InceptionV2(num_classes=num_classes, name=name, **fields)
