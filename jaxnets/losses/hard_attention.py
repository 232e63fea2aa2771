"""Losses of attention: all places count alike over a caption; and places that were drawn."""

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.ops.precision import at_least_float32


def doubly_stochastic(weights: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """Σ_l (1 − Σ_t α_tl)²: over all words together, each place should be looked at once.

    Args:
        weights: (B, T, L) of the attention.
        mask: (B, T) booleans, True where there is a word.

    Returns:
        The mean over the batch, in float32 or float64.

    Raises:
        ValueError: weights that are no (B, T, L).

    Source: Xu et al. 2015 (Show, Attend and Tell), §4.2.1, equation 14.

    >>> import jax.numpy as jnp
    >>> float(doubly_stochastic(jnp.eye(3)[None])), float(doubly_stochastic(jnp.zeros((1, 2, 3))))
    (0.0, 3.0)
    """
    if weights.ndim != 3:
        raise ValueError(f"weights: got shape {weights.shape}; expected (batch, words, places)")
    weights = at_least_float32(weights)
    if mask is not None:
        weights = jnp.where(mask[..., None], weights, 0.0)
    return ((1.0 - weights.sum(1)) ** 2).sum(-1).mean()


def drawn_attention_loss(
    log_likelihood: jax.Array,
    log_choice: jax.Array,
    *,
    baseline: float | jax.Array = 0.0,
    scale: float = 1.0,
) -> jax.Array:
    """A value whose gradient is that of −E_s[log p(y | s)], where s was drawn.

    ∇ Σ_s p(s) log p(y | s) = E_s[∇ log p(y | s) + (log p(y | s) − b) ∇ log p(s)], for any baseline
    b that does not depend on s.

    Args:
        log_likelihood: (B,) log p(y | s) of what should be said.
        log_choice: (B,) log p(s) of all that was drawn.
        baseline: b, a number or (B,).
        scale: of the second term, λ_r; 1 for the unbiased gradient.

    Returns:
        The mean over the batch, in float32 or float64; as a value it is −mean log p(y | s).

    Raises:
        ValueError: shapes that differ.

    Source: Xu et al. 2015 (Show, Attend and Tell), §4.1, equation 12; Williams 1992 (REINFORCE).

    >>> import jax, jax.numpy as jnp
    >>> likelihood, choice = jnp.array([-2.0]), jnp.array([-0.5])
    >>> loss, slope = jax.value_and_grad(drawn_attention_loss, 1)(likelihood, choice, baseline=-3.0)
    >>> float(loss), slope.tolist()
    (2.0, [-1.0])
    """
    if log_likelihood.shape != log_choice.shape or log_choice.ndim != 1:
        raise ValueError(
            f"log_choice: got shape {log_choice.shape} for log_likelihood {log_likelihood.shape}; "
            "expected one number of each for an example"
        )
    log_likelihood, log_choice = at_least_float32(log_likelihood), at_least_float32(log_choice)
    gain = lax.stop_gradient(log_likelihood - baseline)
    # The difference is 0, and has the gradient of log p(s).
    return -(log_likelihood + scale * gain * (log_choice - lax.stop_gradient(log_choice))).mean()
