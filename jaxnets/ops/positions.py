"""Positions of a sequence as features, for layers that do not see the order."""

import jax
import jax.numpy as jnp


def sinusoidal_positions(
    length: int, features: int, *, start: int | jax.Array = 0, dtype=jnp.float32
) -> jax.Array:
    """PE(t, 2i) = sin(t / 10000^(2i/d)), PE(t, 2i + 1) = cos of the same.

    Args:
        length: number of positions.
        features: d.
        start: the first position.
        dtype: of the result.

    Returns:
        (length, features).

    Raises:
        ValueError: an odd number of features.

    Source: Vaswani et al. 2017, §3.5.

    >>> sinusoidal_positions(2, 4).round(2).tolist()
    [[0.0, 1.0, 0.0, 1.0], [0.8399..., 0.5399..., 0.0099..., 1.0]]
    """
    if features % 2:
        raise ValueError(f"features: got {features}; expected an even number, sines and cosines")
    rates = 10_000.0 ** (-jnp.arange(0, features, 2, dtype=jnp.float32) / features)
    steps = jnp.arange(length, dtype=jnp.float32) + jnp.asarray(start, jnp.float32)
    angles = steps[:, None] * rates[None]
    pairs = jnp.stack((jnp.sin(angles), jnp.cos(angles)), -1)
    return pairs.reshape(length, features).astype(dtype)
