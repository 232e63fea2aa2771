"""Particle filters: how many particles count, and drawing new ones by their weights."""

import jax
import jax.numpy as jnp

from jaxnets.ops.precision import at_least_float32


def effective_sample_size(weights: jax.Array) -> jax.Array:
    """So many equally weighted particles would say as much: (Σw)² / Σw².

    Args:
        weights: (…, P), not negative; they need not add up to 1.

    Returns:
        (…,), from 1 to P; 0 where all weights are 0.

    Source: Kong, Liu, Wong, "Sequential Imputations and Bayesian Missing Data Problems", 1994,
    section 4.1.

    >>> effective_sample_size(jnp.array([0.5, 0.5, 0.0])).item()
    2.0
    """
    wide = at_least_float32(weights)
    square = (wide**2).sum(-1)
    return jnp.where(square > 0, wide.sum(-1) ** 2 / jnp.where(square > 0, square, 1.0), 0.0)


def systematic_resample(key: jax.Array, weights: jax.Array) -> jax.Array:
    """Which particles live on: one comb of P teeth, laid at random over the weights in a row.

    A particle of weight w, of all Σw, is taken ⌊P·w/Σw⌋ or ⌈P·w/Σw⌉ times. Where all weights are 0,
    each is taken once.

    Args:
        key: a JAX random key.
        weights: (P,), not negative.

    Returns:
        int32 (P,), numbers of particles, not falling.

    Raises:
        ValueError: weights of another shape.

    Source: Kitagawa, "Monte Carlo Filter and Smoother for Non-Gaussian Nonlinear State Space
    Models", 1996, appendix; Douc, Cappé, Moulines, "Comparison of Resampling Schemes for Particle
    Filtering", 2005, section 2.4.

    >>> systematic_resample(jax.random.key(0), jnp.array([0.0, 1.0, 1.0, 0.0])).tolist()
    [1, 1, 2, 2]
    """
    if weights.ndim != 1:
        raise ValueError(f"weights: got shape {weights.shape}; expected (P,)")
    count = weights.shape[0]
    wide = at_least_float32(weights)
    wide = jnp.where(wide.sum() > 0, wide, 1.0)
    total = jnp.cumsum(wide)
    teeth = (jnp.arange(count) + jax.random.uniform(key, dtype=wide.dtype)) / count * total[-1]
    found = jnp.searchsorted(total, teeth, side="right")
    # Rounding may lay the last tooth behind the end: never on a particle without weight.
    last = jnp.max(jnp.where(wide > 0, jnp.arange(count), 0))
    return jnp.minimum(found, last).astype(jnp.int32)
