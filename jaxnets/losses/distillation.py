"""Knowledge distillation: a student learns a teacher's softened predictions beside the labels."""

import jax
import jax.numpy as jnp

from jaxnets.losses.cross_entropy import cross_entropy
from jaxnets.losses.reduction import reduce_losses
from jaxnets.ops.precision import at_least_float32


def soft_target_loss(
    logits: jax.Array,
    teacher_logits: jax.Array,
    *,
    temperature: float = 4.0,
    weights: jax.Array | None = None,
    reduction: str = "mean",
) -> jax.Array:
    """Divergence of softened predictions: T² KL(softmax(t/T) ‖ softmax(z/T)).

    Its gradient is T·(softmax(z/T) − softmax(t/T)), of a size that hardly depends on T; for a high
    temperature it becomes (z − t)/K, both centered: the regression of logits on logits.

    Args:
        logits: the student's, z (…, K).
        teacher_logits: t (…, K).
        temperature: T > 0, of both.
        weights: (…), bool or numbers; entries of weight 0 add nothing.
        reduction: "mean" (Σ w·loss / Σ w; 0 where all weights are 0), "sum" or "none".

    Returns:
        a scalar, or (…) for "none", float32 or wider; not negative.

    Raises:
        ValueError: a temperature that is not above 0, other classes than the teacher's, weights
            that do not fit, or an unknown reduction.

    Source: Hinton, Vinyals, Dean 2015 (Distilling the Knowledge in a Neural Network), §2, §2.1.

    >>> z, t = jnp.array([[1.0, 0.0]]), jnp.array([[0.0, 1.0]])
    >>> f"{float(soft_target_loss(z, t, temperature=1.0)):.4f}"  # tanh(1/2)
    '0.4621'
    >>> f"{float(soft_target_loss(z, t, temperature=100.0)):.4f}"  # |z − t|² / 2K
    '0.5000'
    """
    check_temperature(temperature)
    if logits.shape != teacher_logits.shape:
        raise ValueError(
            f"teacher_logits: got shape {list(teacher_logits.shape)}; expected "
            f"{list(logits.shape)}: teacher and student must predict the same classes"
        )
    log_q = jax.nn.log_softmax(at_least_float32(logits) / temperature)
    log_p = jax.nn.log_softmax(at_least_float32(teacher_logits) / temperature)
    p = jnp.exp(log_p)
    # What the teacher rules out adds nothing, even where the student rules it out too.
    terms = jnp.where(p > 0, p * (jnp.where(p > 0, log_p, 0.0) - jnp.where(p > 0, log_q, 0.0)), 0.0)
    return reduce_losses(temperature**2 * terms.sum(-1), weights, reduction)


def distillation_loss(
    logits: jax.Array,
    teacher_logits: jax.Array,
    labels: jax.Array,
    *,
    temperature: float = 4.0,
    alpha: float = 0.9,
) -> jax.Array:
    """Hinton's loss: α T² KL(softmax(t/T) ‖ softmax(z/T)) + (1 − α) H(y, softmax(z)).

    Args:
        logits: the student's, z (…, K).
        teacher_logits: t (…, K).
        labels: class numbers (…), or distributions (…, K), as `cross_entropy` takes them.
        temperature: T > 0.
        alpha: α in [0, 1], the share of the teacher; 0 is `cross_entropy`.

    Returns:
        a scalar, the mean over the examples.

    Raises:
        ValueError: options out of range, or shapes that do not fit.

    Source: Hinton, Vinyals, Dean 2015, §2: "a weighted average of two different objective
    functions", the first multiplied by T².

    >>> z, t, y = jnp.zeros((1, 2)), jnp.array([[0.0, 1.0]]), jnp.array([1])
    >>> f"{float(distillation_loss(z, t, y, alpha=0.0)):.4f}"  # log 2
    '0.6931'
    """
    if not 0.0 <= alpha <= 1.0:
        raise ValueError(f"alpha: got {alpha}; expected a number in [0, 1]")
    soft = soft_target_loss(logits, teacher_logits, temperature=temperature)
    return alpha * soft + (1.0 - alpha) * cross_entropy(logits, labels)


def check_temperature(temperature: float) -> None:
    """Refuse a temperature that divides by nothing.

    Args:
        temperature: T.

    Raises:
        ValueError: T is not above 0.

    >>> check_temperature(0.5)
    """
    if not temperature > 0.0:
        raise ValueError(
            f"temperature: got {temperature}; expected a number above 0 (1 leaves the predictions "
            "as they are, 2 to 20 soften them)"
        )
