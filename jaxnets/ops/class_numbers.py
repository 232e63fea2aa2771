"""Class numbers 0 … K−1, and the one rule for all others.

A class number outside 0 … K−1 is a mistake, unless its example has the weight 0. Every loss and
every metric that meets one is NaN, in training and in evaluation: an index that counts from the
end, or stops at it, would give another class's number. Counts, which cannot be NaN, refuse it.
"""

import jax
import jax.numpy as jnp
import numpy as np


def is_class(labels: jax.Array, num_classes: int) -> jax.Array:
    """Whether each class number lies in 0 … K−1.

    Args:
        labels: integers, any shape.
        num_classes: K.

    Returns:
        booleans of the same shape.

    >>> is_class(jnp.array([-1, 0, 2]), 2).tolist()
    [False, True, False]
    """
    # In int32: K may be beyond what uint8 holds.
    labels = jnp.asarray(labels).astype(jnp.int32)
    return (labels >= 0) & (labels < num_classes)


def take_class(scores: jax.Array, labels: jax.Array) -> jax.Array:
    """The score of each example's own class; NaN where its number is outside 0 … K−1.

    Args:
        scores: (…, K), floating.
        labels: integers that broadcast against (…).

    Returns:
        (…).

    >>> take_class(jnp.array([[5.0, 6.0], [7.0, 8.0]]), jnp.array([1, -1])).tolist()
    [6.0, nan]
    """
    labels = jnp.broadcast_to(jnp.asarray(labels), scores.shape[:-1]).astype(jnp.int32)
    known = is_class(labels, scores.shape[-1])
    index = jnp.where(known, labels, 0)[..., None]
    return jnp.where(known, jnp.take_along_axis(scores, index, axis=-1)[..., 0], jnp.nan)


def require_classes(
    name: str, labels: jax.Array, num_classes: int, weights: jax.Array | None = None
) -> None:
    """Raise a ValueError for class numbers outside 0 … K−1, where values are known.

    Args:
        name: of the argument, for the message.
        labels: integers.
        num_classes: K.
        weights: of the shape of labels; where 0, anything may stand.

    >>> require_classes("labels", np.array([0, 7]), 3)
    Traceback (most recent call last):
    ValueError: labels: got 7; expected class numbers 0 … 2, or weight 0
    """
    if isinstance(labels, jax.core.Tracer) or isinstance(weights, jax.core.Tracer):
        return
    values = np.asarray(labels)
    wrong = (values < 0) | (values >= num_classes)
    if weights is not None:
        wrong &= np.asarray(weights) != 0
    if wrong.any():
        raise ValueError(
            f"{name}: got {values[wrong].flat[0]}; expected class numbers 0 … {num_classes - 1}, "
            "or weight 0"
        )
