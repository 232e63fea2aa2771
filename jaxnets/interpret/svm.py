"""A linear support vector machine, fitted to its minimum by L-BFGS."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.optim import minimize


class LinearSVM(NamedTuple):
    """One linear classifier for each class, against all others: s = x · W + b.

    Attributes:
        kernel: W, (D, K).
        bias: b, (K,).
        iterations: steps that the fit took.
        converged: whether it reached its tolerance.

    >>> svm = LinearSVM(jnp.eye(2), jnp.zeros(2))
    >>> svm(jnp.array([[3.0, 1.0]])).tolist(), svm.accuracy(jnp.eye(2), [0, 0])
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
        """Share of examples whose own class has the largest score."""
        return float((self(x).argmax(-1) == jnp.asarray(labels)).mean())


def _objective(params, x, signs, penalty):
    margins = jax.nn.relu(1 - signs * (x @ params["kernel"] + params["bias"]))
    size = jnp.sum(params["kernel"] ** 2) + jnp.sum(params["bias"] ** 2)
    return 0.5 * size + penalty * jnp.sum(margins**2)


def fit_linear_svm(
    x: jax.Array,
    labels: jax.Array,
    num_classes: int,
    *,
    penalty: float = 1.0,
    tol: float = 1e-3,
    max_iterations: int = 1000,
) -> LinearSVM:
    """The minimum of the squared hinge loss, each class against all others.

    .. math:: \\min_{w, b} ½ (‖w‖² + b²) + C Σ_i \\max(0, 1 − y_i (w·x_i + b))²

    The bias is penalized as a weight of a feature that is always 1: the problem of scikit-learn's
    ``LinearSVC`` with its default settings, whose coefficients it has. The problem is convex and
    smooth, so that L-BFGS finds the minimum without a learning rate.

    Args:
        x: features (N, D).
        labels: (N,) class numbers.
        num_classes: K.
        penalty: C > 0, on the loss: a larger one means less regularization.
        tol: largest absolute entry of the gradient at which to stop.
        max_iterations: steps at most.

    Returns:
        The classifiers.

    Raises:
        ValueError: shapes that do not fit, labels outside 0 … K−1, or C not positive.

    Source: Cortes & Vapnik 1995 (Support-Vector Networks); Fan et al. 2008 (LIBLINEAR: A Library
    for Large Linear Classification), §2.

    >>> x = jnp.array([[0.0], [0.1], [0.2], [1.0], [0.9], [0.8]])
    >>> labels = jnp.array([0, 0, 0, 1, 1, 1])
    >>> fit_linear_svm(x, labels, 2, penalty=10.0).accuracy(x, labels)
    1.0
    """
    x, labels = jnp.asarray(x), np.asarray(labels)
    if x.ndim != 2 or labels.shape != x.shape[:1] or not len(labels):
        raise ValueError(f"x must be (N, D) with labels (N,), got {x.shape} and {labels.shape}")
    if labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(
            f"labels must lie in 0 … {num_classes - 1}, got {labels.min()} … {labels.max()}"
        )
    if not penalty > 0:
        raise ValueError(f"penalty: got {penalty}; expected a positive number")
    signs = jnp.asarray(np.where(labels[:, None] == np.arange(num_classes), 1, -1), x.dtype)
    start = {
        "kernel": jnp.zeros((x.shape[1], num_classes), x.dtype),
        "bias": jnp.zeros(num_classes, x.dtype),
    }
    found = minimize(
        _objective,
        start,
        args=(x, signs, jnp.asarray(penalty, x.dtype)),
        tol=tol,
        max_iterations=max_iterations,
    )
    return LinearSVM(
        found.x["kernel"], found.x["bias"], int(found.iterations), bool(found.converged)
    )
