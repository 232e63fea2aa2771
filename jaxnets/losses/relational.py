"""Relational distillation: distances and angles between examples, not the features themselves."""

import jax
import jax.numpy as jnp

from jaxnets.ops.precision import at_least_float32


def relational_distance_loss(embeddings: jax.Array, teacher_embeddings: jax.Array) -> jax.Array:
    """Huber loss of the distances between examples, in units of their mean.

    ψ(i, j) = ‖e_i − e_j‖ / μ with μ the mean over all pairs; the loss is the mean of
    huber(ψ_T(i, j) − ψ_S(i, j)) over the pairs i ≠ j, with huber(x) = x²/2 up to |x| = 1 and
    |x| − ½ beyond. The two networks' features may differ in their number.

    Args:
        embeddings: the student's (B, D), B at least 2; other axes are flattened.
        teacher_embeddings: (B, D').

    Returns:
        a scalar.

    Raises:
        ValueError: different numbers of examples, or less than two.

    Source: Park, Kim, Lu, Cho 2019 (Relational Knowledge Distillation), the distance-wise loss.

    >>> x = jnp.array([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]])
    >>> f"{float(relational_distance_loss(2 * x, x @ jnp.ones((2, 3)))):.4f}"
    '0.0000'
    """
    student, teacher = _checked(embeddings, teacher_embeddings, at_least=2)
    pairs = len(student) * (len(student) - 1)

    def relative(x):
        distances = _lengths(x[:, None] - x[None])
        mean = distances.sum() / pairs
        return distances / jnp.where(mean == 0, 1.0, mean)

    return _huber(relative(student) - relative(teacher)).sum() / pairs


def relational_angle_loss(embeddings: jax.Array, teacher_embeddings: jax.Array) -> jax.Array:
    """Huber loss of the cosines of the angles that three examples form.

    ψ(i, j, k) = cos ∠ e_i e_j e_k, the angle at e_j; the loss is the mean of
    huber(ψ_T − ψ_S) over all i, j, k that differ from each other.

    Args:
        embeddings: the student's (B, D), B at least 3; other axes are flattened.
        teacher_embeddings: (B, D').

    Returns:
        a scalar. Its arrays have B³ entries.

    Raises:
        ValueError: different numbers of examples, or less than three.

    Source: Park, Kim, Lu, Cho 2019, the angle-wise loss.

    >>> x = jnp.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> f"{float(relational_angle_loss(5 * x + 1, x[:, ::-1])):.4f}"  # rotated, mirrored, scaled
    '0.0000'
    """
    student, teacher = _checked(embeddings, teacher_embeddings, at_least=3)
    count = len(student)

    def cosines(x):
        to = x[None] - x[:, None]  # (j, i, D): from the corner j to i
        lengths = _lengths(to)[..., None]
        to = to / jnp.where(lengths == 0, 1.0, lengths)
        return jnp.einsum("jid,jkd->jik", to, to)

    same = jnp.eye(count, dtype=bool)
    distinct = ~(same[:, :, None] | same[:, None, :] | same[None])
    errors = jnp.where(distinct, _huber(cosines(student) - cosines(teacher)), 0.0)
    return errors.sum() / (count * (count - 1) * (count - 2))


def _checked(embeddings: jax.Array, teacher_embeddings: jax.Array, *, at_least: int):
    count = len(embeddings)
    if len(teacher_embeddings) != count:
        raise ValueError(
            f"teacher_embeddings: got {len(teacher_embeddings)} examples; expected {count}, those "
            "of the student"
        )
    if count < at_least:
        raise ValueError(f"embeddings: got {count} examples; relations need at least {at_least}")
    return (at_least_float32(x).reshape(count, -1) for x in (embeddings, teacher_embeddings))


def _lengths(x: jax.Array) -> jax.Array:
    """Euclidean lengths over the last axis, with the derivative 0 at 0."""
    squares = jnp.square(x).sum(-1)
    return jnp.where(squares == 0, 0.0, jnp.sqrt(jnp.where(squares == 0, 1.0, squares)))


def _huber(x: jax.Array) -> jax.Array:
    size = jnp.abs(x)
    return jnp.where(size <= 1, 0.5 * jnp.square(x), size - 0.5)
