"""How good an ensemble is, and how different its members are."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.ops.class_numbers import require_classes, take_class


def log_loss(probabilities: jax.Array, labels: jax.Array) -> jax.Array:
    """Mean negative log-likelihood of the right classes, −(1/N) Σ log p(yₙ).

    Args:
        probabilities: (…, N, K).
        labels: (N,) class numbers, 0…K−1.

    Returns:
        (…): one number for each leading index.

    Raises:
        ValueError: labels that do not fit, or outside 0…K−1 (NaN where values are not known).

    >>> round(float(log_loss(jnp.array([[0.5, 0.5]]), jnp.array([1]))), 4)
    0.6931
    """
    _check(probabilities, labels)
    return -jnp.log(take_class(probabilities, labels)).mean(-1)


def pairwise_disagreement(probabilities: jax.Array) -> jax.Array:
    """Share of the examples on which two members predict different classes, for every pair.

    Args:
        probabilities: (k, N, K), or logits.

    Returns:
        (k, k), symmetric, 0 on the diagonal.

    Raises:
        ValueError: another number of axes.

    >>> p = jnp.array([[[0.9, 0.1], [0.8, 0.2]], [[0.7, 0.3], [0.1, 0.9]]])
    >>> pairwise_disagreement(p).tolist()
    [[0.0, 0.5], [0.5, 0.0]]
    """
    probabilities = jnp.asarray(probabilities)
    if probabilities.ndim != 3:
        raise ValueError(f"probabilities must be (k, N, K), got shape {probabilities.shape}")
    chosen = probabilities.argmax(-1)
    return (chosen[:, None] != chosen[None]).mean(-1, dtype=jnp.float32)


def mean_disagreement(probabilities: jax.Array) -> jax.Array:
    """Mean of `pairwise_disagreement` over the k(k−1)/2 pairs; 0 for one member.

    Args:
        probabilities: (k, N, K), or logits.

    Returns:
        A scalar.

    >>> float(mean_disagreement(jnp.array([[[0.9, 0.1]], [[0.3, 0.7]]])))
    1.0
    """
    pairs = pairwise_disagreement(probabilities)
    k = pairs.shape[0]
    return pairs.sum() / max(k * (k - 1), 1)


def measure_ensemble(probabilities: jax.Array, labels: jax.Array) -> dict[str, Any]:
    """The ensemble beside its members.

    Args:
        probabilities: (k, N, K), of every member.
        labels: (N,).

    Returns:
        Floats ``accuracy``, ``loss`` of the mean of the probabilities; ``mean_accuracy``,
        ``best_accuracy``, ``mean_loss`` of the members; ``disagreement``, the mean over pairs.
        ``loss`` ≤ ``mean_loss`` always (Jensen).

    Raises:
        ValueError: shapes that do not fit.

    >>> p = jnp.array([[[0.9, 0.1]], [[0.3, 0.7]]])
    >>> found = measure_ensemble(p, jnp.array([0]))
    >>> found["accuracy"], found["mean_accuracy"], found["disagreement"]
    (1.0, 0.5, 1.0)
    """
    probabilities, labels = jnp.asarray(probabilities), jnp.asarray(labels)
    if probabilities.ndim != 3:
        raise ValueError(f"probabilities must be (k, N, K), got shape {probabilities.shape}")
    _check(probabilities, labels)
    accuracies = np.asarray((probabilities.argmax(-1) == labels).mean(-1, dtype=jnp.float32))
    mean = probabilities.mean(0)
    return {
        "members": int(probabilities.shape[0]),
        "accuracy": float((mean.argmax(-1) == labels).mean()),
        "loss": float(log_loss(mean, labels)),
        "mean_accuracy": float(accuracies.mean()),
        "best_accuracy": float(accuracies.max()),
        "mean_loss": float(log_loss(probabilities, labels).mean()),
        "disagreement": float(mean_disagreement(probabilities)),
    }


def _check(probabilities, labels) -> None:
    if probabilities.ndim < 2 or jnp.shape(labels) != probabilities.shape[-2:-1]:
        raise ValueError(
            f"labels must be (N,) for probabilities (…, N, K), got shapes {jnp.shape(labels)} and "
            f"{probabilities.shape}"
        )
    require_classes("labels", labels, probabilities.shape[-1])
