"""Accuracy, top-k accuracy and the confusion matrix."""

from functools import partial

import jax
import jax.numpy as jnp

from jaxnets.ops.class_numbers import is_class, require_classes, take_class


def accuracy(
    logits: jax.Array, labels: jax.Array, *, weights: jax.Array | None = None
) -> jax.Array:
    """Share of the examples whose class has the largest logit.

    Args:
        logits: (…, K).
        labels: class numbers (…), or a distribution over classes (…, K) whose largest entry counts.
        weights: (…), bool or numbers; the result is the weighted mean, 0 where all weights are 0.

    Returns:
        a float32 scalar in [0, 1].

    Raises:
        ValueError: shapes that do not fit.

    >>> import jax.numpy as jnp
    >>> float(accuracy(jnp.array([[1.0, 3.0], [2.0, 0.0]]), jnp.array([1, 1])))
    0.5
    """
    return top_k_accuracy(logits, labels, 1, weights=weights)


def top_k_accuracy(
    logits: jax.Array, labels: jax.Array, k: int = 5, *, weights: jax.Array | None = None
) -> jax.Array:
    """Share of the examples whose class is among the k largest logits.

    Of equal logits the first counts as the larger, as `jax.lax.top_k` sorts them. A class whose
    logit is NaN never counts as found. A class number outside 0…K−1 makes the result NaN, as it
    does every loss, unless its weight is 0.

    Args:
        logits: (…, K).
        labels: class numbers (…), or a distribution over classes (…, K) whose largest entry counts.
        k: how many guesses each example has; k ≥ K always gives 1 on finite logits.
        weights: (…), bool or numbers; the result is the weighted mean, 0 where all weights are 0.

    Returns:
        a float32 scalar in [0, 1].

    Raises:
        ValueError: shapes that do not fit, or k < 1.

    >>> import jax.numpy as jnp
    >>> float(top_k_accuracy(jnp.array([[1.0, 3.0, 2.0]]), jnp.array([2]), k=2))
    1.0
    """
    if k < 1:
        raise ValueError(f"k: got {k}; expected at least 1")
    _check_weights(weights, labels.shape[: logits.ndim - 1])
    return _top_k_accuracy(logits, labels, weights, k)


# Compiled as one also where it is called outside jit, step by step.
@partial(jax.jit, static_argnums=3, inline=True)
def _top_k_accuracy(logits, labels, weights, k):
    labels = _class_numbers("labels", labels, logits.shape)
    mine = take_class(logits, labels)[..., None]
    classes = jnp.arange(logits.shape[-1], dtype=labels.dtype)
    classes = classes.reshape((1,) * labels.ndim + (-1,))
    # "not ≤" instead of ">": then everything is ahead of a NaN, and a NaN ahead of everything.
    ahead = ~(logits <= mine) | ((logits == mine) & (classes < labels[..., None]))
    found = (ahead.sum(-1) < k).astype(jnp.float32)
    found = jnp.where(is_class(labels, logits.shape[-1]), found, jnp.nan)
    if weights is None:
        return found.mean()
    weights = weights.astype(found.dtype)
    total = weights.sum()
    return jnp.where(weights == 0, 0, found * weights).sum() / jnp.where(total == 0, 1.0, total)


def confusion_matrix(
    predictions: jax.Array,
    labels: jax.Array,
    num_classes: int | None = None,
    *,
    weights: jax.Array | None = None,
) -> jax.Array:
    """Count how often each class (row) was predicted as each class (column).

    Args:
        predictions: logits (…, K), floating, of which the largest counts; or class numbers (…).
        labels: class numbers (…).
        num_classes: K; needed when predictions are class numbers.
        weights: (…), bool or numbers; entries of weight 0 are not counted.

    Returns:
        (K, K): int32 counts, or float32 sums of floating weights. Matrices of batches may be added.

    Raises:
        ValueError: shapes that do not fit, ``num_classes`` missing or contradicting the logits, or
            a class outside 0…K−1 that has a weight. Inside jit, where values are not known, such a
            class makes sums of weights NaN and counts negative, all of them.

    >>> import jax.numpy as jnp
    >>> confusion_matrix(jnp.array([0, 1, 1]), jnp.array([0, 0, 1]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    if jnp.issubdtype(predictions.dtype, jnp.floating):
        if num_classes not in (None, predictions.shape[-1]):
            raise ValueError(
                f"num_classes: got {num_classes}, but predictions have {predictions.shape[-1]} "
                "logits each; leave it out"
            )
        num_classes = predictions.shape[-1]
        predictions = predictions.argmax(-1)
    if num_classes is None:
        raise ValueError("num_classes: expected an int, because predictions are class numbers")
    if predictions.shape != labels.shape:
        raise ValueError(
            f"labels: got shape {list(labels.shape)}; expected {list(predictions.shape)}, one for "
            "each prediction"
        )
    _check_weights(weights, labels.shape)
    require_classes("labels", labels, num_classes, weights)
    require_classes("predictions", predictions, num_classes, weights)
    return _confusion_matrix(predictions, labels, weights, num_classes)


@partial(jax.jit, static_argnums=3, inline=True)
def _confusion_matrix(predictions, labels, weights, num_classes):
    if weights is None:
        weights = jnp.ones(labels.shape, jnp.int32)
    elif not jnp.issubdtype(weights.dtype, jnp.floating):
        weights = weights.astype(jnp.int32)
    rows, columns = labels.ravel().astype(jnp.int32), predictions.ravel().astype(jnp.int32)
    known = is_class(rows, num_classes) & is_class(columns, num_classes)
    # A negative index would count from the end: send it past the end, where it is dropped.
    rows = jnp.where(known, rows, num_classes)
    zeros = jnp.zeros((num_classes, num_classes), weights.dtype)
    counts = zeros.at[rows, columns].add(weights.ravel(), mode="drop")
    floating = jnp.issubdtype(counts.dtype, jnp.floating)
    refused = jnp.nan if floating else jnp.iinfo(counts.dtype).min // 2
    return jnp.where(jnp.any(~known & (weights.ravel() != 0)), refused, counts)


def _class_numbers(name: str, labels: jax.Array, logits_shape: tuple[int, ...]) -> jax.Array:
    if labels.shape == logits_shape and jnp.issubdtype(labels.dtype, jnp.floating):
        return labels.argmax(-1).astype(jnp.int32)
    if labels.shape != logits_shape[:-1] or not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(
            f"{name}: got {labels.dtype}{list(labels.shape)} for logits of shape "
            f"{list(logits_shape)}; expected integers {list(logits_shape[:-1])} or a floating "
            f"distribution {list(logits_shape)}"
        )
    return labels.astype(jnp.int32)


def _check_weights(weights: jax.Array | None, shape: tuple[int, ...]) -> None:
    if weights is not None and weights.shape != shape:
        raise ValueError(
            f"weights: got shape {list(weights.shape)}; expected {list(shape)}, one for each "
            "example"
        )
