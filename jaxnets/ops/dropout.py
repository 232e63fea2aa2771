"""Dropout, inverted and as first published."""

import jax
import jax.numpy as jnp

from jaxnets.ops.precision import check_floating


def check_rate(rate: float) -> None:
    """Raise a ValueError for a static rate outside [0, 1]; the value of a traced one is unknown."""
    if isinstance(rate, int | float) and not 0.0 <= rate <= 1.0:
        raise ValueError(f"rate: got {rate}; expected the share of units to drop, in [0, 1]")


def dropout(
    key: jax.Array, x: jax.Array, rate: float = 0.5, *, scale_in_training: bool = True
) -> jax.Array:
    """Drop every unit with probability ``rate``, as in training.

    y = x · m / (1 − rate) with m ~ Bernoulli(1 − rate): the expectation of y is x, and the test
    pass does nothing (inverted dropout). With ``scale_in_training=False`` y = x · m as first
    published; the test pass then is `dropout_at_test`.

    Args:
        key: random key.
        x: any shape, floating.
        rate: probability of a unit to be dropped, in [0, 1].
        scale_in_training: divide by 1 − rate.

    Returns:
        like ``x``.

    Raises:
        ValueError: a rate outside [0, 1], or an ``x`` that is not floating.

    Source: Hinton et al. 2012 (Improving Neural Networks by Preventing Co-adaptation of Feature
    Detectors); Srivastava et al. 2014 (Dropout), §4 and §10.

    >>> import jax, jax.numpy as jnp
    >>> sorted(set(dropout(jax.random.key(0), jnp.ones(100), 0.5).tolist()))
    [0.0, 2.0]
    """
    check_rate(rate)
    check_floating(x)
    if isinstance(rate, int | float) and rate in (0.0, 1.0):
        return x if rate == 0.0 else jnp.zeros_like(x)
    keep = jax.random.bernoulli(key, 1.0 - rate, x.shape)
    kept = x
    if scale_in_training:
        share = jnp.asarray(1.0 - rate, x.dtype)
        # A traced rate may be 1: nothing is kept then, and nothing must be divided by 0.
        kept = x / jnp.where(share > 0, share, jnp.ones_like(share))
    return jnp.where(keep, kept, jnp.zeros_like(x))


def dropout_at_test(x: jax.Array, rate: float = 0.5) -> jax.Array:
    """The test pass of dropout as first published: y = x · (1 − rate).

    At test time all units are present, each scaled by the probability with which it was present in
    training (the weight scaling rule).

    Args:
        x: any shape, floating.
        rate: probability with which training dropped a unit, in [0, 1].

    Returns:
        like ``x``.

    Raises:
        ValueError: a rate outside [0, 1], or an ``x`` that is not floating.

    Source: Srivastava et al. 2014, §4 and figure 2.

    >>> import jax.numpy as jnp
    >>> dropout_at_test(jnp.ones(2), 0.5).tolist()
    [0.5, 0.5]
    """
    check_rate(rate)
    check_floating(x)
    return x * (1.0 - rate)
