"""The interface of every source of noise."""

import abc
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnets.noise.estimate import Estimate, monte_carlo
from jaxnets.ops.activations import identity
from jaxnets.ops.precision import at_least_float32

Function = Callable[[Any], jax.Array]
# Beyond this, Monte Carlo is the way.
MAX_OUTCOMES = 2**16


class NotExactError(ValueError):
    """There is no exact mean of this function; the message says why, and what to do instead."""


class Outcomes(NamedTuple):
    """All outcomes of a source of noise.

    Attributes:
        count: how many.
        at: the noisy x of outcome i (a traced integer).
        probability: of outcome i.

    >>> from jaxnets.noise import Dropout
    >>> outcomes = Dropout(0.5).outcomes(jnp.ones(2))
    >>> outcomes.count, outcomes.at(jnp.int32(1)).tolist()
    (4, [2.0, 0.0])
    """

    count: int
    at: Callable[[jax.Array], Any]
    probability: Callable[[jax.Array], jax.Array]


class NoiseSource(abc.ABC):
    """Noise on x: drawn in training, marginalized at test time.

    Subclasses define `sample` and, where they exist, `mean` and `variance` in closed form and all
    `outcomes`. ``x`` is one example; vmap over examples (and split the key).

    >>> from jaxnets.noise import GaussianNoise
    >>> isinstance(GaussianNoise(), NoiseSource)
    True
    """

    @abc.abstractmethod
    def sample(self, key: jax.Array, x: Any) -> Any:
        """One noisy x, as in training."""

    def mean(self, x: Any) -> Any:
        """E[noisy x], exact.

        Raises:
            NotExactError: it has no closed form, and too many outcomes.
        """
        return self._over_outcomes(x, identity)

    def variance(self, x: Any) -> Any:
        """Variances of the entries of noisy x, where they are independent of each other.

        Raises:
            NotExactError: they are not.
        """
        raise NotExactError(
            f"{type(self).__name__}: its entries are not independent, or their variances unknown"
        )

    def outcomes(self, x: Any) -> Outcomes | None:
        """Everything that `sample` may return, or None if that is not finite."""
        return None

    def marginalize(self, x: Any, function: Function = identity, *, degree: int | None = None):
        """E[function(noisy x)], exact.

        By the closed form of the mean where ``function`` is the identity or affine (degree 1); from
        means and variances where it is quadratic (degree 2) and noise is independent; by going
        through all outcomes otherwise.

        Args:
            x: one example.
            function: applied to the noisy x; traceable.
            degree: of ``function`` as a polynomial, if it is one.

        Raises:
            NotExactError: there is no exact way; `monte_carlo` always works.
        """
        if function is identity or degree in (0, 1):
            return function(self.mean(x))
        if degree == 2 and type(self).variance is not NoiseSource.variance:
            return _mean_of_quadratic(function, self.mean(x), self.variance(x))
        return self._over_outcomes(x, function)

    def monte_carlo(
        self, key: jax.Array, x: Any, samples: int, function: Function = identity
    ) -> Estimate:
        """Estimate of E[function(noisy x)] from ``samples`` draws, with its standard error.

        Args:
            key: random key.
            x, function: as for `marginalize`.
            samples: at least 2.

        Returns:
            the mean of the draws with its standard error.
        """
        return monte_carlo(key, lambda key: function(self.sample(key, x)), samples)

    def test_pass(self, x: Any, function: Function = identity) -> jax.Array:
        """The test-time approximation of the mean: function(mean(x)), unless stated otherwise."""
        return function(self.mean(x))

    def _over_outcomes(self, x: Any, function: Function) -> Any:
        outcomes = self.outcomes(x)
        if outcomes is None or outcomes.count > MAX_OUTCOMES:
            why = (
                "its outcomes are not finite in number"
                if outcomes is None
                else f"it has more than {MAX_OUTCOMES} outcomes"
            )
            raise NotExactError(
                f"{type(self).__name__}: no exact mean of this function, because {why}. Give "
                "degree=1 or 2 if it is a polynomial, or use monte_carlo(key, x, samples, "
                "function), which gives a standard error"
            )
        return weighted_sum(function, outcomes)


def weighted_sum(function: Function, outcomes: Outcomes) -> Any:
    """Σ_i p_i function(x_i) over all outcomes, in batches."""
    count, at, probability = outcomes
    batch_size = min(256, count)
    chunks, rest = divmod(count, batch_size)

    def term(i):
        p = probability(i)
        return jax.tree.map(
            lambda y: at_least_float32(y) * p.astype(at_least_float32(y).dtype), function(at(i))
        )

    def add(total, indices):
        return jax.tree.map(lambda t, y: t + y.sum(0), total, jax.vmap(term)(indices)), None

    @jax.jit  # made anew for each call: ``function`` may see something else the next time
    def total(indices):
        zero = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(term, indices[0]))
        first = indices[: chunks * batch_size].reshape(chunks, batch_size)
        sums, _ = jax.lax.scan(add, zero, first)
        return add(sums, indices[chunks * batch_size :])[0] if rest else sums

    return total(jnp.arange(count, dtype=jnp.int32))


def _mean_of_quadratic(function: Function, mean: jax.Array, variance: jax.Array) -> jax.Array:
    """E f(x) = f(μ) + ½ Σ_i σ_i² ∂²f/∂x_i², by differences that are exact for quadratics."""
    steps = jnp.diag(jnp.sqrt(variance).ravel()).reshape(-1, *mean.shape)
    middle = function(mean)

    def curvature(step):
        return (function(mean + step) + function(mean - step)) / 2 - middle

    return middle + jax.vmap(curvature)(steps).sum(0)


def bits(index: jax.Array, count: int) -> jax.Array:
    """The lowest bits of an integer, as booleans: outcome i of ``count`` coins.

    >>> bits(jnp.int32(5), 4).tolist()
    [True, False, True, False]
    """
    return (index >> jnp.arange(count, dtype=jnp.int32)) & 1 > 0


def probability_of(kept: jax.Array, rate: jax.Array) -> jax.Array:
    """Π over coins of 1 − rate where kept, rate where not.

    >>> f"{float(probability_of(jnp.array([True, False]), jnp.array([0.25, 0.25]))):.4f}"
    '0.1875'
    """
    return jnp.prod(jnp.where(kept, 1.0 - rate, rate))
