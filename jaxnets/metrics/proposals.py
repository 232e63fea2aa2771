"""How many objects are among the first boxes that something proposes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxnets.metrics.collected import overlaps, real_images


def proposal_recall(
    batches: Sequence[tuple[Mapping[str, Any], Any]],
    counts: Sequence[int],
    *,
    overlap: float = 0.5,
) -> dict[int, float]:
    """The share of objects that one of the best n proposals of their image overlaps enough.

    Args:
        batches: pairs of what is there and what is proposed, padded: see
            `jaxnets.metrics.CocoEvaluator.add`.
        counts: numbers n.
        overlap: an object is found from this IoU on.

    Returns:
        n → recall; NaN where there are no objects.

    Raises:
        ValueError: shapes that do not fit.

    Source: Hosang, Benenson, Dollár, Schiele, "What makes for effective detection proposals?",
    2015, section 4.

    >>> box = np.array([[[0.0, 0, 4, 4], [4.0, 4, 8, 8]]])
    >>> truth = {"boxes": box, "box_label": np.zeros((1, 2), int), "box_mask": np.ones((1, 2))}
    >>> found = {"boxes": box, "scores": np.array([[0.2, 0.9]]), "mask": np.ones((1, 2), bool)}
    >>> proposal_recall([(truth, found | {"labels": np.zeros((1, 2), int)})], [1, 2])
    {1: 0.5, 2: 1.0}
    """
    ranks: list[np.ndarray] = []
    for truth, found in batches:
        for true, seen in real_images(truth, found):
            order = np.argsort(-seen["scores"], kind="stable")
            hit = overlaps(true["boxes"], seen["boxes"][order]) >= overlap
            # A column behind the last stands for "never".
            hit = np.concatenate([hit, np.ones((len(hit), 1), bool)], 1)
            first = hit.argmax(1)
            ranks.append(np.where(first < len(order), first, np.iinfo(np.int64).max))
    every = np.concatenate(ranks) if ranks else np.zeros(0, np.int64)
    return {n: float((every < n).mean()) if len(every) else float("nan") for n in counts}
