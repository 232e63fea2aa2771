"""What the losses of all detectors need of a batch: its objects, in an order of their own."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnets.ops import boxes


class Objects(NamedTuple):
    """The objects of a batch of images, padded.

    Attributes:
        boxes: (N, M, 4), corners in pixels; 0 in padding.
        labels: int32 (N, M), class numbers from 0; 0 in padding.
        mask: bool (N, M), true for an object.
        order: int32 (N, M), which entry of the batch each is.

    >>> Objects._fields
    ('boxes', 'labels', 'mask', 'order')
    """

    boxes: jax.Array
    labels: jax.Array
    mask: jax.Array
    order: jax.Array


def objects_of(batch: Mapping[str, Any]) -> tuple[Objects, jax.Array]:
    """A batch's objects, in an order that does not depend on how they are listed.

    Args:
        batch: ``boxes (N, M, 4)``, ``box_label (N, M)``, ``box_mask (N, M)`` and perhaps
            ``example_mask (N,)``. M may be 0.

    Returns:
        the objects, and (N,) booleans: the images that are there.

    Raises:
        ValueError: shapes that do not fit.

    >>> batch = {"boxes": jnp.array([[[4.0, 0, 6, 2], [0.0, 0, 2, 2]]])}
    >>> batch |= {"box_label": jnp.array([[1, 0]]), "box_mask": jnp.ones((1, 2))}
    >>> objects_of(batch)[0].labels.tolist()
    [[0, 1]]
    """
    true = jnp.asarray(batch["boxes"], jnp.float32)
    labels = jnp.asarray(batch["box_label"]).astype(jnp.int32)
    mask = jnp.asarray(batch["box_mask"]) != 0
    if true.ndim != 3 or true.shape[-1] != 4 or {labels.shape, mask.shape} != {true.shape[:2]}:
        raise ValueError(
            f"boxes: got {true.shape}, with box_label {labels.shape} and box_mask {mask.shape}; "
            "expected (N, M, 4), (N, M) and (N, M)"
        )
    if true.shape[1] == 0:  # shapes without entries cannot be indexed
        true, labels, mask = (
            jnp.pad(a, [(0, 0), (0, 1)] + [(0, 0)] * (a.ndim - 2)) for a in (true, labels, mask)
        )
    order = jax.vmap(boxes.canonical_order)(true, labels, mask)
    mask = jnp.take_along_axis(mask, order, 1)
    # Padding may hold anything.
    true = jnp.where(mask[..., None], jnp.take_along_axis(true, order[..., None], 1), 0.0)
    labels = jnp.where(mask, jnp.take_along_axis(labels, order, 1), 0)
    there = jnp.asarray(batch.get("example_mask", jnp.ones(len(true)))) != 0
    return Objects(true, labels, mask, order), there


def smooth_l1(x: jax.Array, beta: float = 1.0) -> jax.Array:
    """Half the square near 0, the absolute value beyond: ½x²/β where |x| < β, else |x| − ½β.

    Args:
        x: any shape.
        beta: β; 0 gives the absolute value.

    Returns:
        like ``x``.

    Source: Girshick, "Fast R-CNN", 2015, equation 3.

    >>> smooth_l1(jnp.array([0.5, -2.0])).tolist()
    [0.125, 1.5]
    """
    size = jnp.abs(x)
    if beta == 0:
        return size
    return jnp.where(size < beta, 0.5 * x * x / beta, size - 0.5 * beta)


def mean_losses(losses: Mapping[str, tuple[jax.Array, jax.Array]]) -> dict[str, jax.Array]:
    """Sums over their counts, or over 1 where nothing was counted.

    Args:
        losses: name → (sum, count), as the losses of all detectors are.

    Returns:
        name → mean.

    >>> {name: float(v) for name, v in mean_losses({"a": (3.0, 2), "b": (0.5, 0)}).items()}
    {'a': 1.5, 'b': 0.5}
    """
    return {name: total / jnp.maximum(count, 1) for name, (total, count) in losses.items()}
