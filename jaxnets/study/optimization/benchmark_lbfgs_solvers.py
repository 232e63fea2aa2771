"""jaxnets' L-BFGS and its peers, each brought to the same stopping rule.

Every solver stops when the largest absolute entry of the gradient is at most tol, after the same
number of iterations at most, or when it cannot move any more.
"""

import importlib.util
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.optim.second_order import minimize


class Limits(NamedTuple):
    """When to stop, and how often to repeat a timing.

    Attributes:
        tol: largest absolute entry of the gradient at the end.
        max_iterations: for every solver.
        repeats: timed runs.
        patience_seconds: no repeats for runs longer than this.
    """

    tol: float
    max_iterations: int
    repeats: int
    patience_seconds: float


def norm(gradient: jax.Array) -> jax.Array:
    """Largest absolute entry.

    Args:
        gradient: shape (n,).

    Returns:
        A scalar.
    """
    return jnp.max(jnp.abs(gradient))


# --- solvers that are one compiled JAX program: (fun, memory, limits) -> (x0, args) -> x --------


def ours(fun, memory, limits):
    """jaxnets' `minimize` by L-BFGS.

    Args:
        fun: ``fun(x, *args) -> scalar``.
        memory: pairs to keep; None for the solver's own choice.
        limits: when to stop.

    Returns:
        A traceable function (x0, args) → (x, what says how it ended).
    """

    def solve(x0, args):
        result = minimize(
            fun,
            x0,
            args=args,
            tol=limits.tol,
            max_iterations=limits.max_iterations,
            memory_size=memory,
            method="lbfgs",
        )
        return result.x, result.status

    return solve


def optax_lbfgs(fun, memory, limits):
    """Optax's documented loop; the value and gradient of the line search are used again.

    Args:
        fun: ``fun(x, *args) -> scalar``.
        memory: pairs to keep; None for the solver's own choice.
        limits: when to stop.

    Returns:
        A traceable function (x0, args) → (x, what says how it ended).
    """
    import optax

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
    """JAXopt's L-BFGS with its own line search.

    Args:
        fun: ``fun(x, *args) -> scalar``.
        memory: pairs to keep; None for the solver's own choice.
        limits: when to stop.

    Returns:
        A traceable function (x0, args) → (x, what says how it ended).
    """
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
    """SciPy's L-BFGS-B without bounds.

    Args:
        both: x → (value, gradient), both of NumPy.
        x0: where to start, float64.
        memory: pairs to keep; None for 10.
        limits: when to stop.

    Returns:
        The point at its end.
    """
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
    """PyTorch's L-BFGS with its strong Wolfe line search.

    Args:
        both: x → (value, gradient), both of NumPy.
        x0: where to start, float64.
        memory: pairs to keep; None for 10.
        limits: when to stop.

    Returns:
        The point at its end.
    """
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


def installed() -> list[str]:
    """Names of the solvers whose packages are installed here.

    Returns:
        Names of `JAX_SOLVERS`, then of `HOST_SOLVERS`.
    """
    both = JAX_SOLVERS | HOST_SOLVERS
    return [name for name, (package, _) in both.items() if importlib.util.find_spec(package)]
