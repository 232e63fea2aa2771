"""Network in Network: a small perceptron at every pixel, and no connected layers at the end.

Source: Lin, Chen, Yan, "Network In Network", 2013, sections 3.1, 3.2; layer sizes of the authors'
released CIFAR-10 and ImageNet networks.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.models import papers
from jaxnets.models.checks import check_images
from jaxnets.models.registry import IMAGENET_MEAN, IMAGENET_STD, register
from jaxnets.nn import Conv, Dropout
from jaxnets.ops import avg_pool, global_avg_pool, max_pool, relu


class MLPConv(NamedTuple):
    """A convolution of ``kernel``, ``strides``, ``padding``, followed by two 1×1 convolutions.

    The last width of the last layer is not used: there the head makes the maps.
    """

    widths: tuple[int, int, int]
    kernel: int
    strides: int = 1
    padding: int = 0


CIFAR = (
    MLPConv((192, 160, 96), 5, padding=2),
    MLPConv((192, 192, 192), 5, padding=2),
    MLPConv((192, 192, 0), 3, padding=1),
)
IMAGENET = (
    MLPConv((96, 96, 96), 11, strides=4),
    MLPConv((256, 256, 256), 5, padding=2),
    MLPConv((384, 384, 384), 3, padding=1),
    MLPConv((1024, 1024, 0), 3, padding=1),
)


class MLPConvLayer(nn.Module):
    """relu(conv(x)), then a 1×1 convolution with ReLU for each further width ("cccp1", "cccp2").

    Attributes:
        sizes: of the layer.
        last: leave out the second 1×1 convolution, in whose place the network's head stands.
        conv: convolution layer.
    """

    sizes: MLPConv
    last: bool
    conv: Callable[..., nn.Module]

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        (width, *others), k, strides, padding = self.sizes
        x = relu(self.conv(width, (k, k), strides=strides, padding=padding, name="conv")(x))
        for i, width in enumerate(others[:1] if self.last else others, start=1):
            x = relu(self.conv(width, (1, 1), name=f"cccp{i}")(x))
        return x


class NiN(nn.Module):
    """Stages of "mlpconv", pooled between; the last one has a map for each class, averaged.

    Attributes:
        num_classes: maps of the head, the last layer's second 1×1 convolution; None returns the
            endpoints stage1, stage2, …
        stages: the mlpconv layers.
        pools: the 3×3/2 pooling after each stage but the last, "max" or "avg".
        dropout_after: stages after whose pooling units are dropped.
        dropout_rate: share of units dropped.
        conv: convolution layer.
        dtype: compute dtype.

    Call: images (N, H, W, C) → logits (N, num_classes), float32. Needs the rng "dropout" in
    training.
    """

    num_classes: int | None = 10
    stages: Sequence[MLPConv] = CIFAR
    pools: Sequence[str] = ("max", "avg")
    dropout_after: Sequence[int] = (1, 2)
    dropout_rate: float = 0.5
    conv: Callable[..., nn.Module] = Conv
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False):
        stages = [MLPConv(*stage) for stage in self.stages]
        smallest = 55 if stages[0].strides > 1 else 8
        check_images(self, x, smallest=smallest, stem="stage1/conv")
        conv = partial(self.conv, dtype=self.dtype)
        pool = {"max": max_pool, "avg": avg_pool}
        endpoints = OrderedDict()
        last = len(stages)
        for i, sizes in enumerate(stages, start=1):
            x = MLPConvLayer(sizes, i == last, conv, name=f"stage{i}")(x)
            endpoints[f"stage{i}"] = x
            if i < last:
                x = pool[self.pools[i - 1]](x, (3, 3), strides=2, ceil_mode=True)
            if i in self.dropout_after:
                x = Dropout(self.dropout_rate, name=f"dropout{i}")(x, train=train)
        if self.num_classes is None:
            return endpoints
        x = relu(conv(self.num_classes, (1, 1), name="head")(x))
        return global_avg_pool(x).astype(jnp.float32)


@register(
    paper=papers.NIN,
    input_size=32,
    parameters=966_986,
    macs=222_486_528,
    feature_strides={"stage1": 1, "stage2": 2, "stage3": 4},
    published="CIFAR-10 test error 10.41 % (8.81 % with augmentation)",
)
def nin_cifar(*, num_classes: int | None = 10, name: str | None = None, **fields: Any) -> NiN:
    """Network in Network for CIFAR-10; ``fields`` of `NiN`."""
    return NiN(num_classes=num_classes, name=name, **fields)


@register(
    paper=papers.NIN,
    parameters=7_595_176,
    macs=1_100_188_800,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    feature_strides={"stage1": 4, "stage2": 8, "stage3": 16, "stage4": 32},
)
def nin_imagenet(*, num_classes: int | None = 1000, name: str | None = None, **fields: Any) -> NiN:
    """Network in Network for ImageNet; ``fields`` of `NiN`."""
    published = {"stages": IMAGENET, "pools": ("max", "max", "max"), "dropout_after": (3,)}
    return NiN(num_classes=num_classes, name=name, **{**published, **fields})
