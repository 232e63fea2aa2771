"""`onednn`: the convolution and the matrix product of oneDNN, which jaxlib for x86-64 contains.

Forward and stride-1 input gradients are one convolution each. With strides, x's gradient falls
into one convolution for each residue of x's position modulo the strides, with that residue's taps.
The kernel's gradient is AᵀB, A having windows (some taps at a time) and B the output's gradient as
rows, or each of them a part of the window; of a depthwise convolution it is a depthwise convolution
itself, whose window is the output's gradient. In half precision all this sums in float32, by the
processor's matrix units where it has them.

Zeros around are multiplied as well: a NaN or an infinity of x, or of the output's gradient, may
reach every tap of its channel in the kernel's gradient.

Where oneDNN may not be called (`jaxnets.ops.convolution.onednn_support`), `im2col` computes
instead; `jaxnets.ops.conv` does not let it come to that and takes the algorithm that fits best.

Source: oneDNN's developer guide, "Convolution" and "Matrix Multiplication".
"""

import itertools
import math
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

from jaxnets.ops.convolution import (
    grouped,
    im2col,
    onednn_call,
    onednn_support,
    shift,
    window,
)
from jaxnets.ops.convolution.problem import Problem
from jaxnets.ops.half_bits import moved

ROW = 128  # numbers in a row of A from which the product runs at full rate
FEW = 32  # channels times strides up to which phases become channels
WIDTH = 16  # input channels of a block of groups for the kernel's gradient
MACS_A_NUMBER = 77.0  # multiply-adds that take as long as a number that is laid out
WORTH = 1.05  # the least gain for which taps are laid out on both sides


def unsupported(problem: Problem) -> str | None:
    """Why this algorithm cannot do ``problem``, or None if it can."""
    del problem
    return None


def _run(native: Callable, instead: Callable, a: jax.Array, b: jax.Array, problem: Problem):
    """``native`` in a dtype that oneDNN has, where it may be called."""
    dtype = onednn_support.compute_dtype(a.dtype)
    hangs = onednn_support.stands_still(problem.groups, problem.rank)
    if dtype is None or hangs or not onednn_support.available():
        return instead(a, b, problem)
    return native(a.astype(dtype), b.astype(dtype), problem).astype(a.dtype)


def convolve(x: jax.Array, kernel: jax.Array, problem: Problem, **fused) -> jax.Array:
    """One call, after `jaxnets.ops.convolution.onednn_call.padded_by_hand`.

    Args:
        x, kernel: of one dtype that oneDNN has here.
        problem: their convolution; negative padding crops.
        fused: see `jaxnets.ops.convolution.onednn_call.convolution`.
    """
    edges, rest = onednn_call.padded_by_hand(problem)
    if rest != problem:
        x, problem = window.pad(x, edges), rest
    if onednn_call.refused(problem, x.dtype) and not onednn_call.refused(problem):
        # What half precision cannot do single precision can.
        wide, narrow = jnp.float32, x.dtype
        fused = {k: v.astype(wide) if isinstance(v, jax.Array) else v for k, v in fused.items()}
        return convolve(x.astype(wide), kernel.astype(wide), problem, **fused).astype(narrow)
    if problem.taps == 1 and problem.groups == 1 and problem.unit_stride:
        return _pointwise(x, kernel, problem, **fused)
    return onednn_call.convolution(x, kernel, problem, **fused)


def _pointwise(x, kernel, problem: Problem, *, addend=None, **fused) -> jax.Array:
    """Of one pixel: a matrix product, a fifth faster than the same as a convolution (measured)."""
    rows, matrix = x.reshape(-1, problem.in_channels), kernel.reshape(-1, problem.out_channels)
    term = None if addend is None else addend.reshape(-1, problem.out_channels)
    return onednn_call.matmul(rows, matrix, addend=term, **fused).reshape(problem.out_shape)


def _forward(x: jax.Array, kernel: jax.Array, problem: Problem) -> jax.Array:
    if problem.depthwise and problem.out_channels > problem.groups:
        # oneDNN has fast kernels for one output a channel.
        x = jnp.repeat(x, problem.out_channels // problem.groups, axis=-1)
        problem = problem.replace(x_shape=x.shape, groups=problem.out_channels)
    return convolve(x, kernel, problem)


def _input_gradient(g: jax.Array, kernel: jax.Array, problem: Problem) -> jax.Array:
    if problem.depthwise and problem.out_channels > problem.groups:
        outputs = problem.out_channels
        x_shape = (*problem.x_shape[:-1], outputs)
        each = _input_gradient(g, kernel, problem.replace(x_shape=x_shape, groups=outputs))
        return each.reshape(*each.shape[:-1], problem.groups, -1).sum(-1)
    if problem.unit_stride and (problem.taps > 1 or problem.groups > 1):
        return convolve(g, window.flip(kernel, problem.groups), problem.transposed())
    if problem.taps == 1 and problem.groups == 1:
        rows = g.reshape(-1, problem.out_channels)
        matrix = kernel.reshape(-1, problem.out_channels)
        dx = onednn_call.matmul(rows, matrix, transpose_b=True)
        dx = dx.reshape(*problem.out_shape[:-1], problem.in_channels)
        return window.onto_tap(dx, problem, (0,) * problem.rank)
    counts = [-(-size // s) for size, s in zip(problem.spatial, problem.strides, strict=True)]
    phases = [
        _phase(g, kernel, problem, phase, counts)
        for phase in itertools.product(*(range(s) for s in problem.strides))
    ]
    return shift.interleave(phases, counts, problem)


def _phase(g, kernel, problem: Problem, phase: tuple[int, ...], counts: list[int]) -> jax.Array:
    """x's gradient at the pixels s·u + p of one phase p, ``counts`` of them an axis.

    dx[s·u + p] = Σ g[u + (p + before − t·d)/s]·k[t] over the taps t for which that is a whole
    number: every (s / gcd(s, d))-th one, so that this is a convolution with a dilation again.
    """
    taps, padding, dilation = [], [], []
    for axis, (p, s, d) in enumerate(zip(phase, problem.strides, problem.dilation, strict=True)):
        before, size, out = (
            problem.padding[axis][0],
            problem.window[axis],
            problem.out_spatial[axis],
        )
        step = s // math.gcd(s, d)
        first = next((t for t in range(min(step, size)) if (p + before - t * d) % s == 0), None)
        if first is None:
            shape = (problem.batch, *counts, problem.in_channels)
            return window.zeros(shape, g.dtype, g)
        taps.append(slice(first, None, step))
        reach = (len(range(first, size, step)) - 1) * (step * d // s)
        start = reach - (p + before - first * d) // s
        padding.append((start, counts[axis] + reach - out - start))
        dilation.append(step * d // s)
    part = kernel[tuple(taps)]
    fan_in, fan_out = part.shape[-2:]
    flipped = window.flip(part, problem.groups)
    inner = Problem(
        problem.out_shape,
        (*part.shape[:-2], fan_out // problem.groups, fan_in * problem.groups),
        (1,) * problem.rank,
        tuple(padding),
        tuple(dilation),
        problem.groups,
    )
    return convolve(g, flipped, inner)


def _kernel_gradient(x: jax.Array, g: jax.Array, problem: Problem) -> jax.Array:
    if problem.depthwise:
        return _depthwise_kernel_gradient(x, g, problem)
    if _few_channels(problem):
        return _phases_as_channels(x, g, problem)
    wider = grouped.merged(problem, WIDTH) if problem.groups > 1 else problem
    shared = _axes_of_outputs(wider)
    if shared:
        taps = -(-_columns(wider, shared) * wider.groups // wider.in_channels)
        products = partial(_products_of_both, shared=shared)
    else:
        taps = math.prod(wider.window[len(wider.window) - _laid_out_axes(wider) :])
        products = _products
    images, rows = im2col.block_shape(wider, x.dtype.itemsize, taps=taps)
    dk = im2col.sum_of_blocks(x, g, wider, images, rows, products)
    return grouped.diagonal(dk, problem, WIDTH) if problem.groups > 1 else dk


def _few_channels(problem: Problem) -> bool:
    """A strided window over so few channels that rows of one phase are worth a rearrangement."""
    return (
        problem.groups == 1
        and not problem.unit_stride
        and problem.unit_dilation
        and problem.in_channels * math.prod(problem.strides) <= FEW
        and all(k >= s for k, s in zip(problem.window, problem.strides, strict=True))
    )


def _phases_as_channels(x: jax.Array, g: jax.Array, problem: Problem) -> jax.Array:
    """The gradient of a window with strides s by one without, whose channels are s·s·C.

    Each s×s of x become one pixel, and the window ⌈k / s⌉ of them: what a tap sees lies in a row,
    where it would be gathered from every s-th pixel of few channels.
    """
    x = window.pad(x, [(before, 0) for before, _ in problem.padding])
    wide = tuple(-(-k // s) for k, s in zip(problem.window, problem.strides, strict=True))
    lengths = [
        s * (out + k - 1)
        for s, out, k in zip(problem.strides, problem.out_spatial, wide, strict=True)
    ]
    x = window.pad(x, [(0, n - size) for n, size in zip(lengths, x.shape[1:-1], strict=True)])
    shape = [problem.batch]
    for n, s in zip(lengths, problem.strides, strict=True):
        shape += [n // s, s]
    rank, channels = problem.rank, problem.in_channels
    order = (*range(1, 2 * rank, 2), *range(2, 2 * rank + 1, 2))
    pixels = tuple(n // s for n, s in zip(lengths, problem.strides, strict=True))
    phases = math.prod(problem.strides)
    x = x.reshape(*shape, channels).transpose(0, *order, 2 * rank + 1)
    x = x.reshape(problem.batch, *pixels, phases * channels)
    inner = problem.replace(
        x_shape=x.shape,
        kernel_shape=(*wide, phases * channels, problem.out_channels),
        strides=(1,) * rank,
        padding=((0, 0),) * rank,
    )
    dk = _kernel_gradient(x, g, inner)
    dk = dk.reshape(*wide, *problem.strides, channels, problem.out_channels)
    pairs = [axis for i in range(rank) for axis in (i, rank + i)]
    dk = dk.transpose(*pairs, 2 * rank, 2 * rank + 1)
    whole = [k * s for k, s in zip(wide, problem.strides, strict=True)]
    dk = dk.reshape(*whole, channels, problem.out_channels)
    return dk[tuple(slice(k) for k in problem.window)]


def _laid_out_axes(problem: Problem) -> int:
    """How many of the window's last axes are laid out in a row: as few as make it long enough."""
    length, axes = problem.in_channels // problem.groups, 0
    while axes < problem.rank and length < ROW:
        axes += 1
        length *= problem.window[-axes]
    return axes


def _products(padded: jax.Array, g: jax.Array, problem: Problem) -> jax.Array:
    """AᵀB for each position of the window on the axes that are not laid out; float32."""
    one = im2col.ungrouped(problem)
    images = im2col.groups_to_batch(padded, problem.groups)
    outputs = im2col.groups_to_batch(g, problem.groups)
    shape = (problem.pixels,) if problem.groups == 1 else (problem.groups, problem.pixels)
    outputs = outputs.reshape(*shape, one.out_channels)
    kept = problem.rank - _laid_out_axes(problem)
    parts = []
    for leading in itertools.product(*(range(k) for k in problem.window[:kept])):
        last = itertools.product(*(range(k) for k in problem.window[kept:]))
        taps = [(*leading, *rest) for rest in last]
        rows = moved(
            lambda a, taps=taps: window.side_by_side([window.under_tap(a, one, t) for t in taps]),
            images,
        )
        parts.append(onednn_call.transposed_matmul(rows.reshape(*shape, -1), outputs))
    if problem.groups == 1:
        return jnp.stack(parts).reshape(problem.kernel_shape)
    # (G, K·C/G, D/G) each: groups go to the output channels.
    matrix = jnp.concatenate(parts, axis=1).transpose(1, 0, 2)
    return matrix.reshape(problem.kernel_shape)


def _columns(problem: Problem, shared: int) -> int:
    """Numbers a pixel and group of both operands, the taps of ``shared`` first axes being g's."""
    one = im2col.ungrouped(problem)
    outer, inner = math.prod(problem.window[:shared]), math.prod(problem.window[shared:])
    return inner * one.in_channels + outer * one.out_channels


def _axes_of_outputs(problem: Problem) -> int:
    """How many of the window's first axes are better laid out in the output's gradient than in x.

    dk[t] = Σ x[q + t]·g[q] is Σ x[p]·g[p − t] as well. Laying out a window's taps takes longer than
    the product where channels are few. With some of its axes on each side, what is laid out is
    their sum and no longer their product; but the sum goes over x's pixels on these axes, which are
    more. A number laid out takes as long as 77 multiply-adds (measured on an Intel with AVX-512, of
    14 layers of networks; the rule is right on 13).
    """
    if not (problem.unit_stride and problem.unit_dilation):
        return 0
    one = im2col.ungrouped(problem)
    products = problem.taps * one.in_channels * one.out_channels / MACS_A_NUMBER
    costs, grown = [_columns(problem, 0) + products], 1.0
    for shared in range(1, problem.rank + 1):
        out, k = problem.out_spatial[shared - 1], problem.window[shared - 1]
        grown *= (out + k - 1) / out
        costs.append(grown * (_columns(problem, shared) + products))
    best = min(range(len(costs)), key=costs.__getitem__)
    return best if costs[best] * WORTH <= costs[0] else 0


def _products_of_both(padded: jax.Array, g: jax.Array, problem: Problem, shared: int) -> jax.Array:
    """One product AᵀB: A has x under the taps of the last axes, B has g under those of the first.

    Args:
        padded: x with its padding.
        g: the output's gradient.
        problem: theirs, without padding, strides and dilation.
        shared: of the window's axes, those whose taps B has.
    """
    one, groups = im2col.ungrouped(problem), problem.groups
    seen = im2col.groups_to_batch(padded, groups)
    outputs = im2col.groups_to_batch(g, groups)
    for axis in range(shared, problem.rank):
        seen = _shifted(seen, axis + 1, problem.window[axis], problem.out_spatial[axis])
    for axis in range(shared):
        k = problem.window[axis]
        edges = [(0, 0)] * g.ndim
        edges[axis + 1] = (k - 1, k - 1)
        # g[p − t] for t = 0 … k − 1: the parts of the padded g, from the last one on.
        outputs = moved(lambda a, edges=edges: jnp.pad(a, edges), outputs)
        outputs = _shifted(outputs, axis + 1, k, padded.shape[axis + 1], backward=True)
    shape = (-1,) if groups == 1 else (groups, -1)
    product = onednn_call.transposed_matmul(
        seen.reshape(*shape, seen.shape[-1]), outputs.reshape(*shape, outputs.shape[-1])
    )
    # Each axis that was laid out stands before those that were before it.
    outer, inner = problem.window[:shared][::-1], problem.window[shared:][::-1]
    product = product.reshape(groups, *inner, one.in_channels, *outer, one.out_channels)
    channels = 1 + len(inner)
    last = channels + shared + 1
    order = (*range(last - 1, channels, -1), *range(channels - 1, 0, -1), channels, 0, last)
    return product.transpose(order).reshape(problem.kernel_shape)


def _shifted(a: jax.Array, axis: int, count: int, size: int, backward: bool = False) -> jax.Array:
    """Parts of ``size`` along an axis that begin at 0, 1 … count − 1, before the channels.

    (…, C) becomes (…, count·C), the first part's channels first; ``backward`` the last one's.
    """
    starts = range(count - 1, -1, -1) if backward else range(count)
    return moved(
        lambda a: window.side_by_side(
            [jax.lax.slice_in_dim(a, start, start + size, axis=axis) for start in starts]
        ),
        a,
    )


def _depthwise_kernel_gradient(x: jax.Array, g: jax.Array, problem: Problem) -> jax.Array:
    """dk[t] = Σ x[o·s + t·d − before]·g[o]: slide g, with holes of s, over x in steps of d.

    Every image has its own g: images become channels, and their results are added.
    """
    images, outputs = problem.batch, problem.out_channels
    x = jnp.repeat(x, outputs // problem.groups, axis=-1)

    def to_channels(a: jax.Array) -> jax.Array:
        return jnp.moveaxis(a, 0, -2).reshape(*a.shape[1:-1], images * outputs)

    padding = []
    axes = zip(problem.strides, problem.dilation, problem.window, problem.padding, strict=True)
    for (s, d, k, (before, _)), size, out in zip(
        axes, problem.spatial, problem.out_spatial, strict=True
    ):
        reach = (k - 1) * d + (out - 1) * s + 1
        padding.append((before, reach - size - before))
    channels = images * outputs
    inner = Problem(
        (1, *problem.spatial, channels),
        (*problem.out_spatial, 1, channels),
        problem.dilation,
        tuple(padding),
        problem.strides,
        channels,
    )
    # One number an image and channel is summed in float32 by the call; so are the images here.
    dk = convolve(to_channels(x)[None], jnp.expand_dims(to_channels(g), -2), inner)
    dk = dk.reshape(*problem.window, images, outputs)
    return dk.sum(-2, dtype=jnp.float32).reshape(problem.kernel_shape).astype(x.dtype)


def forward(x: jax.Array, kernel: jax.Array, problem: Problem) -> jax.Array:
    """y = x ⋆ kernel by one call."""
    return _run(_forward, im2col.forward, x, kernel, problem)


def input_gradient(g: jax.Array, kernel: jax.Array, problem: Problem) -> jax.Array:
    """x's gradient: for each phase of the strides ``g`` with the flipped kernel."""
    return _run(_input_gradient, im2col.input_gradient, g, kernel, problem)


def kernel_gradient(x: jax.Array, g: jax.Array, problem: Problem) -> jax.Array:
    """The kernel's gradient: AᵀB over taps, or a depthwise convolution by ``g``."""
    return _run(_kernel_gradient, im2col.kernel_gradient, x, g, problem)
