"""From scores on several maps to detections: the best of each map, then suppression by class."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.ops import boxes


def best_of_levels(
    scores: Sequence[jax.Array],
    offsets: Sequence[jax.Array],
    anchors: Sequence[jax.Array],
    size: jax.Array,
    decode: Callable[[jax.Array, jax.Array], jax.Array],
    *,
    threshold: float,
    min_score: float,
    candidates: int,
    max_outputs: int,
) -> boxes.Detections:
    """Detections of a batch, as dense detectors select them.

    Args:
        scores: of each map (N, P, K), without background.
        offsets: of each map (N, P, 4).
        anchors: of each map (P, 4), corners in pixels.
        size: (2,), height and width of the images.
        decode: (offsets (n, 4), anchors (n, 4)) → boxes.
        threshold: suppress a box when its IoU with a better one of its class is above it.
        min_score: a detection's score is above it.
        candidates: how many of each map, of all classes together, enter the suppression.
        max_outputs: D, how many detections of an image there are at most.

    Returns:
        `jaxnets.ops.boxes.Detections`, (N, D, …); labels from 0.

    Source: Lin et al., "Focal Loss for Dense Object Detection", 2017, section 4.1, "Inference".

    >>> found = best_of_levels(
    ...     [jnp.array([[[0.9]]])], [jnp.zeros((1, 1, 4))], [jnp.array([[0.0, 0, 4, 4]])],
    ...     jnp.full(2, 8.0), boxes.decode, threshold=0.5, min_score=0.1, candidates=9,
    ...     max_outputs=2)
    >>> found.mask.tolist()
    [[True, False]]
    """

    def one(scores, offsets):
        parts, start = [], 0
        for each, moved, own in zip(scores, offsets, anchors, strict=True):
            # XLA's top-k on CPU is quick about equal numbers, and most scores are next to nothing.
            likely = jnp.where(each > min_score, each, -jnp.inf)
            best, place = lax.top_k(likely.ravel(), min(candidates, each.size))
            anchor, label = place // each.shape[1], place % each.shape[1]
            corners = boxes.clip(decode(moved[anchor], own[anchor]), (size[0], size[1]))
            parts.append((corners, best, label.astype(jnp.int32), anchor + start))
            start += len(own)
        corners, best, labels, index = (jnp.concatenate(p) for p in zip(*parts, strict=True))
        kept = boxes.nms(
            corners,
            best,
            threshold,
            classes=labels,
            mask=best > min_score,
            max_outputs=max_outputs,
        )

        def chosen(values):
            there = kept.mask.reshape(kept.mask.shape + (1,) * (values.ndim - 1))
            return jnp.where(there, values[kept.index], jnp.zeros((), values.dtype))

        return boxes.Detections(
            chosen(corners),
            chosen(best),
            chosen(labels),
            kept.mask,
            chosen(index.astype(jnp.int32)),
        )

    return boxes.each_image(one, tuple(scores), tuple(offsets))
