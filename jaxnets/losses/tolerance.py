"""Tolerant teachers: a loss that leaves some confidence to the classes behind the first."""

import jax
from jax import lax

from jaxnets.losses.cross_entropy import cross_entropy
from jaxnets.losses.reduction import reduce_losses
from jaxnets.ops.precision import at_least_float32


def top_class_gap(
    logits: jax.Array,
    *,
    top: int = 5,
    weights: jax.Array | None = None,
    reduction: str = "mean",
) -> jax.Array:
    """How far the most probable class is above the next ones: f₁ − (f₂ + … + f_K) / (K − 1).

    f₁ ≥ f₂ ≥ … are the probabilities of the softmax in descending order; which classes they belong
    to does not matter. Classes behind the K-th are left out, unlike with label smoothing and the
    confidence penalty, which lift all of them.

    Args:
        logits: (…, classes).
        top: K, how many of the most probable classes count; from 2 to the number of classes.
        weights: (…), bool or numbers; entries of weight 0 add nothing.
        reduction: "mean" (Σ w·gap / Σ w; 0 where all weights are 0), "sum" or "none".

    Returns:
        a scalar, or (…) for "none", float32 or wider: 0 for equal probabilities, 1 for certainty.

    Raises:
        ValueError: ``top`` out of range, weights that do not fit, or an unknown reduction.

    Source: Yang, Xie, Qiao, Yuille 2019 (Training Deep Neural Networks in Generations: A More
    Tolerant Teacher Educates Better Students), the term added to the teacher's loss.

    >>> import jax.numpy as jnp
    >>> f"{float(top_class_gap(jnp.array([2.0, 1.0, 0.0, -1.0, 3.0]), top=5)):.8f}"
    '0.54551077'
    """
    classes = logits.shape[-1]
    if not 2 <= top <= classes:
        raise ValueError(f"top: got {top}; expected 2 to {classes}, the number of classes")
    best = lax.top_k(jax.nn.softmax(at_least_float32(logits)), top)[0]
    return reduce_losses(best[..., 0] - best[..., 1:].mean(-1), weights, reduction)


def tolerant_cross_entropy(
    logits: jax.Array, labels: jax.Array, *, eta: float = 0.6, top: int = 5
) -> jax.Array:
    """A tolerant teacher's loss: η H(y, f) + (1 − η) [f₁ − (f₂ + … + f_K) / (K − 1)].

    Args:
        logits: (…, classes).
        labels: class numbers (…), or distributions, as `cross_entropy` takes them.
        eta: η in [0, 1]; 1 is `cross_entropy`, smaller numbers make a more tolerant teacher.
        top: K of `top_class_gap`.

    Returns:
        a scalar, the mean over the examples.

    Raises:
        ValueError: options out of range, or shapes that do not fit.

    Source: Yang et al. 2019, the teacher's loss.

    >>> import jax.numpy as jnp
    >>> f"{float(tolerant_cross_entropy(jnp.zeros((1, 5)), jnp.array([0]), eta=0.5)):.4f}"
    '0.8047'
    """
    if not 0.0 <= eta <= 1.0:
        raise ValueError(f"eta: got {eta}; expected a number in [0, 1]")
    return eta * cross_entropy(logits, labels) + (1.0 - eta) * top_class_gap(logits, top=top)
