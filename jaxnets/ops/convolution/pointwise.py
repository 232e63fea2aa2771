"""`pointwise`: a 1×1 convolution is one matrix product over the channels.

Each pixel's channels are a row; forward is X·K, the input gradient G·Kᵀ and the kernel gradient
Xᵀ·G, three plain products. XLA on CPU runs the last as a convolution whose window is the image,
many times slower than the product.
"""

import jax
import jax.numpy as jnp

from jaxnets.ops.convolution import im2col, window
from jaxnets.ops.convolution.problem import Problem


def unsupported(problem: Problem) -> str | None:
    """Why this algorithm cannot do ``problem``, or None if it can."""
    return None if problem.taps == 1 else f"the window is {problem.window}, not 1×1"


def _rows(x: jax.Array, problem: Problem) -> jax.Array:
    """The pixels that the strides visit, (N, out…, C)."""
    padded = window.pad(x, problem.padding)
    return window.under_tap(padded, problem, (0,) * problem.rank)


def _grouped(x: jax.Array, problem: Problem) -> jax.Array:
    return x.reshape(-1, problem.groups, x.shape[-1] // problem.groups).transpose(1, 0, 2)


def _matrix(kernel: jax.Array, problem: Problem) -> jax.Array:
    fan_in, out = kernel.shape[-2:]
    return kernel.reshape(fan_in, problem.groups, out // problem.groups).transpose(1, 0, 2)


def forward(x: jax.Array, kernel: jax.Array, problem: Problem) -> jax.Array:
    """Y = X·K over the channels of the visited pixels."""
    rows = _rows(x, problem)
    if problem.groups == 1:
        rows = rows.reshape(-1, problem.in_channels)
        y = im2col.matmul(rows, kernel.reshape(-1, problem.out_channels))
    else:
        y = im2col.matmul(_grouped(rows, problem), _matrix(kernel, problem)).transpose(1, 0, 2)
    return y.reshape(problem.out_shape)


def input_gradient(g: jax.Array, kernel: jax.Array, problem: Problem) -> jax.Array:
    """G·Kᵀ, put back on the visited pixels, zeros between them."""
    if problem.groups == 1:
        rows = g.reshape(-1, problem.out_channels)
        dx = im2col.matmul(rows, kernel.reshape(-1, problem.out_channels).T)
    else:
        matrix = jnp.swapaxes(_matrix(kernel, problem), 1, 2)
        dx = im2col.matmul(_grouped(g, problem), matrix).transpose(1, 0, 2)
    dx = dx.reshape(*problem.out_shape[:-1], problem.in_channels)
    return window.onto_tap(dx, problem, (0,) * problem.rank)


def kernel_gradient(x: jax.Array, g: jax.Array, problem: Problem) -> jax.Array:
    """Xᵀ·G."""
    rows = _rows(x, problem)
    if problem.groups == 1:
        rows = rows.reshape(-1, problem.in_channels)
        dk = im2col.transposed_matmul(rows, g.reshape(-1, problem.out_channels))
    else:
        left, right = _grouped(rows, problem), _grouped(g, problem)
        dk = im2col.transposed_matmul(left, right).transpose(1, 0, 2)
    return dk.reshape(problem.kernel_shape)
