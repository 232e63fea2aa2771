"""A linear support vector machine, fitted to its minimum by L-BFGS."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.transfer.linear import LinearClassifier, check_examples, fit_linear


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
) -> LinearClassifier:
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
    x, labels = check_examples(x, labels, num_classes)
    if not penalty > 0:
        raise ValueError(f"penalty: got {penalty}; expected a positive number")
    signs = jnp.asarray(np.where(labels[:, None] == np.arange(num_classes), 1, -1), x.dtype)
    return fit_linear(
        _objective,
        x,
        signs,
        jnp.asarray(penalty, x.dtype),
        num_classes=num_classes,
        tol=tol,
        max_iterations=max_iterations,
    )
