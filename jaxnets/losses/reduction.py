"""From one loss an example to one number, with weights: what several losses end with."""

import jax
import jax.numpy as jnp

REDUCTIONS = ("mean", "sum", "none")


def check_reduction(shape: tuple[int, ...], weights: jax.Array | None, reduction: str) -> None:
    """Refuse weights that do not fit and unknown reductions.

    Args:
        shape: of the losses.
        weights: one for each of them, or None.
        reduction: "mean", "sum" or "none".

    Raises:
        ValueError: weights of another shape, or another reduction.

    >>> check_reduction((3,), jnp.ones(3), "mean")
    """
    if weights is not None and weights.shape != shape:
        raise ValueError(
            f"weights: got shape {list(weights.shape)}; expected {list(shape)}, one for each "
            "prediction"
        )
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction: got {reduction!r}; expected 'mean', 'sum' or 'none'")


def reduce_losses(
    losses: jax.Array, weights: jax.Array | None = None, reduction: str = "mean"
) -> jax.Array:
    """Weighted mean Σ w·loss / Σ w, weighted sum, or the weighted losses themselves.

    Args:
        losses: (…).
        weights: (…), bool or numbers; an entry of weight 0 adds nothing, whatever it is.
        reduction: "mean" (0 where all weights are 0), "sum" or "none".

    Returns:
        a scalar, or (…) for "none".

    Raises:
        ValueError: weights or a reduction that do not fit.

    >>> float(reduce_losses(jnp.array([1.0, jnp.nan, 4.0]), jnp.array([1, 0, 2])))
    3.0
    """
    check_reduction(losses.shape, weights, reduction)
    if weights is not None:
        weights = weights.astype(losses.dtype)
        losses = jnp.where(weights == 0, 0.0, losses) * weights
    if reduction == "none":
        return losses
    if reduction == "sum":
        return losses.sum()
    if weights is None:
        return losses.mean()
    total = weights.sum()
    return losses.sum() / jnp.where(total == 0, 1.0, total)
