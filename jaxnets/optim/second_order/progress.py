"""The numbers of a run and what they say: is there progress, and is it time to stop?"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnets.optim.second_order._xla import compute_if
from jaxnets.optim.second_order.result import Status

# Iterations in a row without a lower value (beyond rounding) or a clearly smaller gradient.
PATIENCE = 10


class Scalars(NamedTuple):
    """The numbers that one iteration hands to the next; all are scalars.

    Attributes:
        value: at the present point.
        gradient_norm: there, as the method measures it.
        iterations: accepted steps; -1 before the function has been evaluated at the start.
        evaluations: calls of the function.
        hessian_products: as the directions report them.
        status: a `Status`.
        slope: φ'(0) along the direction that comes.
        first_order: whether that direction rests on no curvature.
        expected: |slope| of the last direction that rested on curvature.
        stalled: iterations in a row without progress.
        best_value: the lowest value so far.
        best_norm: the smallest gradient norm so far.
    """

    value: jax.Array
    gradient_norm: jax.Array
    iterations: jax.Array
    evaluations: jax.Array
    hessian_products: jax.Array
    status: jax.Array
    slope: jax.Array
    first_order: jax.Array
    expected: jax.Array
    stalled: jax.Array
    best_value: jax.Array
    best_norm: jax.Array


def blank_scalars(dtype: Any) -> Scalars:
    """The numbers before the first evaluation, in the dtype of the parameters."""
    integer, number = jnp.zeros((), jnp.int32), jnp.zeros((), dtype)
    return Scalars(
        value=number,
        gradient_norm=number + jnp.inf,
        iterations=integer - 1,
        evaluations=integer,
        hessian_products=integer,
        status=integer,
        slope=number,
        first_order=jnp.ones((), bool),
        expected=number + jnp.inf,
        stalled=integer,
        best_value=number + jnp.inf,
        best_norm=number + jnp.inf,
    )


def stalled_iterations(
    old: Scalars, value: jax.Array, norm: jax.Array, found: jax.Array
) -> jax.Array:
    """Iterations in a row without a lower value (beyond rounding) or a smaller gradient.

    Args:
        old: the numbers before this iteration.
        value: after it.
        norm: the gradient norm after it.
        found: whether the line search found a step.
    """
    lower = value < old.best_value - _rounding(value)
    better = lower | (norm < 0.9 * old.best_norm)
    return jnp.where(better | (old.iterations < 0), 0, old.stalled + found)


def _rounding(value: jax.Array) -> jax.Array:
    return jnp.finfo(value.dtype).eps * jnp.abs(value)


def next_status(
    old: Scalars,
    new: Scalars,
    step: jax.Array,
    found: jax.Array,
    tol: jax.Array,
    max_iterations: jax.Array,
) -> jax.Array:
    """Why to stop after this iteration, or RUNNING; the first case that holds decides.

    Args:
        old: the numbers before this iteration.
        new: the numbers after it; its status is not looked at.
        step: s, the move of this iteration, shape (n,).
        found: whether the line search found a step.
        tol: gradient norm at which the run has converged.
        max_iterations: accepted steps at most.
    """
    first = old.iterations < 0
    finite = jnp.isfinite(new.value) & jnp.isfinite(new.gradient_norm)
    given_up = ~found & old.first_order
    # The decrease that the slopes promise is less than the value's rounding.
    lost = jnp.minimum(new.expected, jnp.abs(old.slope)) <= 100 * _rounding(new.value)
    same = found & ~first & (new.value == old.value)
    stuck = compute_if(same, lambda: jnp.all(step == 0), jnp.zeros((), bool))
    cases = (
        (first & ~finite, Status.NON_FINITE),
        (new.gradient_norm <= tol, Status.CONVERGED),
        ((given_up & lost) | stuck | (new.stalled >= PATIENCE), Status.ROUNDING),
        (given_up, Status.LINE_SEARCH_FAILED),
        (old.iterations + 1 >= max_iterations, Status.MAX_ITERATIONS),
    )
    conditions, statuses = zip(*cases, strict=True)
    return jnp.select(list(conditions), [jnp.int32(s) for s in statuses], jnp.int32(Status.RUNNING))
