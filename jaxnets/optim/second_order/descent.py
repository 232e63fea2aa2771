"""The loop that L-BFGS, BFGS, Newton and L-BFGS-B share: search along a direction, learn, repeat.

One ``while_loop`` holds everything; inside it a second one runs the line search. The start is
treated as a search of length zero, so the user's function is compiled once, not twice.
"""

import enum
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnets.optim.second_order import line_search
from jaxnets.optim.second_order.model import EXACT, Model
from jaxnets.optim.second_order.packing import Packed, pack, unpack


class Status(enum.IntEnum):
    """Why a minimization ended.

    >>> Status.CONVERGED.message
    'the gradient norm is at most tol'
    """

    RUNNING = 0
    CONVERGED = 1
    MAX_ITERATIONS = 2
    ROUNDING = 3
    LINE_SEARCH_FAILED = 4
    NON_FINITE = 5

    @property
    def message(self) -> str:
        """The status in words."""
        return {
            Status.RUNNING: "still running",
            Status.CONVERGED: "the gradient norm is at most tol",
            Status.MAX_ITERATIONS: "max_iterations reached before the gradient norm fell to tol",
            Status.ROUNDING: "rounding ended progress: neither value nor gradient norm improves "
            "any more in this precision, and the gradient norm is above tol",
            Status.LINE_SEARCH_FAILED: "no step along steepest descent lowers the value, though "
            "its slope says it should: is the gradient right, is the function smooth here?",
            Status.NON_FINITE: "the value or the gradient at the start is NaN or infinite",
        }[self]


class Trace(NamedTuple):
    """How a run went, one entry an iteration, entry 0 the start; NaN and -1 where not reached."""

    value: jax.Array
    gradient_norm: jax.Array
    evaluations: jax.Array


class Outcome(NamedTuple):
    """What `descend` returns, on flat vectors; `minimize` wraps it."""

    x: jax.Array
    value: jax.Array
    gradient: jax.Array
    gradient_norm: jax.Array
    iterations: jax.Array
    evaluations: jax.Array
    products: jax.Array
    status: jax.Array
    aux: Any
    trace: Trace | None


class _Numbers(NamedTuple):
    """The scalars of the loop; they travel packed."""

    value: jax.Array
    gradient_norm: jax.Array
    iterations: jax.Array
    evaluations: jax.Array
    products: jax.Array
    status: jax.Array
    slope: jax.Array  # along the direction that comes
    fresh: jax.Array
    expected: jax.Array  # |slope| of the last direction that knew curvature
    stalled: jax.Array
    best_value: jax.Array
    best_norm: jax.Array


class _Loop(NamedTuple):
    numbers: Packed
    x: jax.Array
    gradient: jax.Array
    direction: jax.Array
    aux: Any
    trace: Trace | None
    model: Any


# Iterations in a row without a lower value (beyond rounding) or a clearly smaller gradient.
PATIENCE = 10


def descend(
    evaluate: Callable,
    x: jax.Array,
    model: Model,
    *,
    tol: jax.Array,
    max_iterations: jax.Array,
    rule: line_search.WolfeRule,
    record: int = 0,
) -> Outcome:
    """Minimize from x with the directions of a model; jit-, vmap- and shard_map-clean.

    Args:
        evaluate: ``x -> (value, gradient, aux)`` on flat vectors.
        x: the start, shape (n,).
        model: the method.
        tol: stop when ``model.norm`` is at most this.
        max_iterations: stop after so many accepted steps.
        rule: the line search's constants.
        record: length of the trace to keep; 0 keeps none.
    """
    dtype = x.dtype
    eps = jnp.finfo(dtype).eps
    integer = jnp.zeros((), jnp.int32)
    number = jnp.zeros((), dtype)
    aux = jax.tree.map(
        lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(evaluate, x)[2]
    )
    trace = None
    if record:
        blank = jnp.full(record, jnp.nan, dtype)
        trace = Trace(blank, blank, jnp.full(record, -1, jnp.int32))
    sample = _Numbers(
        value=number,
        gradient_norm=number + jnp.inf,
        iterations=integer - 1,
        evaluations=integer,
        products=integer,
        status=integer,
        slope=number,
        fresh=jnp.ones((), bool),
        expected=number + jnp.inf,
        stalled=integer,
        best_value=number + jnp.inf,
        best_norm=number + jnp.inf,
    )
    begin = _Loop(
        numbers=pack(sample),
        x=x,
        gradient=jnp.zeros_like(x),
        direction=jnp.zeros_like(x),
        aux=aux,
        trace=trace,
        model=model.empty(x),
    )

    def dot(a, b):
        return jnp.vdot(a, b, precision=EXACT)

    def iterate(loop: _Loop) -> _Loop:
        old = unpack(loop.numbers, sample)
        first = old.iterations < 0
        slope = old.slope
        # Without curvature the gradient's length says nothing about the step's: move by 1 at most.
        guess = jax.lax.cond(
            old.fresh,
            lambda: 1 / jnp.maximum(1, jnp.sqrt(dot(loop.gradient, loop.gradient))),
            lambda: jnp.ones((), dtype),
        )
        search = like = line_search.start(
            old.value, slope, guess, model.longest(loop.x, loop.direction, old.fresh)
        )

        def try_step(carry):
            step = unpack(carry[0], like).step
            value, gradient, aux = evaluate(model.place(loop.x, loop.direction, step))
            slope = dot(gradient, loop.direction)
            packed = line_search.advance_packed(carry[0], like, value, slope, rule, accept=first)
            return packed, value, gradient, aux

        packed, value, gradient, aux = jax.lax.while_loop(
            lambda carry: unpack(carry[0], like).outcome == line_search.SEARCHING,
            try_step,
            (pack(search), old.value, loop.gradient, loop.aux),
        )
        search = unpack(packed, search)
        found = search.outcome != line_search.FAILED

        def keep(new, previous):
            return jax.tree.map(lambda a, b: jnp.where(found, a, b), new, previous)

        place = jnp.where(first, loop.x, model.place(loop.x, loop.direction, search.step))
        new_x, value, gradient, aux = keep(
            (place, value, gradient, aux), (loop.x, old.value, loop.gradient, loop.aux)
        )
        step = new_x - loop.x
        change = jnp.where(first, 0, gradient - loop.gradient)

        norm = model.norm(new_x, gradient).astype(dtype)
        rounding = eps * jnp.abs(value)
        better = (value < old.best_value - rounding) | (norm < 0.9 * old.best_norm)
        stalled = jnp.where(better | first, 0, old.stalled + found)
        expected = jnp.where(old.fresh, old.expected, jnp.abs(slope))

        # A failed search: forget the curvature and try steepest descent once, then give up.
        forgotten = model.forget(loop.model, ~found)
        state, direction, fresh, products = model.learn(forgotten, step, change, new_x, gradient)
        onward = dot(gradient, direction)
        uphill = onward >= 0
        fresh = fresh | uphill

        def downhill():
            steepest = model.steepest(new_x, gradient)
            return steepest, dot(gradient, steepest)

        direction, onward = jax.lax.cond(uphill, downhill, lambda: (direction, onward))

        given_up = ~found & old.fresh
        lost = jnp.minimum(expected, jnp.abs(slope)) <= 100 * rounding
        stuck = found & ~first & (value == old.value)
        stuck = jax.lax.cond(stuck, lambda: jnp.all(step == 0), lambda: jnp.zeros((), bool))
        status = _decide(
            (first & ~(jnp.isfinite(value) & jnp.isfinite(norm)), Status.NON_FINITE),
            (norm <= tol, Status.CONVERGED),
            ((given_up & lost) | stuck | (stalled >= PATIENCE), Status.ROUNDING),
            (given_up, Status.LINE_SEARCH_FAILED),
            (old.iterations + 1 >= max_iterations, Status.MAX_ITERATIONS),
        )
        iterations = old.iterations + found.astype(jnp.int32)
        evaluations = old.evaluations + search.trials
        trace = loop.trace
        if record:
            trace = Trace(
                loop.trace.value.at[iterations].set(value),
                loop.trace.gradient_norm.at[iterations].set(norm),
                loop.trace.evaluations.at[iterations].set(evaluations),
            )
        numbers = _Numbers(
            value=value,
            gradient_norm=norm,
            iterations=iterations,
            evaluations=evaluations,
            products=old.products + products,
            status=status,
            slope=onward,
            fresh=fresh,
            expected=expected,
            stalled=stalled,
            best_value=jnp.minimum(value, old.best_value),
            best_norm=jnp.minimum(norm, old.best_norm),
        )
        return _Loop(pack(numbers), new_x, gradient, direction, aux, trace, state)

    def running(loop: _Loop) -> jax.Array:
        return unpack(loop.numbers, sample).status == Status.RUNNING

    done = jax.lax.while_loop(running, iterate, begin)
    numbers = unpack(done.numbers, sample)
    return Outcome(
        x=done.x,
        value=numbers.value,
        gradient=done.gradient,
        gradient_norm=numbers.gradient_norm,
        iterations=numbers.iterations,
        evaluations=numbers.evaluations,
        products=numbers.products,
        status=numbers.status,
        aux=done.aux,
        trace=done.trace,
    )


def _decide(*cases) -> jax.Array:
    """The first status whose condition holds, else RUNNING."""
    conditions, statuses = zip(*cases, strict=True)
    return jnp.select(list(conditions), [jnp.int32(s) for s in statuses], jnp.int32(Status.RUNNING))
