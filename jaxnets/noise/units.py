"""Noise on units: dropout and Gaussian noise."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from jaxnets.noise.source import NoiseSource, Outcomes, bits, probability_of
from jaxnets.ops.dropout import check_rate, dropout
from jaxnets.ops.gaussian_noise import check_std, gaussian_noise


@dataclass(frozen=True)
class Dropout(NoiseSource):
    """Every entry of x is zero with probability ``rate``.

    Exact: affine and quadratic functions; any function of up to 16 entries, by all 2^n masks.
    `test_pass` keeps all units, which is exact for affine functions only.

    Attributes:
        rate: probability of a unit to be dropped, in [0, 1).
        scale_in_training: scale the kept ones by 1 / (1 − rate) (inverted dropout).

    Source: Srivastava et al. 2014 (Dropout), §4.

    >>> source = Dropout(0.5, scale_in_training=False)
    >>> x = jnp.array([1.0, 3.0])
    >>> float(source.marginalize(x, jnp.max))  # of 0, 1, 3, 3
    1.75
    >>> float(source.test_pass(x, jnp.max))
    1.5
    """

    rate: float = 0.5
    scale_in_training: bool = True

    def __post_init__(self):
        check_rate(self.rate)

    @property
    def _scale(self) -> float:
        return 1.0 / (1.0 - self.rate) if self.scale_in_training and self.rate < 1.0 else 1.0

    def sample(self, key: jax.Array, x: jax.Array) -> jax.Array:
        return dropout(key, x, self.rate, scale_in_training=self.scale_in_training)

    def mean(self, x: jax.Array) -> jax.Array:
        return x * ((1.0 - self.rate) * self._scale)

    def variance(self, x: jax.Array) -> jax.Array:
        return x * x * (self.rate * (1.0 - self.rate) * self._scale**2)

    def outcomes(self, x: jax.Array) -> Outcomes:
        def kept(i):
            return bits(i, x.size)

        return Outcomes(
            2**x.size,
            lambda i: jnp.where(kept(i).reshape(x.shape), x * self._scale, jnp.zeros_like(x)),
            lambda i: probability_of(kept(i), jnp.asarray(self.rate, float)),
        )


@dataclass(frozen=True)
class GaussianNoise(NoiseSource):
    """x + σ z, or x · (1 + σ z), with z ~ N(0, 1) for every entry.

    Exact: affine and quadratic functions (the second is why training with noise is an L2 penalty
    for least squares, Bishop 1995). Others have no exact mean.

    Attributes:
        std: σ ≥ 0.
        multiplicative: a factor instead of a summand.

    Source: Bishop 1995 (Training with Noise is Equivalent to Tikhonov Regularization), §2;
    Srivastava et al. 2014, §10.

    >>> noise = GaussianNoise(2.0)
    >>> float(noise.marginalize(jnp.array([3.0]), lambda y: (y**2).sum(), degree=2))  # 9 + 4
    13.0
    """

    std: float = 0.1
    multiplicative: bool = False

    def __post_init__(self):
        check_std(self.std)

    def sample(self, key: jax.Array, x: jax.Array) -> jax.Array:
        return gaussian_noise(key, x, self.std, multiplicative=self.multiplicative)

    def mean(self, x: jax.Array) -> jax.Array:
        return x

    def variance(self, x: jax.Array) -> jax.Array:
        return (x * x if self.multiplicative else jnp.ones_like(x)) * self.std**2
