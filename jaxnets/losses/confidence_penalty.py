"""A penalty on confident predictions: the negative entropy of the softmax."""

import jax
import jax.numpy as jnp

from jaxnets.losses.reduction import check_reduction, reduce_losses
from jaxnets.ops.precision import at_least_float32


def entropy(logits: jax.Array) -> jax.Array:
    """Entropy of the softmax: H(p) = −Σ_k p_k log p_k, in nats.

    Args:
        logits: (…, K).

    Returns:
        (…), float32 or wider, in [0, log K]; classes of logit −∞ add nothing.

    Raises:
        ValueError: ``logits`` has no axis.

    Source: Shannon 1948 (A Mathematical Theory of Communication), §6.

    >>> import jax.numpy as jnp
    >>> f"{float(entropy(jnp.zeros(4))):.4f}"  # log 4
    '1.3863'
    """
    if logits.ndim < 1:
        raise ValueError("logits: got a single number; expected (…, K)")
    log_p = jax.nn.log_softmax(at_least_float32(logits))
    impossible = jnp.isneginf(log_p)
    return -jnp.where(impossible, 0.0, jnp.exp(log_p) * jnp.where(impossible, 0.0, log_p)).sum(-1)


def confidence_penalty(
    logits: jax.Array,
    *,
    strength: float = 0.1,
    threshold: float | None = None,
    weights: jax.Array | None = None,
    reduction: str = "mean",
) -> jax.Array:
    """Penalty on predictions of low entropy: −β H(p), or β max(0, Γ − H(p)).

    −H(p) = KL(p ‖ uniform) − log K: this pulls predictions to the uniform distribution like label
    smoothing does, with the divergence the other way round.

    Args:
        logits: (…, K).
        strength: β ≥ 0.
        threshold: Γ in nats; only predictions of less entropy are penalized. None: all.
        weights: (…), bool or numbers; entries of weight 0 add nothing.
        reduction: "mean" (Σ w·penalty / Σ w; 0 where all weights are 0), "sum", or "none".

    Returns:
        a scalar, or (…) for "none", float32 or wider.

    Raises:
        ValueError: a negative β or Γ, weights that do not fit, or an unknown reduction.

    Source: Pereyra et al. 2017 (Regularizing Neural Networks by Penalizing Confident Output
    Distributions), equation 4 and §3.2.

    >>> import jax.numpy as jnp
    >>> f"{float(confidence_penalty(jnp.zeros((1, 4)), strength=1.0)):.4f}"
    '-1.3863'
    >>> float(confidence_penalty(jnp.zeros((1, 4)), strength=1.0, threshold=0.5))
    0.0
    """
    if not strength >= 0.0:
        raise ValueError(f"strength: got {strength}; expected at least 0")
    if threshold is not None and not threshold >= 0.0:
        raise ValueError(f"threshold: got {threshold}; expected an entropy of at least 0 nats")
    check_reduction(logits.shape[:-1], weights, reduction)
    lack = -entropy(logits)
    if threshold is not None:
        lack = jax.nn.relu(threshold + lack)
    return reduce_losses(strength * lack, weights, reduction)
