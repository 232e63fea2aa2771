"""Pooling over windows: maximum and average.

A window's maximum is the maximum over its columns of the maxima along its rows, so a pooling is
done axis by axis, each axis by the maximum of a few strided slices: 2k of them for a k×k window.
XLA's own reduce_window has the same values and the same gradient (select-and-scatter), but is
several times slower on CPUs.
"""

from collections.abc import Sequence
from functools import partial, reduce

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxnets.ops.convolution.bilinear import apply
from jaxnets.ops.convolution.choose import choose
from jaxnets.ops.convolution.problem import Problem
from jaxnets.ops.half_bits import is_half, ordered, unordered
from jaxnets.ops.precision import at_least_float32
from jaxnets.ops.windows import Padding, Span, spans_of, window_counts, window_sums


def max_pool(
    x: jax.Array,
    window: int | Sequence[int],
    *,
    strides: int | Sequence[int] | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
) -> jax.Array:
    """Largest value in each window of each channel.

    Windows larger than the stride overlap, as AlexNet's 3 with stride 2 do. Padding counts as −∞,
    so it is never the maximum. The gradient goes to the first of equal maxima in reading order, as
    in PyTorch and XLA.

    Args:
        x: (N, spatial…, C), any number of spatial axes.
        window: size of the window, an int or one for each spatial axis.
        strides: likewise; None: the window, so that nothing overlaps.
        padding: an int, one int or one (low, high) pair for each spatial axis, "SAME" or "VALID".
        ceil_mode: round the output size up, as Caffe and PyTorch's ``ceil_mode=True`` do: one more
            window where it still begins inside the (low-padded) input.

    Returns:
        (N, out…, C) with out = ⌊(n + low + high − window) / stride⌋ + 1.

    Raises:
        ValueError: arguments that do not fit ``x``, or padding not less than the window.

    Source: Krizhevsky et al. 2012 (ImageNet Classification with Deep Convolutional Neural
    Networks), §3.4.

    >>> import jax.numpy as jnp
    >>> x = jnp.arange(5.0).reshape(1, 5, 1)
    >>> max_pool(x, 2).ravel().tolist(), max_pool(x, 2, ceil_mode=True).ravel().tolist()
    ([1.0, 3.0], [1.0, 3.0, 4.0])
    """
    return _max_pool(x, spans_of(x.shape, window, strides, padding, ceil_mode))


# Compiled as one also where it is called outside jit, step by step.
@partial(jax.jit, static_argnums=1, inline=True)
def _max_pool(x: jax.Array, spans: tuple[Span, ...]) -> jax.Array:
    # Last axis first: then the first of equal maxima is the first in reading order.
    for axis in reversed(range(1, x.ndim - 1)):
        x = _max_along(x, axis, spans[axis - 1])
    return x


@partial(jax.custom_jvp, nondiff_argnums=(1, 2))
def _max_along(x: jax.Array, axis: int, span: Span) -> jax.Array:
    y = reduce(jnp.maximum, _values(x, axis, span))
    return unordered(y, x.dtype) if is_half(x.dtype) else y


def _values(x: jax.Array, axis: int, span: Span) -> list[jax.Array]:
    """The taps in what compares fastest: half precision as integers."""
    keys = ordered(x) if is_half(x.dtype) else x
    return span.taps(keys, axis, fill=_lowest(keys.dtype))


@_max_along.defjvp
def _max_along_jvp(axis, span, primals, tangents):
    (x,), (dx,) = primals, tangents
    values = _values(x, axis, span)
    # Where windows overlap, the gradient is a sum: in float32, and much faster than in half there.
    changes = span.taps(at_least_float32(dx), axis, fill=0)
    y, dy = values[0], changes[0]
    for value, change in zip(values[1:], changes[1:], strict=True):
        # Not by comparing each value with the maximum of all: XLA may compute the same value twice,
        # in two kernels that round differently, and then none equals the maximum.
        dy = jnp.where(value > y, change, dy)
        y = jnp.maximum(y, value)
    return (unordered(y, x.dtype) if is_half(x.dtype) else y), dy.astype(dx.dtype)


def _lowest(dtype: jnp.dtype) -> float | int | bool:
    if jnp.issubdtype(dtype, jnp.floating):
        return -np.inf
    return False if dtype == jnp.bool_ else int(jnp.iinfo(dtype).min)


def avg_pool(
    x: jax.Array,
    window: int | Sequence[int],
    *,
    strides: int | Sequence[int] | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> jax.Array:
    """Mean of each window of each channel.

    Args:
        x: (N, spatial…, C), any number of spatial axes.
        window, strides, padding, ceil_mode: see `max_pool`.
        count_include_pad: padding counts as zeros (Caffe, PyTorch); False: it does not count.
            Entries beyond the padding, which the last window covers in ``ceil_mode``, never count.

    Returns:
        (N, out…, C). Sums are formed in float32 or wider.

    Raises:
        ValueError: arguments that do not fit ``x``, padding not less than the window, or ``x`` not
            floating.

    >>> import jax.numpy as jnp
    >>> x = jnp.array([2.0, 4.0]).reshape(1, 2, 1)
    >>> avg_pool(x, 2, padding=1).ravel().tolist()
    [1.0, 2.0]
    >>> avg_pool(x, 2, padding=1, count_include_pad=False).ravel().tolist()
    [2.0, 4.0]
    """
    _check_floating(x)
    spans = spans_of(x.shape, window, strides, padding, ceil_mode)
    return _avg_pool(x, spans, count_include_pad)


@partial(jax.jit, static_argnums=(1, 2), inline=True)
def _avg_pool(x: jax.Array, spans: tuple[Span, ...], count_include_pad: bool) -> jax.Array:
    total = at_least_float32(x)
    if all(span.stride == 1 for span in spans):
        total = _overlapping_sums(total, spans)
    else:
        for axis in reversed(range(1, x.ndim - 1)):
            total = _sum_along(total, axis, spans[axis - 1])
    counts = window_counts(spans, count_include_pad)
    if counts.min() == counts.max():
        return (total / counts.flat[0].item()).astype(x.dtype)
    return (total / jnp.asarray(counts, total.dtype)).astype(x.dtype)


def _overlapping_sums(x: jax.Array, spans: tuple[Span, ...]) -> jax.Array:
    """Sums of windows with stride 1, gradient included, by what is quickest on CPUs.

    That is oneDNN's convolution with a kernel of ones, where it may be called; else reduce_window,
    for once.
    """
    channels, rank = x.shape[-1], len(spans)
    problem = Problem(
        x.shape,
        (*(span.window for span in spans), 1, channels),
        (1,) * rank,
        tuple((span.low, span.high + span.overhang) for span in spans),
        (1,) * rank,
        groups=channels,
    )
    if rank > 3 or not x.size:
        return window_sums(x, spans)
    plan = choose(problem, x.dtype, jax.default_backend())
    if (plan.forward, plan.input_gradient) != ("onednn", "onednn"):
        return window_sums(x, spans)
    return apply(x, jnp.ones(problem.kernel_shape, x.dtype), problem, plan)


def _sum_along(x: jax.Array, axis: int, span: Span) -> jax.Array:
    if span.window == span.size and span.out == 1:
        return x.sum(axis, keepdims=True)
    return reduce(jnp.add, span.taps(x, axis, fill=0))


def global_avg_pool(x: jax.Array, *, keepdims: bool = False) -> jax.Array:
    """Mean over all spatial axes: (N, spatial…, C) to (N, C).

    Args:
        x: (N, spatial…, C), floating.
        keepdims: keep the spatial axes, with length 1.

    Returns:
        (N, C), or (N, 1…, C) with ``keepdims``; the mean is formed in float32 or wider.

    Raises:
        ValueError: ``x`` has no spatial axis, or is not floating.

    Source: Lin, Chen & Yan 2013 (Network in Network), §3.2.

    >>> import jax.numpy as jnp
    >>> global_avg_pool(jnp.arange(4.0).reshape(1, 2, 2, 1))
    Array([[1.5]], dtype=float32)
    """
    _check_floating(x)
    wide = at_least_float32(x)
    return wide.mean(tuple(range(1, x.ndim - 1)), keepdims=keepdims).astype(x.dtype)


def adaptive_avg_pool(x: jax.Array, output_size: int | Sequence[int]) -> jax.Array:
    """Mean over as many bins as asked for, whatever the input's size.

    Bin i of ``out`` along an axis of length n covers the entries ⌊i·n/out⌋ to ⌈(i+1)·n/out⌉ − 1, as
    in PyTorch's ``adaptive_avg_pool``; bins may overlap, and outnumber the entries.

    Args:
        x: (N, spatial…, C), floating.
        output_size: number of bins, an int or one for each spatial axis.

    Returns:
        (N, *output_size, C). Sums are formed in float32 or wider.

    Raises:
        ValueError: ``output_size`` that does not fit ``x``, or ``x`` not floating.

    >>> import jax.numpy as jnp
    >>> adaptive_avg_pool(jnp.arange(5.0).reshape(1, 5, 1), 2).ravel().tolist()
    [1.0, 3.0]
    """
    _check_floating(x)
    rank = x.ndim - 2
    sizes = (output_size,) * rank if isinstance(output_size, int) else tuple(output_size)
    if len(sizes) != rank or min(sizes) < 1:
        raise ValueError(
            f"output_size: got {output_size!r}; expected a positive int, or one for each of the "
            f"{rank} spatial axes of x (batch, spatial…, channels)"
        )
    if all(n % out == 0 for n, out in zip(x.shape[1:-1], sizes, strict=True)):
        return avg_pool(x, [n // out for n, out in zip(x.shape[1:-1], sizes, strict=True)])
    y = at_least_float32(x)
    for axis, out in enumerate(sizes, start=1):
        n = x.shape[axis]
        starts, stops = np.arange(out) * n // out, -(-np.arange(1, out + 1) * n // out)
        index = np.arange(n)[:, None]
        bins = ((index >= starts) & (index < stops)) / (stops - starts)
        y = lax.dot_general(
            y,
            jnp.asarray(bins, y.dtype),
            (((axis,), (0,)), ((), ())),
            precision=lax.Precision.HIGHEST,
        )
        y = jnp.moveaxis(y, -1, axis)
    return y.astype(x.dtype)


def _check_floating(x: jax.Array) -> None:
    if x.ndim < 3 or not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(
            f"x: got {x.dtype} of shape {x.shape}; expected floating (batch, spatial…, channels), "
            "at least 3 axes"
        )
