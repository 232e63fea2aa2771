"""The solvers that `benchmark_lbfgs` compares, each brought to the same stopping rule.

Every solver stops when the largest absolute entry of the gradient is at most tol, after the same
number of iterations at most, or when it cannot move any more. JAX solvers run as one compiled
loop; their compilation is timed apart. Their calls of the function are counted in a run of their
own, through a host callback inside the function. PyTorch and SciPy get the compiled value and
gradient of the same JAX function, so for them the time includes the way there and back.
"""

import importlib.util
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.lbfgs_benchmark.problems import Case
from jaxnets.optim.second_order import minimize


class Run(NamedTuple):
    """What one solver did on one case."""

    solved: bool
    value: float
    gradient_norm: float
    evaluations: int
    seconds: float
    compile_seconds: float
    note: str = ""


class Limits(NamedTuple):
    """When to stop, and how often to repeat a timing."""

    tol: float
    max_iterations: int
    repeats: int
    patience_seconds: float  # no repeats for runs longer than this


def norm(gradient):
    return jnp.max(jnp.abs(gradient))


# --- solvers that are one compiled JAX program: (fun, memory, limits) -> (x0, args) -> x --------


def ours(fun, memory, limits, method="lbfgs"):
    def solve(x0, args):
        result = minimize(
            fun,
            x0,
            args=args,
            tol=limits.tol,
            max_iterations=limits.max_iterations,
            memory_size=memory,
            method=method,
        )
        return result.x, result.status

    return solve


def optax_lbfgs(fun, memory, limits):
    import optax

    # Its documented loop; the value and gradient of the line search are used again.
    solver = optax.lbfgs(memory_size=memory or 10)

    def solve(x0, args):
        def value(x):
            return fun(x, *args)

        both = optax.value_and_grad_from_state(value)

        def going(carry):
            _, state, moved = carry
            count = optax.tree.get(state, "count")
            gradient = optax.tree.get(state, "grad")
            below = count < limits.max_iterations
            return (count == 0) | (below & moved & (norm(gradient) > limits.tol))

        def step(carry):
            x, state, _ = carry
            f, gradient = both(x, state=state)
            update, state = solver.update(
                gradient, state, x, value=f, grad=gradient, value_fn=value
            )
            new = optax.apply_updates(x, update)
            return new, state, jnp.any(new != x)

        x, _, moved = jax.lax.while_loop(going, step, (x0, solver.init(x0), True))
        return x, moved

    return solve


def jaxopt_lbfgs(fun, memory, limits):
    import jaxopt

    solver = jaxopt.LBFGS(fun, maxiter=limits.max_iterations, tol=0.0, history_size=memory or 10)

    def solve(x0, args):
        def going(carry):
            _, state, moved = carry
            return (
                (norm(state.grad) > limits.tol) & (state.iter_num < limits.max_iterations) & moved
            )

        def step(carry):
            x, state, _ = carry
            new, state = solver.update(x, state, *args)
            return new, state, jnp.any(new != x)

        state = solver.init_state(x0, *args)
        x, _, moved = jax.lax.while_loop(going, step, (x0, state, True))
        return x, moved

    return solve


def _optimistix(base: str):
    def build(fun, memory, limits):
        import optimistix as optx

        class ByGradient(getattr(optx, base)):
            def terminate(self, fn, y, args, options, state, tags):
                ended = ~state.first_step & (norm(state.f_info.grad) <= limits.tol)
                return ended & (state.num_accepted_steps > 1), state.result

        extra = {"history_length": memory or 10} if base == "LBFGS" else {}
        solver = ByGradient(rtol=1e-300, atol=1e-300, **extra)

        def solve(x0, args):
            solution = optx.minimize(
                lambda x, args: fun(x, *args),
                solver,
                x0,
                args,
                max_steps=2 * limits.max_iterations,
                throw=False,
            )
            return solution.value, solution.stats["num_steps"]

        return solve

    return build


# --- solvers outside JAX: (value_and_grad, x0, memory, limits) -> x -----------------------------


def scipy_lbfgsb(both, x0, memory, limits):
    import scipy.optimize

    options = {
        "gtol": limits.tol,
        "ftol": 0.0,
        "maxiter": limits.max_iterations,
        "maxfun": 4 * limits.max_iterations,
        "maxcor": memory or 10,
    }
    return scipy.optimize.minimize(both, x0, jac=True, method="L-BFGS-B", options=options).x


def torch_lbfgs(both, x0, memory, limits):
    import torch

    x = torch.from_numpy(x0.copy()).requires_grad_()
    solver = torch.optim.LBFGS(
        [x],
        max_iter=limits.max_iterations,
        max_eval=4 * limits.max_iterations,
        tolerance_grad=limits.tol,
        tolerance_change=0.0,
        history_size=memory or 10,
        line_search_fn="strong_wolfe",
    )

    def closure():
        value, gradient = both(x.detach().numpy())
        x.grad = torch.from_numpy(np.array(gradient))
        return torch.tensor(value, dtype=torch.float64)

    solver.step(closure)
    return x.detach().numpy()


JAX_SOLVERS: dict[str, tuple[str, Callable]] = {
    "jaxnets": ("jax", ours),
    "optax": ("optax", optax_lbfgs),
    "jaxopt": ("jaxopt", jaxopt_lbfgs),
    "optimistix": ("optimistix", _optimistix("LBFGS")),
    "optimistix BFGS": ("optimistix", _optimistix("BFGS")),
}
HOST_SOLVERS: dict[str, tuple[str, Callable]] = {
    "scipy": ("scipy", scipy_lbfgsb),
    "torch": ("torch", torch_lbfgs),
}


def present() -> list[str]:
    """The solvers whose packages are installed here."""
    both = JAX_SOLVERS | HOST_SOLVERS
    return [name for name, (package, _) in both.items() if importlib.util.find_spec(package)]


def run(name: str, case: Case, memory: int | None, limits: Limits) -> Run:
    """Solve one case with one solver; the point it returns is judged here, not by the solver."""
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
    except Exception as error:  # a peer that breaks down has not solved the case
        return Run(
            False, np.nan, np.nan, 0, np.nan, np.nan, f"{type(error).__name__}: {error}"[:200]
        )
    value, gradient = both(jnp.asarray(x), *args)
    size = float(norm(gradient))
    # A hair of slack: the last bits of a gradient depend on how it was compiled.
    solved = bool(np.isfinite(size) and size <= limits.tol * (1 + 1e-6) + 1e-12)
    return Run(solved, float(value), size, evaluations, seconds, compiling)


def _run_jax(name, case, start, args, memory, limits):
    build = JAX_SOLVERS[name][1]
    solve = jax.jit(build(case.fun, memory, limits))
    begin = time.perf_counter()
    compiled = solve.lower(start, args).compile()
    compiling = time.perf_counter() - begin
    times = []
    for _ in range(limits.repeats):
        begin = time.perf_counter()
        x, _ = jax.block_until_ready(compiled(start, args))
        times.append(time.perf_counter() - begin)
        if sum(times) > limits.patience_seconds:
            break

    calls = 0

    def count(_):
        nonlocal calls
        calls += 1

    def counted(x, *args):
        jax.debug.callback(count, x[0])
        return case.fun(x, *args)

    jax.block_until_ready(jax.jit(build(counted, memory, limits))(start, args))
    jax.effects_barrier()
    return np.asarray(x), calls, float(np.median(times)), compiling


def _run_host(name, case, both, args, memory, limits):
    calls = 0

    def counted(x):
        nonlocal calls
        calls += 1
        value, gradient = both(x, *args)
        return float(value), np.asarray(gradient)

    times = []
    for _ in range(limits.repeats):
        calls = 0
        begin = time.perf_counter()
        x = HOST_SOLVERS[name][1](counted, np.array(case.start), memory, limits)
        times.append(time.perf_counter() - begin)
        if sum(times) > limits.patience_seconds:
            break
    return x, calls, float(np.median(times))
