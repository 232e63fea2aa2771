"""Linear probes: a softmax regression on fixed features, fitted by L-BFGS."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.losses import cross_entropy
from jaxnets.metrics import accuracy
from jaxnets.optim import minimize
from jaxnets.optim.trees import check_count, check_number


class LinearProbe(NamedTuple):
    """Softmax regression, z = x·W + b.

    Attributes:
        kernel: W, (D, K).
        bias: b, (K,).
        iterations: steps that the fit took.
        converged: whether it reached its tolerance.

    >>> probe = LinearProbe(jnp.eye(2), jnp.zeros(2))
    >>> probe(jnp.array([[3.0, 1.0]])).tolist(), probe.accuracy(jnp.eye(2), [0, 0])
    ([[3.0, 1.0]], 0.5)
    """

    kernel: jax.Array
    bias: jax.Array
    iterations: int = 0
    converged: bool = True

    def __call__(self, x: jax.Array) -> jax.Array:
        """(N, D) → logits (N, K)."""
        return x @ self.kernel + self.bias

    def accuracy(self, x: jax.Array, labels: jax.Array) -> float:
        """Share of the right answers; NaN for class numbers outside 0 … K−1."""
        return float(accuracy(self(x), jnp.asarray(labels)))


def _probe_loss(params, x, labels, weights, l2):
    loss = cross_entropy(x @ params["kernel"] + params["bias"], labels, weights=weights)
    return loss + 0.5 * l2 * jnp.sum(params["kernel"] ** 2)


@jax.jit
def _standardize(x, weights):
    """(standardized x, mean, 1/std), with 0 for a feature that does not change."""
    share = weights / weights.sum()
    mean = share @ x
    std = jnp.sqrt(share @ (x - mean) ** 2)
    # A feature that hardly changes says nothing; dividing by its spread would only magnify noise.
    varies = std > 1e-6 * jnp.maximum(std.max(), 1e-30)
    scale = jnp.where(varies, 1 / jnp.maximum(std, 1e-30), 0.0)
    return (x - mean) * scale, mean, scale


def fit_linear_probe(
    x: jax.Array,
    labels: jax.Array,
    num_classes: int,
    *,
    l2: float = 1e-3,
    weights: jax.Array | None = None,
    tol: float = 1e-4,
    max_iterations: int = 500,
) -> LinearProbe:
    """The softmax regression on given features: minimum of cross entropy + λ/2 ‖W‖².

    The problem is convex and small, and the features do not change, so that L-BFGS on the whole
    set finds the minimum in seconds, without a learning rate. Features are standardized for the
    fit, and the standardization is folded into the result.

    Args:
        x: features (N, D).
        labels: (N,) class numbers.
        num_classes: K.
        l2: λ ≥ 0, on the standardized features' weights.
        weights: (N,) ≥ 0, of the examples; those of weight 0 are as if they were not there. Folds
            of a cross-validation then share one compiled program.
        tol, max_iterations: of `jaxnets.optim.minimize`.

    Returns:
        The probe; it takes features as they are, not standardized ones.

    Raises:
        ValueError: shapes that do not fit, labels outside 0 … K−1, or λ below 0.

    >>> x = jnp.array([[0.0], [0.1], [0.2], [1.0], [0.9], [0.8]])
    >>> labels = jnp.array([0, 0, 0, 1, 1, 1])
    >>> fit_linear_probe(x, labels, 2).accuracy(x, labels)
    1.0
    """
    x, labels = jnp.asarray(x), jnp.asarray(labels)
    if x.ndim != 2 or labels.shape != x.shape[:1] or not len(x):
        raise ValueError(f"x must be (N, D) with labels (N,), got {x.shape} and {labels.shape}")
    check_number("l2", l2, low=0)
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < 0 or highest >= num_classes:
        raise ValueError(f"labels must lie in 0 … {num_classes - 1}, got {lowest} … {highest}")
    weights = jnp.ones(len(x), x.dtype) if weights is None else jnp.asarray(weights, x.dtype)
    if weights.shape != labels.shape or not bool((weights >= 0).all() & (weights.sum() > 0)):
        raise ValueError(
            f"weights must be (N,), not negative and not all 0, got shape {weights.shape}"
        )
    standard, mean, scale = _standardize(x, weights)
    start = {
        "kernel": jnp.zeros((x.shape[1], num_classes), x.dtype),
        "bias": jnp.zeros(num_classes, x.dtype),
    }
    found = minimize(
        _probe_loss,
        start,
        args=(standard, labels, weights, jnp.asarray(l2, x.dtype)),
        tol=tol,
        max_iterations=max_iterations,
    )
    kernel = found.x["kernel"] * scale[:, None]
    return LinearProbe(
        kernel, found.x["bias"] - mean @ kernel, int(found.iterations), bool(found.converged)
    )


def cross_validate(
    x: jax.Array, labels: jax.Array, num_classes: int, *, folds: int = 4, seed: int = 0, **options
) -> float:
    """Accuracy of `fit_linear_probe` on examples that it was not fitted on, every example once.

    Args:
        x, labels, num_classes: as `fit_linear_probe` takes them.
        folds: at least 2, at most N.
        seed: of the folds.
        **options: of `fit_linear_probe`.

    Returns:
        The share of right answers over all examples.

    Raises:
        ValueError: fewer than 2 folds, or more folds than examples.

    >>> x = jnp.array([[0.0], [0.1], [0.2], [1.0], [0.9], [0.8]])
    >>> cross_validate(x, jnp.array([0, 0, 0, 1, 1, 1]), 2, folds=3)
    1.0
    """
    x, labels = jnp.asarray(x), np.asarray(labels)
    check_count("folds", folds, low=2)
    if len(labels) < folds:
        raise ValueError(
            f"folds must be at most {len(labels)}, the number of examples, got {folds}"
        )
    fold = np.random.default_rng(seed).permutation(len(labels)) % folds
    right = 0
    for f in range(folds):
        probe = fit_linear_probe(x, labels, num_classes, weights=fold != f, **options)
        right += int(((np.asarray(probe(x)).argmax(-1) == labels) & (fold == f)).sum())
    return right / len(labels)
