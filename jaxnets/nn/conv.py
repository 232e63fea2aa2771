"""Convolution layer."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.ops import conv
from jaxnets.ops.precision import at_least_float32

# Untruncated He normal: the init of the ResNet paper and of PyTorch's convolutional models.
he_normal = nn.initializers.variance_scaling(2.0, "fan_in", "normal")


class Conv(nn.Module):
    """Convolution over the last axis as channels: y = x ⋆ kernel + bias.

    Attributes:
        features: output channels.
        kernel_size: one int per spatial axis; its length is the number of spatial axes (1 to 3).
        strides, dilation: int or one int per spatial axis.
        padding: int, one pair per spatial axis, or "SAME"/"VALID".
        groups: channel groups; they divide ``features`` and the input channels.
        use_bias: whether there is a bias.
        algorithm, platform: see `jaxnets.ops.conv`.
        dtype: compute dtype (None: that of the input and parameters together).
        param_dtype: dtype of the parameters.
        kernel_init, bias_init: initializers.

    Parameters: ``kernel`` (*kernel_size, C_in/groups, features), ``bias`` (features,).

    >>> layer = Conv(8, (3, 3), strides=2, padding=1)
    >>> y, variables = layer.init_with_output(jax.random.key(0), jnp.ones((2, 5, 5, 4)))
    >>> y.shape, variables["params"]["kernel"].shape
    ((2, 3, 3, 8), (3, 3, 4, 8))
    """

    features: int
    kernel_size: Sequence[int]
    strides: int | Sequence[int] = 1
    padding: Any = 0
    dilation: int | Sequence[int] = 1
    groups: int = 1
    use_bias: bool = True
    algorithm: str = "auto"
    platform: str | None = None
    dtype: Any = None
    param_dtype: Any = jnp.float32
    kernel_init: nn.initializers.Initializer = he_normal
    bias_init: nn.initializers.Initializer = nn.initializers.zeros_init()

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (*self.kernel_size, x.shape[-1] // self.groups, self.features)
        kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        bias = None
        if self.use_bias:
            bias = self.param("bias", self.bias_init, (self.features,), self.param_dtype)
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        y = conv(
            x,
            kernel,
            strides=self.strides,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
            algorithm=self.algorithm,
            platform=self.platform,
        )
        if bias is None:
            return y
        # In float32: the bias's gradient is a sum over all pixels.
        wide = at_least_float32(y) + at_least_float32(lax.expand_dims(bias, range(y.ndim - 1)))
        return wide.astype(y.dtype)
