"""`winograd`: minimal filtering F(m×m, r×r), Lavin & Gray, arXiv:1509.09308.

An m-pixel piece of a correlation with r taps needs m + r − 1 products instead of m·r:

    y = Aᵀ [(G g) ⊙ (Bᵀ d)],    d the m + r − 1 input pixels under the piece.

Nested over two axes, F(4×4, 3×3) takes 36 products a tile where the definition takes 144, and over
channels each of the 36 positions is one matrix product (tiles, C)·(C, D). What is left is memory
traffic: the transforms are written as sums of slices stacked along a new leading axis, which XLA
fuses into one pass an axis, and images are taken in blocks whose transformed tiles fit `BLOCK`
bytes, because fresh memory costs a page fault for every page.

Errors: Bᵀ of F(4, 3) has entries up to 5 and Aᵀ up to 8, so float32 results of F(4×4, 3×3) differ
from the definition by about 1e-5 to 1e-4 of the largest output (5e-4 is promised), F(2×2, 3×3) by
1e-6, and F(6×6, 3×3) by up to 5e-3. Kernels of up to five taps an axis, stride 1.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxnets.ops.convolution import window
from jaxnets.ops.convolution.cook_toom import matrices
from jaxnets.ops.convolution.problem import Problem

BLOCK = 28 * 2**20  # bytes of transformed tiles, inputs and products together, held at once
MAX_TAPS = 5


def unsupported(problem: Problem) -> str | None:
    """Why this algorithm cannot do ``problem``, or None if it can."""
    if not problem.unit_stride:
        return f"strides are {problem.strides}, not 1"
    if not problem.unit_dilation:
        return f"dilation is {problem.dilation}, not 1"
    if max(problem.window) > MAX_TAPS or problem.taps == 1:
        return f"the window {problem.window} is not of 2 to {MAX_TAPS} taps an axis"
    return None


def _combine(coefficients: Sequence[float], parts: Sequence[jax.Array]) -> jax.Array:
    """Σ coefficient · part, leaving out zeros and multiplications by one."""
    total = None
    for coefficient, part in zip(coefficients, parts, strict=True):
        if coefficient == 0:
            continue
        size = abs(coefficient)
        term = part if size == 1 else part * np.asarray(size, part.dtype)
        if total is None:
            total = term if coefficient > 0 else -term
        else:
            total = total + term if coefficient > 0 else total - term
    return jnp.zeros_like(parts[0]) if total is None else total


def _barrier(x: jax.Array) -> jax.Array:
    """Keep two passes apart: fused into one, every value would be computed several times over."""
    return lax.optimization_barrier(x)


def tile_counts(problem: Problem, m: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Piece length per axis (1 where the window has one tap) and number of pieces per axis."""
    pieces = tuple(m if r > 1 else 1 for r in problem.window)
    counts = tuple(-(-o // p) for o, p in zip(problem.out_spatial, pieces, strict=True))
    return pieces, counts


def _pick(x: jax.Array, axis: int, size: int, count: int, length: int) -> list[jax.Array]:
    """x[size·tile + i] for i < length, every tile: views of (tiles, size), no strided reads."""
    pieces = x.reshape(*x.shape[:axis], x.shape[axis] // size, size, *x.shape[axis + 1 :])
    return [
        lax.index_in_dim(
            lax.slice_in_dim(pieces, i // size, i // size + count, axis=axis),
            i % size,
            axis + 1,
            keepdims=False,
        )
        for i in range(length)
    ]


def _spread(x: jax.Array, matrix_of, pieces, counts, lengths) -> jax.Array:
    """Apply one matrix per spatial axis to tiles: (N, size…, C) to (α…, N, tiles…, C)."""
    rank = len(pieces)
    for axis in range(rank):
        if lengths[axis] == 1:
            x = jnp.expand_dims(x, axis)
        else:
            parts = _pick(x, 2 * axis + 1, pieces[axis], counts[axis], lengths[axis])
            x = _barrier(jnp.stack([_combine(row, parts) for row in matrix_of(axis)], axis))
    return x


def _split_groups(tiles: jax.Array, positions: int, groups: int) -> jax.Array:
    """(α…, N, tiles…, C) to (α²·G, N·tiles, C/G): every group of every position is a product."""
    tiles = tiles.reshape(positions, -1, groups, tiles.shape[-1] // groups)
    tiles = tiles if groups == 1 else tiles.transpose(0, 2, 1, 3)
    return tiles.reshape(positions * groups, -1, tiles.shape[-1])


def _join_groups(products: jax.Array, groups: int) -> jax.Array:
    """The inverse of `_split_groups`: (α²·G, N·tiles, D/G) to (α², N·tiles, D)."""
    if groups == 1:
        return products
    products = products.reshape(-1, groups, *products.shape[1:]).transpose(0, 2, 1, 3)
    return products.reshape(*products.shape[:2], -1)


def _input_tiles(x: jax.Array, problem: Problem, m: int) -> jax.Array:
    """Bᵀ d B: (N, spatial…, C) padded to whole tiles, to (α²·G, N·tiles, C/G)."""
    pieces, counts = tile_counts(problem, m)
    lengths = tuple(p + r - 1 for p, r in zip(pieces, problem.window, strict=True))
    padding = []
    for axis in range(problem.rank):
        # _pick reads whole pieces, so the end is padded to a multiple of the piece.
        size = pieces[axis] * (counts[axis] + -(-(problem.window[axis] - 1) // pieces[axis]))
        before = problem.padding[axis][0]
        padding.append((before, size - problem.spatial[axis] - before))
    x = _barrier(window.pad(x, padding)).astype(window.accumulator(x.dtype))
    matrix_of = lambda axis: matrices(pieces[axis], problem.window[axis])[0]  # noqa: E731
    tiles = _spread(x, matrix_of, pieces, counts, lengths)
    return _split_groups(tiles, math.prod(lengths), problem.groups)


def _gradient_tiles(g: jax.Array, problem: Problem, m: int) -> jax.Array:
    """A g Aᵀ: (N, out…, D) to (α²·G, N·tiles, D/G)."""
    pieces, counts = tile_counts(problem, m)
    sizes = [p * c - o for p, c, o in zip(pieces, counts, problem.out_spatial, strict=True)]
    g = _barrier(window.pad(g, [(0, s) for s in sizes])).astype(window.accumulator(g.dtype))
    matrix_of = lambda axis: matrices(pieces[axis], problem.window[axis])[2].T  # noqa: E731
    out = math.prod(p + r - 1 for p, r in zip(pieces, problem.window, strict=True))
    return _split_groups(_spread(g, matrix_of, pieces, counts, pieces), out, problem.groups)


def _output(products: jax.Array, problem: Problem, m: int) -> jax.Array:
    """Aᵀ M A, assembled to (N, out…, D)."""
    products = _join_groups(products, problem.groups)
    pieces, counts = tile_counts(problem, m)
    lengths = [p + r - 1 for p, r in zip(pieces, problem.window, strict=True)]
    rank = problem.rank
    y = products.reshape(*lengths, problem.batch, *counts, problem.out_channels)
    for axis in reversed(range(rank)):
        # y is (α of the axes up to this one, N, tiles…, finished axes…, D).
        if lengths[axis] == 1:
            y = jnp.squeeze(y, axis)
            continue
        parts = [lax.index_in_dim(y, i, axis, keepdims=False) for i in range(lengths[axis])]
        place = axis + 1 + axis  # the tile axis of this spatial axis, one α axis fewer
        rows = matrices(pieces[axis], problem.window[axis])[2]
        y = jnp.stack([_combine(row, parts) for row in rows], place + 1)
        shape = y.shape
        y = y.reshape(*shape[:place], shape[place] * shape[place + 1], *shape[place + 2 :])
        y = _barrier(y) if axis else y
    return y[(slice(None), *(slice(o) for o in problem.out_spatial))]


def kernel_tiles(kernel: jax.Array, pieces: Sequence[int], groups: int = 1) -> jax.Array:
    """G g Gᵀ: (window…, C/G, D) to (α²·G, C/G, D/G)."""
    u = kernel.astype(window.accumulator(kernel.dtype))
    for axis, piece in enumerate(pieces):
        if u.shape[axis] == 1:
            continue
        g = matrices(piece, u.shape[axis])[1]
        parts = [lax.index_in_dim(u, i, axis, keepdims=False) for i in range(u.shape[axis])]
        u = jnp.stack([_combine(row, parts) for row in g], axis)
        u = _barrier(u) if axis + 1 < len(pieces) else u
    return _split_groups(u.reshape(-1, *kernel.shape[-2:]), math.prod(u.shape[:-2]), groups)


def _kernel_from_tiles(u: jax.Array, problem: Problem, m: int) -> jax.Array:
    """Gᵀ u G: (α²·G, C/G, D/G) to (window…, C/G, D)."""
    u = _join_groups(u, problem.groups)
    pieces, _ = tile_counts(problem, m)
    lengths = [p + r - 1 for p, r in zip(pieces, problem.window, strict=True)]
    k = u.reshape(*lengths, *u.shape[1:])
    for axis in range(problem.rank):
        if lengths[axis] == 1:
            continue
        rows = matrices(pieces[axis], problem.window[axis])[1].T
        parts = [lax.index_in_dim(k, i, axis, keepdims=False) for i in range(lengths[axis])]
        k = jnp.stack([_combine(row, parts) for row in rows], axis)
    return k


def _products(a: jax.Array, b: jax.Array) -> jax.Array:
    """One matrix product per position of the transformed tile."""
    return lax.dot_general(a, b, (((2,), (1,)), ((0,), (0,))))


def _block(problem: Problem, m: int, limit: float | None = None) -> tuple[int, int]:
    """Images and tile rows a block, whose tiles fit in ``limit`` (`BLOCK`) bytes."""
    pieces, counts = tile_counts(problem, m)
    alpha = math.prod(p + r - 1 for p, r in zip(pieces, problem.window, strict=True))
    one_row = math.prod(counts[1:]) * alpha * (problem.in_channels + problem.out_channels) * 4
    fit = (BLOCK if limit is None else limit) / one_row
    if fit >= counts[0]:
        most = int(fit / counts[0])
        divisors = (d for d in range(1, problem.batch + 1) if problem.batch % d == 0)
        return max(d for d in divisors if d <= most), counts[0]
    # Even bands, the last one overlapping: 14 tile rows that fit 9 at a time go 7 and 7.
    bands = math.ceil(counts[0] / max(1, int(fit)))
    return 1, math.ceil(counts[0] / bands)


def _apply(x: jax.Array, u: jax.Array, problem: Problem, m: int) -> jax.Array:
    y = _output(_products(_input_tiles(x, problem, m), u), problem, m)
    return y.astype(x.dtype)


def forward_transformed(x: jax.Array, u: jax.Array, problem: Problem, m: int) -> jax.Array:
    """The convolution with a kernel that is transformed already, block by block."""
    images, rows = _block(problem, m)
    pieces, counts = tile_counts(problem, m)
    bands = -(-counts[0] // rows)
    if images == problem.batch and bands == 1:
        return _apply(x, u, problem, m)
    if bands == 1:
        inner = problem.replace(x_shape=(images, *problem.x_shape[1:]))

        def body(i, y):
            part = lax.dynamic_slice_in_dim(x, i * images, images)
            return lax.dynamic_update_slice_in_dim(y, _apply(part, u, inner, m), i * images, 0)

        return lax.fori_loop(
            0, problem.batch // images, body, window.zeros(problem.out_shape, x.dtype, x)
        )
    height = min(rows * pieces[0], problem.out_spatial[0])
    reach = height + problem.window[0] - 1
    inner = problem.replace(
        x_shape=(1, reach, *problem.x_shape[2:]), padding=((0, 0), *problem.padding[1:])
    )
    edge = [problem.padding[0], *((0, 0),) * (problem.rank - 1)]

    def band(i, y):
        image = i // bands
        # The last band moves up until it fits; what it shares with its neighbor is equal.
        start = jnp.minimum(i % bands * height, problem.out_spatial[0] - height)
        part = window.pad(lax.dynamic_slice_in_dim(x, image, 1), edge)
        part = _apply(lax.dynamic_slice_in_dim(part, start, reach, axis=1), u, inner, m)
        return lax.dynamic_update_slice(y, part, (image, start, *(0,) * problem.rank))

    return lax.fori_loop(
        0, problem.batch * bands, band, window.zeros(problem.out_shape, x.dtype, x)
    )


def forward(x: jax.Array, kernel: jax.Array, problem: Problem, m: int = 4) -> jax.Array:
    """y = x ⋆ kernel, the kernel transformed in the call."""
    return forward_transformed(
        x, kernel_tiles(kernel, tile_counts(problem, m)[0], problem.groups), problem, m
    )


def input_gradient(g: jax.Array, kernel: jax.Array, problem: Problem, m: int = 4) -> jax.Array:
    """x's gradient: the same algorithm on g with the kernel flipped."""
    return forward(g, window.flip(kernel, problem.groups), problem.transposed(), m)


def kernel_gradient(x: jax.Array, g: jax.Array, problem: Problem, m: int = 4) -> jax.Array:
    """The kernel's gradient in the tiles' domain: Gᵀ [Σ over tiles (Bᵀ d B)ᵀ (A g Aᵀ)] G."""

    def tiles_product(x, g, problem):
        d, e = _input_tiles(x, problem, m), _gradient_tiles(g, problem, m)
        return lax.dot_general(d, e, (((1,), (1,)), ((0,), (0,))))

    # Half the block: padded images and half-transformed tiles lie beside two sets of tiles here.
    images, _ = _block(problem, m, BLOCK / 2)
    if images == problem.batch:
        u = tiles_product(x, g, problem)
    else:
        inner = problem.replace(x_shape=(images, *problem.x_shape[1:]))

        def body(i, u):
            part = lax.dynamic_slice_in_dim(x, i * images, images)
            return u + tiles_product(part, lax.dynamic_slice_in_dim(g, i * images, images), inner)

        start = tiles_product(x[:images], g[:images], inner)
        u = lax.fori_loop(1, problem.batch // images, body, start)
    return _kernel_from_tiles(u, problem, m).astype(x.dtype)
