"""Noise on weights: DropConnect."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from jaxnets.noise.source import Function, NoiseSource, Outcomes, bits, probability_of
from jaxnets.ops.activations import identity
from jaxnets.ops.dense import dense
from jaxnets.ops.drop_connect import (
    drop_connect,
    drop_connect_at_test,
    drop_connect_moments,
)
from jaxnets.ops.dropout import check_rate


@dataclass(frozen=True, eq=False)
class DropConnect(NoiseSource):
    """x (C_in,) ↦ x · (M ∘ W) + m ∘ b: a fully connected map with random weights dropped.

    Exact: affine and quadratic functions of the result, from its moments; any function of a layer
    of up to 16 weights and biases, by all masks. `test_pass` is the paper's: a Gaussian with these
    moments, for an elementwise ``function``.

    Attributes:
        kernel: (C_in, C_out).
        bias: (C_out,) or None.
        rate: probability of a weight to be dropped.

    Source: Wan et al. 2013 (Regularization of Neural Networks using DropConnect), §2 and §3.

    >>> layer = DropConnect(jnp.array([[1.0], [3.0]]), None, 0.5)
    >>> float(layer.marginalize(jnp.ones(2), lambda u: jnp.max(u)))  # of 0, 1, 3, 4
    2.0
    """

    kernel: jax.Array
    bias: jax.Array | None = None
    rate: float = 0.5

    def __post_init__(self):
        check_rate(self.rate)

    def sample(self, key: jax.Array, x: jax.Array) -> jax.Array:
        return drop_connect(key, x, self.kernel, self.bias, self.rate)

    def mean(self, x: jax.Array) -> jax.Array:
        return drop_connect_moments(x, self.kernel, self.bias, self.rate)[0]

    def variance(self, x: jax.Array) -> jax.Array:
        return drop_connect_moments(x, self.kernel, self.bias, self.rate)[1]

    def outcomes(self, x: jax.Array) -> Outcomes:
        weights = self.kernel.size
        coins = weights + (0 if self.bias is None else self.bias.size)

        def at(i):
            kept = bits(i, coins)
            mask = kept[:weights].reshape(self.kernel.shape)
            kernel = jnp.where(mask, self.kernel, jnp.zeros_like(self.kernel))
            bias = self.bias
            if bias is not None:
                bias = jnp.where(kept[weights:], bias, jnp.zeros_like(bias))
            return dense(x, kernel, bias)

        rate = jnp.asarray(self.rate, float)
        return Outcomes(2**coins, at, lambda i: probability_of(bits(i, coins), rate))

    def test_pass(self, x: jax.Array, function: Function = identity) -> jax.Array:
        return drop_connect_at_test(x, self.kernel, self.bias, self.rate, activation=function)
