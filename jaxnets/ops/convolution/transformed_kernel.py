"""Kernels that `winograd` transforms once, for many calls: inference with fixed weights."""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from jaxnets.ops.convolution.cook_toom import POINTS
from jaxnets.ops.convolution.problem import Padding, make_problem
from jaxnets.ops.convolution.winograd import (
    forward_transformed,
    kernel_tiles,
    tile_counts,
    unsupported,
)


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["values"], meta_fields=["window", "m", "dtype"]
)
@dataclasses.dataclass(frozen=True)
class TransformedKernel:
    """A kernel in the tiles' domain, as `transform_kernel` makes it.

    Attributes:
        values: (α², C, D), α = m + r − 1 for r taps.
        window: taps per axis.
        m: output pixels a tile and axis.
        dtype: of the kernel that was transformed.

    >>> transform_kernel(jnp.ones((3, 3, 8, 16))).window
    (3, 3)
    """

    values: jax.Array
    window: tuple[int, ...]
    m: int
    dtype: jnp.dtype


def transform_kernel(kernel: jax.Array, m: int = 4) -> TransformedKernel:
    """Transform ``kernel`` (window…, C, D) once, for many calls of `conv_transformed`.

    Args:
        kernel: of 1 to 3 window axes with up to five taps each.
        m: output pixels a tile and axis: 2 (most exact), 4 (fastest) or 6 (for many channels).

    Returns:
        the transformed kernel, a pytree.

    Raises:
        ValueError: a window or ``m`` that does not fit.

    Source: Lavin & Gray 2015 (Fast Algorithms for Convolutional Neural Networks), §4.1.

    >>> transform_kernel(jnp.ones((3, 3, 8, 16))).values.shape
    (36, 8, 16)
    """
    problem = make_problem(jnp.zeros((1, *kernel.shape[:-1]), kernel.dtype), kernel)
    reason = unsupported(problem)
    if reason:
        raise ValueError(f"winograd cannot use this kernel: {reason} ({kernel.shape})")
    if m not in (2, 4, 6) or m + max(kernel.shape[:-2]) - 1 > len(POINTS) + 1:
        raise ValueError(f"m must be 2, 4 or 6 and fit the window, got m={m}, {kernel.shape}")
    values = kernel_tiles(kernel, tile_counts(problem, m)[0])
    return TransformedKernel(values, tuple(kernel.shape[:-2]), m, jnp.dtype(kernel.dtype))


def conv_transformed(
    x: jax.Array, transformed: TransformedKernel, *, padding: Padding = 0
) -> jax.Array:
    """Convolve with a kernel of `transform_kernel`; stride 1, differentiable in both arguments.

    Args:
        x: (N, spatial…, C), of the kernel's dtype.
        transformed: the kernel.
        padding: see `conv`.

    Returns:
        (N, out…, D).

    Raises:
        ValueError: ``x`` does not fit the kernel.

    >>> x, kernel = jnp.ones((1, 8, 8, 4)), jnp.ones((3, 3, 4, 2))
    >>> conv_transformed(x, transform_kernel(kernel), padding=1)[0, 4, 4]
    Array([36., 36.], dtype=float32)
    """
    shape = (*transformed.window, *transformed.values.shape[-2:])
    kernel = jax.ShapeDtypeStruct(shape, transformed.dtype)
    problem = make_problem(x, kernel, padding=padding)
    return forward_transformed(x, transformed.values, problem, transformed.m)
