"""The fully connected layer on a feature map that is also a convolution."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.ops import conv, dense, he_normal


class SpatialDense(nn.Module):
    """A fully connected layer over a window of a feature map: (N, H, W, C) → (N, H', W', features).

    On a map of exactly the window's size it is the matrix product over all H·W·C values; on a
    larger one the same weights slide over it as a convolution, which is how a classifier is
    evaluated densely over a whole picture (OverFeat 2014; VGG, section 3.2).

    Args (fields):
        features: outputs at each position.
        window: height and width that one output sees.
        dtype: compute dtype.
        kernel_init, bias_init: initializers.

    Parameters: ``kernel`` (window, window, C, features), ``bias`` (features,).
    """

    features: int
    window: int = 1
    dtype: Any = None
    kernel_init: nn.initializers.Initializer = he_normal
    bias_init: nn.initializers.Initializer = nn.initializers.zeros_init()

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (self.window, self.window, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        bias = self.param("bias", self.bias_init, (self.features,), jnp.float32)
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        if x.shape[1:3] == (self.window, self.window):
            flat = x.reshape(x.shape[0], -1)
            return dense(flat, kernel.reshape(-1, self.features), bias)[:, None, None]
        return conv(x, kernel, algorithm="direct") + bias
