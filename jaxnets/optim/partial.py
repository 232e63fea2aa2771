"""Optimizers that move some of the parameters; the others keep every bit."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

MOVED, KEPT = "moved", "kept"


def keep() -> optax.GradientTransformation:
    """A rule that changes nothing, not even the sign of a zero.

    Its updates are −0: p + (−0) = p in every bit, whereas −0 + 0 = +0.

    Returns:
        The transformation.

    >>> rule = keep()
    >>> updates, _ = rule.update(jnp.ones(2), rule.init(jnp.ones(2)))
    >>> optax.apply_updates(jnp.array([-0.0, 3.0]), updates).tolist()
    [-0.0, 3.0]
    """
    return optax.stateless(lambda updates, _: jax.tree.map(lambda u: -jnp.zeros_like(u), updates))


def move_only(
    rule: optax.GradientTransformation, moved: Any | Callable[[Any], Any]
) -> optax.GradientTransformation:
    """A rule for some parameters; it does not see the others, and they keep every bit.

    Neither decay nor momentum touches what is kept, and a clipping norm is that of the gradients of
    what is moved.

    Args:
        rule: the optimizer of what is moved.
        moved: a tree of booleans like the parameters, or a function of them to one.

    Returns:
        The transformation.

    >>> rule = move_only(optax.sgd(1.0), {"a": False, "b": True})
    >>> params = {"a": jnp.zeros(1), "b": jnp.zeros(1)}
    >>> updates, _ = rule.update(jax.tree.map(jnp.ones_like, params), rule.init(params))
    >>> updates["a"].tolist(), updates["b"].tolist()
    ([-0.0], [-1.0])
    """

    def groups(params):
        chosen = moved(params) if callable(moved) else moved
        return jax.tree.map(lambda one: MOVED if one else KEPT, chosen)

    return optax.multi_transform({MOVED: rule, KEPT: keep()}, groups)
