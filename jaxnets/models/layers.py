"""What several families are built of: normalized convolution, stage, spatial dense layer."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.nn import BatchNorm, Conv
from jaxnets.ops import adaptive_avg_pool, conv, dense, he_normal, relu


class ConvNorm(nn.Module):
    """y = activation(norm(conv(x))), its layers named "conv" and "bn".

    Attributes:
        features, kernel_size, strides, padding, groups: of the convolution.
        use_bias: of the convolution; beside a normalization it does nothing but count.
        norm: normalization layer, or None.
        conv: convolution layer.
        activation: None leaves it linear.
        dtype: compute dtype.

    Call: (N, H, W, C) → (N, H', W', features), or with kernels of three axes (N, T, H, W, C) →
    (N, T', H', W', features).
    """

    features: int
    kernel_size: Sequence[int] = (1, 1)
    strides: int | Sequence[int] = 1
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


class Stage(nn.Module):
    """Blocks one after another, at one resolution; they are named "block0", "block1", …

    Attributes:
        blocks: for each block a function that makes it, called as ``block(name="block0")``; the
            blocks are called as ``(x, train)``.

    >>> from functools import partial
    >>> stage = Stage([partial(ConvNorm, 4), partial(ConvNorm, 8)])
    >>> variables = stage.init(jax.random.key(0), jnp.ones((1, 2, 2, 3)), train=False)
    >>> variables["params"]["block1"]["conv"]["kernel"].shape
    (1, 1, 4, 8)
    """

    blocks: Sequence[Callable[..., nn.Module]]

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        for j, block in enumerate(self.blocks):
            x = block(name=f"block{j}")(x, train)
        return x


def pool_to_window(network: nn.Module, x: jax.Array, *, stretch: bool) -> jax.Array:
    """Bring the last feature map to the side that the first connected layer sees.

    Larger maps are averaged. A smaller one can only be stretched, which repeats its entries: that
    says nothing that the smaller map does not, and means that the images have another size than
    the network was made for.

    Args:
        network: the bound network; its field ``fc_window`` is the side.
        x: (N, H, W, C).
        stretch: stretch smaller maps; else refuse them.

    Returns:
        (N, fc_window, fc_window, C).

    Raises:
        ValueError: the map is smaller, and not to be stretched.
    """
    window = network.fc_window
    if min(x.shape[1:3]) < window and not stretch:
        raise ValueError(
            f"{type(network).__name__}: these images leave a last feature map of {x.shape[1:3]}, "
            f"and the first connected layer sees {window}×{window}. Give larger images, or a "
            f"network with fc_window={min(x.shape[1:3])}."
        )
    return adaptive_avg_pool(x, window)


class SpatialDense(nn.Module):
    """A fully connected layer over a window of a feature map: (N, H, W, C) → (N, H', W', features).

    On a map of exactly the window's size it is the matrix product over all H·W·C values; on a
    larger one the same weights slide over it as a convolution, which is how a classifier is
    evaluated densely over a whole picture.

    Attributes:
        features: outputs at each position.
        window: height and width that one output sees.
        dtype: compute dtype.
        kernel_init, bias_init: initializers.

    Parameters: ``kernel`` (window, window, C, features), ``bias`` (features,).

    Source: Sermanet et al., "OverFeat", 2013, section 3.5; Simonyan, Zisserman, "Very Deep
    Convolutional Networks", 2014, section 3.2.
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
