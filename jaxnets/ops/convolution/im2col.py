"""`im2col`: lay every window out as a row, and convolution is one matrix product (notes L129-139).

Forward: columns (N·out, K·C) times the kernel (K·C, D).  Kernel gradient: columnsᵀ g.  Input
gradient: g kernelᵀ gives the columns' gradient, and col2im adds each tap's slice back to where it
was taken.  The columns are K times the input, so they are made in blocks when they would pass
`LIMIT` bytes.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.ops.convolution import window
from jaxnets.ops.convolution.problem import Problem

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


def columns(padded: jax.Array, problem: Problem) -> jax.Array:
    """The rows of the matrix product: (N, out…, K·C), tap by tap, channels fastest.

    The matrix of the textbook, K²C × N, is this one transposed; rows of channels are contiguous
    in NHWC and need no gather.
    """
    parts = [window.under_tap(padded, problem, tap) for tap in window.taps(problem)]
    return parts[0] if len(parts) == 1 else jnp.concatenate(parts, axis=-1)


def _split_groups(rows: jax.Array, problem: Problem) -> jax.Array:
    """(M, K·C) to (groups, M, K·C/groups), so that groups are a batch of matrix products."""
    fan_in = problem.in_channels // problem.groups
    rows = rows.reshape(-1, problem.taps, problem.groups, fan_in)
    return rows.transpose(2, 0, 1, 3).reshape(problem.groups, -1, problem.taps * fan_in)


def _join_groups(rows: jax.Array, problem: Problem) -> jax.Array:
    """The inverse of `_split_groups`."""
    fan_in = problem.in_channels // problem.groups
    rows = rows.reshape(problem.groups, -1, problem.taps, fan_in).transpose(1, 2, 0, 3)
    return rows.reshape(-1, problem.taps * problem.in_channels)


def _split_outputs(y: jax.Array, problem: Problem) -> jax.Array:
    """(…, D) to (groups, M, D/groups)."""
    return y.reshape(-1, problem.groups, y.shape[-1] // problem.groups).transpose(1, 0, 2)


def _kernel_matrix(kernel: jax.Array, problem: Problem) -> jax.Array:
    """(K·C, D), or (groups, K·C/groups, D/groups)."""
    if problem.groups == 1:
        return kernel.reshape(-1, problem.out_channels)
    matrix = kernel.reshape(-1, problem.groups, problem.out_channels // problem.groups)
    return matrix.transpose(1, 0, 2)


def _forward(padded, kernel, problem: Problem, product: Product) -> jax.Array:
    matrix = _kernel_matrix(kernel, problem)
    rows = columns(padded, problem)
    if problem.groups == 1:
        y = product(rows.reshape(-1, matrix.shape[0]), matrix)
    else:
        y = product(_split_groups(rows, problem), matrix).transpose(1, 0, 2)
    return y.reshape(problem.out_shape)


def _input_gradient(g, kernel, problem: Problem, product: Product) -> jax.Array:
    """Gradient of the *padded* input; col2im by one padded slice a tap."""
    matrix = jnp.swapaxes(_kernel_matrix(kernel, problem), -1, -2)
    if problem.groups == 1:
        rows = product(g.reshape(-1, problem.out_channels), matrix)
    else:
        rows = _join_groups(product(_split_outputs(g, problem), matrix), problem)
    rows = rows.reshape(*problem.out_shape[:-1], problem.taps, problem.in_channels)
    slices = [
        window.onto_tap(rows[..., i, :], problem, tap) for i, tap in enumerate(window.taps(problem))
    ]
    return sum(slices[1:], slices[0])


def _kernel_gradient(padded, g, problem: Problem, product: Product) -> jax.Array:
    rows = columns(padded, problem)
    if problem.groups == 1:
        rows = rows.reshape(-1, rows.shape[-1])
        matrix = product(rows.T, g.reshape(-1, problem.out_channels))
    else:
        rows = jnp.swapaxes(_split_groups(rows, problem), -1, -2)
        matrix = product(rows, _split_outputs(g, problem)).transpose(1, 0, 2)
    return matrix.reshape(problem.kernel_shape)


def _divisor(n: int, most: float) -> int:
    """The largest divisor of ``n`` that is at most ``most`` (1 if none is)."""
    return max((d for d in range(1, n + 1) if n % d == 0 and d <= most), default=1)


def block_shape(problem: Problem, itemsize: int, limit: int | None = None) -> tuple[int, int]:
    """Images and output rows (of the first spatial axis) whose columns fit in ``limit`` bytes.

    Both divide what there is, so that all blocks are alike and a loop can run over them.

    >>> p = Problem((64, 224, 224, 64), (3, 3, 64, 64), (1, 1), ((1, 1), (1, 1)), (1, 1))
    >>> block_shape(p, itemsize=4)   # 7.4 GB of columns in all
    (4, 224)
    """
    limit = LIMIT if limit is None else limit
    rows = problem.out_spatial[0]
    one_row = problem.pixels // (problem.batch * rows) * problem.taps * problem.in_channels
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
    x = lax.dynamic_slice_in_dim(x, image, images, axis=0)
    return lax.dynamic_slice_in_dim(x, row, rows, axis=1)


def _place(whole, part, image, row):
    start = (image, row, *(0,) * (whole.ndim - 2))
    return lax.dynamic_update_slice(whole, part, start)


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

    return lax.fori_loop(0, count, body, jnp.zeros(problem.out_shape, x.dtype))


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
        # Neighbouring blocks share rows of x where the window overlaps: add, do not replace.
        part = part + _slab(dx, image, start, images, inner.x_shape[1])
        return _place(dx, part, image, start)

    shape = (problem.batch, *problem.padded, problem.in_channels)
    dx = lax.fori_loop(0, count, body, jnp.zeros(shape, g.dtype))
    return window.pad(dx, [(-a, -b) for a, b in problem.padding])


def kernel_gradient(
    x: jax.Array, g: jax.Array, problem: Problem, product: Product = matmul
) -> jax.Array:
    """The kernel's gradient: columnsᵀ · g."""
    padded = window.pad(x, problem.padding)
    images, rows = block_shape(problem, x.dtype.itemsize)
    inner, count, place = _blocks(problem, images, rows)
    if count == 1:
        return _kernel_gradient(padded, g, problem, product)

    def body(i, dk):
        image, row, start = place(i)
        slab = _slab(padded, image, start, images, inner.x_shape[1])
        part = _kernel_gradient(slab, _slab(g, image, row, images, rows), inner, product)
        return dk + part.astype(dk.dtype)

    wide = window.accumulator(x.dtype)
    dk = lax.fori_loop(0, count, body, jnp.zeros(problem.kernel_shape, wide))
    return dk.astype(x.dtype)
