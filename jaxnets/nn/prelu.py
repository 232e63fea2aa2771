"""Parametric ReLU layer."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.ops.activations import prelu


class PReLU(nn.Module):
    """x above zero, slope · x below, with a slope that is learned.

    Attributes:
        per_channel: one slope for each channel, or one for all (PyTorch's default).
        slope_init: initializer of the slope.
        dtype: compute dtype (None: that of the input and parameter together).
        param_dtype: dtype of the slope.

    Parameters: ``slope`` (C,) or (). It should not be under weight decay, which would turn it into
    a ReLU.

    Source: He et al. 2015 (Delving Deep into Rectifiers), §2.1.

    >>> import jax, jax.numpy as jnp
    >>> PReLU().init(jax.random.key(0), jnp.ones((1, 2)))["params"]["slope"].tolist()
    [0.25, 0.25]
    """

    per_channel: bool = True
    slope_init: nn.initializers.Initializer = nn.initializers.constant(0.25)
    dtype: Any = None
    param_dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (x.shape[-1],) if self.per_channel else ()
        slope = self.param("slope", self.slope_init, shape, self.param_dtype)
        x, slope = nn.dtypes.promote_dtype(x, slope, dtype=self.dtype)
        return prelu(x, slope)
