"""A plain convolutional network with named layers, small enough to be trained many times."""

from collections import OrderedDict
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.nn import BatchNorm, Conv, Dense
from jaxnets.ops import max_pool, relu


class Layer(nn.Module):
    """relu(bn(conv 3×3)), then 2×2 max pooling where ``pool`` is set."""

    features: int
    pool: bool

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        x = Conv(self.features, (3, 3), padding=1, use_bias=False, name="conv")(x)
        x = relu(BatchNorm(name="bn")(x, train=train))
        return max_pool(x, (2, 2), strides=2) if self.pool else x


class ConvNet(nn.Module):
    """``layer1`` … ``layerN``, mean over the places, classifier ``fc``.

    Args (fields):
        num_classes: None returns the endpoints layer1 … layerN.
        widths: channels of each layer.
        pools: which layers end with a pooling, counted from 1.

    Call: images (N, H, W, C) → logits (N, num_classes).
    """

    num_classes: int | None = 10
    widths: Sequence[int] = (16, 32, 48, 64)
    pools: Sequence[int] = (1, 2, 3)

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False):
        endpoints = OrderedDict()
        for i, width in enumerate(self.widths, start=1):
            pool = i in self.pools and min(x.shape[1:3]) > 1
            x = endpoints[f"layer{i}"] = Layer(width, pool, name=f"layer{i}")(x, train=train)
        if self.num_classes is None:
            return endpoints
        return Dense(self.num_classes, name="fc")(jnp.mean(x, axis=(1, 2)))
