"""The softmax of attention under a mask, and what whole and blockwise evaluation share."""

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.ops.precision import sum_dtype


def masked_softmax(scores: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """Softmax over the last axis where the mask is True; 0 elsewhere, and in rows without any True.

    Args:
        scores: (…, K).
        mask: booleans that broadcast against ``scores`` on equally many axes, or None.

    Returns:
        like ``scores``; its gradients are finite also for rows that are hidden altogether.

    Raises:
        ValueError: a mask that is not boolean or does not broadcast.

    >>> import jax.numpy as jnp
    >>> mask = jnp.array([[True, False, True], [False, False, False]])
    >>> masked_softmax(jnp.zeros((2, 3)), mask).tolist()
    [[0.5, 0.0, 0.5], [0.0, 0.0, 0.0]]
    """
    numerator, total, _ = exponentials(scores, mask)
    return divide(numerator, total)


def softmax_of_values(
    scores: jax.Array, mask: jax.Array | None, value: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """(Σ_j a_j v_j, a), in the values' dtype, with a of `masked_softmax`.

    The sum is divided and not its terms: half the passes over the scores where nobody reads a.
    """
    numerator, total, _ = exponentials(scores, mask)
    summed = weighted_sum(numerator.astype(value.dtype), value)
    context = divide(summed.astype(total.dtype), total).astype(value.dtype)
    return context, divide(numerator, total).astype(value.dtype)


def divide(numerator: jax.Array, total: jax.Array) -> jax.Array:
    """Their quotient; 0 in rows in which nothing was summed."""
    # The greatest exponential is 1: a total that is not 0 is 1 or more.
    return numerator / jnp.maximum(total, jnp.full_like(total, 0.5))


def exponentials(scores, mask) -> tuple[jax.Array, jax.Array, jax.Array]:
    """exp(score − top), its sum and top, the greatest score of each row that is not hidden."""
    if mask is not None:
        check_mask(mask, scores.shape)
        scores = jnp.where(mask, scores, -jnp.inf)
    top = lax.stop_gradient(scores.max(-1, keepdims=True))
    # A row without keys has no greatest score, and a difference of infinities would be NaN. (XLA
    # runs `jnp.where(jnp.isfinite(top), …)` here on one core.)
    numerator = jnp.exp(scores - jnp.maximum(top, jnp.finfo(top.dtype).min))
    return numerator, numerator.sum(-1, keepdims=True), top


def weighted_sum(weights: jax.Array, value: jax.Array) -> jax.Array:
    """Σ_j a_j v_j, in float32 or wider."""
    leading = tuple(range(weights.ndim - 2))
    axes = (((weights.ndim - 1,), (value.ndim - 2,)), (leading, leading))
    return lax.dot_general(weights, value, axes, preferred_element_type=sum_dtype(weights, value))


def check_leading(name: str, array: jax.Array, query: jax.Array) -> None:
    if array.shape[:-2] != query.shape[:-2]:
        raise ValueError(
            f"{name}: got shape {array.shape} for a query of shape {query.shape}; expected the "
            "same axes before the last two"
        )


def check_mask(mask: jax.Array, shape: tuple[int, ...]) -> None:
    fits = getattr(mask, "ndim", None) == len(shape) and all(
        m in (1, s) for m, s in zip(mask.shape, shape, strict=True)
    )
    if not fits or mask.dtype != jnp.bool_:
        got = getattr(mask, "dtype", type(mask).__name__), getattr(mask, "shape", "")
        raise ValueError(
            f"mask: got {got[0]} {got[1]}; expected booleans that broadcast to {shape} on "
            f"{len(shape)} axes"
        )
