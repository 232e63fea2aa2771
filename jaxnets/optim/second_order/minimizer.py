"""`minimize`: one compiled loop from a start to a minimum."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.errors import UnknownNameError
from jaxnets.optim.second_order._xla import convolutions_for_cpu
from jaxnets.optim.second_order.bfgs import BFGS
from jaxnets.optim.second_order.bounds import flat_bounds
from jaxnets.optim.second_order.descent import descend
from jaxnets.optim.second_order.direction import SearchDirection
from jaxnets.optim.second_order.implicit import with_implicit_derivatives
from jaxnets.optim.second_order.lbfgs import LBFGS
from jaxnets.optim.second_order.lbfgsb import LBFGSB
from jaxnets.optim.second_order.memory_size import count_operations, default_memory_size
from jaxnets.optim.second_order.newton import Newton, NewtonCG
from jaxnets.optim.second_order.objective import flat_objective, flatten
from jaxnets.optim.second_order.result import Result, Status
from jaxnets.optim.second_order.wolfe import StrongWolfe
from jaxnets.optim.traced import Program, Traced, trace

METHODS = ("lbfgs", "bfgs", "newton", "newton-cg", "lbfgsb")


class _Options(NamedTuple):
    """What a compiled solver depends on besides the function's program; see `minimize`.

    Attributes:
        method: one of METHODS.
        memory_size: pairs kept; None chooses.
        line_search: constants of the line search.
        has_aux: whether fun returns something beside its value.
        record: length of the trace; 0 for none.
    """

    method: str
    memory_size: int | None
    line_search: StrongWolfe
    has_aux: bool
    record: int


def minimize(
    fun: Callable,
    x0: Any,
    *,
    method: str = "lbfgs",
    args: tuple = (),
    tol: float = 1e-6,
    max_iterations: int = 1000,
    bounds: Any = None,
    memory_size: int | None = None,
    has_aux: bool = False,
    value_and_grad: bool = False,
    axis_name: str | None = None,
    line_search: StrongWolfe | None = None,
    record: bool = False,
) -> Result:
    """Find a local minimum of a smooth function of a pytree.

    The whole run is one compiled ``while_loop``. Each call traces fun anew, so that it sees
    globals and attributes as they are; it compiles only where that gives another program, or
    other shapes and options. A new tol, max_iterations, x0, args or array closed over, of the
    same shapes, runs at once. Inside ``jit``, ``vmap``, ``pmap`` or ``shard_map`` it becomes part
    of their program. Derivatives in args and in what fun closes over, in both modes, are those
    of the minimum (`jaxnets.optim.second_order.implicit`); NaN where none was found.

    Args:
        fun: ``fun(x, *args)`` returns a real scalar; with has_aux ``(scalar, aux)``.
        x0: the start: an array or a tree of float arrays. Its dtype is the working precision
            (half precision is widened to float32 inside).
        method: "lbfgs"; "bfgs" (n×n memory); "newton" (damped, with the exact Hessian: n up to a
            few thousand); "newton-cg" (Hessian-vector products only); "lbfgsb" (with bounds).
        args: more arguments of fun. Pass data here: a new batch then needs no compilation.
        tol: stop when the largest absolute entry of the gradient is at most this. 0 runs until
            rounding ends progress.
        max_iterations: accepted steps at most.
        bounds: (lower, upper), each a number or a tree like x0, ±inf where there is none; or what
            SciPy takes, see `flat_bounds`. "lbfgs" then means "lbfgsb".
        memory_size: pairs that L-BFGS keeps; it needs (2 memory_size + about 8) × parameters
            numbers. None chooses from the size, see `default_memory_size`.
        has_aux: fun also returns something to hand through.
        value_and_grad: fun returns what ``jax.value_and_grad(fun, has_aux)`` would.
        axis_name: inside pmap or shard_map: fun is the mean over this device's share of the
            data, shares are equal, and values and gradients are averaged over this axis.
        line_search: constants of the line search.
        record: keep a `Trace`.

    Returns:
        A `Result`. Under jit or vmap nothing can be raised for a bad start: look at its status.

    Raises:
        ValueError: fun is not finite at x0, does not return a real scalar, a gradient of another
            shape, integer parameters, an empty tree, a tol below 0 or not finite, bounds that
            cross or do not fit, an unknown method (the message names the nearest).

    Source: Nocedal and Wright, "Numerical Optimization" (2006).

    >>> import jax.numpy as jnp
    >>> def rosenbrock(x):
    ...     return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)
    >>> result = minimize(rosenbrock, jnp.zeros(4), tol=1e-3)
    >>> bool(result.converged), [round(float(v), 2) for v in result.x]
    (True, [1.0, 1.0, 1.0, 1.0])
    """
    if method not in METHODS:
        raise UnknownNameError("method", method, METHODS)
    if bounds is not None and method == "lbfgs":
        method = "lbfgsb"
    if bounds is not None and method != "lbfgsb":
        raise ValueError(f"method={method!r} takes no bounds; use 'lbfgsb'")
    _check_number("tol", tol, least=0)
    _check_number("max_iterations", max_iterations, least=0)
    if record and isinstance(max_iterations, jax.core.Tracer):
        raise ValueError("record=True needs a max_iterations that is a plain int")
    line_search = line_search or StrongWolfe()
    line_search.check()
    flat = flatten(x0)
    if memory_size is not None and memory_size < 1:
        raise ValueError(f"memory_size must be at least 1, got {memory_size}")
    box = None
    if method == "lbfgsb":
        box = flat_bounds(bounds if bounds is not None else (-np.inf, np.inf), x0)
    options = _Options(
        method=method,
        memory_size=memory_size,
        line_search=line_search,
        has_aux=has_aux,
        record=int(max_iterations) + 1 if record else 0,
    )

    def evaluate(vector, args):
        # What fun returns is checked here, where a mistake is cheap to see.
        objective = flat_objective(
            fun,
            flat,
            args,
            has_aux=has_aux,
            value_and_grad=value_and_grad,
            axis_name=axis_name,
        )
        return objective(vector)

    args = tuple(args)
    traced = trace(evaluate, flat.vector, args)
    solver = _compiled(traced.program, options, _hessian_program(traced, options, flat, args))
    solve = with_implicit_derivatives(solver, traced.program)
    result = solve(x0, args, traced.constants, box, tol, max_iterations)
    if not isinstance(result.status, jax.core.Tracer):
        _check_start(result)
    return result


def _hessian_program(traced: Traced, options: _Options, flat: Any, args: tuple) -> Program | None:
    """The derivative of the gradient, for methods that take it: part of what is compiled."""
    if not options.method.startswith("newton"):
        return None

    def product(vector, args, constants):
        def gradient(vector):
            return traced.program(constants, vector, args)[1]

        return jax.jvp(gradient, (vector,), (vector,))

    return trace(product, flat.vector, args, traced.constants).program


@functools.lru_cache(maxsize=128)
def _compiled(program: Program, options: _Options, hessian: Program | None) -> Callable:
    """The jitted solver of one program; bounded, so that old ones are let go.

    Args:
        program: ``(constants, x, args) -> (value, gradient, aux)`` on flat vectors.
        options: what else it depends on.
        hessian: not used, but another one is another solver.
    """

    def solve(x0, args, constants, box, tol, max_iterations):
        flat = flatten(x0)
        x = flat.vector
        rewritten = convolutions_for_cpu(program.jaxpr)

        def evaluate(vector):
            if rewritten is None:
                return program(constants, vector, args)
            leaves = rewritten(constants, [vector, *jax.tree.leaves(args)])
            return jax.tree.unflatten(program.out_tree, leaves)

        operations = count_operations(program.jaxpr)
        method = _search_direction(options, evaluate, x.size, box, operations)
        if box is not None:
            x = jnp.clip(x, *box)
        result = descend(
            evaluate,
            x,
            method,
            tol=tol,
            max_iterations=max_iterations,
            line_search=options.line_search,
            record=options.record,
        )
        return result._replace(
            x=flat.restore(result.x),
            gradient=flat.restore(result.gradient),
            aux=result.aux if options.has_aux else None,
        )

    return jax.jit(solve)


def _search_direction(
    options: _Options, evaluate: Callable, size: int, box: Any, operations: float
) -> SearchDirection:
    """The method that the options name, for n = size parameters."""

    def gradient(vector):
        return evaluate(vector)[1]

    if options.method == "bfgs":
        return BFGS()
    if options.method == "newton":
        return Newton(gradient)
    if options.method == "newton-cg":
        return NewtonCG(gradient)
    memory_size = options.memory_size or default_memory_size(size, operations)
    if options.method == "lbfgs":
        return LBFGS(memory_size)
    # A bounded iteration also solves systems of size 2m.
    return LBFGSB(options.memory_size or min(memory_size, 20), *box)


def _check_number(name: str, number: Any, least: float) -> None:
    if isinstance(number, jax.core.Tracer):
        return
    if not (np.isscalar(number) or np.ndim(number) == 0) or not np.isfinite(number):
        raise ValueError(f"{name} must be a finite number, got {number!r}")
    if number < least:
        raise ValueError(f"{name} must be at least {least}, got {number}")


def _check_start(result: Result) -> None:
    status = np.asarray(result.status)
    if (status == Status.NON_FINITE).any():
        raise ValueError(
            f"fun is not finite at x0: value {np.asarray(result.value)}, largest gradient entry "
            f"{np.asarray(result.gradient_norm)}; start where both are finite"
        )
