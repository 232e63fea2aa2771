"""Gaussian noise layer."""

import flax.linen as nn
import jax

from jaxnets.ops.gaussian_noise import check_std, gaussian_noise


class GaussianNoise(nn.Module):
    """x + σ z, or x · (1 + σ z), with z ~ N(0, 1) in training; nothing in testing.

    Attributes:
        std: σ.
        multiplicative: a factor instead of a summand ("Gaussian dropout"; `jaxnets.ops.dropout_std`
            gives the σ that corresponds to a dropout rate).

    The key comes from the collection ``"dropout"`` of `apply`'s ``rngs`` (needed in training only).

    Source: Srivastava et al. 2014, §10.

    >>> import jax, jax.numpy as jnp
    >>> float(GaussianNoise(0.1).apply({}, jnp.ones(3), train=False).sum())
    3.0
    """

    std: float = 0.1
    multiplicative: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool) -> jax.Array:
        check_std(self.std)
        if not train or self.std == 0:
            return x
        key = self.make_rng("dropout")
        return gaussian_noise(key, x, self.std, multiplicative=self.multiplicative)
