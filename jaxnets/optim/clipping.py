"""Limits on gradients: by value, by the norm of each leaf, by the norm of the whole."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxnets.optim.trees import check_number, promote

# PyTorch adds it to the norm; it decides the last digits, and we want its numbers.
EPS = 1e-6


def global_norm(tree: Any) -> jax.Array:
    """√(Σ over all leaves of Σ g²), in float32 at least.

    >>> float(global_norm({"a": jnp.array([3.0]), "b": jnp.array([[4.0]])}))
    5.0
    """
    return jnp.sqrt(sum(jnp.sum(leaf * leaf) for leaf in jax.tree.leaves(promote(tree))))


def _stateless(change) -> optax.GradientTransformation:
    def update(grads, state, params=None):
        del params
        return change(promote(grads)), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def clip_by_value(limit: float) -> optax.GradientTransformation:
    """Every entry into [−limit, limit]; ``torch.nn.utils.clip_grad_value_``. Turns the direction.

    >>> clip = clip_by_value(1.0)
    >>> clip.update(jnp.array([-3.0, 0.5]), clip.init(None))[0].tolist()
    [-1.0, 0.5]
    """
    check_number("limit", limit, above=0)
    return _stateless(lambda g: jax.tree.map(lambda leaf: jnp.clip(leaf, -limit, limit), g))


def clip_by_leaf_norm(limit: float) -> optax.GradientTransformation:
    """Every leaf whose norm is above `limit` back to that norm; keeps each leaf's direction."""
    check_number("limit", limit, above=0)

    def clip(leaf):
        return leaf * jnp.minimum(1.0, limit / (global_norm(leaf) + EPS))

    return _stateless(lambda g: jax.tree.map(clip, g))


def clip_by_global_norm(limit: float) -> optax.GradientTransformation:
    """g ← g · min(1, limit / (‖g‖ + 1e-6)) with the norm of all leaves together.

    Equals ``torch.nn.utils.clip_grad_norm_``. Inception-v3 was trained with a limit of 2. A
    gradient that is not finite stays so: hiding it would hide the mistake.

    >>> clip = clip_by_global_norm(1.0)
    >>> [f"{g:.4f}" for g in clip.update(jnp.array([3.0, 4.0]), clip.init(None))[0]]
    ['0.6000', '0.8000']
    """
    check_number("limit", limit, above=0)

    def clip(grads):
        norm = global_norm(grads)
        scale = jnp.minimum(1.0, limit / (norm + EPS))
        return jax.tree.map(lambda leaf: leaf * scale.astype(leaf.dtype), grads)

    return _stateless(clip)
