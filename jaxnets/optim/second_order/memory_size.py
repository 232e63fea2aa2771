"""How many pairs L-BFGS keeps where the caller does not say, by what an evaluation costs."""

import math
from collections.abc import Callable
from typing import Any

import jax

from jaxnets.optim.second_order.objective import flat_objective, flatten


def default_memory_size(size: int, operations: float) -> int:
    """How many pairs to keep when the caller does not say.

    More pairs save evaluations, most of all on networks, and cost about 16 n operations each. So:
    as many as cost no more than half an evaluation, between 10 and 150; 20 where n is so small
    that they cost nothing; never more than 2n, nor than 8 million numbers hold (but 10).

    Args:
        size: number of parameters n.
        operations: of one value and gradient, see `count_operations`.

    Returns:
        The number of pairs, at least 10.

    >>> [default_memory_size(n, c) for n, c in ((1000, 1e4), (1000, 1e8), (10**8, 1e15))]
    [10, 150, 10]
    """
    least = 20 if size <= 200 else 10
    worth = min(max(int(operations / (32 * size)), least), 150)
    return max(min(worth, max(2 * size, 20), 2**23 // size), 10)


def default_memory_size_for(fun: Callable, x0: Any, args: tuple = ()) -> int:
    """The number of pairs that ``minimize(fun, x0, args=args)`` keeps.

    It traces fun, but does not run it.

    Args:
        fun: ``fun(x, *args) -> scalar``.
        x0: the start, a tree of float arrays; only shapes matter.
        args: more arguments of fun.

    Returns:
        `default_memory_size` of the numbers in x0 and the operations counted in fun's gradient.

    Raises:
        ValueError: x0 or fun is not what `minimize` takes.

    >>> import jax.numpy as jnp
    >>> default_memory_size_for(lambda x: jnp.sum(x**2), jnp.zeros(100))
    20
    """
    flat = flatten(x0)
    program = jax.make_jaxpr(flat_objective(fun, flat, args))(flat.vector)
    return default_memory_size(flat.vector.size, count_operations(program.jaxpr))


def count_operations(jaxpr: Any) -> float:
    """Floating-point operations of a jaxpr: products counted fully, all else one an output number.

    Loops of unknown length count once. The figure only chooses how much memory is worth its
    time, so a factor of two does not matter.

    Args:
        jaxpr: ``jax.make_jaxpr(fun)(*args).jaxpr``.

    >>> import jax, jax.numpy as jnp
    >>> program = jax.make_jaxpr(lambda a: jnp.sum(a @ a))(jnp.ones((10, 10)))
    >>> count_operations(program.jaxpr)
    2001.0
    """
    total = 0.0
    for equation in jaxpr.eqns:
        inner = [
            count_operations(sub) for value in equation.params.values() for sub in _programs(value)
        ]
        if inner:
            repeat = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
            # Branches of a cond: the most expensive one.
            total += repeat * (max(inner) if equation.primitive.name == "cond" else sum(inner))
            continue
        out = sum(_size(variable) for variable in equation.outvars)
        total += out * _each(equation)
    return total


def _programs(value: Any) -> list:
    """The jaxprs inside one parameter of an equation."""
    if isinstance(value, (tuple, list)):
        return [program for item in value for program in _programs(item)]
    value = getattr(value, "jaxpr", value)
    return [value] if hasattr(value, "eqns") else []


def _each(equation: Any) -> float:
    """Operations for each number that an equation puts out."""
    if equation.primitive.name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        shape = equation.invars[0].aval.shape
        return 2.0 * math.prod(shape[axis] for axis in contracted)
    if equation.primitive.name == "conv_general_dilated":
        kernel = equation.invars[1].aval.shape
        layout: jax.lax.ConvDimensionNumbers = equation.params["dimension_numbers"]
        return 2.0 * math.prod(kernel) / kernel[layout.rhs_spec[0]]
    return 1.0


def _size(variable: Any) -> int:
    return math.prod(getattr(variable.aval, "shape", ()))
