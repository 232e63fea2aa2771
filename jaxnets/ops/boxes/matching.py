"""Which object an anchor or proposal stands for."""

import jax
import jax.numpy as jnp

from jaxnets.ops.boxes.checks import as_bool, check_boxes, check_fraction, check_shape

# An anchor that stands for no object: background, and neither background nor object.
NONE = -1
BETWEEN = -2


def match(
    overlap: jax.Array,
    *,
    high: float = 0.5,
    low: float = 0.5,
    mask: jax.Array | None = None,
    keep_best: bool = False,
) -> jax.Array:
    """For each anchor the object that it overlaps most, if it overlaps it enough.

    Args:
        overlap: (M, N), IoU of M objects with N anchors.
        high: an anchor stands for its object from this IoU on.
        low: an anchor below it is background; what lies between is neither.
        mask: (M,), true for an object, false for padding; by default all are objects.
        keep_best: an anchor that has the highest IoU of all with some object stands for the object
            *it* overlaps most, however little; ties all count. An IoU of 0 is no overlap.

    Returns:
        int32 (N,): the number of an object, `NONE` or `BETWEEN`. Without objects all are `NONE`.

    Raises:
        ValueError: shapes that do not fit, or not 0 ≤ low ≤ high ≤ 1.

    Source: Ren et al., "Faster R-CNN", 2015, section 3.1.2.

    >>> match(jnp.array([[0.9, 0.4, 0.1]]), high=0.7, low=0.3).tolist()
    [0, -2, -1]
    """
    overlap, objects = _checked(overlap, mask)
    check_fraction("high", high)
    check_fraction("low", low)
    if low > high:
        raise ValueError(f"low: got {low}; expected at most high, {high}")
    if objects == 0:
        return jnp.full(overlap.shape[1], NONE, jnp.int32)
    best = overlap.argmax(0).astype(jnp.int32)
    value = overlap.max(0)
    result = jnp.where(value < high, BETWEEN, best)
    result = jnp.where(value < low, NONE, result)
    if keep_best:
        highest = overlap.max(1, keepdims=True)
        chosen = ((overlap == highest) & (overlap > 0)).any(0)
        result = jnp.where(chosen, best, result)
    # Low may be 0: padding still matches nothing.
    return jnp.where(value < 0, NONE, result).astype(jnp.int32)


def match_each_object(
    overlap: jax.Array, *, threshold: float = 0.5, mask: jax.Array | None = None
) -> jax.Array:
    """SSD's matching: as `match`, but every object gets the anchor that it overlaps most.

    Of objects that want the same anchor the last one gets it.

    Args:
        overlap: (M, N), IoU of M objects with N anchors.
        threshold: an anchor stands for the object that it overlaps most from this IoU on.
        mask: (M,), true for an object, false for padding; by default all are objects.

    Returns:
        int32 (N,): the number of an object, or `NONE`.

    Raises:
        ValueError: shapes that do not fit, a threshold outside [0, 1].

    Source: Liu et al., "SSD: Single Shot MultiBox Detector", 2016, section 2.2.

    >>> match_each_object(jnp.array([[0.1, 0.3, 0.0]])).tolist()
    [-1, 0, -1]
    """
    overlap, objects = _checked(overlap, mask)
    result = match(overlap, high=threshold, low=threshold)
    if objects == 0:
        return result
    wanted = overlap.argmax(1)
    # What overlaps nothing, padding among it, wants nothing.
    wanted = jnp.where(overlap.max(1) > 0, wanted, overlap.shape[1])
    owner = jnp.full(overlap.shape[1], NONE, jnp.int32)
    owner = owner.at[wanted].max(jnp.arange(objects, dtype=jnp.int32), mode="drop")
    return jnp.where(owner >= 0, owner, result)


def canonical_order(boxes: jax.Array, labels: jax.Array, mask: jax.Array) -> jax.Array:
    """An order of objects that does not depend on the order in which they come, padding last.

    Where an anchor overlaps two objects equally, the first of them is its match. Sort the objects
    with this first, and the result is the same however they were listed, exactly.

    Args:
        boxes: (M, 4), corners in pixels.
        labels: integer (M,).
        mask: (M,), true for an object, false for padding.

    Returns:
        int32 (M,): by corners, then by label. Objects equal in both are exchangeable.

    Raises:
        ValueError: shapes that do not fit.

    >>> order = canonical_order(
    ...     jnp.array([[5.0, 0, 6, 1], [0.0, 0, 1, 1], [0.0, 0, 0, 0]]),
    ...     jnp.array([1, 0, 0]),
    ...     jnp.array([True, True, False]),
    ... )
    >>> order.tolist()
    [1, 0, 2]
    """
    check_boxes("boxes", boxes, 2)
    check_shape("labels", labels, (boxes.shape[0],), "one for each box")
    check_shape("mask", mask, (boxes.shape[0],), "one for each box")
    # The last key is the first to decide.
    keys = (labels, *(boxes[:, i] for i in (3, 2, 1, 0)), ~as_bool(mask))
    return jnp.lexsort(keys).astype(jnp.int32)


def _checked(overlap, mask):
    """Overlaps with −1 for padding, and the number of objects."""
    if overlap.ndim != 2:
        raise ValueError(f"overlap: got shape {overlap.shape}; expected (M, N): objects, anchors")
    if mask is not None:
        check_shape("mask", mask, (overlap.shape[0],), "one for each object")
        overlap = jnp.where(as_bool(mask)[:, None], overlap, -1.0)
    return overlap, overlap.shape[0]
