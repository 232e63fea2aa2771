"""BFGS with a dense inverse Hessian: n² numbers, for small problems and as the yardstick."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxnets.optim.second_order._xla import dot, matmul
from jaxnets.optim.second_order.direction import Direction, SearchDirection
from jaxnets.optim.second_order.lbfgs import curvature_condition


def update_inverse(inverse: jax.Array, step: jax.Array, change: jax.Array) -> jax.Array:
    """The BFGS update of an inverse Hessian.

        H₊ = (I - ρ s yᵀ) H (I - ρ y sᵀ) + ρ s sᵀ,   ρ = 1 / sᵀy

    Of all symmetric matrices that satisfy the secant equation H₊ y = s it is the nearest to H (in
    a weighted Frobenius norm), and it is positive definite when H is and sᵀy > 0.

    Args:
        inverse: H, symmetric, shape (n, n).
        step: s = x₊ - x, shape (n,).
        change: y = ∇f(x₊) - ∇f(x), shape (n,), with sᵀy > 0.

    Returns:
        H₊, shape (n, n), symmetric: to the last bit, or to rounding where a compiler fuses the
        products with the sum.

    Source: Nocedal and Wright (2006), equation 6.17; derived step by step in
    ``notebooks/bfgs_derivation.ipynb``.

    >>> import jax.numpy as jnp
    >>> s, y = jnp.array([1.0, 2.0]), jnp.array([2.0, 1.0])
    >>> [round(float(v), 6) for v in update_inverse(jnp.eye(2), s, y) @ y]
    [1.0, 2.0]
    """
    return _rank_two(inverse, step, change, 1 / dot(step, change))


def _rank_two(inverse, step, change, rho):
    """H - ρ (s uᵀ + u sᵀ) + (ρ² yᵀu + ρ) s sᵀ with u = H y, as one symmetric correction."""
    image = matmul(inverse, change)
    weight = 0.5 * rho * (rho * dot(change, image) + 1)
    half = step[:, None] * (weight * step - rho * image)[None, :]
    return inverse + (half + half.T)


class BFGSState(NamedTuple):
    """State of `BFGS`.

    Attributes:
        inverse: H, the approximate inverse Hessian, symmetric, shape (n, n).
        count: pairs taken in so far, an int32 scalar.
    """

    inverse: jax.Array
    count: jax.Array


@dataclasses.dataclass(frozen=True)
class BFGS(SearchDirection):
    """d = -H g with the inverse Hessian H of Broyden, Fletcher, Goldfarb and Shanno.

    A pair without positive curvature leaves H as it is.

    Attributes:
        rescale: start from H₀ = γI with γ = sᵀy / yᵀy of the first pair; else from I.

    Source: Nocedal and Wright (2006), algorithm 6.1, and equation 6.20 for γ.

    >>> import jax, jax.numpy as jnp
    >>> method, x = BFGS(), jnp.array([1.0, 0.0])
    >>> update = jax.jit(method.update)
    >>> state, direction = update(method.init(x), x, 2 * x, x, 2 * x)  # f(x) = x·x
    >>> (x + direction.vector).tolist(), bool(direction.first_order)
    ([0.0, 0.0], False)
    """

    rescale: bool = True

    def init(self, x: jax.Array) -> BFGSState:
        return BFGSState(jnp.eye(x.size, dtype=x.dtype), jnp.zeros((), jnp.int32))

    def reset(self, state: BFGSState, when: jax.Array) -> BFGSState:
        identity = jnp.eye(state.inverse.shape[0], dtype=state.inverse.dtype)
        return BFGSState(jnp.where(when, identity, state.inverse), jnp.where(when, 0, state.count))

    def update(self, state, step, change, x, gradient) -> tuple[BFGSState, Direction]:
        inverse, count = state
        curvature, squared, keep = curvature_condition(step, change)
        safe = jnp.where(keep, curvature, 1)
        if self.rescale:
            scale = jnp.where(keep & (count == 0), safe / jnp.where(keep, squared, 1), 1)
            inverse = scale * inverse
        # A pair that is not kept gets ρ = 0 and zero vectors: H stays as it is.
        kept = keep.astype(step.dtype)
        inverse = _rank_two(inverse, kept * step, kept * change, kept / safe)
        count = count + keep.astype(jnp.int32)
        direction = -matmul(inverse, gradient)
        return BFGSState(inverse, count), Direction(direction, count == 0, 0)
