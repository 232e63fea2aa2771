"""Convolutions in the layout that XLA's CPU compiler runs fast, also inside a loop.

On CPUs XLA hands a convolution to its fast kernel only in the order (batch, space, feature), and
its pass that brings other orders into this one looks at the outermost program alone. The
gradients of a convolution come in other orders, so inside a ``while_loop``, where a minimizer
lives, they fall to a slow general path: a small network's gradient takes two to three times
longer there than outside. Here the traced program is run again with the transposes written out.
"""

from collections.abc import Callable
from typing import Any

import jax
from jax.extend import core


def convolutions_for_cpu(program: core.ClosedJaxpr) -> Callable | None:
    """A function of the program's inputs with all convolutions in (batch, space, feature) order.

    Returns None where there is nothing to gain: another backend, or no convolution in another
    order.

    Args:
        program: from ``jax.make_jaxpr``.
    """
    if jax.default_backend() != "cpu" or not _has_foreign(program.jaxpr):
        return None

    def run(*inputs: jax.Array) -> list[jax.Array]:
        return _evaluate(program.jaxpr, program.consts, inputs)

    return run


def _native(dimensions: int) -> jax.lax.ConvDimensionNumbers:
    last, space = dimensions - 1, tuple(range(1, dimensions - 1))
    image = (0, last, *space)
    kernel = (last, last - 1, *(axis - 1 for axis in space))
    return jax.lax.ConvDimensionNumbers(image, kernel, image)


def _foreign(equation: Any) -> bool:
    if equation.primitive.name != "conv_general_dilated":
        return False
    layout = equation.params["dimension_numbers"]
    return tuple(layout) != tuple(_native(len(layout.lhs_spec)))


def _inner(equation: Any) -> core.ClosedJaxpr | None:
    """The program of a nested jit; loops and branches stay as they are."""
    return equation.params["jaxpr"] if equation.primitive.name in ("jit", "pjit") else None


def _has_foreign(jaxpr: Any) -> bool:
    for equation in jaxpr.eqns:
        inner = _inner(equation)
        if _foreign(equation) or (inner is not None and _has_foreign(inner.jaxpr)):
            return True
    return False


def _evaluate(jaxpr: Any, constants: Any, inputs: Any) -> list[jax.Array]:
    known = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*constants, *inputs], strict=True))

    def read(atom):
        return atom.val if isinstance(atom, core.Literal) else known[atom]

    for equation in jaxpr.eqns:
        values = [read(atom) for atom in equation.invars]
        inner = _inner(equation)
        if inner is not None:
            out = _evaluate(inner.jaxpr, inner.consts, values)
        elif _foreign(equation):
            out = [_convolve(*values, **equation.params)]
        else:
            bound = equation.primitive.get_bind_params(equation.params)
            # JAX used to hand the functions of a call apart from its other parameters.
            functions, params = bound if isinstance(bound, tuple) else ((), bound)
            out = equation.primitive.bind(*functions, *values, **params)
            out = out if equation.primitive.multiple_results else [out]
        known.update(zip(equation.outvars, out, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _convolve(image, kernel, *, dimension_numbers, **params) -> jax.Array:
    lhs, rhs, out = dimension_numbers
    image = image.transpose(lhs[0], *lhs[2:], lhs[1])
    kernel = kernel.transpose(*rhs[2:], rhs[1], rhs[0])
    native = _native(image.ndim)
    result = jax.lax.conv_general_dilated_p.bind(image, kernel, dimension_numbers=native, **params)
    # Axis `out[k]` of the wanted result is the k-th of (batch, feature, space).
    order = [0] * result.ndim
    for axis, here in zip(out, (0, result.ndim - 1, *range(1, result.ndim - 1)), strict=True):
        order[axis] = here
    return result.transpose(order)
