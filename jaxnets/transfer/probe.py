"""Linear probes: a softmax regression on fixed features, fitted by L-BFGS."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.losses import cross_entropy
from jaxnets.optim.trees import check_count, check_number
from jaxnets.transfer.linear import LinearClassifier, check_examples, fit_linear


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
) -> LinearClassifier:
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
    x, labels = check_examples(x, labels, num_classes)
    check_number("l2", l2, low=0)
    weights = jnp.ones(len(x), x.dtype) if weights is None else jnp.asarray(weights, x.dtype)
    if weights.shape != labels.shape or not bool((weights >= 0).all() & (weights.sum() > 0)):
        raise ValueError(
            f"weights must be (N,), not negative and not all 0, got shape {weights.shape}"
        )
    standard, mean, scale = _standardize(x, weights)
    found = fit_linear(
        _probe_loss,
        standard,
        jnp.asarray(labels),
        weights,
        jnp.asarray(l2, x.dtype),
        num_classes=num_classes,
        tol=tol,
        max_iterations=max_iterations,
    )
    kernel = found.kernel * scale[:, None]
    return found._replace(kernel=kernel, bias=found.bias - mean @ kernel)


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
