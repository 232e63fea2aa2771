"""How monotone attention is: the share of it that lies near the diagonal."""

import jax
import jax.numpy as jnp

from jaxnets.ops.precision import at_least_float32


def diagonal_mass(weights: jax.Array, *, width: int = 1, reverse: bool = False) -> jax.Array:
    """Mean over the queries i of Σ_j a_ij over the keys with |j − i| ≤ width.

    What is copied word for word should be near 1; a map that is the same everywhere has about
    (2 · width + 1) / K.

    Args:
        weights: (…, Q, K) of the attention, without what ends a sequence.
        width: steps from the diagonal that count as near.
        reverse: count the antidiagonal, |K − 1 − j − i| ≤ width, as for a reversed sequence.

    Returns:
        (…), 0 to 1, in float32 or float64.

    Raises:
        ValueError: weights without queries and keys, or a negative width.

    Source: the maps of Bahdanau et al. 2015, §5.2.1, as a number.

    >>> import jax.numpy as jnp
    >>> float(diagonal_mass(jnp.eye(5), width=0)), float(diagonal_mass(jnp.eye(4), reverse=True))
    (1.0, 0.5)
    """
    if weights.ndim < 2 or width < 0:
        raise ValueError(
            f"weights, width: got shape {weights.shape} and {width}; expected (…, queries, keys) "
            "and 0 or more"
        )
    queries, keys = weights.shape[-2:]
    column = jnp.arange(keys)[::-1] if reverse else jnp.arange(keys)
    near = jnp.abs(column[None] - jnp.arange(queries)[:, None]) <= width
    return jnp.where(near, at_least_float32(weights), 0.0).sum(-1).mean(-1)
