"""Newton's method: the exact damped one for small problems, conjugate gradients for large ones."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxnets.optim.second_order._xla import dot, matmul
from jaxnets.optim.second_order.direction import Direction, SearchDirection


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

    Source: Nocedal and Wright, "Numerical Optimization" (2006), section 3.4; for |Λ| Dauphin et
    al., "Identifying and attacking the saddle point problem" (2014), section 6.

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
        parts = matmul(vectors.T, gradient) / jnp.maximum(size, floor)
        return -matmul(vectors, parts)

    return jax.lax.cond(jnp.all(jnp.isfinite(factor)), definite, indefinite)


def truncated_cg(
    product: Callable, gradient: jax.Array, max_products: int
) -> tuple[jax.Array, jax.Array]:
    """Solve H d = -g by conjugate gradients until good enough or the curvature turns negative.

    It stops at ‖r‖ ≤ min(½, √‖g‖) ‖g‖ (far from a minimum an exact solution would be wasted), or
    at a direction of negative curvature, where what has been gathered so far descends.

    Args:
        product: ``v -> H v`` on shape (n,).
        gradient: g, shape (n,).
        max_products: calls of product at most.

    Returns:
        The descent direction d, shape (n,), and the number of products used, an int32 scalar.

    Source: Nocedal and Wright (2006), algorithm 7.1.

    >>> import jax.numpy as jnp
    >>> scales = jnp.array([1.0, 2.0])
    >>> d, products = truncated_cg(lambda v: scales * v, jnp.array([1e-4, 2e-4]), 5)
    >>> [f"{float(v):.4e}" for v in d], int(products)
    (['-1.0000e-04', '-1.0000e-04'], 2)
    """

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


@dataclasses.dataclass(frozen=True)
class _Stateless(SearchDirection):
    """Newton's methods remember nothing but whether the last line search failed.

    The state is that boolean; where it is true the next direction is steepest descent.

    Attributes:
        gradient_fn: ``x -> gradient``, from shape (n,) to shape (n,).
    """

    gradient_fn: Callable[[jax.Array], jax.Array]

    def init(self, x: jax.Array) -> jax.Array:
        return jnp.zeros((), bool)

    def reset(self, state: jax.Array, when: jax.Array) -> jax.Array:
        return when


class Newton(_Stateless):
    """Newton's method with the whole Hessian: step 1 is tried first, the line search shortens it.

    A Hessian costs n products, its factor n³/3: for n up to a few thousand.

    Attributes:
        gradient_fn: ``x -> gradient``, from shape (n,) to shape (n,).

    Source: Nocedal and Wright (2006), section 3.4; see `newton_direction`.

    >>> import jax, jax.numpy as jnp
    >>> method, x = Newton(lambda x: jnp.array([2.0, 8.0]) * x), jnp.ones(2)
    >>> update = jax.jit(method.update)
    >>> _, direction = update(method.init(x), 0 * x, 0 * x, x, method.gradient_fn(x))
    >>> [round(float(v), 4) for v in direction.vector], int(direction.hessian_products)
    ([-1.0, -1.0], 2)
    """

    def update(self, state, step, change, x, gradient) -> tuple[jax.Array, Direction]:
        _, product = jax.linearize(self.gradient_fn, x)
        hessian = jax.vmap(product)(jnp.eye(x.size, dtype=x.dtype))
        direction = newton_direction(0.5 * (hessian + hessian.T), gradient)
        direction = jnp.where(state, -gradient, direction)
        return jnp.zeros((), bool), Direction(direction, state, x.size)


@dataclasses.dataclass(frozen=True)
class NewtonCG(_Stateless):
    """Newton's method by conjugate gradients: Hessian-vector products only, for large n.

    Attributes:
        gradient_fn: ``x -> gradient``, from shape (n,) to shape (n,).
        max_products: Hessian-vector products that one direction may take.

    Source: Nocedal and Wright (2006), section 7.1; see `truncated_cg`.

    >>> import jax.numpy as jnp
    >>> method, x = NewtonCG(lambda x: 4.0 * x), jnp.ones(3)
    >>> _, direction = method.update(method.init(x), 0 * x, 0 * x, x, method.gradient_fn(x))
    >>> direction.vector.tolist(), int(direction.hessian_products)
    ([-1.0, -1.0, -1.0], 1)
    """

    max_products: int = 200

    def update(self, state, step, change, x, gradient) -> tuple[jax.Array, Direction]:
        _, product = jax.linearize(self.gradient_fn, x)
        max_products = min(x.size, self.max_products)
        direction, products = truncated_cg(product, gradient, max_products)
        direction = jnp.where(state, -gradient, direction)
        return jnp.zeros((), bool), Direction(direction, state, products)
