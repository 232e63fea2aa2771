"""What is computed of each region of an image: a vector, a mask, heat maps of key points.

Source: He, Gkioxari, Dollár, Girshick, "Mask R-CNN", 2017, figure 4 and section 5; the heads with
normalization: Li et al., "Benchmarking Detection Transfer Learning with Vision Transformers", 2021,
appendix A.2; torchvision's.
"""

from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.models.layers import ConvNorm, SpatialDense
from jaxnets.models.upsample import upsample
from jaxnets.nn import Dense, Dropout
from jaxnets.ops import relu

# PyTorch's for layers without one of their own: uniform within ±1/√inputs.
thin_uniform = nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform")


class BoxHead(nn.Module):
    """3×3 convolutions, then fully connected layers with ReLU.

    Attributes:
        convs: channels of each convolution.
        widths: of the fully connected layers.
        norm: normalization of the convolutions, which then have no bias; or None.
        dropout_rate: after each fully connected layer; needs the rng "dropout" in training.
        dtype: compute dtype.

    Call: features of regions (R, P, P, C) → (R, widths[-1]).

    >>> x = jax.ShapeDtypeStruct((5, 7, 7, 8), "float32")
    >>> y, variables = jax.eval_shape(BoxHead().init_with_output, jax.random.key(0), x)
    >>> y.shape, variables["params"]["fc0"]["kernel"].shape
    ((5, 1024), (7, 7, 8, 1024))
    """

    convs: Sequence[int] = ()
    widths: Sequence[int] = (1024, 1024)
    norm: Callable[..., nn.Module] | None = None
    dropout_rate: float = 0.0
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> jax.Array:
        x = _convolutions(self, x, train)
        for i, width in enumerate(self.widths):
            options = {"kernel_init": thin_uniform, "dtype": self.dtype, "name": f"fc{i}"}
            if i == 0:
                x = SpatialDense(width, x.shape[1], **options)(x)[:, 0, 0]
            else:
                x = Dense(width, **options)(x)
            x = relu(x)
            if self.dropout_rate:
                x = Dropout(self.dropout_rate, name=f"dropout{i}")(x, train=train)
        return x


class MaskHead(nn.Module):
    """3×3 convolutions, then a transposed 2×2 convolution of stride 2 with ReLU.

    Attributes:
        convs: channels of each convolution.
        features: of the transposed one.
        norm: normalization of the convolutions, which then have no bias; or None.
        dtype: compute dtype.

    Call: features of regions (R, P, P, C) → (R, 2P, 2P, features).

    >>> x = jax.ShapeDtypeStruct((5, 14, 14, 8), "float32")
    >>> jax.eval_shape(MaskHead().init_with_output, jax.random.key(0), x)[0].shape
    (5, 28, 28, 256)
    """

    convs: Sequence[int] = (256, 256, 256, 256)
    features: int = 256
    norm: Callable[..., nn.Module] | None = None
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> jax.Array:
        x = _convolutions(self, x, train)
        return relu(Doubled(self.features, dtype=self.dtype, name="enlarge")(x))


class Doubled(nn.Module):
    """A transposed 2×2 convolution of stride 2: every position becomes four, none of them shared.

    Attributes:
        features: channels of the result.
        dtype: compute dtype.

    Call: (R, H, W, C) → (R, 2H, 2W, features).

    >>> x = jnp.ones((1, 3, 4, 2))
    >>> y, variables = Doubled(5).init_with_output(jax.random.key(0), x)
    >>> y.shape, variables["params"]["kernel"].shape
    ((1, 6, 8, 5), (2, 2, 5, 2))
    """

    features: int
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        # Every number of the result is a sum over the channels of one position only.
        init = nn.initializers.variance_scaling(2.0, "fan_in", "normal", in_axis=-1, out_axis=-2,
                                                batch_axis=(0, 1))  # fmt: skip
        kernel = self.param("kernel", init, (2, 2, self.features, x.shape[-1]), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,), jnp.float32)
        x, kernel, bias = nn.dtypes.promote_dtype(x, kernel, bias, dtype=self.dtype)
        regions, rows, columns, channels = x.shape
        y = x.reshape(-1, channels) @ kernel.reshape(-1, channels).T
        y = y.reshape(regions, rows, columns, 2, 2, self.features).swapaxes(2, 3)
        return y.reshape(regions, 2 * rows, 2 * columns, self.features) + bias


class KeypointHead(nn.Module):
    """3×3 convolutions, a transposed 4×4 convolution of stride 2, bilinear enlargement twice.

    Attributes:
        convs: channels of each convolution.
        keypoints: J.
        norm: normalization of the convolutions, which then have no bias; or None.
        dtype: compute dtype.

    Call: features of regions (R, P, P, C) → logits (R, 4P, 4P, J), float32.

    >>> x = jax.ShapeDtypeStruct((5, 14, 14, 8), "float32")
    >>> jax.eval_shape(KeypointHead().init_with_output, jax.random.key(0), x)[0].shape
    (5, 56, 56, 17)
    """

    convs: Sequence[int] = (512,) * 8
    keypoints: int = 17
    norm: Callable[..., nn.Module] | None = None
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> jax.Array:
        x = _convolutions(self, x, train)
        layer = nn.ConvTranspose(
            self.keypoints,
            (4, 4),
            strides=(2, 2),
            padding=((2, 2), (2, 2)),
            transpose_kernel=True,
            kernel_init=nn.initializers.variance_scaling(
                2.0, "fan_in", "normal", in_axis=-1, out_axis=-2
            ),
            dtype=self.dtype,
            name="score",
        )
        x = layer(x)
        return upsample(x, (2 * x.shape[1], 2 * x.shape[2]))


def _convolutions(head, x, train):
    for i, width in enumerate(head.convs):
        layer = ConvNorm(
            width,
            (3, 3),
            padding=1,
            norm=head.norm,
            use_bias=head.norm is None,
            dtype=head.dtype,
            name=f"conv{i}",
        )
        x = layer(x, train)
    return x
