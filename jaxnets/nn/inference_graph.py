"""A Flax module's inference as a graph: what depends on variables only, and what on the input.

`trace` follows the jaxpr of ``model.apply`` through the functions that it calls. A `Weight` is a
value that the variables alone decide: it is computed once. A `Node` is a result of an `Operation`
that needs the input.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend import core

from jaxnets.ops.half_bits import is_half, moved

# Operations that call a function: their parameter that holds it.
_CALLS = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "checkpoint": "jaxpr",
    "remat2": "jaxpr",
}


@dataclasses.dataclass(eq=False)
class Weight:
    """A value of the variables alone.

    Attributes:
        compute: from the flat variables to an array that broadcasts to ``shape``.
        shape, dtype: of the value.
        compact: shape of what ``compute`` gives; 1 where the value repeats itself.
        constant: the number itself, for one that is written in the program.
        wide: what this was before it was rounded to a narrower dtype.
    """

    compute: Callable[[Sequence[jax.Array]], jax.Array]
    shape: tuple[int, ...]
    dtype: Any
    compact: tuple[int, ...]
    constant: float | None = None
    wide: "Weight | None" = None

    def per_channel(self, shape: Sequence[int]) -> bool:
        """Whether it is one number, or one for each entry of the last axis of ``shape``."""
        return all(n == 1 for n in self.compact[:-1]) and (
            not self.compact or self.compact[-1] in (1, shape[-1])
        )


@dataclasses.dataclass(eq=False)
class Node:
    """A value that depends on the input: result ``index`` of ``operation`` (None: the input)."""

    shape: tuple[int, ...]
    dtype: Any
    operation: "Operation | None" = None


@dataclasses.dataclass(eq=False)
class Operation:
    """One step of the program.

    Attributes:
        name: of the JAX primitive.
        run: from the values of ``inputs`` to a list of results.
        inputs: nodes and weights.
        results: nodes.
        params: the primitive's.
    """

    name: str
    run: Callable[..., list]
    inputs: list[Node | Weight]
    results: list[Node]
    params: dict


@dataclasses.dataclass
class Graph:
    """A program: its input nodes, operations in order, and results (nodes or weights)."""

    inputs: list[Node]
    operations: list[Operation]
    results: list[Node | Weight]


def _literal(value) -> Weight:
    array = np.asarray(value)
    number = float(array) if array.ndim == 0 else None
    return Weight(lambda _: jnp.asarray(array), array.shape, array.dtype, array.shape, number)


def whole(weight: Weight) -> Callable[[Sequence[jax.Array]], jax.Array]:
    """Its computation, broadcast to its shape."""
    if weight.compact == weight.shape:
        return weight.compute
    return lambda flat: jnp.broadcast_to(weight.compute(flat), weight.shape)


def _once(compute: Callable) -> Callable:
    """``compute`` that runs once for each list of variables: weights are used in several places."""
    kept: dict[int, tuple[Any, Any]] = {}

    @functools.wraps(compute)
    def call(flat):
        found = kept.get(id(flat))
        if found is None or found[0] is not flat:
            kept.clear()
            kept[id(flat)] = found = (flat, compute(flat))
        return found[1]

    return call


def _run(equation, params: dict) -> Callable[..., list]:
    def run(*values):
        results = equation.primitive.bind(*values, **params)
        return list(results) if equation.primitive.multiple_results else [results]

    return run


def _weights(equation, inputs: list[Weight]) -> list[Weight]:
    """Results of an operation on weights."""
    params = equation.primitive.get_bind_params(equation.params)
    _, params = params if isinstance(params, tuple) else ((), params)
    run, (first, *_) = _run(equation, params), (*inputs, None)
    out = equation.outvars[0].aval
    if equation.primitive.name == "broadcast_in_dim" and len(inputs) == 1:
        axes = equation.params["broadcast_dimensions"]
        compact = [1] * len(out.shape)
        for axis, n in zip(axes, first.compact, strict=True):
            compact[axis] = n
        reshape = _once(lambda flat: lax.reshape(first.compute(flat), compact))
        return [Weight(reshape, out.shape, out.dtype, tuple(compact), first.constant)]
    every = _once(lambda flat: run(*(whole(w)(flat) for w in inputs)))
    results = [
        Weight(lambda flat, i=i: every(flat)[i], v.aval.shape, v.aval.dtype, v.aval.shape)
        for i, v in enumerate(equation.outvars)
    ]
    if equation.primitive.name == "convert_element_type":
        # Rounding is elementwise: what is compact stays so.
        convert = _once(lambda flat: first.compute(flat).astype(out.dtype))
        results = [Weight(convert, out.shape, out.dtype, first.compact, first.constant)]
        if _floats(out, first) and jnp.finfo(out.dtype).bits < jnp.finfo(first.dtype).bits:
            results[0].wide = first
    return results


def _floats(*values) -> bool:
    return all(jnp.issubdtype(v.dtype, jnp.floating) for v in values)


def _walk(jaxpr, constants, inputs, operations: list[Operation]) -> list[Node | Weight]:
    """Append the operations of ``jaxpr``; returns its results."""
    values: dict = dict(zip(jaxpr.constvars, constants, strict=True))
    values.update(zip(jaxpr.invars, inputs, strict=True))

    def read(variable):
        return _literal(variable.val) if isinstance(variable, core.Literal) else values[variable]

    for equation in jaxpr.eqns:
        operands = [read(v) for v in equation.invars]
        key = _CALLS.get(equation.primitive.name)
        if key is not None:
            inner = equation.params[key]
            closed = isinstance(inner, core.ClosedJaxpr)
            body = inner.jaxpr if closed else inner
            held = [_literal(c) for c in inner.consts] if closed else []
            results = _walk(body, held, operands, operations)
        elif all(isinstance(o, Weight) for o in operands) and not equation.effects:
            results = _weights(equation, operands)
        else:
            params = equation.primitive.get_bind_params(equation.params)
            functions, params = params if isinstance(params, tuple) else ((), params)
            run = _run(equation, params)
            if functions:
                run = functools.partial(run, *functions)
            results = [Node(v.aval.shape, v.aval.dtype) for v in equation.outvars]
            step = Operation(equation.primitive.name, run, operands, results, equation.params)
            for node in results:
                node.operation = step
            operations.append(step)
        values.update(zip(equation.outvars, results, strict=True))
    return [read(v) for v in jaxpr.outvars]


def trace(function: Callable, variables: Any, *inputs: Any) -> tuple[Graph, Any]:
    """The graph of ``function(variables, *inputs)``.

    Args:
        function: pure.
        variables: arrays, or their shapes and dtypes.
        inputs: likewise.

    Returns:
        the `Graph`, and the structure of the function's result.
    """
    closed, out = jax.make_jaxpr(function, return_shape=True)(variables, *inputs)
    count = len(jax.tree.leaves(variables))
    avals = closed.in_avals
    weights = [
        Weight(lambda flat, i=i: flat[i], a.shape, a.dtype, a.shape)
        for i, a in enumerate(avals[:count])
    ]
    nodes = [Node(a.shape, a.dtype) for a in avals[count:]]
    operations: list[Operation] = []
    held = [_literal(c) for c in closed.consts]
    results = _walk(closed.jaxpr, held, [*weights, *nodes], operations)
    return Graph(nodes, operations, results), jax.tree.structure(out)


# Operations that move values and compute none; their operands of other dtypes are positions.
_MOVES = ("concatenate", "pad", "slice", "rev", "dynamic_slice", "dynamic_update_slice", "select_n")


def move_bits(graph: Graph) -> Graph:
    """The same program, which moves half precision as integers, see `jaxnets.ops.half_bits`."""
    for step in graph.operations:
        if step.name in _MOVES and is_half(step.results[0].dtype):
            step.run = functools.partial(_move_bits, step.run)
    return graph


def _move_bits(run: Callable[..., list], *values) -> list:
    halves = [i for i, value in enumerate(values) if is_half(value.dtype)]

    def move(*bits):
        given = dict(zip(halves, bits, strict=True))
        return run(*(given.get(i, value) for i, value in enumerate(values)))

    return moved(move, *(values[i] for i in halves))
