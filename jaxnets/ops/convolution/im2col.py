"""`im2col`: lay every window out as a row, and convolution is one matrix product.

Forward: columns (N·out, K·C) times the kernel (K·C, D). Kernel gradient: columnsᵀ g. Input
gradient: g kernelᵀ gives the columns' gradient, and col2im adds each tap's slice back to where it
was taken. The columns are K times the input, so they are made in blocks when they would exceed
`LIMIT` bytes.

Source: Chellapilla, Puri & Simard 2006 (High Performance Convolutional Neural Networks for Document
Processing), §2.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.ops.convolution import window
from jaxnets.ops.convolution.problem import Problem
from jaxnets.ops.half_bits import moved

LIMIT = 512 * 2**20  # bytes of columns held at once

Product = Callable[[jax.Array, jax.Array], jax.Array]


def unsupported(problem: Problem) -> str | None:
    """Why this algorithm cannot do ``problem``, or None if it can."""
    del problem
    return None


def matmul(a: jax.Array, b: jax.Array) -> jax.Array:
    """(…, M, K) times (…, K, N), summed in float32 at least."""
    wide = window.accumulator(a.dtype)
    return jnp.matmul(a, b, preferred_element_type=wide).astype(a.dtype)


def transposed_matmul(a: jax.Array, b: jax.Array, product: Product = matmul) -> jax.Array:
    """aᵀ b for tall ``a`` (…, M, K) and ``b`` (…, M, N), the product of every kernel gradient.

    On CPU a product over the rows of both runs at half the speed of an ordinary one, and
    materializing the transpose first costs less than that, unless ``a`` is narrow.
    """
    transposed = jnp.swapaxes(a, -1, -2)
    if a.shape[-1] > 64:
        transposed = lax.optimization_barrier(transposed)
    return product(transposed, b)


def columns(padded: jax.Array, problem: Problem) -> jax.Array:
    """The rows of the matrix product: (N, out…, K·C), tap by tap, channels fastest.

    The matrix of the textbook, K²C × N, is this one transposed; rows of channels are contiguous
    in NHWC and need no gather.
    """
    return moved(
        lambda a: window.side_by_side(
            [window.under_tap(a, problem, t) for t in window.taps(problem)]
        ),
        padded,
    )


def ungrouped(problem: Problem) -> Problem:
    """One group's problem, with the groups as more images: (G·N, spatial…, C/G)."""
    groups = problem.groups
    return problem.replace(
        x_shape=(groups * problem.batch, *problem.spatial, problem.in_channels // groups),
        kernel_shape=(*problem.kernel_shape[:-1], problem.out_channels // groups),
        groups=1,
    )


def groups_to_batch(x: jax.Array, groups: int) -> jax.Array:
    """(N, …, C) to (G·N, …, C/G); one pass over x, not over its columns."""
    if groups == 1:
        return x
    x = x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups)
    x = jnp.moveaxis(x, -2, 0)
    return lax.optimization_barrier(x.reshape(-1, *x.shape[2:]))


def groups_to_channels(y: jax.Array, groups: int) -> jax.Array:
    """The inverse of `groups_to_batch`."""
    if groups == 1:
        return y
    y = jnp.moveaxis(y.reshape(groups, -1, *y.shape[1:]), 0, -2)
    return y.reshape(*y.shape[:-2], -1)


def _matrices(kernel: jax.Array, problem: Problem) -> jax.Array:
    """One matrix a group, (G, K·C/G, D/G)."""
    matrix = kernel.reshape(-1, problem.groups, problem.out_channels // problem.groups)
    return matrix.transpose(1, 0, 2)


def _multiply(a: jax.Array, b: jax.Array, product: Product) -> jax.Array:
    """Products group by group; without groups a plain product of two matrices."""
    return product(a[0], b[0])[None] if a.shape[0] == 1 else product(a, b)


def _forward(padded, kernel, problem: Problem, product: Product) -> jax.Array:
    one = ungrouped(problem)
    rows = columns(groups_to_batch(padded, problem.groups), one)
    rows = rows.reshape(problem.groups, problem.pixels, -1)
    y = _multiply(rows, _matrices(kernel, problem), product)
    return groups_to_channels(y.reshape(one.out_shape), problem.groups)


def _input_gradient(g, kernel, problem: Problem, product: Product) -> jax.Array:
    """col2im by one padded slice a tap."""
    one = ungrouped(problem)
    outputs = groups_to_batch(g, problem.groups)
    outputs = outputs.reshape(problem.groups, problem.pixels, -1)
    rows = _multiply(outputs, jnp.swapaxes(_matrices(kernel, problem), 1, 2), product)
    rows = rows.reshape(*one.out_shape[:-1], problem.taps, one.in_channels)
    slices = [
        window.onto_tap(rows[..., i, :], one, tap) for i, tap in enumerate(window.taps(problem))
    ]
    return groups_to_channels(sum(slices[1:], slices[0]), problem.groups)


def _kernel_gradient(padded, g, problem: Problem, product: Product) -> jax.Array:
    one = ungrouped(problem)
    rows = columns(groups_to_batch(padded, problem.groups), one)
    rows = rows.reshape(problem.groups, problem.pixels, -1)
    outputs = groups_to_batch(g, problem.groups).reshape(*rows.shape[:2], -1)
    if problem.groups == 1:
        matrix = transposed_matmul(rows[0], outputs[0], product)
    else:
        matrix = transposed_matmul(rows, outputs, product).transpose(1, 0, 2)
    return matrix.reshape(problem.kernel_shape)


def _divisor(n: int, most: float) -> int:
    """The largest divisor of ``n`` that is at most ``most`` (1 if none is)."""
    return max((d for d in range(1, n + 1) if n % d == 0 and d <= most), default=1)


def block_shape(
    problem: Problem, itemsize: int, limit: int | None = None, taps: int | None = None
) -> tuple[int, int]:
    """Images and output rows (of the first spatial axis) whose columns fit in ``limit`` bytes.

    Both divide what there is, so that all blocks are alike and a loop can run over them. ``taps``:
    how many positions of the window are laid out at once; all of them by default.

    >>> p = Problem((64, 224, 224, 64), (3, 3, 64, 64), (1, 1), ((1, 1), (1, 1)), (1, 1))
    >>> block_shape(p, itemsize=4)   # 7.4 GB of columns in all
    (4, 224)
    """
    limit = LIMIT if limit is None else limit
    rows = problem.out_spatial[0]
    one_row = (
        problem.pixels // (problem.batch * rows) * (taps or problem.taps) * problem.in_channels
    )
    fit = limit / (one_row * itemsize)
    if fit >= rows:
        return _divisor(problem.batch, fit / rows), rows
    return 1, _divisor(rows, fit)


def _blocks(problem: Problem, images: int, rows: int):
    """The inner problem of one block, the number of blocks, and where block i lies."""
    stride, extent = problem.strides[0], problem.extent[0]
    height = (rows - 1) * stride + extent
    inner = problem.replace(
        x_shape=(images, height, *problem.padded[1:], problem.in_channels),
        padding=((0, 0),) * problem.rank,
    )
    per_image = problem.out_spatial[0] // rows

    def place(i):
        image, row = i // per_image * images, i % per_image * rows
        return image, row, row * stride

    return inner, problem.batch // images * per_image, place


def _slab(x, image, row, images: int, rows: int):
    start, sizes = (image, row, *(0,) * (x.ndim - 2)), (images, rows, *x.shape[2:])
    return moved(lambda x: lax.dynamic_slice(x, start, sizes), x)


def _place(whole, part, image, row):
    start = (image, row, *(0,) * (whole.ndim - 2))
    return moved(lambda a, b: lax.dynamic_update_slice(a, b, start), whole, part)


def forward(
    x: jax.Array, kernel: jax.Array, problem: Problem, product: Product = matmul
) -> jax.Array:
    """y = x ⋆ kernel as columns · matrix."""
    padded = window.pad(x, problem.padding)
    images, rows = block_shape(problem, x.dtype.itemsize)
    inner, count, place = _blocks(problem, images, rows)
    if count == 1:
        return _forward(padded, kernel, problem, product)

    def body(i, y):
        image, row, start = place(i)
        slab = _slab(padded, image, start, images, inner.x_shape[1])
        return _place(y, _forward(slab, kernel, inner, product), image, row)

    return lax.fori_loop(0, count, body, window.zeros(problem.out_shape, x.dtype, x))


def input_gradient(
    g: jax.Array, kernel: jax.Array, problem: Problem, product: Product = matmul
) -> jax.Array:
    """x's gradient: col2im(g · matrixᵀ)."""
    images, rows = block_shape(problem, g.dtype.itemsize)
    inner, count, place = _blocks(problem, images, rows)
    if count == 1:
        return _input_gradient(g, kernel, problem, product)

    def body(i, dx):
        image, row, start = place(i)
        part = _input_gradient(_slab(g, image, row, images, rows), kernel, inner, product)
        # Neighboring blocks share rows of x where the window overlaps: add, do not replace.
        part = part + _slab(dx, image, start, images, inner.x_shape[1])
        return _place(dx, part, image, start)

    shape = (problem.batch, *problem.padded, problem.in_channels)
    dx = lax.fori_loop(0, count, body, window.zeros(shape, g.dtype, g))
    return window.pad(dx, [(-a, -b) for a, b in problem.padding])


def kernel_gradient(
    x: jax.Array, g: jax.Array, problem: Problem, product: Product = matmul
) -> jax.Array:
    """The kernel's gradient: columnsᵀ · g."""
    images, rows = block_shape(problem, x.dtype.itemsize)
    one = functools.partial(_kernel_gradient, product=product)
    return sum_of_blocks(x, g, problem, images, rows, one)


def sum_of_blocks(
    x: jax.Array, g: jax.Array, problem: Problem, images: int, rows: int, one: Callable
) -> jax.Array:
    """The kernel's gradient as a sum over blocks of ``images`` and output ``rows``.

    Args:
        x, g: input and the output's gradient.
        problem: the convolution.
        images, rows: of `block_shape`.
        one: (padded input, g, problem without padding) to the gradient of one block.
    """
    padded = window.pad(x, problem.padding)
    inner, count, place = _blocks(problem, images, rows)
    if count == 1:
        return one(padded, g, inner).astype(x.dtype)

    def body(i, dk):
        image, row, start = place(i)
        slab = _slab(padded, image, start, images, inner.x_shape[1])
        part = one(slab, _slab(g, image, row, images, rows), inner)
        return dk + part.astype(dk.dtype)

    wide = window.accumulator(x.dtype)
    dk = lax.fori_loop(0, count, body, window.zeros(problem.kernel_shape, wide, x))
    return dk.astype(x.dtype)
