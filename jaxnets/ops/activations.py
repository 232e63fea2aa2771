"""Activation functions."""

import jax


def relu(x: jax.Array) -> jax.Array:
    """max(0, x), with slope 0 at 0.

    Does not saturate and costs one comparison, but a unit that is never above zero gets no gradient
    and stays dead (notes L16); `jaxnets.metrics` counts such units.

    >>> import jax.numpy as jnp
    >>> relu(jnp.array([-1.0, 0.0, 2.0])).tolist()
    [0.0, 0.0, 2.0]
    """
    return jax.nn.relu(x)
