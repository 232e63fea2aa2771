"""Non-maximum suppression: of boxes that overlap, keep the one with the highest score."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxnets.ops.boxes.checks import (
    as_bool,
    check_boxes,
    check_count,
    check_floating,
    check_fraction,
    check_shape,
)
from jaxnets.ops.boxes.formats import area
from jaxnets.ops.materialize import materialize
from jaxnets.ops.precision import at_least_float32

# So many boxes are decided on at once; memory is TILE × N.
TILE = 64
# Of ranked ones, mostly of many classes side by side, few are left in each.
RANKED_TILE = 16


class Kept(NamedTuple):
    """The boxes that are kept, by falling score, padded to a fixed number K.

    Attributes:
        index: int32 (K,), into the boxes given; 0 in padding.
        mask: bool (K,), true for a box, false for padding.

    >>> Kept(jnp.array([3, 0]), jnp.array([True, False])).mask.tolist()
    [True, False]
    """

    index: jax.Array
    mask: jax.Array


def nms(
    boxes: jax.Array,
    scores: jax.Array,
    threshold: float | jax.Array,
    *,
    mask: jax.Array | None = None,
    classes: jax.Array | None = None,
    max_outputs: int | None = None,
) -> Kept:
    """Greedy non-maximum suppression.

    By falling score (of equal scores the earlier box comes first) a box is kept unless its IoU with
    a kept one is above ``threshold``. Results are those of torchvision's ``nms``, and with
    ``classes`` of its ``batched_nms``, decisions at the threshold included.

    Boxes are decided on by tiles of 64: within a tile the rule "kept if no earlier kept box
    suppresses it" is repeated until nothing changes, which is the greedy result, as box i is right
    after i rounds at the latest; what a tile keeps then suppresses all later boxes at once.

    Args:
        boxes: (N, 4), corners in pixels.
        scores: (N,), floating. A NaN, as a score or in a box, is never kept.
        threshold: in [0, 1]: suppress when IoU > threshold.
        mask: (N,), true for a box, false for padding; by default all are boxes.
        classes: integer (N,): boxes of different classes do not suppress each other.
        max_outputs: K, how many to keep at most; by default N.

    Returns:
        `Kept`, of K entries. Nothing of it has derivatives; take ``boxes[kept.index]`` for those.

    Raises:
        ValueError: shapes or dtypes that do not fit, a threshold outside [0, 1], K below 1.

    Source: Girshick et al., "Rich feature hierarchies", 2014, section 2.2.

    >>> boxes = jnp.array([[0.0, 0, 10, 10], [1.0, 0, 11, 10], [20.0, 0, 30, 10]])
    >>> kept = nms(boxes, jnp.array([0.6, 0.9, 0.3]), 0.5)
    >>> kept.index[kept.mask].tolist()
    [1, 2]
    """
    check_boxes("boxes", boxes, 2)
    count = boxes.shape[0]
    check_floating("scores", scores)
    check_shape("scores", scores, (count,), "one for each box")
    check_fraction("threshold", threshold)
    mask = jnp.ones(count, bool) if mask is None else mask
    check_shape("mask", mask, (count,), "one for each box")
    if classes is not None:
        check_shape("classes", classes, (count,), "one for each box")
    limit = count if max_outputs is None else max_outputs
    if max_outputs is not None:
        check_count("max_outputs", max_outputs)
    if count == 0:
        return Kept(jnp.zeros(limit, jnp.int32), jnp.zeros(limit, bool))
    if isinstance(threshold, jax.Array | np.ndarray):
        return _nms(boxes, scores, mask, classes, threshold, limit)
    return _nms(boxes, scores, mask, classes, _at_most(threshold, boxes.dtype), limit)


def nms_of_ranked(
    boxes: jax.Array, scores: jax.Array, threshold: jax.typing.ArrayLike, *, mask: jax.Array
) -> Kept:
    """`nms` of boxes whose scores fall already, where sorting would take a tenth of the time.

    Args:
        boxes: (N, 4), at least one.
        scores: (N,), falling wherever ``mask`` is true.
        threshold: as of `nms`.
        mask: (N,), which boxes there are.

    Returns:
        what `nms` returns.

    >>> boxes = jnp.array([[0.0, 0, 9, 9], [1.0, 0, 9, 9], [20.0, 0, 30, 9]])
    >>> kept = nms_of_ranked(boxes, jnp.array([0.9, 0.8, 0.1]), 0.5, mask=jnp.ones(3, bool))
    >>> kept.index[kept.mask].tolist()
    [0, 2]
    """
    if not isinstance(threshold, jax.Array | np.ndarray):
        threshold = _at_most(threshold, boxes.dtype)
    return _nms(boxes, scores, mask, None, threshold, len(boxes), True)


# Compiled as one also where it is called outside jit, step by step.
@partial(jax.jit, static_argnums=(5, 6), inline=True)
def _nms(boxes, scores, mask, classes, threshold, limit, ranked=False):
    count = boxes.shape[0]
    boxes, scores = lax.stop_gradient((boxes, scores))
    numbers = ~jnp.isnan(scores) & ~jnp.isnan(boxes).any(-1)
    mask = as_bool(mask) & numbers
    boxes = jnp.where(numbers[:, None], boxes, jnp.zeros_like(boxes))
    if ranked:
        order = jnp.arange(count)
    else:
        order = jnp.argsort(jnp.where(mask, -scores, jnp.full_like(scores, jnp.inf)), stable=True)
        boxes, mask = boxes[order], mask[order]
        classes = None if classes is None else classes[order]
    classes = None if classes is None else classes.astype(jnp.int32)
    tile = min(RANKED_TILE if ranked else TILE, count)
    alive = _greedy(at_least_float32(boxes), classes, mask, threshold, limit, tile)
    place = jnp.nonzero(alive, size=limit, fill_value=count)[0]
    kept = place < count
    index = jnp.where(kept, order[jnp.minimum(place, count - 1)], 0)
    return Kept(index.astype(jnp.int32), kept)


def _greedy(boxes, classes, alive, threshold, limit, tile):
    """Which of the boxes, in order of their scores, are kept; correct for the first ``limit``."""
    count = boxes.shape[0]
    missing = -count % tile
    boxes = jnp.pad(boxes, ((0, missing), (0, 0)))
    alive = jnp.pad(alive, (0, missing))
    classes = jnp.pad(classes, (0, missing)) if classes is not None else None
    # Products are rounded before they are added, as in the reference: XLA on CPU would join the two
    # steps, and overlaps that equal the threshold would fall to the other side.
    areas = materialize(area(boxes))
    threshold = jnp.asarray(threshold).astype(boxes.dtype)
    places = jnp.arange(count + missing)
    above = jnp.triu(jnp.ones((tile, tile), bool), 1)

    def part(array, start):
        return lax.dynamic_slice_in_dim(array, start, tile)

    def suppressions(start):
        own, mine = part(boxes, start)[:, None, :], part(areas, start)[:, None]
        others = boxes[None]
        shared = jnp.minimum(own[..., 2:], others[..., 2:])
        shared = shared - jnp.maximum(own[..., :2], others[..., :2])
        shared = jnp.maximum(shared, 0)
        intersection = materialize(shared[..., 0] * shared[..., 1])
        # 0/0 is NaN, which is above nothing.
        above_threshold = intersection / (mine + areas[None] - intersection) > threshold
        if classes is None:
            return above_threshold
        return above_threshold & (part(classes, start)[:, None] == classes[None])

    def decide(state):
        step, alive, found = state
        start = step * tile
        suppressed = suppressions(start)
        within = lax.dynamic_slice_in_dim(suppressed, start, tile, 1) & above
        kept = _fixed_point(within, part(alive, start))
        gone = (kept[:, None] & suppressed).any(0) & (places >= start + tile)
        alive = lax.dynamic_update_slice_in_dim(alive & ~gone, kept, start, 0)
        return step + 1, alive, found + kept.sum()

    def unfinished(state):
        step, alive, found = state
        # Behind the last that is alive nothing is left to decide: most candidates of a detector
        # have next to no score.
        left = (alive & (places >= step * tile)).any()
        return (step * tile < count) & (found < limit) & left

    state = (jnp.int32(0), alive, jnp.zeros((), alive.sum().dtype))
    return lax.while_loop(unfinished, decide, state)[1][:count]


def _fixed_point(suppresses, alive):
    """Kept are those that are alive and that no kept one suppresses; there is no circle."""

    def again(state):
        _, kept = state
        return kept, alive & ~(kept[:, None] & suppresses).any(0)

    def changed(state):
        return (state[0] != state[1]).any()

    return lax.while_loop(changed, again, again((alive, alive)))[1]


def _at_most(threshold: float, dtype: Any) -> np.ndarray:
    """The largest number of this dtype that is not above the threshold: x > it ⟺ x > threshold."""
    dtype = np.float64 if dtype == jnp.float64 else np.float32
    rounded = np.asarray(threshold, dtype)
    if float(rounded) > float(threshold):
        rounded = np.nextafter(rounded, np.asarray(-np.inf, dtype))
    return rounded
