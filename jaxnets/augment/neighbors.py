"""Pairs for the transforms that combine two examples, and labels that say so."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


def previous_examples(batch: jax.Array, axis_name: str | None = None) -> jax.Array:
    """For every row of the global batch the row before it; for the first the last.

    Shuffled batches make the neighbor a random partner. Unlike a random permutation it costs one
    row between neighboring devices, and it does not depend on how many devices share the batch.

    Args:
        batch: (B, …), the whole batch, or under ``pmap`` and ``shard_map`` this device's share.
        axis_name: the mapped axis, or None.

    Returns:
        The same shape.

    >>> previous_examples(jnp.array([1, 2, 3])).tolist()
    [3, 1, 2]
    """
    rolled = jnp.roll(batch, 1, axis=0)
    if axis_name is None:
        return rolled
    devices = lax.axis_size(axis_name)
    ring = [(device, (device + 1) % devices) for device in range(devices)]
    return rolled.at[:1].set(lax.ppermute(batch[-1:], axis_name, ring))


def as_distributions(labels: jax.Array, num_classes: int | None) -> jax.Array:
    """Class numbers (B,) as one-hot float32 (B, K); distributions (B, K) as they are.

    A class number outside 0 … K−1 is an error where its value is known, and a row of NaN, which
    makes the loss NaN, where it is not (under jit).

    Args:
        labels: integer (B,) or floating (B, K).
        num_classes: K; it may be None for distributions.

    Returns:
        Floating (B, K).

    Raises:
        ValueError: labels of another kind, or class numbers without or beyond K.

    >>> as_distributions(jnp.array([1]), 3).tolist()
    [[0.0, 1.0, 0.0]]
    """
    labels = jnp.asarray(labels)
    if labels.ndim == 2 and jnp.issubdtype(labels.dtype, jnp.floating):
        if num_classes not in (None, labels.shape[1]):
            raise ValueError(f"num_classes: got {num_classes} for labels {labels.shape}")
        return labels
    if labels.ndim != 1 or not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(
            f"labels: got {labels.dtype}{list(labels.shape)}; expected integers (B,) or floating "
            "distributions (B, K)"
        )
    if num_classes is None:
        raise ValueError("num_classes: got None; integer labels need the number of classes")
    if not isinstance(labels, jax.core.Tracer):
        # In NumPy: inside jit even what is computed from known values would be traced.
        values = np.asarray(labels)
        for wrong in values[(values < 0) | (values >= num_classes)]:
            raise ValueError(f"labels: got {wrong}; expected class numbers 0 … {num_classes - 1}")
    valid = (labels >= 0) & (labels < num_classes)
    one_hot = jax.nn.one_hot(labels, num_classes, dtype=jnp.float32)
    return jnp.where(valid[:, None], one_hot, jnp.nan)


def check_classified(name: str, batch: Mapping[str, jax.Array]) -> None:
    """Raise a ValueError unless the batch has images and labels, and nothing tied to places.

    Args:
        name: of the function that asks, for the message.
        batch: a dict of arrays.

    >>> check_classified("mixup", {"image": 0, "label": 0, "boxes": 0})
    Traceback (most recent call last):
    ValueError: batch: got boxes, which mixup cannot combine
    """
    if not isinstance(batch, Mapping) or not {"image", "label"} <= set(batch):
        found = sorted(batch) if isinstance(batch, Mapping) else type(batch).__name__
        raise ValueError(f"batch: got {found}; {name} expects a dict with image and label")
    tied = sorted({"boxes", "masks", "keypoints"} & set(batch))
    if tied:
        raise ValueError(f"batch: got {', '.join(tied)}, which {name} cannot combine")


def check_pair(images: jax.Array, labels: jax.Array) -> None:
    """Raise a ValueError unless images are (B, H, W, C) and labels have as many rows.

    Args:
        images: expected as (B, H, W, C).
        labels: expected as (B, …).

    >>> check_pair(jnp.zeros((2, 4, 4, 1)), jnp.zeros(3))
    Traceback (most recent call last):
    ValueError: labels: got shape (3,); expected one for each of 2 images
    """
    if jnp.ndim(images) != 4:
        raise ValueError(f"images: got shape {jnp.shape(images)}; expected (B, H, W, C)")
    if jnp.shape(labels)[:1] != images.shape[:1]:
        raise ValueError(
            f"labels: got shape {jnp.shape(labels)}; expected one for each of {len(images)} images"
        )
