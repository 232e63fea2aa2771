"""`blocked`: a grouped convolution as a few dense ones with block-diagonal kernels.

XLA on CPU runs every group for itself, and its gradients a hundred times slower than that.  Some
groups together form a *block*: its kernel is dense with zeros off the diagonal blocks.  That
multiplies the arithmetic by the groups of a block, but a dense convolution of 64 channels runs so
much nearer to the machine's limit than 16 convolutions of four that it wins.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxnets.ops.convolution import im2col
from jaxnets.ops.convolution.problem import Problem

WIDTH = 128  # channels of a block that are aimed at


def unsupported(problem: Problem) -> str | None:
    """Why this algorithm cannot do ``problem``, or None if it can."""
    return None if problem.groups > 1 else "groups=1 has nothing to put together"


def groups_in_block(problem: Problem, width: int = WIDTH) -> int:
    """The largest divisor of the groups whose block has at most ``width`` input channels."""
    fan_in = problem.in_channels // problem.groups
    fits = (d for d in range(1, problem.groups + 1) if problem.groups % d == 0)
    return max(d for d in fits if d * fan_in <= max(width, fan_in))


def _dense(problem: Problem, together: int) -> Problem:
    """The dense problem of one block."""
    blocks = problem.groups // together
    fan_in, out = problem.in_channels // blocks, problem.out_channels // blocks
    return problem.replace(
        x_shape=(*problem.x_shape[:-1], fan_in),
        kernel_shape=(*problem.window, fan_in, out),
        groups=1,
    )


def block_diagonal(kernel: jax.Array, problem: Problem, together: int) -> list[jax.Array]:
    """Dense kernels (window…, C/blocks, D/blocks), one a block, zero between different groups."""
    *win, fan_in, out = problem.kernel_shape
    blocks, per_group = problem.groups // together, out // problem.groups
    kernel = kernel.reshape(*win, 1, fan_in, blocks, together, per_group)
    mask = jnp.eye(together, dtype=kernel.dtype).reshape(together, 1, 1, together, 1)
    dense = kernel * mask  # (window…, together, C/G, blocks, together, D/G)
    return [
        dense[..., b, :, :].reshape(*win, together * fan_in, together * per_group)
        for b in range(blocks)
    ]


def _diagonal(dense: jax.Array, problem: Problem, together: int) -> jax.Array:
    """The transpose of `block_diagonal` for one block: (window…, C/G, D/blocks)."""
    *win, fan_in, out = problem.kernel_shape
    per_group = out // problem.groups
    dense = dense.reshape(*win, together, fan_in, together, per_group)
    diagonal = jnp.diagonal(dense, axis1=len(win), axis2=len(win) + 2)  # (…, C/G, D/G, together)
    return jnp.swapaxes(diagonal, -1, -2).reshape(*win, fan_in, together * per_group)


def _channels(x: jax.Array, blocks: int) -> list[jax.Array]:
    return [x] if blocks == 1 else jnp.split(x, blocks, axis=-1)


def _join(parts: list[jax.Array]) -> jax.Array:
    return parts[0] if len(parts) == 1 else jnp.concatenate(parts, axis=-1)


def forward(
    x: jax.Array, kernel: jax.Array, problem: Problem, dense: Callable = im2col.forward
) -> jax.Array:
    """One dense convolution a block, side by side."""
    together = groups_in_block(problem)
    inner = _dense(problem, together)
    kernels = block_diagonal(kernel, problem, together)
    parts = _channels(x, len(kernels))
    return _join([dense(p, k, inner) for p, k in zip(parts, kernels, strict=True)])


def input_gradient(
    g: jax.Array, kernel: jax.Array, problem: Problem, dense: Callable = im2col.input_gradient
) -> jax.Array:
    """x's gradient, block by block."""
    together = groups_in_block(problem)
    inner = _dense(problem, together)
    kernels = block_diagonal(kernel, problem, together)
    parts = _channels(g, len(kernels))
    return _join([dense(p, k, inner) for p, k in zip(parts, kernels, strict=True)])


def kernel_gradient(
    x: jax.Array, g: jax.Array, problem: Problem, dense: Callable = im2col.kernel_gradient
) -> jax.Array:
    """The dense kernels' gradients, of which only the diagonal blocks are kept."""
    together = groups_in_block(problem)
    inner = _dense(problem, together)
    blocks = problem.groups // together
    pairs = zip(_channels(x, blocks), _channels(g, blocks), strict=True)
    return _join([_diagonal(dense(a, b, inner), problem, together) for a, b in pairs])
