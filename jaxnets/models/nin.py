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

from jaxnets.models.checks import check_images
from jaxnets.models.registry import IMAGENET_MEAN, IMAGENET_STD, ModelInfo, register
from jaxnets.nn import Conv, Dropout
from jaxnets.ops import avg_pool, global_avg_pool, max_pool, relu


class MLPConv(NamedTuple):
    """A convolution of ``kernel``, ``strides``, ``padding``, followed by two 1×1 convolutions."""

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


class NiN(nn.Module):
    """Stages of "mlpconv", pooled between; the last one has a map for each class, averaged.

    Args (fields):
        num_classes: maps of the last layer; None returns the endpoints stage1, stage2, … (the last
            without the layer of class maps).
        stages: the mlpconv layers; the last width of the last one is not used.
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
        check_images(self, x, smallest=smallest, stem="stage1_conv")
        conv = partial(self.conv, dtype=self.dtype)
        pool = {"max": max_pool, "avg": avg_pool}
        endpoints = OrderedDict()
        last = len(stages)
        for i, stage in enumerate(stages, start=1):
            k, name = stage.kernel, f"stage{i}"
            x = conv(
                stage.widths[0],
                (k, k),
                strides=stage.strides,
                padding=stage.padding,
                name=f"{name}_conv",
            )(x)
            x = relu(conv(stage.widths[1], (1, 1), name=f"{name}_cccp1")(relu(x)))
            if i < last:
                x = relu(conv(stage.widths[2], (1, 1), name=f"{name}_cccp2")(x))
            endpoints[name] = x
            if i < last:
                x = pool[self.pools[i - 1]](x, (3, 3), strides=2, ceil_mode=True)
            if i in self.dropout_after:
                x = Dropout(self.dropout_rate, name=f"{name}_dropout")(x, train=train)
        if self.num_classes is None:
            return endpoints
        x = relu(conv(self.num_classes, (1, 1), name=f"stage{last}_cccp2")(x))
        return global_avg_pool(x).astype(jnp.float32)


_info = partial(ModelInfo, family="nin", paper="Lin, Chen, Yan, Network In Network", year=2013)

nin_cifar = register(
    _info(
        name="nin_cifar",
        input_size=32,
        channels=3,
        parameters=966_986,
        macs=222_486_528,
        feature_strides={"stage1": 1, "stage2": 2, "stage3": 4},
        published="CIFAR-10 test error 10.41 % (8.81 % with augmentation)",
    ),
    NiN,
)

nin_imagenet = register(
    _info(
        name="nin_imagenet",
        input_size=224,
        channels=3,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        parameters=7_595_176,
        macs=1_100_188_800,
        feature_strides={"stage1": 4, "stage2": 8, "stage3": 16, "stage4": 32},
    ),
    NiN,
    {
        "num_classes": 1000,
        "stages": IMAGENET,
        "pools": ("max", "max", "max"),
        "dropout_after": (3,),
    },
)
