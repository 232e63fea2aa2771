"""`strassen`: matrix products by seven half-size products instead of eight.

Strassen, "Gaussian elimination is not optimal", Numer. Math. 13 (1969): k levels of recursion take
7ᵏ products of blocks, so n × n matrices take about n^log₂7 = n^2.807 multiplications. Here both a
matrix product of its own (`matmul`) and, over im2col's columns, a convolution.
"""

import functools
import math

import jax
import jax.numpy as jnp

from jaxnets.ops.convolution import im2col, window
from jaxnets.ops.convolution.problem import Problem

# Up to this side XLA's own product wins: the eighteen additions cost more memory traffic than the
# eighth product costs arithmetic
# (experiments/convolution/strassen.py measures the crossover).
CUTOFF = 2048


def levels(m: int, k: int, n: int, cutoff: int = CUTOFF) -> int:
    """How often an M×K by K×N product is halved: until a side is at most ``cutoff``.

    >>> levels(2048, 2048, 2048, cutoff=512), levels(2048, 100, 2048, cutoff=512)
    (2, 0)
    """
    smallest, depth = min(m, k, n), 0
    while smallest > cutoff and smallest > 1:
        smallest, depth = -(-smallest // 2), depth + 1
    return depth


def multiplications(m: int, k: int, n: int, cutoff: int = CUTOFF) -> int:
    """Scalar multiplications of `matmul`, padding included.

    >>> multiplications(16, 16, 16, cutoff=1), 16**3
    (2401, 4096)
    """
    depth = levels(m, k, n, cutoff)
    m, k, n = (-(-side // 2**depth) for side in (m, k, n))
    return 7**depth * m * k * n


def error_bound(n: int, depth: int) -> float:
    """Higham's bound on the error of an n × n product after ``depth`` levels, without ε and norms.

    |C − Ĉ| ≤ ((n/n₀)^log₂12·(n₀² + 5n₀) − 5n)·ε·max|A|·max|B| + O(ε²), n₀ = n / 2^depth.

    Args:
        n: side of the matrices, a multiple of 2^depth.
        depth: levels of the recursion.

    Source: Higham, "Accuracy and Stability of Numerical Algorithms" (2nd edition, 2002),
        theorem 23.3.

    >>> error_bound(1024, 0) == 1024**2
    True
    """
    smallest = n / 2**depth
    return (n / smallest) ** math.log2(12) * (smallest**2 + 5 * smallest) - 5 * n


def _quarters(a: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    rows, cols = a.shape[-2] // 2, a.shape[-1] // 2
    top, bottom = a[..., :rows, :], a[..., rows:, :]
    return top[..., :cols], top[..., cols:], bottom[..., :cols], bottom[..., cols:]


def _recurse(a: jax.Array, b: jax.Array, depth: int) -> jax.Array:
    if depth == 0:
        return jnp.matmul(a, b)
    a11, a12, a21, a22 = _quarters(a)
    b11, b12, b21, b22 = _quarters(b)
    p1 = _recurse(a11 + a22, b11 + b22, depth - 1)
    p2 = _recurse(a21 + a22, b11, depth - 1)
    p3 = _recurse(a11, b12 - b22, depth - 1)
    p4 = _recurse(a22, b21 - b11, depth - 1)
    p5 = _recurse(a11 + a12, b22, depth - 1)
    p6 = _recurse(a21 - a11, b11 + b12, depth - 1)
    p7 = _recurse(a12 - a22, b21 + b22, depth - 1)
    top = jnp.concatenate([p1 + p4 - p5 + p7, p3 + p5], axis=-1)
    bottom = jnp.concatenate([p2 + p4, p1 - p2 + p3 + p6], axis=-1)
    return jnp.concatenate([top, bottom], axis=-2)


def matmul(a: jax.Array, b: jax.Array, cutoff: int = CUTOFF) -> jax.Array:
    """Product of ``a`` (…, M, K) and ``b`` (…, K, N) by Strassen's recursion.

    Sides are padded with zeros to a multiple of 2^levels. The error grows faster than that of the
    definition, as n^log₂12·ε instead of n²·ε (Higham, Accuracy and Stability, §23.2.2): each level
    subtracts quantities larger than the result.

    Args:
        a, b: matrices of one floating dtype, summed in float32 at least.
        cutoff: largest side that is multiplied in the ordinary way.

    Returns:
        (…, M, N), of the dtype of ``a``.

    Raises:
        ValueError: shapes that do not fit, or a cutoff below 1.

    >>> a = jnp.arange(12.0).reshape(3, 4)
    >>> bool(jnp.allclose(matmul(a, a.T, cutoff=1), a @ a.T))
    True
    """
    if a.ndim < 2 or b.ndim < 2 or a.shape[-1] != b.shape[-2]:
        raise ValueError(f"a and b must be (…, M, K) and (…, K, N), got {a.shape} and {b.shape}")
    if cutoff < 1:
        raise ValueError(f"cutoff must be at least 1, got {cutoff}")
    m, k, n = a.shape[-2], a.shape[-1], b.shape[-1]
    depth = levels(m, k, n, cutoff)
    if depth == 0:
        return im2col.matmul(a, b)
    unit, out = 2**depth, a.dtype
    pads = [(0, -side % unit) for side in (m, k, n)]
    wide = window.accumulator(out)
    a = jnp.pad(a.astype(wide), [(0, 0)] * (a.ndim - 2) + [pads[0], pads[1]])
    b = jnp.pad(b.astype(wide), [(0, 0)] * (b.ndim - 2) + [pads[1], pads[2]])
    return _recurse(a, b, depth)[..., :m, :n].astype(out)


def unsupported(problem: Problem) -> str | None:
    """Why this algorithm cannot do ``problem``, or None if it can."""
    return im2col.unsupported(problem)


def forward(x: jax.Array, kernel: jax.Array, problem: Problem, cutoff: int = CUTOFF) -> jax.Array:
    """y = x ⋆ kernel as columns · matrix; ``cutoff`` as in `matmul`."""
    return im2col.forward(x, kernel, problem, functools.partial(matmul, cutoff=cutoff))


def input_gradient(
    g: jax.Array, kernel: jax.Array, problem: Problem, cutoff: int = CUTOFF
) -> jax.Array:
    """x's gradient: col2im(g · matrixᵀ)."""
    return im2col.input_gradient(g, kernel, problem, functools.partial(matmul, cutoff=cutoff))


def kernel_gradient(
    x: jax.Array, g: jax.Array, problem: Problem, cutoff: int = CUTOFF
) -> jax.Array:
    """The kernel's gradient: columnsᵀ · g."""
    return im2col.kernel_gradient(x, g, problem, functools.partial(matmul, cutoff=cutoff))
