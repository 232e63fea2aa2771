"""L-BFGS with its line search as an Optax transform, for loops that the caller writes."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxnets.optim.second_order import line_search
from jaxnets.optim.second_order.lbfgs import (
    History,
    empty_history,
    forget,
    push,
    times_inverse_hessian,
)
from jaxnets.optim.second_order.model import EXACT
from jaxnets.optim.second_order.objective import flat_objective, flatten


class LBFGSState(NamedTuple):
    """State of `lbfgs`.

    `value` and `grad` are those at the parameters after the update: they come from the line
    search, and ``optax.value_and_grad_from_state`` finds them here, so that a loop evaluates
    nothing twice.

    Args:
        history: the pairs.
        value: fun after the last update; +inf before the first.
        grad: its gradient, a tree like the parameters.
        step: the last accepted step length, 0 where the search failed.
        evaluations: calls of value_fn so far.
    """

    history: History
    value: jax.Array
    grad: Any
    step: jax.Array
    evaluations: jax.Array


def lbfgs(
    memory: int = 10, rule: line_search.WolfeRule | None = None
) -> optax.GradientTransformationExtraArgs:
    """L-BFGS with a strong-Wolfe search, as a transform whose updates are ready to be applied.

    ``update(grads, state, params, value=…, value_fn=…, **more)``: value_fn is called as
    ``value_fn(params, **more)`` for trial steps. No learning rate belongs behind it.

    Args:
        memory: pairs kept.
        rule: constants of the line search.

    Source: see `lbfgs.times_inverse_hessian` for the formulas.

    >>> import jax, jax.numpy as jnp, optax
    >>> def fun(x):
    ...     return jnp.sum((x - 3.0) ** 2)
    >>> solver, x = lbfgs(), jnp.zeros(2)
    >>> state = solver.init(x)
    >>> value_and_grad = optax.value_and_grad_from_state(fun)
    >>> for _ in range(3):
    ...     value, grad = value_and_grad(x, state=state)
    ...     updates, state = solver.update(grad, state, x, value=value, value_fn=fun)
    ...     x = optax.apply_updates(x, updates)
    >>> [round(float(v), 4) for v in x]
    [3.0, 3.0]
    """
    if memory < 1:
        raise ValueError(f"memory must be at least 1, got {memory}")
    rule = rule or line_search.WolfeRule()
    rule.check()

    def init(params: Any) -> LBFGSState:
        flat = flatten(params, "params")
        dtype = flat.vector.dtype
        return LBFGSState(
            history=empty_history(flat.vector.size, memory, dtype),
            value=jnp.full((), jnp.inf, dtype),
            grad=jax.tree.map(jnp.zeros_like, params),
            step=jnp.zeros((), dtype),
            evaluations=jnp.zeros((), jnp.int32),
        )

    def update(
        updates: Any,
        state: LBFGSState,
        params: Any = None,
        *,
        value: jax.Array | None = None,
        value_fn: Callable | None = None,
        grad: Any = None,
        **more: Any,
    ):
        if params is None or value is None or value_fn is None:
            raise ValueError(
                "lbfgs searches along a line: call update(grads, state, params, value=…, "
                "value_fn=…), got "
                f"params={params is not None}, value={value is not None}, "
                f"value_fn={value_fn is not None}"
            )
        flat, gradient = flatten(params, "params"), flatten(updates, "updates").vector
        x, dtype = flat.vector, flat.vector.dtype
        evaluate = flat_objective(lambda tree: value_fn(tree, **more), flat)

        direction = -times_inverse_hessian(state.history, gradient)
        slope = jnp.vdot(gradient, direction, precision=EXACT)
        uphill = ~(slope < 0)
        history = forget(state.history, uphill)
        direction = jnp.where(uphill, -gradient, direction)
        squared = jnp.vdot(gradient, gradient, precision=EXACT)
        slope = jnp.where(uphill, -squared, slope)
        cautious = (history.count == 0) & (squared > 1)
        guess = jnp.where(cautious, jax.lax.rsqrt(jnp.where(cautious, squared, 1)), 1)
        value = jnp.asarray(value, dtype)

        def trial(carry):
            search = carry[0]
            here, gradient, _ = evaluate(x + search.step * direction)
            along = jnp.vdot(gradient, direction, precision=EXACT)
            return line_search.advance(search, here, along, rule), here, gradient

        search, new_value, new_gradient = jax.lax.while_loop(
            lambda carry: carry[0].outcome == line_search.SEARCHING,
            trial,
            (line_search.start(value, slope, guess, jnp.inf), value, gradient),
        )
        found = search.outcome != line_search.FAILED
        new_value = jnp.where(found, new_value, value)
        new_gradient = jnp.where(found, new_gradient, gradient)
        step = jnp.where(found, search.step, 0)
        move = step * direction
        # A failed search: forget the curvature, so that the next update is steepest descent.
        history = push(forget(history, ~found), move, new_gradient - gradient)
        restore = flat.restore
        new_state = LBFGSState(
            history=history,
            value=new_value,
            grad=restore(new_gradient),
            step=step,
            evaluations=state.evaluations + search.trials,
        )
        return restore(move), new_state

    return optax.GradientTransformationExtraArgs(init, update)
