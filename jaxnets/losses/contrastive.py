"""Contrastive distillation: which of the teacher's features belongs to the same example?"""

import jax
import jax.numpy as jnp

from jaxnets.ops.precision import at_least_float32


def contrastive_distillation_loss(
    embeddings: jax.Array,
    teacher_embeddings: jax.Array,
    *,
    temperature: float = 0.1,
    labels: jax.Array | None = None,
) -> jax.Array:
    """The student's embedding must find the teacher's of the same example among the batch's.

    With both embeddings scaled to length 1 and s_ij = ⟨student_i, teacher_j⟩ the loss is
    −mean_i log(e^{s_ii/τ} / Σ_j e^{s_ij/τ}), the sum over example i and its negatives; log B minus
    the loss is a lower bound of the two networks' mutual information. The paper contrasts by
    noise-contrastive estimation with negatives from a memory of the whole data set; here they are
    the others of the batch, so that nothing has to be remembered.

    Args:
        embeddings: the student's (B, D), B at least 2.
        teacher_embeddings: (B, D).
        temperature: τ > 0.
        labels: (B,): examples of the same class are then no negatives of each other.

    Returns:
        a scalar, 0 or more.

    Raises:
        ValueError: shapes that do not fit, one example alone, or a temperature that is not above 0.

    Source: Tian, Krishnan, Isola 2020 (Contrastive Representation Distillation); the form of the
    loss: van den Oord, Li, Vinyals 2018 (Contrastive Predictive Coding), equation 4.

    >>> e = jnp.eye(2)
    >>> f"{float(contrastive_distillation_loss(e, e, temperature=1.0)):.4f}"  # log(1 + 1/e)
    '0.3133'
    >>> f"{float(contrastive_distillation_loss(e, e[::-1], temperature=1.0)):.4f}"
    '1.3133'
    """
    count = len(embeddings)
    if embeddings.ndim != 2 or embeddings.shape != teacher_embeddings.shape:
        raise ValueError(
            f"teacher_embeddings: got shape {list(teacher_embeddings.shape)} for the student's "
            f"{list(embeddings.shape)}; expected both (B, D)"
        )
    if count < 2:
        raise ValueError("embeddings: got 1 example; a contrast needs at least 2")
    if not temperature > 0:
        raise ValueError(f"temperature: got {temperature}; expected a number above 0")
    student, teacher = (
        x / jnp.sqrt(jnp.maximum(jnp.square(x).sum(-1, keepdims=True), 1e-12))
        for x in map(at_least_float32, (embeddings, teacher_embeddings))
    )
    scores = student @ teacher.T / temperature
    if labels is not None:
        same_class = labels[:, None] == labels[None]
        scores = jnp.where(same_class & ~jnp.eye(count, dtype=bool), -jnp.inf, scores)
    return -jnp.diagonal(jax.nn.log_softmax(scores)).mean()
