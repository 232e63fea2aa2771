"""A linear classifier on fixed features: a convex problem, solved to its minimum by L-BFGS."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.metrics import accuracy
from jaxnets.optim import minimize


class LinearClassifier(NamedTuple):
    """A score for each class, z = x·W + b.

    Attributes:
        kernel: W, (D, K).
        bias: b, (K,).
        iterations: steps that the fit took.
        converged: whether it reached its tolerance.

    >>> linear = LinearClassifier(jnp.eye(2), jnp.zeros(2))
    >>> linear(jnp.array([[3.0, 1.0]])).tolist(), linear.accuracy(jnp.eye(2), [0, 0])
    ([[3.0, 1.0]], 0.5)
    """

    kernel: jax.Array
    bias: jax.Array
    iterations: int = 0
    converged: bool = True

    def __call__(self, x: jax.Array) -> jax.Array:
        """(N, D) → scores (N, K)."""
        return x @ self.kernel + self.bias

    def accuracy(self, x: jax.Array, labels: jax.Array) -> float:
        """Share of examples whose own class has the largest score; NaN for no class number."""
        return float(accuracy(self(x), jnp.asarray(labels)))


def check_examples(x: Any, labels: Any, num_classes: int) -> tuple[jax.Array, np.ndarray]:
    """Features and class numbers that belong together.

    Args:
        x: features (N, D).
        labels: (N,) class numbers.
        num_classes: K.

    Returns:
        (x as an array, labels as an array).

    Raises:
        ValueError: shapes that do not fit, no example, or labels outside 0 … K−1.

    >>> check_examples([[0.5]], [2], 2)
    Traceback (most recent call last):
    ValueError: labels must lie in 0 … 1, got 2 … 2
    """
    x, labels = jnp.asarray(x), np.asarray(labels)
    if x.ndim != 2 or labels.shape != x.shape[:1] or not len(labels):
        raise ValueError(f"x must be (N, D) with labels (N,), got {x.shape} and {labels.shape}")
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < 0 or highest >= num_classes:
        raise ValueError(f"labels must lie in 0 … {num_classes - 1}, got {lowest} … {highest}")
    return x, labels


def fit_linear(
    objective: Callable[..., jax.Array],
    x: jax.Array,
    *args: jax.Array,
    num_classes: int,
    tol: float,
    max_iterations: int,
) -> LinearClassifier:
    """The linear classifier with the least objective, from W = 0 and b = 0.

    L-BFGS on the whole set needs no learning rate, and finds the minimum of a convex problem of
    this size in seconds.

    Args:
        objective: ({"kernel", "bias"}, x, *args) → what becomes least.
        x: features (N, D).
        *args: what else it depends on; another call with arrays of the same shapes is not compiled
            again.
        num_classes: K.
        tol: largest absolute entry of the gradient at which to stop.
        max_iterations: steps at most.

    Returns:
        The classifier.

    >>> def objective(params, x):
    ...     return jnp.sum((x @ params["kernel"] + params["bias"] - 3) ** 2)
    >>> found = fit_linear(
    ...     objective, jnp.ones((2, 1)), num_classes=1, tol=1e-4, max_iterations=50
    ... )
    >>> found.converged, round(float(found(jnp.ones((1, 1)))[0, 0]), 3)
    (True, 3.0)
    """
    start = {
        "kernel": jnp.zeros((x.shape[1], num_classes), x.dtype),
        "bias": jnp.zeros(num_classes, x.dtype),
    }
    found = minimize(objective, start, args=(x, *args), tol=tol, max_iterations=max_iterations)
    kernel, bias = found.x["kernel"], found.x["bias"]
    return LinearClassifier(kernel, bias, int(found.iterations), bool(found.converged))
