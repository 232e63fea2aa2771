"""SRCNN: super-resolution of luminance by three convolutions.

Source: Dong, Loy, He, Tang, "Image Super-Resolution Using Deep Convolutional Networks", 2014,
section 3; the published weights.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.models import papers
from jaxnets.models.registry import register
from jaxnets.nn import Conv
from jaxnets.ops import relu

PADDINGS = ("edge", "valid")


class SRCNN(nn.Module):
    """Patches, their non-linear mapping, and reconstruction: three convolutions, two ReLUs.

    Attributes:
        kernels: sides of the three convolutions' windows.
        widths: channels of the first two.
        padding: "valid", as in training: the result is smaller; or "edge": it is as large as the
            image, whose border goes on outside.
        dtype: compute dtype.

    Call: luminance (N, H, W, 1) from 0 to 1, already enlarged by bicubic interpolation → the same,
    sharper; float32.

    >>> network = SRCNN(padding="edge")
    >>> x = jax.ShapeDtypeStruct((1, 20, 30, 1), "float32")
    >>> jax.eval_shape(network.init_with_output, jax.random.key(0), x)[0].shape
    (1, 20, 30, 1)
    """

    kernels: Sequence[int] = (9, 1, 5)
    widths: Sequence[int] = (64, 32)
    padding: str = "valid"
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> jax.Array:
        if x.ndim != 4 or x.shape[-1] != 1:
            raise ValueError(f"SRCNN: got shape {x.shape}; expected luminance (N, H, W, 1)")
        if self.padding not in PADDINGS:
            raise ValueError(f"SRCNN: padding must be one of {PADDINGS}, got {self.padding!r}")
        last = len(self.kernels)
        for i, (k, width) in enumerate(zip(self.kernels, (*self.widths, 1), strict=True), start=1):
            if self.padding == "edge":
                x = jnp.pad(x, ((0, 0), (k // 2, k // 2), (k // 2, k // 2), (0, 0)), mode="edge")
            # The paper's N(0, 0.001²) lets little through; it trains for days.
            x = Conv(width, (k, k), dtype=self.dtype, name=f"conv{i}")(x)
            x = x if i == last else relu(x)
        return x.astype(jnp.float32)


_srcnn = partial(
    register,
    paper=papers.SRCNN,
    task="super-resolution",
    input_size=33,
    channels=1,
)


@_srcnn(
    parameters=8_129, macs=4_872_800, published="Set5 ×3 32.39 dB from 91 training images (paper)"
)
def srcnn_9_1_5(*, name: str | None = None, **fields: Any) -> SRCNN:
    """SRCNN of 8,032 weights and 97 biases.

    Args:
        name: Flax's.
        **fields: of `SRCNN`.

    Returns:
        An `SRCNN`.

    >>> srcnn_9_1_5(padding="edge").kernels
    (9, 1, 5)
    """
    return SRCNN(name=name, **{"kernels": (9, 1, 5), **fields})


@_srcnn(parameters=57_281, macs=26_050_400, published="Set5 ×3 32.75 dB, ImageNet (paper)")
def srcnn_9_5_5(*, name: str | None = None, **fields: Any) -> SRCNN:
    """SRCNN with 5×5 windows in the middle.

    Args:
        name: Flax's.
        **fields: of `SRCNN`.

    Returns:
        An `SRCNN`.

    >>> srcnn_9_5_5().kernels
    (9, 5, 5)
    """
    return SRCNN(name=name, **{"kernels": (9, 5, 5), **fields})
