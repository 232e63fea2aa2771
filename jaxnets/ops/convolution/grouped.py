"""`blocked`: a grouped convolution as one of fewer, wider groups with block-diagonal kernels.

XLA on CPU runs every group by itself, and its gradients a hundred times slower than that. Some
groups together form a *block*: its kernel is dense, with zeros where an output would see
another group's inputs. That multiplies the arithmetic by the groups of a block, but a matrix
product of eight channels runs so much nearer to the machine's limit than two products of four
channels that it wins.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.ops.convolution import im2col
from jaxnets.ops.convolution.problem import Problem

WIDTH = 8  # input channels of a block that are aimed at


def unsupported(problem: Problem) -> str | None:
    """Why this algorithm cannot do ``problem``, or None if it can."""
    return None if problem.groups > 1 else "groups=1 has nothing to merge"


def groups_in_block(problem: Problem, width: int = WIDTH) -> int:
    """The largest divisor of the groups whose block has at most ``width`` input channels.

    >>> p = Problem((8, 56, 56, 128), (3, 3, 4, 128), (1, 1), ((1, 1), (1, 1)), (1, 1), groups=32)
    >>> groups_in_block(p)
    2
    """
    fan_in = problem.in_channels // problem.groups
    divisors = (d for d in range(1, problem.groups + 1) if problem.groups % d == 0)
    return max(d for d in divisors if d * fan_in <= max(width, fan_in))


def merged(problem: Problem, width: int = WIDTH) -> Problem:
    """The same convolution with as many groups merged as `groups_in_block` says."""
    together = groups_in_block(problem, width)
    fan_in, out = problem.kernel_shape[-2:]
    return problem.replace(
        kernel_shape=(*problem.window, fan_in * together, out), groups=problem.groups // together
    )


def block_diagonal(kernel: jax.Array, problem: Problem, width: int = WIDTH) -> jax.Array:
    """The kernel of `merged`: (window…, C/G, D) to (window…, together·C/G, D)."""
    together = groups_in_block(problem, width)
    *win, fan_in, out = problem.kernel_shape
    blocks, per_group = problem.groups // together, out // problem.groups
    kernel = kernel.reshape(*win, 1, fan_in, blocks, together, per_group)
    mask = jnp.eye(together, dtype=kernel.dtype)
    mask = mask.reshape((1,) * len(win) + (together, 1, 1, together, 1))
    return (kernel * mask).reshape(*win, together * fan_in, out)


def diagonal(dense: jax.Array, problem: Problem, width: int = WIDTH) -> jax.Array:
    """The transpose of `block_diagonal`: keep each group's own part of the blocks' gradient."""
    together = groups_in_block(problem, width)
    *win, fan_in, out = problem.kernel_shape
    blocks, per_group = problem.groups // together, out // problem.groups
    dense = dense.reshape(*win, together, fan_in, blocks, together, per_group)
    # Slices, not a masked sum: XLA 0.10 on CPU crashes on that sum when two groups make a block.
    axis = len(win)
    own = [
        lax.index_in_dim(dense, i, axis, keepdims=False)[..., i, :] for i in range(together)
    ]  # each (window…, C/G, blocks, D/G)
    return jnp.stack(own, axis=-2).reshape(problem.kernel_shape)


def forward(
    x: jax.Array, kernel: jax.Array, problem: Problem, inside: Callable = im2col.forward
) -> jax.Array:
    """y = x ⋆ block-diagonal kernel by the algorithm ``inside``."""
    return inside(x, block_diagonal(kernel, problem), merged(problem))


def input_gradient(
    g: jax.Array, kernel: jax.Array, problem: Problem, inside: Callable = im2col.input_gradient
) -> jax.Array:
    """x's gradient by the algorithm ``inside``."""
    return inside(g, block_diagonal(kernel, problem), merged(problem))


def kernel_gradient(
    x: jax.Array, g: jax.Array, problem: Problem, inside: Callable = im2col.kernel_gradient
) -> jax.Array:
    """The block-diagonal kernel's gradient, of which the diagonal is kept."""
    return diagonal(inside(x, g, merged(problem)), problem)
