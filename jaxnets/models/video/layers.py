"""What several video networks are built of: padding around kernels of three axes, frames as images,
averages over views."""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.models.layers import ConvNorm
from jaxnets.nn import BatchNorm, Conv, Dropout
from jaxnets.ops import avg_pool, relu


def centered(kernel: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Padding (low, high) for each axis with which an odd kernel keeps the size at stride 1.

    >>> centered((3, 1, 7))
    ((1, 1), (0, 0), (3, 3))
    """
    return tuple((k // 2, k // 2) for k in kernel)


def tensorflow_same(
    sizes: Sequence[int], kernel: Sequence[int], strides: Sequence[int]
) -> tuple[tuple[int, int], ...]:
    """TensorFlow's padding "SAME": ⌈n / stride⌉ outputs, an odd zero at the end of the axis.

    >>> tensorflow_same((64, 224, 7), (7, 7, 3), (2, 2, 1))
    ((2, 3), (2, 3), (1, 1))
    """
    found = []
    for n, k, s in zip(sizes, kernel, strides, strict=True):
        total = max((-(-n // s) - 1) * s + k - n, 0)
        found.append((total // 2, total - total // 2))
    return tuple(found)


def scaled_widths(factor: float, widths: Sequence[int]) -> tuple[int, ...]:
    """Numbers of channels times a factor, rounded, at least one each.

    >>> scaled_widths(0.1, (64, 4))
    (6, 1)
    """
    return tuple(max(1, round(factor * width)) for width in widths)


def inception_head(network: Any, x: jax.Array, train: bool) -> jax.Array:
    """Average over 2×7×7, dropout, 1×1×1 convolution, mean of all places: of I3D and of S3D.

    Called in the network's own ``__call__``, whose layers "dropout" and "head" it makes.

    Args:
        network: with ``num_classes``, ``dropout_rate``, ``conv`` and ``dtype``.
        x: the last maps (N, T, H, W, C); smaller ones than 2×7×7 are averaged whole.
        train: as in training.

    Returns:
        logits (N, num_classes), float32.
    """
    window = [min(n, k) for n, k in zip(x.shape[1:4], (2, 7, 7), strict=True)]
    x = avg_pool(x, window, strides=1)
    x = Dropout(network.dropout_rate, name="dropout")(x, train=train)
    x = network.conv(network.num_classes, (1, 1, 1), dtype=network.dtype, name="head")(x)
    return x.astype(jnp.float32).mean((1, 2, 3))


def as_images(clip: jax.Array) -> jax.Array:
    """All frames as one batch of images: (N, T, H, W, C) → (N · T, H, W, C).

    >>> import jax.numpy as jnp
    >>> as_images(jnp.zeros((2, 5, 4, 4, 3))).shape
    (10, 4, 4, 3)
    """
    return clip.reshape(-1, *clip.shape[2:])


def as_clips(images: jax.Array, frames: int) -> jax.Array:
    """The inverse of `as_images`: (N · T, …) → (N, T, …).

    >>> import jax.numpy as jnp
    >>> as_clips(jnp.zeros((10, 7)), 5).shape
    (2, 5, 7)
    """
    return images.reshape(-1, frames, *images.shape[1:])


class FactoredConv(nn.Module):
    """A k×k convolution of each frame, then a convolution of k along time.

    y = activation(bn(time ⋆ relu(bn(space ⋆ x)))): (2+1)D of Tran et al. with ``middle`` channels
    between, the separable convolution of S3D with as many as it puts out.

    Attributes:
        features: output channels.
        middle: channels between the two.
        kernel: k, in space and in time; with ``time_kernel`` in space.
        time_kernel: k along time, where it is another one.
        strides: in time, height and width.
        norm: normalization layer.
        conv: convolution layer.
        activation: of the result; None leaves it linear.
        final_norm: whether the second convolution is normalized here ("time/bn").
        dtype: compute dtype.

    Call: (N, T, H, W, C) → (N, T', H', W', features).

    >>> layer = FactoredConv(8, 5, strides=(2, 2, 2))
    >>> import jax.numpy as jnp
    >>> x = jax.ShapeDtypeStruct((1, 4, 6, 6, 3), jnp.float32)
    >>> run = lambda x: layer.init_with_output(jax.random.key(0), x, train=False)
    >>> y, variables = jax.eval_shape(run, x)
    >>> y.shape, variables["params"]["space"]["conv"]["kernel"].shape
    ((1, 2, 3, 3, 8), (1, 3, 3, 3, 5))
    """

    features: int
    middle: int
    kernel: int = 3
    time_kernel: int | None = None
    strides: Sequence[int] = (1, 1, 1)
    norm: Callable[..., nn.Module] = BatchNorm
    conv: Callable[..., nn.Module] = Conv
    activation: Callable[[jax.Array], jax.Array] | None = relu
    final_norm: bool = True
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        space = (1, self.kernel, self.kernel)
        time = (self.time_kernel or self.kernel, 1, 1)
        layers = {"conv": self.conv, "dtype": self.dtype}
        x = ConvNorm(
            self.middle,
            space,
            strides=(1, *self.strides[1:]),
            padding=centered(space),
            norm=self.norm,
            name="space",
            **layers,
        )(x, train)
        return ConvNorm(
            self.features,
            time,
            strides=(self.strides[0], 1, 1),
            padding=centered(time),
            norm=self.norm if self.final_norm else None,
            activation=self.activation,
            name="time",
            **layers,
        )(x, train)
