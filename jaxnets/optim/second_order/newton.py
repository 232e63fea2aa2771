"""Newton's method: the exact damped one for small problems, conjugate gradients for large ones."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxnets.optim.second_order.model import EXACT, Model


def newton_direction(hessian: jax.Array, gradient: jax.Array) -> jax.Array:
    """A descent direction from a whole Hessian, also where it is not positive definite.

    With H positive definite it is Newton's -H⁻¹g. Else the eigenvalues are replaced by their
    absolute values, those near zero damped: d = -V max(|Λ|, δ)⁻¹ Vᵀg, which runs away from saddle
    points instead of into them.

    Args:
        hessian: H, symmetric, shape (n, n).
        gradient: g, shape (n,).

    Returns:
        d, shape (n,), with gᵀd < 0 unless g = 0.

    Source: Nocedal and Wright (2006), section 3.4; Dauphin et al. 2014 for |Λ|. Notes L73.

    >>> import jax.numpy as jnp
    >>> h, g = jnp.diag(jnp.array([2.0, -4.0])), jnp.array([2.0, 4.0])
    >>> [float(v) for v in newton_direction(h, g)]
    [-1.0, -1.0]
    """
    factor = jnp.linalg.cholesky(hessian, symmetrize_input=True)

    def definite():
        return -jax.scipy.linalg.cho_solve((factor, True), gradient)

    def indefinite():
        values, vectors = jnp.linalg.eigh(jnp.nan_to_num(hessian))
        size = jnp.abs(values)
        floor = jnp.sqrt(jnp.finfo(size.dtype).eps) * jnp.maximum(jnp.max(size), 1e-30)
        parts = jnp.matmul(vectors.T, gradient, precision=EXACT) / jnp.maximum(size, floor)
        return -jnp.matmul(vectors, parts, precision=EXACT)

    return jax.lax.cond(jnp.all(jnp.isfinite(factor)), definite, indefinite)


def exact_model(gradient_of: Callable) -> Model:
    """Damped Newton as a `Model`: step 1 is tried first, the line search shortens it."""

    def learn(state, step, change, x, gradient):
        _, product = jax.linearize(gradient_of, x)
        hessian = jax.vmap(product)(jnp.eye(x.size, dtype=x.dtype))
        direction = newton_direction(0.5 * (hessian + hessian.T), gradient)
        direction = jnp.where(state, -gradient, direction)
        return jnp.zeros((), bool), direction, state, x.size

    return _without_memory(learn)


def cg_model(gradient_of: Callable, max_products: int = 200) -> Model:
    """Newton-CG as a `Model`: H d = -g is solved only as well as the distance left deserves.

    Conjugate gradients stop at ‖r‖ ≤ min(½, √‖g‖) ‖g‖, or at a direction of negative curvature,
    where what has been gathered so far is a descent direction (Nocedal and Wright, algorithm 7.1).
    """

    def learn(state, step, change, x, gradient):
        _, product = jax.linearize(gradient_of, x)
        direction, products = truncated_cg(product, gradient, min(x.size, max_products))
        direction = jnp.where(state, -gradient, direction)
        return jnp.zeros((), bool), direction, state, products

    return _without_memory(learn)


def truncated_cg(
    product: Callable, gradient: jax.Array, max_products: int
) -> tuple[jax.Array, jax.Array]:
    """Solve H d = -g by conjugate gradients until good enough or curvature turns negative.

    Args:
        product: ``v -> H v`` on shape (n,).
        gradient: g, shape (n,).
        max_products: calls of product at most.

    Returns:
        The descent direction d, shape (n,), and the number of products used.
    """

    def dot(a, b):
        return jnp.vdot(a, b, precision=EXACT)

    length = jnp.sqrt(dot(gradient, gradient))
    goal = jnp.minimum(0.5, jnp.sqrt(length)) * length
    eps = jnp.finfo(gradient.dtype).eps

    def going(carry):
        _, _, _, squared, products, negative = carry
        return (jnp.sqrt(squared) > goal) & (products < max_products) & ~negative

    def improve(carry):
        solution, residual, search, squared, products, _ = carry
        image = product(search)
        curvature = dot(search, image)
        negative = ~(curvature > eps * dot(search, search))
        length = squared / jnp.where(negative, 1, curvature)
        # Negative already in the first direction: steepest descent.
        first = jnp.where(products == 0, -gradient, solution)
        solution = jnp.where(negative, first, solution + length * search)
        residual = jnp.where(negative, residual, residual + length * image)
        following = dot(residual, residual)
        search = -residual + following / squared * search
        return solution, residual, search, following, products + 1, negative

    begin = (
        jnp.zeros_like(gradient),
        gradient,
        -gradient,
        length * length,
        jnp.zeros((), jnp.int32),
        jnp.zeros((), bool),
    )
    solution, *_, products, _ = jax.lax.while_loop(going, improve, begin)
    return jnp.where(products == 0, -gradient, solution), products


def _without_memory(learn: Callable) -> Model:
    """A model whose only state is whether the last search failed (then: steepest descent)."""
    return Model(empty=lambda x: jnp.zeros((), bool), forget=lambda state, when: when, learn=learn)
