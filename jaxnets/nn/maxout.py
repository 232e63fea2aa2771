"""Maxout layer, fully connected or convolutional."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.nn.conv import Conv
from jaxnets.nn.dense import Dense
from jaxnets.ops.activations import maxout
from jaxnets.ops.initializers import he_normal


class Maxout(nn.Module):
    """The largest of several linear maps: y = max_j (x W_j + b_j).

    It neither saturates nor dies, and can approximate any convex function, ReLU and |x| among
    them; it costs ``pieces`` times the parameters, k·(d_in·d_out + d_out).

    Attributes:
        features: outputs.
        pieces: number of linear maps, k.
        kernel_size: None for a fully connected layer; one int for each spatial axis for a
            convolution.
        strides, padding: of the convolution, see `jaxnets.nn.Conv`.
        use_bias, dtype, param_dtype, kernel_init, bias_init: of the linear map.

    Parameters: ``linear/kernel`` (…, C_in, k · features) and ``linear/bias``; the first
    ``features`` columns are W_1.

    Source: Goodfellow et al. 2013 (Maxout Networks), §3.

    >>> import jax, jax.numpy as jnp
    >>> jax.tree.map(jnp.shape, Maxout(5, pieces=3).init(jax.random.key(0), jnp.ones((2, 4))))
    {'params': {'linear': {'bias': (15,), 'kernel': (4, 15)}}}
    """

    features: int
    pieces: int = 2
    kernel_size: Sequence[int] | None = None
    strides: int | Sequence[int] = 1
    padding: Any = 0
    use_bias: bool = True
    dtype: Any = None
    param_dtype: Any = jnp.float32
    kernel_init: nn.initializers.Initializer = he_normal
    bias_init: nn.initializers.Initializer = nn.initializers.zeros_init()

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        options = {
            "use_bias": self.use_bias,
            "dtype": self.dtype,
            "param_dtype": self.param_dtype,
            "kernel_init": self.kernel_init,
            "bias_init": self.bias_init,
            "name": "linear",
        }
        width = self.pieces * self.features
        if self.kernel_size is None:
            linear = Dense(width, **options)
        else:
            linear = Conv(
                width, self.kernel_size, strides=self.strides, padding=self.padding, **options
            )
        return maxout(linear(x), self.pieces)
