"""Box bounds as two vectors, and the geometry of the box: projection, projected gradient, room."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.optim.second_order.objective import flatten


def flat_bounds(bounds: Any, x0: Any) -> tuple[jax.Array, jax.Array]:
    """Check bounds against x0 and lay the lower and the upper ones out as vectors.

    Args:
        bounds: (lower, upper), each a number or a tree like x0; SciPy's ``Bounds``; or, as SciPy
            takes them too, for an x0 of one axis a sequence of pairs, None where there is no bound.
        x0: the start.

    Raises:
        ValueError: not a pair, not broadcastable to x0, NaN, or a lower bound above an upper one.

    >>> low, high = flat_bounds([(0, None), (None, 2.5)], jnp.ones(2))
    >>> low.tolist(), high.tolist()
    ([0.0, -inf], [inf, 2.5])
    >>> low, high = flat_bounds((0.0, jnp.inf), {"a": jnp.ones(2)})
    >>> low.tolist(), high.tolist()
    ([0.0, 0.0], [inf, inf])
    """
    if hasattr(bounds, "lb") and hasattr(bounds, "ub"):
        bounds = tuple(_like_scipy(side, x0) for side in (bounds.lb, bounds.ub))
    elif _are_pairs(bounds, x0):
        bounds = tuple(
            np.array([end if side is None else side for side in column], float)
            for column, end in zip(zip(*bounds, strict=True), (-np.inf, np.inf), strict=True)
        )
    if not (isinstance(bounds, (tuple, list)) and len(bounds) == 2):
        raise ValueError(f"bounds must be a pair (lower, upper), got {type(bounds).__name__}")
    sides = []
    for name, side in zip(("lower", "upper"), bounds, strict=True):
        if jax.tree.structure(side) != jax.tree.structure(x0):
            if np.ndim(side) != 0 or (not np.isscalar(side) and not hasattr(side, "dtype")):
                raise ValueError(
                    f"the {name} bound has the structure {jax.tree.structure(side)}; it must be "
                    f"one number or a tree like x0, {jax.tree.structure(x0)}"
                )
            side = jax.tree.map(lambda leaf, side=side: jnp.full_like(leaf, side), x0)

        def fit(bound, leaf, name=name):
            if np.broadcast_shapes(np.shape(bound), np.shape(leaf)) != np.shape(leaf):
                raise ValueError(
                    f"the {name} bound {np.shape(bound)} does not fit {np.shape(leaf)}"
                )
            return jnp.broadcast_to(jnp.asarray(bound, jnp.result_type(leaf)), np.shape(leaf))

        try:
            sides.append(flatten(jax.tree.map(fit, side, x0), name).vector)
        except ValueError as error:
            raise ValueError(f"bounds do not fit x0: {error}") from None
    low, high = sides
    if not isinstance(low, jax.core.Tracer) and not isinstance(high, jax.core.Tracer):
        wrong = np.flatnonzero(~(np.asarray(low) <= np.asarray(high)))
        if wrong.size:
            i = int(wrong[0])
            raise ValueError(
                f"bounds cross: {wrong.size} lower bounds are not at most their upper bounds; "
                f"the first is entry {i}: lower {float(low[i])}, upper {float(high[i])}"
            )
    return low, high


def _are_pairs(bounds: Any, x0: Any) -> bool:
    """Whether bounds are SciPy's list of (lower, upper), one for each entry of a vector x0."""
    if not isinstance(bounds, (tuple, list)) or getattr(x0, "shape", None) != (len(bounds),):
        return False
    return all(isinstance(pair, (tuple, list)) and len(pair) == 2 for pair in bounds)


def _like_scipy(side: Any, x0: Any) -> Any:
    """A side of SciPy's Bounds: a number, also where it stands in an array of length one."""
    side = np.asarray(side, float)
    alone = side.size == 1 and not (hasattr(x0, "shape") and side.shape == x0.shape)
    return float(side.reshape(())) if alone else side


def project(x: jax.Array, lower: jax.Array, upper: jax.Array) -> jax.Array:
    """The nearest point in the box; all of shape (n,)."""
    return jnp.clip(x, lower, upper)


def projected_gradient_step(
    x: jax.Array, gradient: jax.Array, lower: jax.Array, upper: jax.Array
) -> jax.Array:
    """P(x - g) - x, where x is in the box: zero exactly where the first-order conditions hold.

    It is formed as clip(-g, lower - x, upper - x). In P(x - g) - x a gradient below the rounding
    of x would vanish.

    >>> x, lower, upper = jnp.array([0.0, 0.5]), jnp.zeros(2), jnp.ones(2)
    >>> projected_gradient_step(x, jnp.array([2.0, 0.25]), lower, upper).tolist()
    [0.0, -0.25]
    >>> far = jnp.full(2, 3e8)
    >>> projected_gradient_step(far, jnp.array([2.0, 0.25]), lower, far).tolist()
    [-2.0, -0.25]
    """
    return jnp.clip(-gradient, lower - x, upper - x)


def move_inside(x: jax.Array, move: jax.Array, lower: jax.Array, upper: jax.Array) -> jax.Array:
    """P(x + d) for a move d from a point of the box; all of shape (n,).

    A move of upper - x ends at the upper bound itself, which x + (upper - x) misses by rounding.

    >>> x, upper = jnp.array([0.1], jnp.float32), jnp.array([1.3], jnp.float32)
    >>> move_inside(x, upper - x, -upper, upper) == upper
    Array([ True], dtype=bool)
    """
    moved = jnp.where(move >= upper - x, upper, project(x + move, lower, upper))
    return jnp.where(move <= lower - x, lower, moved)


def max_step_inside(
    x: jax.Array, direction: jax.Array, lower: jax.Array, upper: jax.Array
) -> jax.Array:
    """The longest t with x + t d in the box; inf where d meets no bound.

    >>> x, lower, upper = jnp.zeros(2), -jnp.ones(2), jnp.full(2, jnp.inf)
    >>> float(max_step_inside(x, jnp.array([-0.25, 3.0]), lower, upper))
    4.0
    """
    room = jnp.where(direction > 0, upper - x, lower - x)
    ratio = jnp.where(direction != 0, room / jnp.where(direction == 0, 1, direction), jnp.inf)
    return jnp.min(ratio)
