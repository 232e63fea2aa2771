"""What every source of noise can do."""

import abc
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnets.noise.estimate import Estimate, monte_carlo
from jaxnets.ops.activations import identity
from jaxnets.ops.precision import at_least_float32

After = Callable[[Any], jax.Array]
# Enumerating more is a matter for Monte Carlo.
MOST_OUTCOMES = 2**16


class NotExactError(ValueError):
    """There is no exact mean of this function; the message says why, and what to do instead."""


class Outcomes(NamedTuple):
    """All that a source can draw.

    Attributes:
        count: how many.
        at: the noisy x of outcome i (a traced integer).
        probability: of outcome i.
    """

    count: int
    at: Callable[[jax.Array], Any]
    probability: Callable[[jax.Array], jax.Array]


class NoiseSource(abc.ABC):
    """Noise on x: drawn in training, averaged out in testing.

    Subclasses say `sample`; and, as far as they exist, `mean` and `variance` in closed form and all
    `outcomes`. ``x`` is one example; vmap over examples (and split the key).
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
        """Variances of the numbers of noisy x, where they are independent of each other.

        Raises:
            NotExactError: they are not.
        """
        raise NotExactError(
            f"{type(self).__name__}: its numbers are not independent, or their variances unknown"
        )

    def outcomes(self, x: Any) -> Outcomes | None:
        """Everything that `sample` may return, or None if that is not finite."""
        return None

    def marginalize(self, x: Any, after: After = identity, *, degree: int | None = None):
        """E[after(noisy x)], exact.

        By the closed form of the mean where ``after`` is the identity or affine (degree 1); from
        means and variances where it is quadratic (degree 2) and noise is independent; by going
        through all outcomes otherwise.

        Args:
            x: one example.
            after: what follows the noise; traceable.
            degree: of ``after`` as a polynomial, if it is one.

        Raises:
            NotExactError: there is no exact way; `monte_carlo` there is always.
        """
        if after is identity or degree in (0, 1):
            return after(self.mean(x))
        if degree == 2 and type(self).variance is not NoiseSource.variance:
            return _mean_of_quadratic(after, self.mean(x), self.variance(x))
        return self._over_outcomes(x, after)

    def monte_carlo(
        self, key: jax.Array, x: Any, samples: int, after: After = identity
    ) -> Estimate:
        """Estimate of E[after(noisy x)] from ``samples`` draws, with its standard error.

        Args:
            key: random key.
            x, after: as for `marginalize`.
            samples: at least 2.
        """
        return monte_carlo(key, lambda key: after(self.sample(key, x)), samples)

    def test_pass(self, x: Any, after: After = identity) -> jax.Array:
        """What networks take for the mean at test time: after(mean(x)), unless said otherwise."""
        return after(self.mean(x))

    def _over_outcomes(self, x: Any, after: After) -> Any:
        outcomes = self.outcomes(x)
        if outcomes is None or outcomes.count > MOST_OUTCOMES:
            why = (
                "its outcomes are not finite in number"
                if outcomes is None
                else f"it has more than {MOST_OUTCOMES} outcomes"
            )
            raise NotExactError(
                f"{type(self).__name__}: no exact mean of this function, because {why}. Give "
                "degree=1 or 2 if it is a polynomial, or use monte_carlo(key, x, samples, after), "
                "which gives a standard error"
            )
        return weighted_sum(after, outcomes)


def weighted_sum(after: After, outcomes: Outcomes) -> Any:
    """Σ_i p_i after(x_i) over all outcomes, a few of them at once."""
    count, at, probability = outcomes
    at_once = min(256, count)
    chunks, rest = divmod(count, at_once)

    def term(i):
        p = probability(i)
        return jax.tree.map(
            lambda y: at_least_float32(y) * p.astype(at_least_float32(y).dtype), after(at(i))
        )

    def add(total, indices):
        return jax.tree.map(lambda t, y: t + y.sum(0), total, jax.vmap(term)(indices)), None

    @jax.jit  # made anew for each call: ``after`` may see something else the next time
    def total(indices):
        zero = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(term, indices[0]))
        first = indices[: chunks * at_once].reshape(chunks, at_once)
        sums, _ = jax.lax.scan(add, zero, first)
        return add(sums, indices[chunks * at_once :])[0] if rest else sums

    return total(jnp.arange(count, dtype=jnp.int32))


def _mean_of_quadratic(after: After, mean: jax.Array, variance: jax.Array) -> jax.Array:
    """E f(x) = f(μ) + ½ Σ_i σ_i² ∂²f/∂x_i², by differences that are exact for quadratics."""
    steps = jnp.diag(jnp.sqrt(variance).ravel()).reshape(-1, *mean.shape)
    middle = after(mean)

    def curvature(step):
        return (after(mean + step) + after(mean - step)) / 2 - middle

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
