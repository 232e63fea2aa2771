"""Monte-Carlo means with their standard errors."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.ops.precision import at_least_float32


class Estimate(NamedTuple):
    """A mean over random draws.

    Attributes:
        mean: of the draws, in their shape.
        standard_error: of the mean, likewise: s/√n.
        samples: n.

    >>> Estimate(jnp.float32(1.0), jnp.float32(0.5), 9).agrees(jnp.float32(2.0))
    True
    """

    mean: jax.Array
    standard_error: jax.Array
    samples: int

    def z_scores(self, value: jax.Array) -> np.ndarray:
        """How many standard errors ``value`` is above the mean; rounding errors count as zero.

        >>> float(Estimate(jnp.float32(1.0), jnp.float32(0.5), 9).z_scores(jnp.float32(2.0)))
        2.0
        """
        mean = np.asarray(self.mean, np.float64)
        difference = np.asarray(value, np.float64) - mean
        # Sums of many float32 numbers: about 1e-6 of their size.
        rounding = 4e-6 * np.maximum(np.abs(mean), 1e-6)
        error = np.maximum(np.asarray(self.standard_error, np.float64), rounding)
        return difference / error

    def agrees(self, value: jax.Array, sigmas: float = 3.0) -> bool:
        """Whether every entry of ``value`` is within ``sigmas`` standard errors of the mean."""
        return bool((np.abs(self.z_scores(value)) <= sigmas).all())


def monte_carlo(
    key: jax.Array,
    draw: Callable[[jax.Array], jax.Array],
    samples: int,
    *,
    batch_size: int = 256,
) -> Estimate:
    """Mean of ``draw(key)`` over ``samples`` keys, with its standard error.

    For a network with dropout this is Monte-Carlo dropout ::

        draw = lambda key: softmax(model.apply(variables, x, train=True, rngs={"dropout": key}))
        monte_carlo(key, draw, 100)

    Args:
        key: random key.
        draw: of a key; traceable.
        samples: at least 2.
        batch_size: draws that run as one vmapped call, and lie in memory together.

    Returns:
        the mean, in float32 or wider, with its standard error.

    Raises:
        ValueError: fewer than 2 samples, or a batch size below 1.

    Source: Gal & Ghahramani 2016 (Dropout as a Bayesian Approximation), §4.

    >>> import jax
    >>> estimate = monte_carlo(jax.random.key(0), lambda key: jax.random.normal(key), 10_000)
    >>> f"{float(estimate.standard_error):.3f}", estimate.agrees(0.0)
    ('0.010', True)
    """
    if samples < 2 or batch_size < 1:
        raise ValueError(
            f"samples, batch_size: got {samples} and {batch_size}; expected at least 2 and 1"
        )
    # Compiled anew for each call: ``draw`` may see other variables the next time.
    run = jax.jit(partial(_monte_carlo, draw, batch_size=min(batch_size, samples)))
    mean, standard_error = run(jax.random.split(key, samples))
    return Estimate(mean, standard_error, samples)


def _monte_carlo(draw, keys, *, batch_size):
    samples = keys.shape[0]
    chunks, rest = divmod(samples, batch_size)
    drawn = jax.vmap(lambda key: at_least_float32(draw(key)))
    # Squares are summed about the first draw, so that a large mean does not swallow the variance.
    origin = drawn(keys[:1])[0]

    def add(sums, keys):
        y = drawn(keys) - jnp.broadcast_to(origin, (keys.shape[0], *origin.shape))
        return (sums[0] + y.sum(0), sums[1] + (y * y).sum(0)), None

    first = keys[: chunks * batch_size].reshape(chunks, batch_size, *keys.shape[1:])
    sums, _ = jax.lax.scan(add, (jnp.zeros_like(origin), jnp.zeros_like(origin)), first)
    if rest:
        sums, _ = add(sums, keys[chunks * batch_size :])
    mean = sums[0] / samples
    variance = jnp.maximum(sums[1] / samples - mean * mean, 0.0) * (samples / (samples - 1))
    return origin + mean, jnp.sqrt(variance / samples)
