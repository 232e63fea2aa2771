"""Soft-NMS: scores of boxes that overlap better ones decay instead of vanishing."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.ops.boxes.checks import as_bool, check_boxes, check_count, check_floating, check_shape
from jaxnets.ops.boxes.overlap import iou
from jaxnets.ops.precision import at_least_float32


class SoftKept(NamedTuple):
    """The boxes that are kept, by falling decayed score, padded to a fixed number K.

    Attributes:
        index: int32 (K,), into the boxes given; 0 in padding.
        score: (K,), decayed; 0 in padding.
        mask: bool (K,), true for a box, false for padding.

    >>> SoftKept(jnp.array([3]), jnp.array([0.5]), jnp.array([True])).index.tolist()
    [3]
    """

    index: jax.Array
    score: jax.Array
    mask: jax.Array


def soft_nms(
    boxes: jax.Array,
    scores: jax.Array,
    *,
    method: str = "gaussian",
    sigma: float = 0.5,
    threshold: float = 0.3,
    min_score: float = 1e-3,
    mask: jax.Array | None = None,
    classes: jax.Array | None = None,
    max_outputs: int | None = None,
) -> SoftKept:
    """Take boxes by falling score; each lowers the scores of those that overlap it.

    "gaussian": s ← s·exp(−IoU²/σ). "linear": s ← s·(1 − IoU) where IoU > threshold.

    Args:
        boxes: (N, 4), corners in pixels.
        scores: (N,), floating, not negative.
        method: "gaussian" or "linear".
        sigma: σ of the gaussian.
        threshold: of "linear".
        min_score: a box whose score is not above it is not kept.
        mask: (N,), true for a box, false for padding; by default all are boxes.
        classes: integer (N,): boxes of different classes leave each other alone.
        max_outputs: K, how many to keep at most; by default N.

    Returns:
        `SoftKept`, of K entries.

    Raises:
        ValueError: shapes that do not fit, an unknown method, σ not positive, K below 1.

    Source: Bodla et al., "Soft-NMS: Improving Object Detection With One Line of Code", 2017,
    section 3, equations 3 and 4.

    >>> boxes = jnp.array([[0.0, 0, 10, 10], [0.0, 0, 10, 8]])
    >>> kept = soft_nms(boxes, jnp.array([0.9, 0.8]), method="linear")
    >>> kept.index.tolist(), round(float(kept.score[1]), 4)  # 0.8 · (1 − 0.8)
    ([0, 1], 0.16)
    """
    check_boxes("boxes", boxes, 2)
    count = boxes.shape[0]
    check_floating("scores", scores)
    check_shape("scores", scores, (count,), "one for each box")
    if method not in ("gaussian", "linear"):
        raise ValueError(f"method: got {method!r}; expected gaussian or linear")
    if not sigma > 0:
        raise ValueError(f"sigma: got {sigma}; expected a positive number")
    mask = jnp.ones(count, bool) if mask is None else mask
    check_shape("mask", mask, (count,), "one for each box")
    if classes is not None:
        check_shape("classes", classes, (count,), "one for each box")
    if max_outputs is not None:
        check_count("max_outputs", max_outputs)
    limit = count if max_outputs is None else max_outputs
    if count == 0:
        nothing = jnp.zeros(limit, jnp.int32)
        return SoftKept(nothing, jnp.zeros(limit, scores.dtype), jnp.zeros(limit, bool))
    return _soft_nms(
        boxes, scores, mask, classes, sigma, threshold, min_score, method=method, limit=limit
    )


@partial(jax.jit, static_argnames=("method", "limit"), inline=True)
def _soft_nms(boxes, scores, mask, classes, sigma, threshold, min_score, *, method, limit):
    count = boxes.shape[0]
    wide = at_least_float32(boxes)
    left = jnp.where(as_bool(mask), at_least_float32(scores), -jnp.inf)

    def take(left, _):
        best = left.argmax()
        score = left[best]
        overlap = iou(wide[best][None], wide)[0]
        if method == "gaussian":
            factor = jnp.exp(-(overlap**2) / sigma)
        else:
            factor = jnp.where(overlap > threshold, 1 - overlap, 1.0)
        if classes is not None:
            factor = jnp.where(classes == classes[best], factor, 1.0)
        # −∞ stays: factors are multiplied only into finite scores.
        left = jnp.where(jnp.isfinite(left), left * factor, left).at[best].set(-jnp.inf)
        return left, (best, score)

    _, (index, score) = lax.scan(take, left, None, length=min(limit, count))
    kept = score > min_score
    missing = limit - kept.shape[0]
    index, score = jnp.where(kept, index, 0), jnp.where(kept, score, 0.0)
    return SoftKept(
        jnp.pad(index, (0, missing)).astype(jnp.int32),
        jnp.pad(score, (0, missing)).astype(scores.dtype),
        jnp.pad(kept, (0, missing)),
    )
