"""Programs and what they run on: compilation ahead of time, memory, the processor's name."""

import os
import platform
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax


class Compiled(NamedTuple):
    """A function compiled ahead of its first call.

    Attributes:
        program: takes the arguments that it was compiled for.
        compile_seconds: tracing and compilation.
        memory_bytes: arguments, results and temporaries; None where the backend does not say.
        temporary_bytes: of these the temporaries; None where the backend does not say.

    >>> compiled = compile_ahead(lambda x: 2 * x, jax.ShapeDtypeStruct((3,), "float32"))
    >>> compiled.program(jax.numpy.ones(3)).tolist(), compiled.compile_seconds > 0
    ([2.0, 2.0, 2.0], True)
    """

    program: Callable
    compile_seconds: float
    memory_bytes: int | None
    temporary_bytes: int | None


def compile_ahead(function: Callable, *arguments: Any) -> Compiled:
    """Compile a function for given arguments, and say how long it took and what memory it needs.

    Args:
        function: jitted already (then its donations and static arguments hold), or not.
        arguments: arrays, or `jax.ShapeDtypeStruct`.

    Returns:
        The `Compiled` function.

    Example: what two orders of the same product keep in memory; nothing is computed.

        >>> a, b = (jax.ShapeDtypeStruct(shape, "float32") for shape in ((256, 1), (1, 256)))
        >>> outer = compile_ahead(lambda a, b, c: (a @ b) @ c, a, b, a)
        >>> inner = compile_ahead(lambda a, b, c: a @ (b @ c), a, b, a)
        >>> outer.memory_bytes - inner.memory_bytes > 4 * 250 * 250
        True
    """
    jitted = function if hasattr(function, "lower") else jax.jit(function)
    clock = time.perf_counter()
    program = jitted.lower(*arguments).compile()
    seconds = time.perf_counter() - clock
    sizes = program.memory_analysis()
    if sizes is None:
        return Compiled(program, seconds, None, None)
    total = sizes.argument_size_in_bytes + sizes.output_size_in_bytes + sizes.temp_size_in_bytes
    # Results that lie in the memory of donated arguments are counted on both sides.
    total -= sizes.alias_size_in_bytes
    return Compiled(program, seconds, total, sizes.temp_size_in_bytes)


def processor() -> str:
    """The processor that JAX computes on, to be named beside every measured time.

    Returns:
        Such as "1 × NVIDIA H100" or "AMD EPYC 7B13, 2 cores": of accelerators how many JAX has, of
        a CPU the cores that this process may use.

    >>> print(f"2.5 ms on {processor()}")
    2.5 ms on ...
    """
    devices = jax.devices()
    if devices[0].platform != "cpu":
        return f"{len(devices)} × {devices[0].device_kind}"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{_cpu_name()}, {cores} core{'' if cores == 1 else 's'}"


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [
                line.split(":", 1)[1].strip() for line in file if line.startswith("model name")
            ]
    except OSError:
        names = []
    return (names or [platform.processor() or platform.machine()])[0]
