"""Timing by turns: every candidate once a round, so that a noisy moment hits all alike."""

import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.ops.convolution import winograd
from jaxnets.ops.convolution.algorithms import ALGORITHMS
from jaxnets.ops.convolution.problem import Problem

DIRECTIONS = ("forward", "input_gradient", "kernel_gradient")


def arrays(problem: Problem, dtype=jnp.float32) -> dict[str, jax.Array]:
    """Unit-variance x, kernel, g (y's gradient)."""
    rng = np.random.default_rng(0)

    def normal(shape):
        return jnp.asarray(rng.standard_normal(shape, np.float32), dtype)

    return {
        "x": normal(problem.x_shape),
        "kernel": normal(problem.kernel_shape),
        "g": normal(problem.out_shape),
    }


def function(algorithm: str, direction: str, problem: Problem) -> Callable:
    """A function of two arrays, see `operands`."""
    body = getattr(ALGORITHMS[algorithm], direction)
    return lambda a, b: body(a, b, problem)


def operands(direction: str, data: dict[str, jax.Array]) -> tuple[jax.Array, jax.Array]:
    """What a direction takes."""
    names = {
        "forward": ("x", "kernel"),
        "input_gradient": ("g", "kernel"),
        "kernel_gradient": ("x", "g"),
    }[direction]
    return data[names[0]], data[names[1]]


def prepared(problem: Problem, data: dict[str, jax.Array]) -> tuple[Callable, tuple]:
    """Winograd's forward pass with the kernel transformed beforehand."""
    transformed = winograd.transform_kernel(data["kernel"])
    padding = list(problem.padding)
    return (
        lambda x, t: winograd.conv_transformed(x, t, padding=padding),
        (data["x"], transformed),
    )


def by_turns(
    candidates: dict[str, tuple[Callable, tuple]], rounds: int, patience: float = 3.0
) -> dict[str, dict[str, float]]:
    """Median milliseconds, temporary bytes and result of each jitted candidate.

    Args:
        candidates: name to (function, arguments).
        rounds: how often each runs, after one run to warm up.
        patience: seconds after which a candidate is not run again.
    """
    results, compiled, times = {}, {}, {}
    for name, (body, arguments) in candidates.items():
        program = jax.jit(body).lower(*arguments).compile()
        start = time.perf_counter()
        value = jax.block_until_ready(program(*arguments))
        first = time.perf_counter() - start
        memory = program.memory_analysis()
        results[name] = {
            "value": value,
            "temporary_bytes": memory.temp_size_in_bytes if memory else 0,
        }
        compiled[name] = (program, arguments)
        times[name] = [first] if first > patience else []
    for _ in range(rounds):
        for name, (program, arguments) in compiled.items():
            if sum(times[name]) > patience:
                continue
            start = time.perf_counter()
            jax.block_until_ready(program(*arguments))
            times[name].append(time.perf_counter() - start)
    for name, seconds in times.items():
        results[name]["ms"] = statistics.median(seconds) * 1e3
    return results


def relative_error(got, want) -> float:
    """max |got − want| / max |want|."""
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    return float(np.abs(got - want).max() / np.abs(want).max())
