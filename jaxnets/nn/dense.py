"""Fully connected layer."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.ops.dense import dense
from jaxnets.ops.initializers import he_normal


class Dense(nn.Module):
    """Fully connected layer over the last axis: y = x · kernel + bias.

    Attributes:
        features: output features.
        use_bias: whether there is a bias.
        dtype: compute dtype (None: that of the input and parameters together).
        param_dtype: dtype of the parameters.
        kernel_init, bias_init: initializers.

    Parameters: ``kernel`` (C_in, features), ``bias`` (features,).

    >>> import jax, jax.numpy as jnp
    >>> jax.tree.map(jnp.shape, Dense(5).init(jax.random.key(0), jnp.ones((2, 3))))
    {'params': {'bias': (5,), 'kernel': (3, 5)}}
    """

    features: int
    use_bias: bool = True
    dtype: Any = None
    param_dtype: Any = jnp.float32
    kernel_init: nn.initializers.Initializer = he_normal
    bias_init: nn.initializers.Initializer = nn.initializers.zeros_init()

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        bias = None
        if self.use_bias:
            bias = self.param("bias", self.bias_init, (self.features,), self.param_dtype)
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        return dense(x, kernel, bias)
