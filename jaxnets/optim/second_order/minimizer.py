"""`minimize`: one compiled loop from a start to a minimum, and a result that tells the truth."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.errors import UnknownNameError
from jaxnets.optim.second_order import bfgs, cost, lbfgs, lbfgsb, newton
from jaxnets.optim.second_order.descent import Status, Trace, descend
from jaxnets.optim.second_order.layout import convolutions_for_cpu
from jaxnets.optim.second_order.line_search import WolfeRule
from jaxnets.optim.second_order.model import Model
from jaxnets.optim.second_order.objective import flat_objective, flatten

METHODS = ("lbfgs", "bfgs", "newton", "newton-cg", "lbfgsb")


class Result(NamedTuple):
    """Where a minimization ended and why. A pytree: it passes through jit and vmap.

    Args:
        x: the last point, a tree like x0.
        value: fun there.
        gradient: its gradient, a tree like x0.
        gradient_norm: largest absolute entry of the gradient (with bounds: of the projected one).
        iterations: accepted steps.
        evaluations: calls of fun with its gradient.
        hessian_products: Hessian-vector products (a whole Hessian counts as n).
        status: a `Status` as an int32 array.
        aux: what fun returned beside the value at x; None without has_aux.
        trace: per-iteration values, gradient norms and evaluations with record=True, else None.
    """

    x: Any
    value: jax.Array
    gradient: Any
    gradient_norm: jax.Array
    iterations: jax.Array
    evaluations: jax.Array
    hessian_products: jax.Array
    status: jax.Array
    aux: Any = None
    trace: Trace | None = None

    @property
    def converged(self) -> jax.Array:
        """Whether the gradient norm reached tol (an array under vmap)."""
        return self.status == Status.CONVERGED

    @property
    def message(self) -> str | list[str]:
        """The status in words; a list for a batch of runs."""
        status = np.asarray(self.status)
        words = [f"{Status(s).name.lower()}: {Status(s).message}" for s in status.reshape(-1)]
        return words if status.ndim else words[0]


class _Options(NamedTuple):
    """Everything that a compiled program depends on besides fun and shapes."""

    method: str
    memory: int | None
    rule: WolfeRule
    bounded: bool
    has_aux: bool
    value_and_grad: bool
    axis_name: str | None
    record: int


def minimize(
    fun: Callable,
    x0: Any,
    *,
    method: str = "lbfgs",
    args: tuple = (),
    tol: float = 1e-6,
    max_iterations: int = 1000,
    bounds: tuple[Any, Any] | None = None,
    memory: int | None = None,
    has_aux: bool = False,
    value_and_grad: bool = False,
    axis_name: str | None = None,
    rule: WolfeRule | None = None,
    record: bool = False,
) -> Result:
    """Find a local minimum of a smooth function of a pytree.

    The whole run is one compiled ``while_loop``. It is compiled once for each function object,
    shapes and options; a new tol, max_iterations, x0 or args of the same shapes run at once.
    Inside ``jit``, ``vmap``, ``pmap`` or ``shard_map`` it becomes part of their program.

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
        bounds: (lower, upper), each a number or a tree like x0; ±inf where there is none.
            "lbfgs" then means "lbfgsb".
        memory: pairs that L-BFGS keeps; it needs (2 memory + about 8) × parameters numbers.
            None chooses from the size, see `default_memory`.
        has_aux: fun also returns something to hand through.
        value_and_grad: fun returns what ``jax.value_and_grad(fun, has_aux)`` would.
        axis_name: inside pmap or shard_map: fun is the mean over this device's share of the
            data, shares are equal, and values and gradients are averaged over this axis.
        rule: constants of the line search.
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
    rule = rule or WolfeRule()
    rule.check()
    flatten(x0)
    if memory is not None and memory < 1:
        raise ValueError(f"memory must be at least 1, got {memory}")
    box = None
    if method == "lbfgsb":
        box = lbfgsb.flat_bounds(bounds if bounds is not None else (-np.inf, np.inf), x0)
    options = _Options(
        method=method,
        memory=memory,
        rule=rule,
        bounded=box is not None,
        has_aux=has_aux,
        value_and_grad=value_and_grad,
        axis_name=axis_name,
        record=int(max_iterations) + 1 if record else 0,
    )
    # Check what fun returns here, where a mistake is cheap to see.
    args = tuple(args)
    result = _compiled(fun, options)(x0, args, box, tol, max_iterations)
    if not isinstance(result.status, jax.core.Tracer):
        _check_start(result)
    return result


def default_memory(size: int, operations: float) -> int:
    """How many pairs to keep when the caller does not say.

    More pairs save evaluations, most of all on networks, and cost about 16 n operations each. So:
    as many as cost no more than half an evaluation, between 10 and 150; 20 where n is so small
    that they cost nothing; never more than 2n, nor than 8 million numbers hold (but 10).

    Args:
        size: number of parameters n.
        operations: of one value and gradient, see `cost.operations`.

    >>> default_memory(1000, 1e4), default_memory(1000, 1e8), default_memory(10**8, 1e15)
    (10, 150, 10)
    """
    least = 20 if size <= 200 else 10
    worth = min(max(int(operations / (32 * size)), least), 150)
    return max(min(worth, max(2 * size, 20), 2**23 // size), 10)


def default_memory_for(fun: Callable, x0: Any, args: tuple = ()) -> int:
    """The number of pairs that ``minimize(fun, x0, args=args)`` keeps."""
    flat = flatten(x0)
    program = jax.make_jaxpr(flat_objective(fun, flat, args))(flat.vector)
    return default_memory(flat.vector.size, cost.operations(program.jaxpr))


@functools.lru_cache(maxsize=128)
def _compiled(fun: Callable, options: _Options) -> Callable:
    """The jitted solver of one function; bounded, so that old functions are let go."""

    def solve(x0, args, box, tol, max_iterations):
        flat = flatten(x0)
        x = flat.vector
        evaluate = flat_objective(
            fun,
            flat,
            args,
            has_aux=options.has_aux,
            value_and_grad=options.value_and_grad,
            axis_name=options.axis_name,
        )
        program, shape = jax.make_jaxpr(evaluate, return_shape=True)(x)
        rewritten = convolutions_for_cpu(program)
        if rewritten is not None:

            def evaluate(vector):
                return jax.tree.unflatten(jax.tree.structure(shape), rewritten(vector))

        model = _model(options, evaluate, x, box, cost.operations(program.jaxpr))
        if box is not None:
            x = jnp.clip(x, *box)
        out = descend(
            evaluate,
            x,
            model,
            tol=tol,
            max_iterations=max_iterations,
            rule=options.rule,
            record=options.record,
        )
        return Result(
            x=flat.restore(out.x),
            value=out.value,
            gradient=flat.restore(out.gradient),
            gradient_norm=out.gradient_norm,
            iterations=out.iterations,
            evaluations=out.evaluations,
            hessian_products=out.products,
            status=out.status,
            aux=out.aux if options.has_aux else None,
            trace=out.trace,
        )

    return jax.jit(solve)


def _model(
    options: _Options, evaluate: Callable, x: jax.Array, box: Any, operations: float
) -> Model:
    if options.method in ("lbfgs", "lbfgsb"):
        memory = options.memory
        if memory is None:
            memory = default_memory(x.size, operations)
        if options.method == "lbfgs":
            return lbfgs.model(memory)
        # A bounded iteration also solves systems of size 2m.
        return lbfgsb.model(min(memory, 20) if options.memory is None else memory, *box)
    if options.method == "bfgs":
        return bfgs.model()

    def gradient(vector):
        return evaluate(vector)[1]

    return newton.exact_model(gradient) if options.method == "newton" else newton.cg_model(gradient)


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
