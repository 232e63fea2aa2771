"""The loop that all methods share: search along a direction, move, learn, choose the next one.

One ``while_loop`` holds everything; inside it a second one runs the line search. The start counts
as a line search of length zero, so that the user's function stands in the program once, not twice.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnets.optim.second_order._xla import Packed, compute_if, dot, pack, unpack
from jaxnets.optim.second_order.direction import Direction, SearchDirection
from jaxnets.optim.second_order.line_search import (
    FAILED,
    SEARCHING,
    Search,
    advance_packed,
    init_search,
)
from jaxnets.optim.second_order.progress import (
    Scalars,
    blank_scalars,
    next_status,
    stalled_iterations,
)
from jaxnets.optim.second_order.result import Result, Status, Trace
from jaxnets.optim.second_order.wolfe import StrongWolfe


class _Problem(NamedTuple):
    """What does not change from one iteration to the next.

    Attributes:
        evaluate: ``x -> (value, gradient, aux)`` on flat vectors.
        method: gives the directions.
        line_search: constants of the line search.
        tol: gradient norm at which the run has converged.
        max_iterations: accepted steps at most.
    """

    evaluate: Callable
    method: SearchDirection
    line_search: StrongWolfe
    tol: jax.Array
    max_iterations: jax.Array


class _Loop(NamedTuple):
    """What one iteration hands to the next.

    Attributes:
        scalars: a packed `Scalars`.
        x: the present point, (n,).
        gradient: there, (n,).
        direction: the direction that comes, (n,).
        aux: what the function returned beside its value at x.
        trace: the record so far, or None.
        method: the state of the search direction.
    """

    scalars: Packed
    x: jax.Array
    gradient: jax.Array
    direction: jax.Array
    aux: Any
    trace: Trace | None
    method: Any


class _Point(NamedTuple):
    """A point with all that is known there."""

    x: jax.Array
    value: jax.Array
    gradient: jax.Array
    aux: Any


def descend(
    evaluate: Callable,
    x: jax.Array,
    method: SearchDirection,
    *,
    tol: jax.Array,
    max_iterations: jax.Array,
    line_search: StrongWolfe,
    record: int = 0,
) -> Result:
    """Minimize from x along the directions of a method; jit-, vmap- and shard_map-clean.

    Args:
        evaluate: ``x -> (value, gradient, aux)`` on flat vectors.
        x: the start, shape (n,).
        method: the search direction.
        tol: stop when ``method.gradient_norm`` is at most this.
        max_iterations: stop after so many accepted steps.
        line_search: the line search's constants.
        record: length of the trace to keep; 0 keeps none.

    Returns:
        A `Result` whose x and gradient are vectors.

    >>> import jax
    >>> from jaxnets.optim.second_order import BFGS, StrongWolfe
    >>> def evaluate(x):
    ...     return x @ x, 2 * x, None
    >>> options = {"tol": 1e-3, "max_iterations": 9, "line_search": StrongWolfe()}
    >>> result = jax.jit(lambda x: descend(evaluate, x, BFGS(), **options))(jnp.ones(3))
    >>> result.x.tolist(), int(result.evaluations)
    ([0.0, 0.0, 0.0], 3)
    """
    problem = _Problem(evaluate, method, line_search, tol, max_iterations)
    blank = blank_scalars(x.dtype)

    def running(loop: _Loop) -> jax.Array:
        return unpack(loop.scalars, blank).status == Status.RUNNING

    def iterate(loop: _Loop) -> _Loop:
        return _iterate(problem, loop, blank)

    done = jax.lax.while_loop(running, iterate, _start(problem, x, blank, record))
    scalars = unpack(done.scalars, blank)
    return Result(
        x=done.x,
        value=scalars.value,
        gradient=done.gradient,
        gradient_norm=scalars.gradient_norm,
        iterations=scalars.iterations,
        evaluations=scalars.evaluations,
        hessian_products=scalars.hessian_products,
        status=scalars.status,
        aux=done.aux,
        trace=done.trace,
    )


def _start(problem: _Problem, x: jax.Array, blank: Scalars, record: int) -> _Loop:
    """The loop's state before the function has been evaluated: a direction of length zero."""
    shapes = jax.eval_shape(problem.evaluate, x)[2]
    trace = None
    if record:
        unknown = jnp.full(record, jnp.nan, x.dtype)
        trace = Trace(unknown, unknown, jnp.full(record, -1, jnp.int32))
    return _Loop(
        scalars=pack(blank),
        x=x,
        gradient=jnp.zeros_like(x),
        direction=jnp.zeros_like(x),
        aux=jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes),
        trace=trace,
        method=problem.method.init(x),
    )


def _iterate(problem: _Problem, loop: _Loop, blank: Scalars) -> _Loop:
    """One iteration: line search, move, new direction, and whether to go on."""
    method = problem.method
    old = unpack(loop.scalars, blank)
    search, trial = _search_line(problem, loop, old)
    found = search.outcome != FAILED
    point = _accept(problem, loop, old, search, trial, found)

    step = point.x - loop.x
    change = jnp.where(old.iterations < 0, 0, point.gradient - loop.gradient)
    # A failed search: forget the curvature and try steepest descent once, then give up.
    state = method.reset(loop.method, ~found)
    state, proposal = method.update(state, step, change, point.x, point.gradient)
    direction, slope, first_order = _make_descent(method, point, proposal)

    norm = method.gradient_norm(point.x, point.gradient).astype(point.x.dtype)
    new = Scalars(
        value=point.value,
        gradient_norm=norm,
        iterations=old.iterations + found.astype(jnp.int32),
        evaluations=old.evaluations + search.trials,
        hessian_products=old.hessian_products + proposal.hessian_products,
        status=old.status,
        slope=slope,
        first_order=first_order,
        expected=jnp.where(old.first_order, old.expected, jnp.abs(old.slope)),
        stalled=stalled_iterations(old, point.value, norm, found),
        best_value=jnp.minimum(point.value, old.best_value),
        best_norm=jnp.minimum(norm, old.best_norm),
    )
    new = new._replace(
        status=next_status(old, new, step, found, problem.tol, problem.max_iterations)
    )
    trace = None if loop.trace is None else _record(loop.trace, new)
    return _Loop(pack(new), point.x, point.gradient, direction, point.aux, trace, state)


def _search_line(problem: _Problem, loop: _Loop, old: Scalars) -> tuple[Search, tuple]:
    """Run the line search along the direction; its end, and (value, gradient, aux) there."""
    x, direction = loop.x, loop.direction
    # Without curvature the gradient's length says nothing about the step's: move by 1 at most.
    guess = compute_if(
        old.first_order,
        lambda: 1 / jnp.maximum(1, jnp.sqrt(dot(loop.gradient, loop.gradient))),
        jnp.ones((), x.dtype),
    )
    max_step = problem.method.max_step(x, direction)
    like = init_search(old.value, old.slope, guess, max_step)

    def searching(carry):
        return unpack(carry[0], like).outcome == SEARCHING

    def try_step(carry):
        step = unpack(carry[0], like).step
        value, gradient, aux = problem.evaluate(problem.method.move(x, direction, step))
        packed = advance_packed(
            carry[0],
            like,
            value,
            dot(gradient, direction),
            problem.line_search,
            accept=old.iterations < 0,
        )
        return packed, value, gradient, aux

    begin = (pack(like), old.value, loop.gradient, loop.aux)
    packed, *trial = jax.lax.while_loop(searching, try_step, begin)
    return unpack(packed, like), tuple(trial)


def _accept(
    problem: _Problem, loop: _Loop, old: Scalars, search: Search, trial: tuple, found: jax.Array
) -> _Point:
    """The point where the search ended; where it failed, the one where it began."""
    moved = problem.method.move(loop.x, loop.direction, search.step)
    x = jnp.where(old.iterations < 0, loop.x, moved)
    here = _Point(loop.x, old.value, loop.gradient, loop.aux)
    return jax.tree.map(lambda a, b: jnp.where(found, a, b), _Point(x, *trial), here)


def _make_descent(
    method: SearchDirection, point: _Point, proposal: Direction
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Direction, slope and first_order; a direction that does not descend is replaced."""
    slope = dot(point.gradient, proposal.vector)
    uphill = slope >= 0

    def steepest():
        direction = method.steepest_descent(point.x, point.gradient)
        return direction, dot(point.gradient, direction)

    direction, slope = compute_if(uphill, steepest, (proposal.vector, slope))
    return direction, slope, proposal.first_order | uphill


def _record(trace: Trace, new: Scalars) -> Trace:
    """The trace with this iteration written in."""
    return Trace(
        trace.value.at[new.iterations].set(new.value),
        trace.gradient_norm.at[new.iterations].set(new.gradient_norm),
        trace.evaluations.at[new.iterations].set(new.evaluations),
    )
