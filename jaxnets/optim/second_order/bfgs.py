"""BFGS with a dense inverse Hessian: n² numbers, for small problems and as the yardstick."""

import jax
import jax.numpy as jnp

from jaxnets.optim.second_order.lbfgs import worth_keeping
from jaxnets.optim.second_order.model import EXACT, Model


def update_inverse(inverse: jax.Array, step: jax.Array, change: jax.Array) -> jax.Array:
    """The BFGS update of an inverse Hessian (the notes' L79 "BGFS").

        H₊ = (I - ρ s yᵀ) H (I - ρ y sᵀ) + ρ s sᵀ,   ρ = 1 / sᵀy

    Of all symmetric matrices that satisfy the secant equation H₊ y = s it is the nearest to H (in
    a weighted Frobenius norm), and it is positive definite when H is and sᵀy > 0.

    Args:
        inverse: H, symmetric, shape (n, n).
        step: s = x₊ - x, shape (n,).
        change: y = ∇f(x₊) - ∇f(x), shape (n,), with sᵀy > 0.

    Returns:
        H₊, shape (n, n), symmetric to the last bit.

    Source: Nocedal and Wright (2006), equation 6.17; derived step by step in
    ``notebooks/bfgs_derivation.ipynb``.

    >>> import jax.numpy as jnp
    >>> s, y = jnp.array([1.0, 2.0]), jnp.array([2.0, 1.0])
    >>> [round(float(v), 6) for v in update_inverse(jnp.eye(2), s, y) @ y]
    [1.0, 2.0]
    """
    return _rank_two(inverse, step, change, 1 / jnp.vdot(step, change, precision=EXACT))


def _rank_two(inverse, step, change, rho):
    """H - ρ (s uᵀ + u sᵀ) + (ρ² yᵀu + ρ) s sᵀ with u = H y, as one symmetric correction."""
    image = jnp.matmul(inverse, change, precision=EXACT)
    weight = 0.5 * rho * (rho * jnp.vdot(change, image, precision=EXACT) + 1)
    half = step[:, None] * (weight * step - rho * image)[None, :]
    return inverse + (half + half.T)


def model(rescale: bool = True) -> Model:
    """BFGS as a `Model`; the first pair sets the scale γ = sᵀy / yᵀy of H₀ = γI."""

    def empty(x):
        return jnp.eye(x.size, dtype=x.dtype), jnp.zeros((), jnp.int32)

    def forget(state, when):
        inverse, count = state
        identity = jnp.eye(inverse.shape[0], dtype=inverse.dtype)
        return jnp.where(when, identity, inverse), jnp.where(when, 0, count)

    def learn(state, step, change, x, gradient):
        inverse, count = state
        curvature, squared, keep = worth_keeping(step, change)
        safe = jnp.where(keep, curvature, 1)
        if rescale:
            scale = jnp.where(keep & (count == 0), safe / jnp.where(keep, squared, 1), 1)
            inverse = scale * inverse
        # A pair that is not kept gets ρ = 0 and zero vectors: H stays as it is.
        kept = keep.astype(step.dtype)
        inverse = _rank_two(inverse, kept * step, kept * change, kept / safe)
        count = count + keep.astype(jnp.int32)
        direction = -jnp.matmul(inverse, gradient, precision=EXACT)
        return (inverse, count), direction, count == 0, 0

    return Model(empty=empty, forget=forget, learn=learn)
