"""Gaussian noise on units: added, or as a random factor."""

import math

import jax
import jax.numpy as jnp

from jaxnets.ops.precision import check_floating


def gaussian_noise(
    key: jax.Array, x: jax.Array, std: float = 0.1, *, multiplicative: bool = False
) -> jax.Array:
    """Noise of training: y = x + σ z, or y = x · (1 + σ z), with z ~ N(0, 1) for every unit.

    Both leave the expectation at x, so the test pass does nothing. The multiplicative form with
    σ² = rate / (1 − rate) has the mean and variance of inverted dropout ("Gaussian dropout").

    Args:
        key: random key; z is drawn in float32 whatever the dtype of ``x``.
        x: any shape, floating.
        std: σ, in units of ``x`` (added) or as a share of it (multiplicative); not negative.
        multiplicative: a factor instead of a summand.

    Returns:
        like ``x``.

    Raises:
        ValueError: a negative or infinite σ, or an ``x`` that is not floating.

    Source: Bishop 1995 (Training with Noise is Equivalent to Tikhonov Regularization); Srivastava
    et al. 2014, §10.

    >>> import jax, jax.numpy as jnp
    >>> y = gaussian_noise(jax.random.key(0), jnp.full(10_000, 5.0), 0.1, multiplicative=True)
    >>> f"{float(y.std()):.1f}"
    '0.5'
    """
    check_std(std)
    check_floating(x)
    if isinstance(std, int | float) and std == 0:
        return x
    z = (std * jax.random.normal(key, x.shape, jnp.float32)).astype(x.dtype)
    return x + (x * z if multiplicative else z)


def dropout_std(rate: float) -> float:
    """σ of the multiplicative noise that has the variance of inverted dropout: √(rate/(1 − rate)).

    Args:
        rate: probability of a unit to be dropped, in [0, 1).

    Returns:
        σ for `gaussian_noise` with ``multiplicative=True``.

    Raises:
        ValueError: a rate outside [0, 1).

    Source: Srivastava et al. 2014, §10.

    >>> dropout_std(0.5)
    1.0
    """
    if not 0.0 <= rate < 1.0:
        raise ValueError(f"rate: got {rate}; expected the share of units to drop, in [0, 1)")
    return math.sqrt(rate / (1.0 - rate))


def check_std(std: float) -> None:
    """Raise a ValueError for a static σ below 0; the value of a traced one is unknown."""
    if isinstance(std, int | float) and not 0.0 <= std < math.inf:
        raise ValueError(f"std: got {std}; expected a standard deviation of at least 0")
