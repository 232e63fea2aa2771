"""Limits on gradients: by value, by the norm of each leaf, by the norm of the whole."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxnets.optim.trees import check_number, promote

# PyTorch adds it to the norm; it decides the last digits, and we want its numbers.
EPS = 1e-6


def global_norm(tree: Any) -> jax.Array:
    """√(Σ over all leaves of Σ g²), in float32 at least; squares neither overflow nor vanish.

    Args:
        tree: a tree of floating-point arrays.

    Returns:
        A scalar.

    Raises:
        ValueError: a leaf is not a real floating-point array.

    >>> float(global_norm({"a": jnp.array([3.0]), "b": jnp.array([[4.0]])}))
    5.0
    """
    leaves = jax.tree.leaves(promote(tree))
    if not leaves:
        return jnp.zeros(())
    squares = _sum_of_squares(leaves)
    limits = jnp.finfo(squares.dtype)
    # Within these limits squares keep their digits; beyond them the tree is read again, scaled.
    exact = (squares > limits.tiny / limits.eps) & (squares < limits.max)

    def scaled():
        largest = jnp.stack([jnp.max(jnp.abs(leaf), initial=0) for leaf in leaves]).max()
        unit = jnp.where(largest > 0, largest, 1)
        return unit * jnp.sqrt(_sum_of_squares([leaf / unit for leaf in leaves]))

    return jax.lax.cond(exact, lambda: jnp.sqrt(squares), scaled)


def _sum_of_squares(leaves: list[jax.Array]) -> jax.Array:
    return sum(jnp.sum(leaf * leaf) for leaf in leaves)


def _stateless(change) -> optax.GradientTransformation:
    def update(grads, state, params=None):
        del params
        return change(promote(grads)), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def clip_by_value(max_delta: float) -> optax.GradientTransformation:
    """Every entry into [−max_delta, max_delta], which may turn the direction.

    Equals ``torch.nn.utils.clip_grad_value_`` and ``optax.clip``.

    Args:
        max_delta: the largest absolute value that is kept.

    Returns:
        A transform without state, to stand first in a chain.

    Raises:
        ValueError: ``max_delta`` not above 0.

    >>> clip = clip_by_value(1.0)
    >>> clip.update(jnp.array([-3.0, 0.5]), clip.init(None))[0].tolist()
    [-1.0, 0.5]
    """
    check_number("max_delta", max_delta, above=0)
    return _stateless(lambda g: jax.tree.map(lambda leaf: jnp.clip(leaf, -max_delta, max_delta), g))


def clip_by_leaf_norm(max_norm: float) -> optax.GradientTransformation:
    """g ← g · min(1, max_norm / (‖g‖ + 1e-6)) for each leaf by itself.

    It keeps the direction of each leaf, but not that of the whole gradient.

    Args:
        max_norm: the largest Euclidean norm that a leaf keeps.

    Returns:
        A transform without state, to stand first in a chain.

    Raises:
        ValueError: ``max_norm`` not above 0.

    >>> clip = clip_by_leaf_norm(1.0)
    >>> grads = {"a": jnp.array([3.0, 4.0]), "b": jnp.array([0.5])}
    >>> [round(float(g), 4) for g in clip.update(grads, clip.init(None))[0]["a"]]
    [0.6, 0.8]
    """
    check_number("max_norm", max_norm, above=0)

    return _stateless(lambda g: jax.tree.map(lambda leaf: _clip(leaf, max_norm), g))


def clip_by_global_norm(max_norm: float) -> optax.GradientTransformation:
    """g ← g · min(1, max_norm / (‖g‖ + 1e-6)) with the norm of all leaves together.

    Equals ``torch.nn.utils.clip_grad_norm_``. Inception-v3 was trained with max_norm = 2. A
    gradient that is not finite stays so: hiding it would hide the mistake.

    Args:
        max_norm: the largest Euclidean norm that the whole tree keeps.

    Returns:
        A transform without state, to stand first in a chain.

    Raises:
        ValueError: ``max_norm`` not above 0.

    Source: Pascanu, Mikolov, Bengio, "On the difficulty of training recurrent neural networks"
    (2013), algorithm 1.

    >>> clip = clip_by_global_norm(1.0)
    >>> [f"{g:.4f}" for g in clip.update(jnp.array([3.0, 4.0]), clip.init(None))[0]]
    ['0.6000', '0.8000']
    """
    check_number("max_norm", max_norm, above=0)

    return _stateless(lambda g: _clip(g, max_norm))


# A gradient longer than this is made smaller first, so that its norm is finite, and the factor that
# brings it down none of the numbers that processors round to zero.
_LARGE = 2.0**60


def _clip(tree: Any, max_norm: float) -> Any:
    """g · min(1, max_norm / (‖g‖ + EPS)), also where ‖g‖ is beyond the largest number."""
    norm = global_norm(tree)
    unit = jnp.where(norm > _LARGE, 1 / _LARGE, 1.0)
    smaller = jax.tree.map(lambda leaf: leaf * unit.astype(leaf.dtype), tree)
    norm = jax.lax.cond(norm > _LARGE, lambda: global_norm(smaller), lambda: norm)
    scale = jnp.minimum(1 / unit, max_norm / (norm + EPS * unit))
    return jax.tree.map(lambda leaf: leaf * scale.astype(leaf.dtype), smaller)
