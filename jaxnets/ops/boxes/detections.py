"""From boxes with a score for each class to the list of detections of an image."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.ops.boxes.checks import as_bool, check_boxes, check_count, check_floating, check_shape
from jaxnets.ops.boxes.nms import nms_of_ranked

# So many boxes are sorted at once.
CHUNK = 1024


class Detections(NamedTuple):
    """What was found in an image, by falling score, padded to a fixed number D.

    Attributes:
        boxes: (D, 4), corners in pixels; 0 in padding.
        scores: (D,); 0 in padding.
        labels: int32 (D,), class numbers; 0 in padding.
        mask: bool (D,), true for a detection, false for padding.
        index: int32 (D,), which of the boxes given it is; 0 in padding.

    >>> Detections._fields
    ('boxes', 'scores', 'labels', 'mask', 'index')
    """

    boxes: jax.Array
    scores: jax.Array
    labels: jax.Array
    mask: jax.Array
    index: jax.Array


def select_detections(
    boxes: jax.Array,
    scores: jax.Array,
    *,
    threshold: float = 0.5,
    min_score: float = 0.05,
    candidates: int = 400,
    max_outputs: int = 100,
    mask: jax.Array | None = None,
) -> Detections:
    """Threshold, top-k of each class, suppression within each class, top-k of all.

    Args:
        boxes: (N, 4), one for all classes, or (N, K, 4), one for each, corners in pixels.
        scores: (N, K), floating, without a background class.
        threshold: suppress a box when its IoU with a better one of its class is above it.
        min_score: a detection's score is above it.
        candidates: how many of each class enter the suppression.
        max_outputs: D, how many detections there are at most.
        mask: (N,), true for a box, false for padding; by default all are boxes.

    Returns:
        `Detections`, of D entries.

    Raises:
        ValueError: shapes or dtypes that do not fit, counts below 1.

    Source: Liu et al., "SSD: Single Shot MultiBox Detector", 2016, section 2.2.

    >>> boxes = jnp.array([[0.0, 0, 9, 9], [1.0, 0, 9, 9], [20.0, 0, 30, 9]])
    >>> scores = jnp.array([[0.9, 0.1], [0.8, 0.6], [0.0, 0.0]])
    >>> found = select_detections(boxes, scores, max_outputs=4)
    >>> found.labels[found.mask].tolist(), found.index[found.mask].tolist()
    ([0, 1], [0, 1])
    """
    check_floating("scores", scores)
    if scores.ndim != 2:
        raise ValueError(f"scores: got shape {scores.shape}; expected (N, K)")
    check_boxes("boxes", boxes)
    count, classes = scores.shape
    if boxes.shape not in ((count, 4), (count, classes, 4)):
        raise ValueError(
            f"boxes: got shape {boxes.shape}; expected {(count, 4)} or {(count, classes, 4)} for "
            f"scores of shape {scores.shape}"
        )
    check_count("candidates", candidates)
    check_count("max_outputs", max_outputs)
    if mask is not None:
        check_shape("mask", mask, (count,), "one for each box")
        scores = jnp.where(as_bool(mask)[:, None], scores, -jnp.inf)
    if count == 0 or classes == 0:
        nothing = jnp.zeros(max_outputs, jnp.int32)
        return Detections(
            jnp.zeros((max_outputs, 4), boxes.dtype),
            jnp.zeros(max_outputs, scores.dtype),
            nothing,
            nothing != 0,
            nothing,
        )
    return _select(boxes, scores, min_score, threshold, candidates, max_outputs)


@partial(jax.jit, static_argnums=(3, 4, 5), inline=True)
def _select(boxes, scores, min_score, threshold, candidates, max_outputs):
    scores = jnp.where(scores > min_score, scores, -jnp.inf)
    best, index = _best_of_each(scores, min(candidates, scores.shape[0]))  # (K, C)
    if boxes.ndim == 2:
        chosen = boxes[index]
    else:
        chosen = jnp.take_along_axis(boxes.swapaxes(0, 1), index[..., None], 1)
    kept = jax.vmap(lambda b, s: nms_of_ranked(b, s, threshold, mask=s > -jnp.inf))(chosen, best)
    # Whatever was not kept goes to the end of the common ranking.
    kept_scores = jnp.where(kept.mask, jnp.take_along_axis(best, kept.index, 1), -jnp.inf)
    size = kept_scores.size
    top, place = lax.top_k(kept_scores.ravel(), min(max_outputs, size))
    label, rank = place // kept_scores.shape[1], place % kept_scores.shape[1]
    candidate = kept.index[label, rank]
    there = top > -jnp.inf
    missing = max_outputs - there.shape[0]

    def padded(values):
        real = there.reshape(there.shape + (1,) * (values.ndim - 1))
        values = jnp.where(real, values, jnp.zeros_like(values))
        return jnp.pad(values, ((0, missing),) + ((0, 0),) * (values.ndim - 1))

    return Detections(
        padded(chosen[label, candidate]),
        padded(top),
        padded(label.astype(jnp.int32)),
        jnp.pad(there, (0, missing)),
        padded(index[label, candidate].astype(jnp.int32)),
    )


def _best_of_each(scores, candidates):
    """The greatest ``candidates`` of each class and whose they are, both (K, C).

    A trained network scores few boxes above −∞ in any class. Those alone are sorted, some at a
    time: once for most images, where sorting all would take most of the time of `_select`.
    """
    count, classes = scores.shape
    if count <= CHUNK:
        return lax.top_k(scores.T, candidates)
    there = (scores > -jnp.inf).any(1)
    place = jnp.cumsum(there) - 1
    total = place[-1] + 1
    rows = jnp.zeros(count + CHUNK, jnp.int32)
    numbers = jnp.arange(count, dtype=jnp.int32)
    rows = rows.at[jnp.where(there, place, count + CHUNK)].set(numbers, mode="drop")

    def add(state):
        start, best, index = state
        some = lax.dynamic_slice_in_dim(rows, start, CHUNK)
        left = start + jnp.arange(CHUNK) < total
        part = jnp.where(left[:, None], scores[some], -jnp.inf).T
        # Of equal scores the earlier box comes first, which those that were found before are.
        best, place = lax.top_k(jnp.concatenate((best, part), 1), candidates)
        index = jnp.concatenate((index, jnp.broadcast_to(some, (classes, CHUNK))), 1)
        return start + CHUNK, best, jnp.take_along_axis(index, place, 1)

    empty = jnp.full((classes, candidates), -jnp.inf, scores.dtype)
    state = jnp.zeros_like(total), empty, jnp.zeros(empty.shape, jnp.int32)
    _, best, index = lax.while_loop(lambda state: state[0] < total, add, state)
    return best, index
