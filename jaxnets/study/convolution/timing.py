"""Convolution algorithms as programs to be timed by turns, in each of their three directions."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.ops.convolution import conv_transformed, transform_kernel
from jaxnets.ops.convolution.algorithms import ALGORITHMS
from jaxnets.ops.convolution.problem import Problem
from jaxnets.study.programs import compile_ahead
from jaxnets.study.timing import time_calls

# A round repeats a call for so long: other libraries' threads spin for a moment after their own
# calls, and would slow a single call behind them by half.
BLOCK_SECONDS = 0.05

DIRECTIONS = ("forward", "input_gradient", "kernel_gradient")
# Which arrays of `arrays` each direction takes.
_OPERANDS = {
    "forward": ("x", "kernel"),
    "input_gradient": ("g", "kernel"),
    "kernel_gradient": ("x", "g"),
}


class Timed(NamedTuple):
    """What a program returned and took.

    Attributes:
        value: its result.
        milliseconds: median over the rounds.
        fastest: milliseconds of the fastest round.
        temporary_bytes: memory beside arguments and results; 0 where the backend does not say.
    """

    value: Any
    milliseconds: float
    fastest: float
    temporary_bytes: int


def arrays(problem: Problem, dtype: Any = jnp.float32) -> dict[str, jax.Array]:
    """Unit-variance ``x``, ``kernel`` and ``g`` (the gradient of the output) of a problem.

    Args:
        problem: the convolution.
        dtype: of all three.

    Returns:
        Name → array, the same ones for the same problem.
    """
    rng = np.random.default_rng(0)

    def normal(shape):
        return jnp.asarray(rng.standard_normal(shape, np.float32), dtype)

    return {
        "x": normal(problem.x_shape),
        "kernel": normal(problem.kernel_shape),
        "g": normal(problem.out_shape),
    }


def function(algorithm: str, direction: str, problem: Problem) -> Callable:
    """One direction of an algorithm as a function of the two arrays that `operands` gives.

    Args:
        algorithm: a name of `jaxnets.ops.convolution.algorithms.ALGORITHMS`.
        direction: one of `DIRECTIONS`.
        problem: the convolution.

    Returns:
        The function, to be jitted.
    """
    body = getattr(ALGORITHMS[algorithm], direction)
    return lambda a, b: body(a, b, problem)


def operands(direction: str, data: Mapping[str, jax.Array]) -> tuple[jax.Array, jax.Array]:
    """The two of `arrays` that a direction takes.

    Args:
        direction: one of `DIRECTIONS`.
        data: of `arrays`.

    Returns:
        Input and kernel, gradient and kernel, or input and gradient.
    """
    first, second = _OPERANDS[direction]
    return data[first], data[second]


def prepared_winograd(problem: Problem, data: Mapping[str, jax.Array]) -> tuple[Callable, tuple]:
    """Winograd's forward pass with the kernel transformed beforehand: (function, arguments).

    Args:
        problem: a convolution that Winograd's algorithm can do.
        data: of `arrays`.

    Returns:
        The function, and the arguments that it is called with.
    """
    transformed = transform_kernel(data["kernel"])
    padding = list(problem.padding)
    return (
        lambda x, t: conv_transformed(x, t, padding=padding),
        (data["x"], transformed),
    )


def time_programs(
    candidates: Mapping[str, tuple[Callable, tuple]],
    rounds: int,
    patience_seconds: float = 3.0,
    *,
    peers: Mapping[str, Callable[[], Any]] | None = None,
) -> dict[str, Timed]:
    """Compile candidates ahead and time them by turns (`jaxnets.study.timing.time_calls`).

    Args:
        candidates: name → (function, arguments).
        rounds: how often each runs, after one run to warm up.
        patience_seconds: a candidate that has run longer is not run again.
        peers: name → what another library does instead, which takes turns with the candidates.

    Returns:
        Name → `Timed`.
    """
    values: dict[str, Any] = {}
    calls, temporary = {}, {}

    def call(name: str, program: Callable, arguments: tuple) -> Any:
        values[name] = program(*arguments)
        return values[name]

    for name, (body, arguments) in candidates.items():
        compiled = compile_ahead(body, *arguments)
        temporary[name] = compiled.temporary_bytes or 0
        calls[name] = partial(call, name, compiled.program, arguments)
    for name, peer in (peers or {}).items():
        calls[name], values[name], temporary[name] = peer, None, 0
    timings = time_calls(
        calls, rounds=rounds, block_seconds=BLOCK_SECONDS, patience_seconds=patience_seconds
    )
    return {
        n: Timed(values[n], t.milliseconds, 1e3 * t.fastest, temporary[n])
        for n, t in timings.items()
    }


def relative_error(got: Any, want: Any) -> float:
    """max |got − want| / max |want|.

    Args:
        got: an array.
        want: an array of the same shape.

    Returns:
        The error, computed in float64.

    >>> relative_error([1.0, 2.5], [1.0, 2.0])
    0.25
    """
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    return float(np.abs(got - want).max() / np.abs(want).max())
