"""Local response normalization layer."""

import flax.linen as nn
import jax

from jaxnets.ops.local_response_norm import local_response_norm


class LocalResponseNorm(nn.Module):
    """b_i = a_i / (k + α · Σ_j a_j²)^β over ``size`` neighboring channels; no parameters.

    Attributes:
        size, alpha, beta, k, divide_by_size: see `jaxnets.ops.local_response_norm`; the defaults
            are AlexNet's.

    Source: Krizhevsky et al. 2012, §3.3.

    >>> import jax.numpy as jnp
    >>> LocalResponseNorm(alpha=1.0, beta=0.5, k=11.0).apply({}, jnp.array([[3.0, 4.0]]))
    Array([[0.5      , 0.6666667]], dtype=float32)
    """

    size: int = 5
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 2.0
    divide_by_size: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return local_response_norm(
            x,
            size=self.size,
            alpha=self.alpha,
            beta=self.beta,
            k=self.k,
            divide_by_size=self.divide_by_size,
        )
