"""Greedy merging: boxes that agree become their mean, and their scores add up."""

from collections.abc import Sequence

import numpy as np


def greedy_merge(
    boxes: np.ndarray | Sequence[Sequence[float]],
    scores: np.ndarray | Sequence[float],
    *,
    threshold: float = 0.5,
) -> tuple[np.ndarray, np.ndarray]:
    """Merge the two boxes that match best, again and again, until none match well enough.

    A pair's match is d/D + 1 − IoU, d the distance of the centers and D the mean of both diagonals:
    0 for equal boxes, above 1 for boxes apart. The paper names the distance of the centers and the
    area of the intersection. A merged box is the mean of all boxes in it; its score is their sum,
    so that what many windows agree on outweighs what one is certain of. On the host, of the boxes
    of one class.

    Args:
        boxes: (n, 4), corners in pixels.
        scores: (n,).
        threshold: stop where the best match is above it.

    Returns:
        float64 (m, 4) and (m,), by falling score.

    Raises:
        ValueError: shapes that do not fit.

    Source: Sermanet et al., "OverFeat", 2013, section 4.3.

    >>> boxes, scores = greedy_merge([[0, 0, 8, 8], [1, 0, 9, 8], [30, 30, 40, 40]], [1, 2, 2.5])
    >>> boxes.tolist(), scores.tolist()
    ([[0.5, 0.0, 8.5, 8.0], [30.0, 30.0, 40.0, 40.0]], [3.0, 2.5])
    """
    boxes = np.array(boxes, np.float64).reshape(-1, 4)
    scores = np.array(scores, np.float64)
    if scores.shape != (len(boxes),):
        raise ValueError(f"scores: got shape {scores.shape}; expected ({len(boxes)},), as boxes")
    weights = np.ones(len(boxes))
    costs = np.array([_match(box, boxes) for box in boxes]).reshape(len(boxes), len(boxes))
    np.fill_diagonal(costs, np.inf)
    while len(boxes) > 1:
        a, b = sorted(np.unravel_index(costs.argmin(), costs.shape))
        if costs[a, b] > threshold:
            break
        total = weights[a] + weights[b]
        boxes[a] = (weights[a] * boxes[a] + weights[b] * boxes[b]) / total
        weights[a], scores[a] = total, scores[a] + scores[b]
        boxes, weights, scores = (np.delete(each, b, 0) for each in (boxes, weights, scores))
        costs = np.delete(np.delete(costs, b, 0), b, 1)
        costs[a] = costs[:, a] = _match(boxes[a], boxes)
        costs[a, a] = np.inf
    order = np.argsort(-scores, kind="stable")
    return boxes[order], scores[order]


def _match(box, boxes):
    """How badly a box matches each of several: 0 for an equal one."""
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    shared = np.maximum(sides, 0).prod(1)
    union = (box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(1) - shared
    overlap = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    centers = (box[:2] + box[2:] - boxes[:, :2] - boxes[:, 2:]) / 2
    diagonal = np.hypot(*(box[2:] - box[:2])) + np.hypot(*(boxes[:, 2:] - boxes[:, :2]).T)
    apart = np.hypot(*centers.T)
    far = np.divide(2 * apart, diagonal, out=np.zeros_like(apart), where=diagonal > 0)
    return far + 1 - overlap
