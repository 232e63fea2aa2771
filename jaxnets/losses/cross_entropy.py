"""Cross entropy of a softmax classifier."""

from functools import partial

import jax
import jax.numpy as jnp

from jaxnets.ops.class_numbers import take_class
from jaxnets.ops.precision import at_least_float32


def cross_entropy(
    logits: jax.Array,
    labels: jax.Array,
    *,
    label_smoothing: float = 0.0,
    weights: jax.Array | None = None,
    reduction: str = "mean",
) -> jax.Array:
    """Cross entropy between labels and the softmax of logits: −Σ_k q_k log softmax(z)_k.

    With smoothing ε over K classes, q' = (1 − ε)·q + ε/K. Everything is in float32 or wider.

    Args:
        logits: (…, K).
        labels: class numbers (…), integer; or a distribution over classes (…, K), floating. A class
            number outside 0…K−1 makes the loss NaN, not another class's.
        label_smoothing: ε in [0, 1].
        weights: (…), bool or numbers; entries of weight 0 (padding, "ignore") add nothing, whatever
            their label is.
        reduction: "mean" (Σ w·loss / Σ w; 0 where all weights are 0), "sum", or "none".

    Returns:
        a scalar, or (…) for "none".

    Raises:
        ValueError: shapes, dtypes or options that do not fit.

    Source: smoothing: Szegedy et al. 2016 (Rethinking the Inception Architecture), §7.

    >>> import jax.numpy as jnp
    >>> loss = cross_entropy(jnp.zeros((2, 4)), jnp.array([0, 3]))
    >>> f"{float(loss):.4f}"  # log 4
    '1.3863'
    """
    _check(logits, labels, label_smoothing, weights, reduction)
    return _cross_entropy(logits, labels, weights, label_smoothing, reduction)


# Compiled as one also where it is called outside jit, step by step.
@partial(jax.jit, static_argnums=(3, 4), inline=True)
def _cross_entropy(logits, labels, weights, label_smoothing, reduction):
    logits = at_least_float32(logits)
    log_p = jax.nn.log_softmax(logits)
    if labels.ndim == logits.ndim:
        losses = -(labels.astype(log_p.dtype) * log_p).sum(-1)
    else:
        losses = -take_class(log_p, labels)
    if label_smoothing:
        losses = (1.0 - label_smoothing) * losses - label_smoothing * log_p.mean(-1)

    if weights is None:
        return {"mean": jnp.mean, "sum": jnp.sum, "none": lambda x: x}[reduction](losses)
    weights = weights.astype(losses.dtype)
    losses = jnp.where(weights == 0, 0.0, losses) * weights
    if reduction == "none":
        return losses
    if reduction == "sum":
        return losses.sum()
    total = weights.sum()
    return losses.sum() / jnp.where(total == 0, 1.0, total)


def _check(logits, labels, label_smoothing, weights, reduction) -> None:
    numbers = jnp.issubdtype(labels.dtype, jnp.integer) and labels.shape == logits.shape[:-1]
    distribution = jnp.issubdtype(labels.dtype, jnp.floating) and labels.shape == logits.shape
    if not (numbers or distribution):
        raise ValueError(
            f"labels: got {labels.dtype}{list(labels.shape)} for logits of shape "
            f"{list(logits.shape)}; expected integers {list(logits.shape[:-1])} or a floating "
            f"distribution {list(logits.shape)}"
        )
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"label_smoothing: got {label_smoothing}; expected a number in [0, 1]")
    if weights is not None and weights.shape != logits.shape[:-1]:
        raise ValueError(
            f"weights: got shape {list(weights.shape)}; expected {list(logits.shape[:-1])}, one "
            "for each label"
        )
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction: got {reduction!r}; expected 'mean', 'sum' or 'none'")
