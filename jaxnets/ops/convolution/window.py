"""Steps that several algorithms share: pad or crop, pick the pixels under one tap, flip."""

import itertools
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.ops.convolution.problem import Problem
from jaxnets.ops.half_bits import moved


def pad(x: jax.Array, padding: Sequence[tuple[int, int]]) -> jax.Array:
    """Pad (or, where negative, crop) the spatial axes of ``x`` (N, spatial…, C) with zeros."""
    if all(p == (0, 0) for p in padding):
        return x
    config = [(0, 0, 0), *((a, b, 0) for a, b in padding), (0, 0, 0)]
    return moved(lambda x: lax.pad(x, jnp.zeros((), x.dtype), config), x)


def taps(problem: Problem) -> Iterator[tuple[int, ...]]:
    """All positions of the window, the last axis fastest."""
    return itertools.product(*(range(k) for k in problem.window))


def under_tap(padded: jax.Array, problem: Problem, tap: Sequence[int]) -> jax.Array:
    """The input pixel that each output pixel meets at ``tap``: (N, out…, C)."""
    start = [t * d for t, d in zip(tap, problem.dilation, strict=True)]
    limit = [
        a + (o - 1) * s + 1
        for a, o, s in zip(start, problem.out_spatial, problem.strides, strict=True)
    ]
    n, c = padded.shape[0], padded.shape[-1]
    ends = (0, *start, 0), (n, *limit, c)
    return moved(lambda a: lax.slice(a, *ends, (1, *problem.strides, 1)), padded)


def onto_tap(y: jax.Array, problem: Problem, tap: Sequence[int]) -> jax.Array:
    """The transpose of pad and `under_tap`: ``y`` (N, out…, C) spread over x's pixels."""
    config = [(0, 0, 0)]
    for axis in range(problem.rank):
        stride, before = problem.strides[axis], problem.padding[axis][0]
        start = tap[axis] * problem.dilation[axis] - before
        end = problem.spatial[axis] - (start + (problem.out_spatial[axis] - 1) * stride + 1)
        config.append((start, end, stride - 1))
    config.append((0, 0, 0))
    return moved(lambda y: lax.pad(y, jnp.zeros((), y.dtype), config), y)


def flip(kernel: jax.Array, groups: int = 1) -> jax.Array:
    """Reverse the window and swap input and output channels: the kernel of x's gradient.

    (window…, C_in/G, C_out) → (window…, C_out/G, C_in), group by group.
    """
    *window, fan_in, out = kernel.shape
    kernel = moved(lambda k: lax.rev(k, range(len(window))), kernel)
    kernel = kernel.reshape(*window, fan_in, groups, out // groups)
    kernel = jnp.moveaxis(kernel, -1, -3)  # (…, C_out/G, C_in/G, G)
    return jnp.swapaxes(kernel, -1, -2).reshape(*window, out // groups, groups * fan_in)


def varying(x: jax.Array) -> frozenset:
    """Mesh axes over which ``x`` differs from device to device, inside `jax.shard_map`."""
    return getattr(getattr(jax.typeof(x), "manual_axis_type", None), "varying", frozenset())


def zeros(shape: Sequence[int], dtype, like: jax.Array) -> jax.Array:
    """Zeros to begin a loop with that adds up parts of ``like``, inside `jax.shard_map` as well."""
    start, axes = jnp.zeros(shape, dtype), varying(like)
    return lax.pcast(start, tuple(axes), to="varying") if axes else start


def accumulator(dtype) -> jnp.dtype:
    """The dtype in which products are summed: float32 for the half precisions."""
    dtype = jnp.dtype(dtype)
    return dtype if dtype.itemsize >= 4 else jnp.dtype(jnp.float32)


def side_by_side(parts: Sequence[jax.Array]) -> jax.Array:
    """Concatenate along the channels, (…, C) each to (…, len(parts)·C).

    As an axis of its own before the channels: XLA on CPU is up to twice as fast so.
    """
    if len(parts) == 1:
        return parts[0]

    def join(*parts):
        stacked = jnp.stack(parts, axis=-2)
        return stacked.reshape(*stacked.shape[:-2], -1)

    return moved(join, *parts)
