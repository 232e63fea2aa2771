"""A function as the program that it is right now, to be told apart by its content.

Whoever keeps compiled programs must know when two functions are the same. Python's identity does
not tell: a function reads globals and attributes, and they change. So a function is traced anew
at each use, which takes milliseconds, and two traces are the same program exactly when their
equations are. Arrays that it closed over are not part of the program but arguments of it.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend import core

# What an equation carries for the sake of its derivatives alone, made anew by every trace.
FOR_DERIVATIVES = {"jvp_jaxpr_fun", "fwd_jaxpr_thunk", "bwd", "out_trees"}


@dataclasses.dataclass(frozen=True, eq=False)
class Program:
    """A traced function without the arrays that it closed over; equal to any with its equations.

    Two equal programs compute the same. Their derivatives may differ where `jax.custom_jvp` or
    `jax.custom_vjp` says so: to keep something that differentiates a program, trace the derivative.

    Attributes:
        jaxpr: the equations; constants, then arguments, are its inputs.
        out_tree: structure of what the function returns.
        key: the content, hashable.

    >>> import jax.numpy as jnp
    >>> target = 1.0
    >>> def miss(x):
    ...     return (x - target) ** 2
    >>> before = trace(miss, 0.0).program
    >>> before == trace(miss, 0.0).program
    True
    >>> target = 5.0
    >>> before == trace(miss, 0.0).program
    False
    """

    jaxpr: Any
    out_tree: Any
    key: tuple

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Program) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __call__(self, constants: Sequence, *args: Any) -> Any:
        """What the function returns for these arguments and constants."""
        run = core.jaxpr_as_fun(core.ClosedJaxpr(self.jaxpr, list(constants)))
        return jax.tree.unflatten(self.out_tree, run(*jax.tree.leaves(args)))


class Traced(NamedTuple):
    """A program with the arrays that its function closed over.

    Attributes:
        program: the `Program`.
        constants: the arrays, possibly of an outer trace.

    >>> traced = trace(lambda x: x * np.float32([2.0, 3.0]), np.float32([1.0, 1.0]))
    >>> traced.program(traced.constants, np.float32([1.0, 10.0])).tolist()
    [2.0, 30.0]
    """

    program: Program
    constants: tuple


def trace(function: Callable, *args: Any) -> Traced:
    """Trace a function as it is now, whatever it was when it was traced before.

    Args:
        function: of trees of arrays, to trees of arrays.
        args: examples: arrays, numbers or `jax.ShapeDtypeStruct`.

    Returns:
        The `Traced` function.

    >>> trace(lambda x: x + 1, 0.5).program(( ), 2.0).item()
    3.0
    """

    # A new function object each time: JAX keeps traces by identity, too.
    def anew(*args):
        return function(*args)

    closed, shape = jax.make_jaxpr(anew, return_shape=True)(*args)
    out_tree = jax.tree.structure(shape)
    key = (_content(closed.jaxpr), out_tree, jax.tree.structure(args))
    return Traced(Program(closed.jaxpr, out_tree, key), tuple(closed.consts))


class Alike(NamedTuple):
    """Something with a key: equal to whatever has an equal key, for `functools.lru_cache`.

    A cache of functions of this keeps what was made of the first of equals.

    Attributes:
        key: hashable.
        value: not looked at.

    >>> Alike(1, "a") == Alike(1, "b"), Alike(1, "a") == Alike(2, "a")
    (True, False)
    """

    key: Any
    value: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Alike) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


def trace_key(function: Callable, *args: Any) -> tuple:
    """Equal for functions that are the same program with the same constants, as they are now.

    Args:
        function: of trees of arrays, to trees of arrays.
        args: examples, as `trace` takes them.

    Returns:
        A hashable key. Constants are compared by content where they are NumPy's or small, and by
        identity where they are large arrays of JAX's.

    >>> slope = 2.0
    >>> def line(x):
    ...     return slope * x
    >>> before = trace_key(line, 1.0)
    >>> slope = 3.0
    >>> before == trace_key(line, 1.0)
    False
    """
    traced = trace(function, *args)
    return traced.program, tuple(map(_freeze, traced.constants))


def _content(jaxpr: Any) -> tuple:
    """The equations of a program with variables as numbers: equal exactly for equal programs."""
    numbers: dict[Any, int] = {}

    def atom(value):
        if isinstance(value, core.Literal):
            return value.aval, _freeze(value.val)
        return numbers.setdefault(value, len(numbers))

    inputs = tuple((atom(v), v.aval) for v in [*jaxpr.constvars, *jaxpr.invars])
    equations = tuple(
        (
            equation.primitive,
            tuple(map(atom, equation.invars)),
            tuple((atom(v), v.aval) for v in equation.outvars),
            tuple(
                (name, _freeze(value))
                for name, value in sorted(equation.params.items())
                if name not in FOR_DERIVATIVES
            ),
            _freeze(getattr(equation, "ctx", None)),
        )
        for equation in jaxpr.eqns
    )
    return inputs, equations, tuple(map(atom, jaxpr.outvars))


@dataclasses.dataclass(frozen=True, eq=False)
class _Itself:
    """A value that equals nothing but itself; it is held, so that its identity stays its own."""

    value: Any

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)


@functools.singledispatch
def _freeze(value: Any) -> Any:
    """A hashable value that is equal exactly where the parameter of an equation is."""
    if isinstance(value, core.Jaxpr):
        return _content(value)
    if isinstance(value, core.ClosedJaxpr):
        return _content(value.jaxpr), tuple(map(_freeze, value.consts))
    if isinstance(value, jax.Array):
        # It cannot be changed; a large one is not read, which takes time.
        small = not isinstance(value, jax.core.Tracer) and value.size <= 1024
        key = jax.dtypes.issubdtype(value.dtype, jax.dtypes.extended)
        if small and not key and value.is_fully_addressable:
            return _freeze(np.asarray(value))
        return _Itself(value)
    try:
        hash(value)
    except TypeError:
        return _Itself(value)
    return type(value), value


@_freeze.register
def _(value: tuple | list) -> tuple:
    return type(value), tuple(map(_freeze, value))


@_freeze.register
def _(value: dict) -> tuple:
    return tuple((_freeze(name), _freeze(entry)) for name, entry in value.items())


@_freeze.register
def _(value: float) -> tuple:  # 0.0 equals -0.0, and NaN not itself
    return type(value), float(value).hex()


@_freeze.register
def _(value: np.ndarray | np.generic) -> tuple:  # an array can be changed afterwards
    return value.dtype, value.shape, value.tobytes()
