"""Convolution, normalization, ReLU: the brick of the Inception and ShuffleNet families."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax

from jaxnets.nn import BatchNorm, Conv
from jaxnets.ops import relu


class ConvNorm(nn.Module):
    """activation(norm(conv(x))).

    Args (fields):
        features, kernel_size, strides, padding, groups: of the convolution.
        use_bias: of the convolution; beside a normalization it does nothing but count.
        norm: normalization layer, or None.
        conv: convolution layer.
        activation: None leaves it linear.
        dtype: compute dtype.
    """

    features: int
    kernel_size: tuple[int, int] = (1, 1)
    strides: int = 1
    padding: Any = 0
    groups: int = 1
    use_bias: bool = False
    norm: Callable[..., nn.Module] | None = BatchNorm
    conv: Callable[..., nn.Module] = Conv
    activation: Callable[[jax.Array], jax.Array] | None = relu
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        x = self.conv(
            self.features,
            self.kernel_size,
            strides=self.strides,
            padding=self.padding,
            groups=self.groups,
            use_bias=self.use_bias,
            dtype=self.dtype,
            name="conv",
        )(x)
        if self.norm is not None:
            x = self.norm(dtype=self.dtype, name="bn")(x, train=train)
        return x if self.activation is None else self.activation(x)
