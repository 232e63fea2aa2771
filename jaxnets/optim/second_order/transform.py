"""L-BFGS with its line search as an Optax transform, for loops that the caller writes."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxnets.optim.second_order._xla import dot
from jaxnets.optim.second_order.lbfgs import (
    History,
    init_history,
    push,
    reset_history,
    times_inverse_hessian,
)
from jaxnets.optim.second_order.line_search import (
    FAILED,
    SEARCHING,
    advance,
    init_search,
)
from jaxnets.optim.second_order.objective import flat_objective, flatten
from jaxnets.optim.second_order.wolfe import StrongWolfe


class LBFGSState(NamedTuple):
    """State of `lbfgs`.

    `value` and `grad` are those at the parameters after the update: they come from the line
    search, and ``optax.value_and_grad_from_state`` finds them here, so that a loop evaluates
    nothing twice.

    Attributes:
        history: the pairs.
        value: fun after the last update, a scalar; +inf before the first.
        grad: its gradient, a tree like the parameters.
        step: the last accepted step length, a scalar; 0 where the search failed.
        evaluations: calls of value_fn so far, int32.
    """

    history: History
    value: jax.Array
    grad: Any
    step: jax.Array
    evaluations: jax.Array


def lbfgs(
    memory_size: int = 10, line_search: StrongWolfe | None = None
) -> optax.GradientTransformationExtraArgs:
    """L-BFGS with a strong-Wolfe search, as a transform whose updates are ready to be applied.

    ``update(grads, state, params, value=…, value_fn=…, **more)``: value_fn is called as
    ``value_fn(params, **more)`` for trial steps. No learning rate belongs behind it.

    Args:
        memory_size: pairs kept.
        line_search: constants of the line search.

    Returns:
        A transform for ``optax.apply_updates``. It keeps 2 memory_size + 1 vectors of n numbers.

    Raises:
        ValueError: fewer than one pair, constants of the search that do not fit, or an update
            without params, value and value_fn.

    Source: Nocedal and Wright (2006), algorithm 7.5; see `times_inverse_hessian` for the formulas.

    >>> import jax, jax.numpy as jnp, optax
    >>> def fun(x):
    ...     return jnp.sum((x - 3.0) ** 2)
    >>> solver, x = lbfgs(), jnp.zeros(2)
    >>> value_and_grad = optax.value_and_grad_from_state(fun)
    >>> @jax.jit
    ... def step(x, state):
    ...     value, grad = value_and_grad(x, state=state)
    ...     updates, state = solver.update(grad, state, x, value=value, value_fn=fun)
    ...     return optax.apply_updates(x, updates), state
    >>> state = solver.init(x)
    >>> for _ in range(3):
    ...     x, state = step(x, state)
    >>> [round(float(v), 4) for v in x]
    [3.0, 3.0]
    """
    if memory_size < 1:
        raise ValueError(f"memory_size must be at least 1, got {memory_size}")
    line_search = line_search or StrongWolfe()
    line_search.check()

    def init(params: Any) -> LBFGSState:
        flat = flatten(params, "params")
        dtype = flat.vector.dtype
        return LBFGSState(
            history=init_history(flat.vector.size, memory_size, dtype),
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
        evaluate = flat_objective(lambda tree: value_fn(tree, **more), flat)
        value = jnp.asarray(value, flat.vector.dtype)
        history, direction, slope, guess = _descent_direction(state.history, gradient)

        def on_line(step):
            new_value, new_gradient, _ = evaluate(flat.vector + step * direction)
            return new_value, new_gradient, dot(new_gradient, direction)

        found, step, trials, new_value, new_gradient = _search(
            on_line, value, gradient, slope, guess, line_search
        )
        move = step * direction
        # A failed search: forget the curvature, so that the next update is steepest descent.
        history = push(reset_history(history, ~found), move, new_gradient - gradient)
        new_state = LBFGSState(
            history=history,
            value=new_value,
            grad=flat.restore(new_gradient),
            step=step,
            evaluations=state.evaluations + trials,
        )
        return flat.restore(move), new_state

    return optax.GradientTransformationExtraArgs(init, update)


def _descent_direction(history: History, gradient: jax.Array) -> tuple:
    """The history to go on with, the direction, its slope, and the first step to try."""
    direction = -times_inverse_hessian(history, gradient)
    slope = dot(gradient, direction)
    uphill = ~(slope < 0)
    history = reset_history(history, uphill)
    direction = jnp.where(uphill, -gradient, direction)
    squared = dot(gradient, gradient)
    slope = jnp.where(uphill, -squared, slope)
    # Without curvature the gradient's length says nothing about the step's: move by 1 at most.
    cautious = (history.count == 0) & (squared > 1)
    guess = jnp.where(cautious, jax.lax.rsqrt(jnp.where(cautious, squared, 1)), 1)
    return history, direction, slope, guess


def _search(on_line: Callable, value, gradient, slope, guess, line_search: StrongWolfe) -> tuple:
    """Run the line search: found, step, trials, and value and gradient at that step.

    Args:
        on_line: ``step -> (value, gradient, slope)``.
        value: at step 0, a scalar.
        gradient: at step 0, (n,).
        slope: at step 0, a scalar.
        guess: the first step to try.
        line_search: the constants.
    """

    def trial(carry):
        new_value, new_gradient, new_slope = on_line(carry[0].step)
        return advance(carry[0], new_value, new_slope, line_search), new_value, new_gradient

    search, new_value, new_gradient = jax.lax.while_loop(
        lambda carry: carry[0].outcome == SEARCHING,
        trial,
        (init_search(value, slope, guess, jnp.inf), value, gradient),
    )
    found = search.outcome != FAILED
    new_value = jnp.where(found, new_value, value)
    new_gradient = jnp.where(found, new_gradient, gradient)
    return found, jnp.where(found, search.step, 0), search.trials, new_value, new_gradient
