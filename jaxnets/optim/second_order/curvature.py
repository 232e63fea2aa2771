"""Second-order quantities: products with the Hessian, its largest eigenvalues, its trace."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxnets.optim.second_order._xla import dot, matmul
from jaxnets.optim.second_order.objective import flat_objective, flatten


def hvp(fun: Callable, x: Any, vector: Any) -> Any:
    """The Hessian of fun at x times a vector, forward over reverse: about two gradients' cost.

    Args:
        fun: ``fun(x) -> scalar``.
        x: a tree of float arrays.
        vector: a tree of the same shapes.

    Returns:
        Hv, a tree of the shapes of x.

    Raises:
        ValueError: the vector has other shapes than x.

    Source: Pearlmutter, "Fast exact multiplication by the Hessian" (1994).

    >>> import jax.numpy as jnp
    >>> hvp(lambda x: x[0] ** 2 * x[1], jnp.array([1.0, 2.0]), jnp.array([1.0, 0.0])).tolist()
    [4.0, 2.0]
    """
    if jax.tree.map(jnp.shape, x) != jax.tree.map(jnp.shape, vector):
        raise ValueError(
            f"vector must have the shapes of x: got {jax.tree.map(jnp.shape, vector)}, "
            f"expected {jax.tree.map(jnp.shape, x)}"
        )
    return jax.jvp(jax.grad(fun), (x,), (vector,))[1]


def _flat_product(fun: Callable, x: Any) -> tuple[Callable, jax.Array]:
    """``v -> H v`` on vectors, and x as one."""
    flat = flatten(x, "x")
    evaluate = flat_objective(fun, flat)
    _, product = jax.linearize(lambda vector: evaluate(vector)[1], flat.vector)
    return product, flat.vector


def gradient_curvature(fun: Callable, x: Any) -> jax.Array:
    """gᵀHg / gᵀg, the curvature along steepest descent; 1 over it is the best step there.

    Args:
        fun: ``fun(x) -> scalar``.
        x: a tree of float arrays.

    Returns:
        A scalar; NaN where the gradient is zero.

    Raises:
        ValueError: x holds no numbers, or others than real floating-point ones.

    Source: Nocedal and Wright, "Numerical Optimization" (2006), equation 3.26: on a quadratic the
    step gᵀg / gᵀHg minimizes along the gradient.

    >>> import jax.numpy as jnp
    >>> float(gradient_curvature(lambda x: 1.5 * jnp.sum(x**2), jnp.ones(3)))
    3.0
    """
    product, vector = _flat_product(fun, x)
    gradient = flat_objective(fun, flatten(x, "x"))(vector)[1]
    return dot(gradient, product(gradient)) / dot(gradient, gradient)


def lanczos(
    key: jax.Array, fun: Callable, x: Any, *, steps: int | None = None, top: int = 1
) -> jax.Array:
    """The eigenvalues of the Hessian that are largest in absolute value.

    Lanczos with full reorthogonalization: the Hessian is projected on the Krylov space of a
    random start, and the eigenvalues of that tridiagonal matrix converge from outside inwards.

    Args:
        key: for the random start.
        fun: ``fun(x) -> scalar``.
        x: a tree of n numbers.
        steps: products with the Hessian, at most n; None takes min(n, 10 top + 50).
        top: how many eigenvalues.

    Returns:
        Shape (top,), by decreasing absolute value.

    Raises:
        ValueError: unless 1 ≤ top ≤ steps ≤ n.

    Source: Golub and Van Loan, "Matrix Computations" (2013), section 10.1 and 10.3.4.

    >>> import jax, jax.numpy as jnp
    >>> scales = jnp.array([1.0, -7.0, 3.0])
    >>> def fun(x):
    ...     return 0.5 * jnp.sum(scales * x**2)
    >>> found = jax.jit(lambda key, x: lanczos(key, fun, x))(jax.random.key(0), jnp.ones(3))
    >>> round(float(found[0]), 4)
    -7.0
    """
    product, vector = _flat_product(fun, x)
    size, dtype = vector.size, vector.dtype
    steps = min(size, 10 * top + 50) if steps is None else steps
    if not 1 <= top <= steps <= size:
        raise ValueError(f"needs 1 <= top <= steps <= {size} (parameters): top={top}, {steps=}")
    start = jax.random.normal(key, (size,), dtype)

    def orthogonal(basis, vector):
        for _ in range(2):  # twice is enough
            vector = vector - matmul(matmul(basis, vector), basis)
        return vector

    def extend(carry, index):
        basis, here = carry
        basis = basis.at[index].set(here)
        image = product(here)
        alpha = dot(here, image)
        rest = orthogonal(basis, image)
        beta = jnp.sqrt(dot(rest, rest))
        # An invariant subspace: go on with a fresh direction, joined by β = 0.
        ended = beta <= 1e2 * jnp.finfo(dtype).eps * jnp.sqrt(jnp.vdot(image, image))
        fresh = orthogonal(basis, jax.random.normal(jax.random.fold_in(key, index), (size,), dtype))
        following = jnp.where(ended, fresh, rest)
        length = jnp.sqrt(dot(following, following))
        following = following / jnp.where(length > 0, length, 1)
        return (basis, following), (alpha, jnp.where(ended, 0, beta))

    begin = jnp.zeros((steps, size), dtype), start / jnp.linalg.norm(start)
    _, (alphas, betas) = jax.lax.scan(extend, begin, jnp.arange(steps))
    matrix = jnp.diag(alphas) + jnp.diag(betas[:-1], 1) + jnp.diag(betas[:-1], -1)
    values = jnp.linalg.eigvalsh(matrix)
    return values[jnp.argsort(-jnp.abs(values))[:top]]


def hutchinson_trace(
    key: jax.Array, fun: Callable, x: Any, *, samples: int = 100
) -> tuple[jax.Array, jax.Array]:
    """The trace of the Hessian, as the mean of zᵀHz over random signs z.

    Args:
        key: for the signs.
        fun: ``fun(x) -> scalar``.
        x: a tree of n numbers.
        samples: products with the Hessian.

    Returns:
        The estimate and its standard error. For a diagonal Hessian it is exact.

    Raises:
        ValueError: fewer than two samples.

    Source: Hutchinson, "A stochastic estimator of the trace of the influence matrix" (1990).

    >>> import jax, jax.numpy as jnp
    >>> estimate = jax.jit(lambda key, x: hutchinson_trace(key, lambda x: jnp.sum(x**2), x))
    >>> trace, error = estimate(jax.random.key(0), jnp.ones(4))
    >>> float(trace), float(error)
    (8.0, 0.0)
    """
    if samples < 2:
        raise ValueError(f"samples must be at least 2 for a standard error, got {samples}")
    product, vector = _flat_product(fun, x)

    def sample(key):
        signs = jax.random.rademacher(key, (vector.size,), vector.dtype)
        return dot(signs, product(signs))

    values = jax.lax.map(sample, jax.random.split(key, samples))
    return jnp.mean(values), jnp.std(values, ddof=1) / jnp.sqrt(samples)


def trajectory_curvature(points: jax.Array) -> jax.Array:
    """The curvature κ = ‖a_⊥‖ / ‖v‖² of a path through points, 1/R on a circle.

    a_⊥ is the part of the acceleration normal to the motion. Of points it is the inverse radius
    of the circle through three in a row, κ = 4 area / (abc): exact on a circle however the
    points are spaced in time.

    Args:
        points: shape (T, n), T ≥ 3; one point of the path a row.

    Returns:
        Shape (T - 2,): the curvature at the inner points; 0 where points coincide.

    Raises:
        ValueError: points of another shape.

    >>> import jax, numpy as np
    >>> angle = np.linspace(0.0, 3.0, 5)
    >>> circle = 2 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    >>> [round(float(k), 3) for k in jax.jit(trajectory_curvature)(circle)]
    [0.5, 0.5, 0.5]
    """
    points = jnp.asarray(points)
    if points.ndim != 2 or points.shape[0] < 3:
        raise ValueError(f"points must have the shape (T, n) with T >= 3, got {points.shape}")
    before, after = points[1:-1] - points[:-2], points[2:] - points[1:-1]
    whole = before + after
    a, b, c = (jnp.sum(side * side, 1) for side in (before, after, whole))
    inner = jnp.sum(before * after, 1)
    # Twice the triangle's area by the Gram determinant: holds in any dimension.
    area = jnp.sqrt(jnp.maximum(a * b - inner * inner, 0))
    lengths = jnp.sqrt(a * b * c)
    return jnp.where(lengths > 0, 2 * area / jnp.where(lengths > 0, lengths, 1), 0)
