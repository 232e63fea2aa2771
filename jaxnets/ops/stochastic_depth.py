"""Stochastic depth: whole branches of residual blocks are dropped, example by example."""

import jax
import jax.numpy as jnp

from jaxnets.ops.dropout import check_rate
from jaxnets.ops.precision import check_floating


def stochastic_depth(
    key: jax.Array,
    x: jax.Array,
    rate: float | jax.Array,
    *,
    per_example: bool = True,
    scale_in_training: bool = True,
) -> jax.Array:
    """Drop a whole branch with probability ``rate``, as in training: y = x · b / (1 − rate).

    b ~ Bernoulli(1 − rate), one for each example or one for all. To be used on the branch of a
    residual block, ``shortcut + stochastic_depth(key, branch, …)``, or on a path of a cell
    (NASNet's "drop-path"; EfficientNet's code calls it drop_connect).

    Args:
        key: random key.
        x: (N, …), floating, the branch's output.
        rate: probability of the branch to be dropped, in [0, 1]; may be traced (schedules).
        per_example: draw for each example; False: once for the whole batch, as first published.
        scale_in_training: divide by 1 − rate; otherwise the test pass is
            `stochastic_depth_at_test`.

    Returns:
        like ``x``.

    Raises:
        ValueError: a rate outside [0, 1], or an ``x`` without axes or not floating.

    Source: Huang et al. 2016 (Deep Networks with Stochastic Depth), §3; Zoph et al. 2017, §A.7.

    >>> import jax, jax.numpy as jnp
    >>> stochastic_depth(jax.random.key(1), jnp.ones((4, 2)), 0.5).tolist()
    [[2.0, 2.0], [0.0, 0.0], [2.0, 2.0], [2.0, 2.0]]
    """
    check_rate(rate)
    check_floating(x)
    if x.ndim < 1:
        raise ValueError("x: got a single number; expected (N, …)")
    if isinstance(rate, int | float) and rate in (0.0, 1.0):
        return x if rate == 0.0 else jnp.zeros_like(x)
    keep = 1.0 - rate
    shape = (x.shape[0] if per_example else 1,) + (1,) * (x.ndim - 1)
    factor = jax.random.bernoulli(key, keep, shape).astype(jnp.float32)
    if scale_in_training:
        # A traced rate may be 1: nothing is kept then, and nothing must be divided by 0.
        factor = factor / jnp.where(keep > 0, keep, 1.0).astype(jnp.float32)
    return x * jnp.broadcast_to(factor.astype(x.dtype), x.shape)


def stochastic_depth_at_test(x: jax.Array, rate: float | jax.Array) -> jax.Array:
    """The test pass as first published: y = x · (1 − rate), each branch by its survival.

    Args:
        x: the branch's output, any shape, floating.
        rate: probability with which training dropped the branch, in [0, 1].

    Returns:
        like ``x``.

    Raises:
        ValueError: a rate outside [0, 1], or an ``x`` that is not floating.

    Source: Huang et al. 2016, equation 5.

    >>> import jax.numpy as jnp
    >>> stochastic_depth_at_test(jnp.ones(2), 0.25).tolist()
    [0.75, 0.75]
    """
    check_rate(rate)
    check_floating(x)
    return x * (1.0 - rate)


def stochastic_depth_rates(blocks: int, last: float = 0.5) -> list[float]:
    """Rates that grow linearly with depth: rate_l = l / L · last for block l = 1 … L.

    Early blocks make features for all later ones, so they are kept more often.

    Args:
        blocks: L.
        last: rate of the last block, in [0, 1].

    Returns:
        the L rates, from the first block to the last.

    Raises:
        ValueError: no block, or a rate outside [0, 1].

    Source: Huang et al. 2016, equation 4.

    >>> stochastic_depth_rates(4, 0.5)
    [0.125, 0.25, 0.375, 0.5]
    """
    if blocks < 1:
        raise ValueError(f"blocks: got {blocks}; expected at least 1")
    check_rate(last)
    return [last * block / blocks for block in range(1, blocks + 1)]
