"""A rough count of what one evaluation costs, from the traced program alone."""

import math
from typing import Any

import jax


def operations(jaxpr: Any) -> float:
    """Floating-point operations of a jaxpr: products counted fully, all else one an output number.

    Loops of unknown length count once. The figure only chooses how much memory is worth its
    time, so a factor of two does not matter.

    >>> import jax, jax.numpy as jnp
    >>> program = jax.make_jaxpr(lambda a: jnp.sum(a @ a))(jnp.ones((10, 10)))
    >>> operations(program.jaxpr)
    2001.0
    """
    total = 0.0
    for equation in jaxpr.eqns:
        inner = [operations(sub) for value in equation.params.values() for sub in _programs(value)]
        if inner:
            repeat = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
            # Branches of a cond: the dearest one.
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
