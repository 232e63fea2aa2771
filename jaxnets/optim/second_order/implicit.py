"""Derivatives of a minimum with respect to what the function depends on, by the implicit theorem.

At a minimum x*(θ) the gradient of f(x, θ) vanishes whatever θ is, so

    dx* = -H⁻¹ (∂²f / ∂x ∂θ) dθ,   H = ∂²f / ∂x²,

in both modes, and no iteration is differentiated. With bounds this holds for the variables
between them; the others move with the bound that they rest on.

Source: Krantz and Parks, "The Implicit Function Theorem" (2002); Blondel et al., "Efficient and
modular implicit differentiation", NeurIPS 2022, section 2.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.optim.second_order.objective import flatten
from jaxnets.optim.second_order.result import Result, Status
from jaxnets.optim.traced import Program

# Up to so many parameters the Hessian is formed and factorized, above them only multiplied with.
MAX_DENSE = 512
MAX_PRODUCTS = 1000


def with_implicit_derivatives(solver: Callable[..., Result], program: Program) -> Callable:
    """The solver, with the derivatives of the point that it finds.

    Where it finds none (max_iterations, a failed line search), or where H is singular, derivatives
    are NaN. The start, tol and max_iterations have the derivative zero, and so have the gradient
    norm, the counts and the trace.

    Args:
        solver: ``(x0, args, constants, box, tol, max_iterations) -> Result``.
        program: ``(constants, x, args) -> (value, gradient, aux)`` on flat vectors; used for the
            derivatives.

    Returns:
        The same function, differentiable in args, constants and box.

    >>> from jaxnets.optim import minimize
    >>> def solution(target):
    ...     return minimize(lambda x: jnp.sum((x - 3 * target) ** 2), jnp.zeros(2)).x
    >>> jax.jacfwd(solution)(2.0).tolist(), jax.jacrev(solution)(2.0).tolist()
    ([3.0, 3.0], [3.0, 3.0])
    """
    solve = jax.custom_jvp(solver)

    @solve.defjvp
    def derivative(primals, tangents):
        _, args, constants, box, *_ = primals
        _, args_dot, constants_dot, box_dot, *_ = tangents
        result = solve(*primals)
        x = flatten(result.x).vector
        outer, outer_dot = (constants, args), (constants_dot, args_dot)

        def at(x, outer):
            return program(outer[0], x, outer[1])

        pull, free = jnp.zeros_like(x), jnp.ones(x.shape, bool)
        if box is not None:
            free = (x > box[0]) & (x < box[1])
            pull = jnp.where(free, 0, jnp.where(x <= box[0], box_dot[0], box_dot[1]))
        _, (_, right, _) = jax.jvp(at, (x, outer), (pull, outer_dot))

        def times_hessian(vector):
            inside = jnp.where(free, vector, 0)
            image = jax.jvp(lambda x: at(x, outer)[1], (x,), (inside,))[1]
            return jnp.where(free, image, vector)

        x_dot = _solve_symmetric(times_hessian, jnp.where(free, -right, 0)) + pull
        found = (result.status == Status.CONVERGED) | (result.status == Status.ROUNDING)
        # A factor, so that the reverse mode is NaN as well.
        x_dot = x_dot * jnp.where(found, 1, jnp.nan)
        _, (value, gradient, aux) = jax.jvp(at, (x, outer), (x_dot, outer_dot))
        blank = jax.tree.map(_zero_tangent, result)
        return result, blank._replace(
            x=_like(result.x, x_dot),
            value=value.astype(result.value.dtype),
            gradient=_like(result.gradient, gradient),
            aux=None if result.aux is None else aux,
        )

    return solve


def _solve_symmetric(times: Callable[[jax.Array], jax.Array], right: jax.Array) -> jax.Array:
    """The solution of a symmetric system given by its products; differentiable and transposable."""
    eps = float(jnp.finfo(right.dtype).eps)

    def solve(times, right):
        if right.size <= MAX_DENSE:
            matrix = jax.vmap(times)(jnp.eye(right.size, dtype=right.dtype))
            return jnp.linalg.solve(0.5 * (matrix + matrix.T), right)
        solution, _ = jax.scipy.sparse.linalg.cg(
            times, right, tol=10 * eps, maxiter=min(2 * right.size, MAX_PRODUCTS)
        )
        miss = jnp.linalg.norm(times(solution) - right)
        good = miss <= eps**0.5 * jnp.linalg.norm(right)
        return jnp.where(good, solution, jnp.nan)

    return jax.lax.custom_linear_solve(times, right, solve, symmetric=True)


def _zero_tangent(leaf: Any) -> Any:
    if jnp.issubdtype(jnp.result_type(leaf), jnp.inexact):
        return jnp.zeros_like(leaf)
    return np.zeros(jnp.shape(leaf), jax.dtypes.float0)


def _like(tree: Any, vector: jax.Array) -> Any:
    return flatten(tree).restore(vector)
