"""FitNets: thin deep maxout networks for 32×32 images, students of wider and shallower ones.

Source: Romero, Ballas, Kahou, Chassang, Gatta, Bengio, "FitNets: Hints for Thin Deep Nets", 2014,
section 3.1 and the appendix; widths whose parameters add up to the printed 250 thousand,
862 thousand and 2.5 million.
"""

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.models import papers
from jaxnets.models.checks import check_images
from jaxnets.models.registry import register
from jaxnets.nn import Dense, Maxout
from jaxnets.ops import max_pool

# Channels of the 3×3 maxout layers of each stage; FitNet 1 has 11 layers, FitNet 4 has 19.
WIDTHS = {
    1: ((16, 16, 16), (32, 32, 32), (48, 48, 64)),
    2: ((16, 32, 32), (48, 64, 80), (96, 96, 128)),
    4: ((32, 32, 32, 48, 48), (80,) * 6, (128,) * 6),
}


class FitNet(nn.Module):
    """Stages of 3×3 maxout layers, a 2×2 pooling after each but the last, then a maxout layer.

    Attributes:
        num_classes: width of the head; None returns the endpoints stage1, stage2, stage3 before
            their pooling, at strides 1, 2, 4.
        widths: channels of the layers of each stage; they are named conv1, conv2, … through all
            stages, and "conv11" is where the paper guides FitNet 4.
        pieces: linear maps of each maxout unit.
        fc_width: units of the last hidden layer.
        dtype: compute dtype.

    Call: images (N, H, W, C) → logits (N, num_classes), float32.
    """

    num_classes: int | None = 10
    widths: Sequence[Sequence[int]] = WIDTHS[1]
    pieces: int = 2
    fc_width: int = 500
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False):
        del train
        check_images(self, x, smallest=4, stem="conv1/linear")
        maxout = partial(Maxout, pieces=self.pieces, dtype=self.dtype)
        endpoints = OrderedDict()
        number = 0
        for i, stage in enumerate(self.widths, start=1):
            if i > 1:
                x = max_pool(x, (2, 2), strides=2)
            for width in stage:
                number += 1
                x = maxout(width, kernel_size=(3, 3), padding=1, name=f"conv{number}")(x)
            endpoints[f"stage{i}"] = x
        if self.num_classes is None:
            return endpoints
        x = maxout(self.fc_width, name="fc")(jnp.max(x, axis=(1, 2)))
        return Dense(self.num_classes, dtype=self.dtype, name="head")(x).astype(jnp.float32)


_fitnet = partial(
    register,
    paper=papers.FITNET,
    input_size=32,
    feature_strides={"stage1": 1, "stage2": 2, "stage3": 4},
)


@_fitnet(parameters=251_194, macs=30_150_024, published="CIFAR-10 test error 10.99 %, taught")
def fitnet1(*, num_classes: int | None = 10, name: str | None = None, **fields: Any) -> FitNet:
    """FitNet 1, 11 layers; ``fields`` of `FitNet`."""
    return FitNet(num_classes=num_classes, name=name, **{"widths": WIDTHS[1], **fields})


@_fitnet(parameters=864_122, macs=107_775_880, published="CIFAR-10 test error 8.94 %, taught")
def fitnet2(*, num_classes: int | None = 10, name: str | None = None, **fields: Any) -> FitNet:
    """FitNet 2, 11 layers; ``fields`` of `FitNet`."""
    return FitNet(num_classes=num_classes, name=name, **{"widths": WIDTHS[2], **fields})


@_fitnet(parameters=2_548_602, macs=381_749_128, published="CIFAR-10 test error 8.39 %, taught")
def fitnet4(*, num_classes: int | None = 10, name: str | None = None, **fields: Any) -> FitNet:
    """FitNet 4, 19 layers; ``fields`` of `FitNet`."""
    return FitNet(num_classes=num_classes, name=name, **{"widths": WIDTHS[4], **fields})
