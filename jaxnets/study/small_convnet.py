"""A plain convolutional network with numbered layers, small enough to be trained many times."""

from collections import OrderedDict
from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.nn import BatchNorm, Conv, Dense
from jaxnets.ops import max_pool, relu


class ConvLayer(nn.Module):
    """relu(bn(conv 3×3)), then 2×2 max pooling where ``pool`` is set.

    Attributes:
        features: output channels.
        pool: halve the resolution at the end.

    >>> layer, x = ConvLayer(3, pool=True), jnp.ones((1, 4, 4, 2))
    >>> layer.init_with_output(jax.random.key(0), x, train=False)[0].shape
    (1, 2, 2, 3)
    """

    features: int
    pool: bool

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        x = Conv(self.features, (3, 3), padding=1, use_bias=False, name="conv")(x)
        x = relu(BatchNorm(name="bn")(x, train=train))
        return max_pool(x, (2, 2), strides=2) if self.pool else x


class SmallConvNet(nn.Module):
    """``layer1`` … ``layerN``, mean over the spatial axes, classifier ``fc``.

    Call: images (N, H, W, C) → logits (N, num_classes).

    Attributes:
        num_classes: None returns the endpoints layer1 … layerN.
        widths: channels of each layer.
        pools: which layers end with a pooling, counted from 1.

    >>> net = SmallConvNet(10, widths=(4, 6))
    >>> variables = net.init(jax.random.key(0), jnp.ones((1, 8, 8, 3)))
    >>> sorted(variables["params"])
    ['fc', 'layer1', 'layer2']
    """

    num_classes: int | None = 10
    widths: Sequence[int] = (16, 32, 48, 64)
    pools: Sequence[int] = (1, 2, 3)

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False):
        endpoints = OrderedDict()
        for i, width in enumerate(self.widths, start=1):
            pool = i in self.pools and min(x.shape[1:3]) > 1
            x = endpoints[f"layer{i}"] = ConvLayer(width, pool, name=f"layer{i}")(x, train=train)
        if self.num_classes is None:
            return endpoints
        return Dense(self.num_classes, name="fc")(jnp.mean(x, axis=(1, 2)))
