"""Minimizers on one problem: solved or not, calls of the function, seconds; and kept in a file.

JAX solvers run as one compiled loop; their compilation is timed apart. Their calls of the function
are counted in a run of their own, through a host callback inside the function. PyTorch and SciPy
get the compiled value and gradient of the same JAX function, so for them the time includes the way
there and back.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.optim.second_order import default_memory_size_for
from jaxnets.study.optimization.benchmark_lbfgs_problems import Case
from jaxnets.study.optimization.benchmark_lbfgs_solvers import (
    HOST_SOLVERS,
    JAX_SOLVERS,
    Limits,
    installed,
    norm,
)
from jaxnets.study.programs import compile_ahead
from jaxnets.study.timing import time_calls
from jaxnets.train.run_directory import read_json, write_json

# Of the variables of a problem: beyond it a dense matrix takes minutes.
MOST_FOR_BFGS = 1000


class Run(NamedTuple):
    """What one solver did on one case.

    Attributes:
        solved: whether the gradient at its end is as small as was asked for.
        value: of the function at the end.
        gradient_norm: largest absolute entry of the gradient at the end.
        evaluations: calls of the function.
        seconds: median over the repeats, compilation left out.
        compile_seconds: 0 for solvers outside JAX.
        note: the error of a solver that raised one.
    """

    solved: bool
    value: float
    gradient_norm: float
    evaluations: int
    seconds: float
    compile_seconds: float
    note: str = ""


def choose_solvers(peers: Sequence[str] = ()) -> tuple[list[str], list[str]]:
    """The solvers to compare: jaxnets and its peers, as far as they are installed.

    Args:
        peers: only these beside jaxnets; empty for all.

    Returns:
        Names of those that run, and of those that are asked for and not installed.

    >>> choose_solvers(["scipy"])
    (['jaxnets', 'scipy'], [])
    """
    found = installed()
    wanted = [
        name
        for name in (*JAX_SOLVERS, *HOST_SOLVERS)
        if name == "jaxnets" or not peers or name in peers
    ]
    return [n for n in wanted if n in found], [n for n in wanted if n not in found]


def run(name: str, case: Case, memory: int | None, limits: Limits) -> Run:
    """Solve one case with one solver; the point it returns is judged here, not by the solver.

    Args:
        name: of `JAX_SOLVERS` or `HOST_SOLVERS`.
        case: the problem.
        memory: pairs to keep; None for the solver's own choice.
        limits: when to stop.

    Returns:
        The `Run`; of a solver that raised an error, an unsolved one with a note.
    """
    args = jax.device_put(case.args)
    both = jax.jit(jax.value_and_grad(case.fun))
    start = jnp.asarray(case.start)
    jax.block_until_ready(both(start, *args))
    try:
        if name in JAX_SOLVERS:
            x, evaluations, seconds, compiling = _run_jax(name, case, start, args, memory, limits)
        else:
            x, evaluations, seconds = _run_host(name, case, both, args, memory, limits)
            compiling = 0.0
    except Exception as error:  # a peer that raises has not solved the case
        return Run(
            False, np.nan, np.nan, 0, np.nan, np.nan, f"{type(error).__name__}: {error}"[:200]
        )
    value, gradient = both(jnp.asarray(x), *args)
    size = float(norm(gradient))
    # A little slack: the last bits of a gradient depend on how it was compiled.
    solved = bool(np.isfinite(size) and size <= limits.tol * (1 + 1e-6) + 1e-12)
    return Run(solved, float(value), size, evaluations, seconds, compiling)


def _run_jax(name, case, start, args, memory, limits):
    build = JAX_SOLVERS[name][1]
    compiled = compile_ahead(build(case.fun, memory, limits), start, args)
    ends = []

    def solve():
        ends.append(compiled.program(start, args)[0])
        return ends[-1]

    seconds = _median_seconds(solve, limits)
    calls = 0

    def count(_):
        nonlocal calls
        calls += 1

    def counted(x, *args):
        jax.debug.callback(count, x[0])
        return case.fun(x, *args)

    jax.block_until_ready(jax.jit(build(counted, memory, limits))(start, args))
    jax.effects_barrier()
    return np.asarray(ends[-1]), calls, seconds, compiled.compile_seconds


def _run_host(name, case, both, args, memory, limits):
    calls, ends = 0, []

    def counted(x):
        nonlocal calls
        calls += 1
        value, gradient = both(x, *args)
        return float(value), np.asarray(gradient)

    def solve():
        nonlocal calls
        calls = 0
        ends.append(HOST_SOLVERS[name][1](counted, np.array(case.start), memory, limits))

    seconds = _median_seconds(solve, limits)
    return ends[-1], calls, seconds


def _median_seconds(solve: Callable, limits: Limits) -> float:
    timings = time_calls(
        {"solve": solve}, rounds=limits.repeats, patience_seconds=limits.patience_seconds
    )
    return timings["solve"].median


def run_case(
    case: Case, names: Sequence[str], limits: Limits, *, same_memory: bool = False
) -> dict[str, Any]:
    """One problem with every solver.

    Args:
        case: the problem.
        names: of solvers.
        limits: when to stop.
        same_memory: give every JAX peer as many pairs as jaxnets takes.

    Returns:
        {"case", "family", "size", "memory" (pairs of jaxnets), "runs": {solver: `Run`}}.
    """
    memory = default_memory_size_for(case.fun, case.start, case.args)
    runs = {}
    for name in names:
        if name == "optimistix BFGS" and case.start.size > MOST_FOR_BFGS:
            continue
        given = memory if same_memory and name in JAX_SOLVERS else None
        runs[name] = run(name, case, given, limits)
    size = int(case.start.size)
    return {"case": case.name, "family": case.family, "size": size, "memory": memory, "runs": runs}


def as_json(row: dict[str, Any]) -> dict[str, Any]:
    """A row of `run_case` with its runs as dictionaries.

    Args:
        row: of `run_case`.

    Returns:
        JSON values.
    """
    return {**row, "runs": {name: run._asdict() for name, run in row["runs"].items()}}


def save_row(path: Path, row: dict[str, Any], settings: list) -> None:
    """Keep a row of `run_case` with the settings that it was made under.

    Args:
        path: a JSON file.
        row: of `run_case`.
        settings: JSON values.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"settings": settings, "row": as_json(row)})


def load_row(path: Path, settings: list) -> dict[str, Any] | None:
    """The row that `save_row` kept; None if there is none, or of other settings.

    Args:
        path: a JSON file.
        settings: those of now.

    Returns:
        The row as `run_case` returned it, or None.
    """
    stored = read_json(path)
    if stored is None or stored["settings"] != settings:
        return None
    runs = {name: Run(**run) for name, run in stored["row"]["runs"].items()}
    return {**stored["row"], "runs": runs}
