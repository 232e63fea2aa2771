"""`shift`: the sum over taps of a shifted input times that tap's weights.

For depthwise convolutions each tap is one multiply-add per value, all taps fuse into one loop over
memory, and XLA's own depthwise convolution is dozens of times slower on CPU.  A dense convolution
can be done in the same way with one matrix product a tap.
"""

import itertools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.ops.convolution import im2col, window
from jaxnets.ops.convolution.problem import Problem
from jaxnets.ops.half_bits import moved


def unsupported(problem: Problem) -> str | None:
    """Why this algorithm cannot do ``problem``, or None if it can."""
    if problem.groups == 1 or problem.depthwise:
        return None
    return (
        f"groups={problem.groups} is neither 1 nor all {problem.in_channels} input channels "
        "(depthwise)"
    )


def _repeat(x: jax.Array, problem: Problem) -> jax.Array:
    """Depthwise with a channel multiplier: each input channel feeds that many outputs in a row."""
    multiplier = problem.out_channels // problem.groups
    return x if multiplier == 1 else jnp.repeat(x, multiplier, axis=-1)


def _sum_repeats(x: jax.Array, problem: Problem) -> jax.Array:
    multiplier = problem.out_channels // problem.groups
    if multiplier == 1:
        return x
    return x.reshape(*x.shape[:-1], problem.groups, multiplier).sum(-1)


def _scale(x: jax.Array, weights: jax.Array) -> jax.Array:
    """x (…, C) times one weight a channel (C,)."""
    return x * weights.reshape((1,) * (x.ndim - 1) + weights.shape)


def _total(terms: list[jax.Array]) -> jax.Array:
    return sum(terms[1:], terms[0])


def forward(x: jax.Array, kernel: jax.Array, problem: Problem) -> jax.Array:
    """y = Σ over taps of x shifted by the tap, times the tap's weights."""
    padded = window.pad(x, problem.padding)
    wide = window.accumulator(x.dtype)
    if problem.depthwise:
        padded = _repeat(padded, problem)
    terms = []
    for tap in window.taps(problem):
        seen, weights = window.under_tap(padded, problem, tap), kernel[tap]
        if problem.depthwise:
            terms.append(_scale(seen.astype(wide), weights[0].astype(wide)))
        else:
            terms.append(jnp.matmul(seen, weights, preferred_element_type=wide))
    return _total(terms).astype(x.dtype)


def _phases(problem: Problem):
    """For each residue of x's position modulo the strides, the taps whose output falls there."""
    for phase in itertools.product(*(range(s) for s in problem.strides)):
        taps = [
            tap
            for tap in window.taps(problem)
            if all(
                (t * d - before - p) % s == 0
                for t, d, (before, _), p, s in zip(
                    tap, problem.dilation, problem.padding, phase, problem.strides, strict=True
                )
            )
        ]
        yield phase, taps


def input_gradient(g: jax.Array, kernel: jax.Array, problem: Problem) -> jax.Array:
    """x's gradient, one phase of the strides at a time, so that no zero is ever multiplied.

    x[s·q + p] collects g[q + (p + before − t·d)/s]·kernel[t] over the taps t of its phase p.
    """
    wide = window.accumulator(g.dtype)
    counts = [-(-size // s) for size, s in zip(problem.spatial, problem.strides, strict=True)]
    # How far beyond g's ends any phase looks.
    shifts = {
        tap_phase: [
            (p + before - t * d) // s
            for t, d, (before, _), p, s in zip(
                tap_phase[0],
                problem.dilation,
                problem.padding,
                tap_phase[1],
                problem.strides,
                strict=True,
            )
        ]
        for tap_phase in ((tap, phase) for phase, taps in _phases(problem) for tap in taps)
    }
    axes = range(problem.rank)
    before = [max([0, *(-shift[a] for shift in shifts.values())]) for a in axes]
    after = [
        max([0, *(shift[a] + counts[a] - problem.out_spatial[a] for shift in shifts.values())])
        for a in axes
    ]
    padded = window.pad(g, list(zip(before, after, strict=True)))
    phases = []
    for phase, taps in _phases(problem):
        terms = []
        for tap in taps:
            start = [b + s for b, s in zip(before, shifts[tap, phase], strict=True)]
            limit = [s + c for s, c in zip(start, counts, strict=True)]
            ends = (0, *start, 0), (g.shape[0], *limit, g.shape[-1])
            seen = moved(lambda a, ends=ends: lax.slice(a, *ends), padded)
            weights = kernel[tap]
            if problem.depthwise:
                terms.append(_scale(seen.astype(wide), weights[0].astype(wide)))
            else:
                terms.append(jnp.matmul(seen, weights.T, preferred_element_type=wide))
        if terms:
            part = _total(terms)
            part = _sum_repeats(part, problem) if problem.depthwise else part
            phases.append(part.astype(g.dtype))
        else:
            phases.append(jnp.zeros((g.shape[0], *counts, problem.in_channels), g.dtype))
    return interleave(phases, counts, problem)


def interleave(phases: list[jax.Array], counts: list[int], problem: Problem) -> jax.Array:
    """Put the phases (each (N, counts…, C)) in their places: x[s·q + p] = phase p at q."""
    if len(phases) == 1:
        return phases[0]
    return moved(lambda *phases: _interleave(phases, counts, problem), *phases)


def _interleave(phases: Sequence[jax.Array], counts: list[int], problem: Problem) -> jax.Array:
    n, c = problem.batch, problem.in_channels
    stacked = jnp.stack(phases).reshape(*problem.strides, n, *counts, c)
    order = [problem.rank]
    for axis in range(problem.rank):
        order += [problem.rank + 1 + axis, axis]
    whole = stacked.transpose(*order, 2 * problem.rank + 1)
    whole = whole.reshape(n, *(q * s for q, s in zip(counts, problem.strides, strict=True)), c)
    return whole[(slice(None), *(slice(size) for size in problem.spatial))]


def _sum_products(a: jax.Array, b: jax.Array) -> jax.Array:
    """Σ a·b over all but the channels.

    XLA's reduction to a few numbers runs on one core. So slabs (of images, or of rows of one image)
    are added value by value first, a loop that it vectorizes and shares out, and what is left is
    added by a product with ones.
    """
    axis = 0 if a.shape[0] >= 4 else 1
    count = max(d for d in range(1, 17) if a.shape[axis] % d == 0)
    pieces = zip(jnp.split(a, count, axis), jnp.split(b, count, axis), strict=True)
    total = lax.optimization_barrier(_total([p * q for p, q in pieces]))
    rows = total.reshape(-1, total.shape[-1])
    return (jnp.ones((1, rows.shape[0]), rows.dtype) @ rows)[0]


def kernel_gradient(x: jax.Array, g: jax.Array, problem: Problem) -> jax.Array:
    """The kernel's gradient: for every tap the product of g with the input shifted by the tap."""
    padded = window.pad(x, problem.padding)
    wide = window.accumulator(x.dtype)
    parts = []
    if problem.depthwise:
        padded = _repeat(padded, problem)
    for tap in window.taps(problem):
        seen = window.under_tap(padded, problem, tap)
        if problem.depthwise:
            parts.append(_sum_products(seen.astype(wide), g.astype(wide))[None])
        else:
            rows = seen.reshape(-1, problem.in_channels)
            parts.append(im2col.transposed_matmul(rows, g.reshape(-1, problem.out_channels)))
    return jnp.stack(parts).reshape(problem.kernel_shape).astype(x.dtype)
