"""Backward rules: how a gradient passes a ReLU, and a normalization of local responses.

Each keeps the values of the forward pass and changes only what comes back.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp


@jax.custom_vjp
def relu_deconvnet(x: jax.Array) -> jax.Array:
    """max(0, x), whose backward pass is max(0, g): the rectifier of a deconvolutional network.

    Args:
        x: any shape, floating.

    Returns:
        like ``x``.

    Source: Zeiler & Fergus 2014 (Visualizing and Understanding Convolutional Networks), §2.1.

    >>> y, pull = jax.vjp(relu_deconvnet, jnp.array([-1.0, 2.0]))
    >>> y.tolist(), pull(jnp.array([3.0, -4.0]))[0].tolist()
    ([0.0, 2.0], [3.0, 0.0])
    """
    return jnp.maximum(x, 0)


relu_deconvnet.defvjp(
    lambda x: (jnp.maximum(x, 0), None),
    lambda _, g: (jnp.maximum(g, 0),),
)


@jax.custom_vjp
def relu_guided(x: jax.Array) -> jax.Array:
    """max(0, x), whose backward pass is max(0, g) where x > 0, and 0 elsewhere.

    Args:
        x: any shape, floating.

    Returns:
        like ``x``.

    Source: Springenberg et al. 2015 (Striving for Simplicity), §3.4.

    >>> y, pull = jax.vjp(relu_guided, jnp.array([-1.0, 2.0, 2.0]))
    >>> pull(jnp.array([3.0, -4.0, 5.0]))[0].tolist()
    [0.0, 0.0, 5.0]
    """
    return jnp.maximum(x, 0)


relu_guided.defvjp(
    lambda x: (jnp.maximum(x, 0), x > 0),
    lambda positive, g: (jnp.where(positive, jnp.maximum(g, 0), 0),),
)


def straight_through(function: Callable[[jax.Array], jax.Array], x: jax.Array) -> jax.Array:
    """``function(x)``, whose backward pass is the identity.

    Args:
        function: keeps shape and dtype.
        x: its argument.

    Returns:
        function(x).

    >>> jax.grad(lambda x: straight_through(jnp.square, x))(3.0).item()
    1.0
    """
    call = jax.custom_vjp(function)
    call.defvjp(lambda x: (function(x), None), lambda _, g: (g,))
    return call(x)
