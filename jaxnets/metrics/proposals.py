"""How well proposals cover the objects of images: best overlaps, recall among the first."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxnets.metrics.collected import overlaps, real_images


class ProposalQuality(NamedTuple):
    """How well boxes that were proposed cover the objects of a data set.

    Attributes:
        mean_best_overlap: of each object the largest IoU with a proposal, averaged over the objects
            of each class, then over the classes: MABO.
        recall: share of the objects with a proposal of that IoU.
        proposals: how many there are, a mean over the images.

    >>> ProposalQuality(0.8, 0.9, 100.0).recall
    0.9
    """

    mean_best_overlap: float
    recall: float
    proposals: float


def proposal_quality(
    proposals: Sequence[np.ndarray],
    boxes: Sequence[np.ndarray],
    labels: Sequence[np.ndarray] | None = None,
    *,
    threshold: float = 0.5,
) -> ProposalQuality:
    """Measure the proposals of several images.

    Args:
        proposals: of each image (P, 4), corners in pixels.
        boxes: of each image (n, 4), its objects; none is an ordinary case.
        labels: of each image integer (n,), their classes; None: all of one.
        threshold: of IoU, from which on an object counts as found.

    Returns:
        `ProposalQuality`; NaN where there is no object at all.

    Raises:
        ValueError: lists of different lengths.

    Source: Uijlings et al., "Selective Search for Object Recognition", 2013, section 5, equation 7.

    >>> objects = [np.array([[0.0, 0, 4, 4], [4, 4, 8, 8]])]
    >>> quality = proposal_quality([np.array([[0.0, 0, 4, 2], [4, 4, 8, 8]])], objects)
    >>> quality.mean_best_overlap, quality.recall
    (0.75, 1.0)
    """
    labels = [np.zeros(len(each), int) for each in boxes] if labels is None else labels
    if not len(proposals) == len(boxes) == len(labels):
        raise ValueError(
            f"proposals, boxes, labels: got {len(proposals)}, {len(boxes)} and {len(labels)}; "
            "expected one for each image"
        )
    best = [np.zeros(0)]
    for given, true in zip(proposals, boxes, strict=True):
        both = (np.asarray(each, np.float64).reshape(-1, 4) for each in (true, given))
        best.append(overlaps(*both).max(1, initial=0.0))
    values = np.concatenate(best)
    if not len(values):
        return ProposalQuality(np.nan, np.nan, float(np.mean([len(each) for each in proposals])))
    classes = np.concatenate([np.asarray(each) for each in labels])
    means = [values[classes == label].mean() for label in np.unique(classes)]
    count = float(np.mean([len(each) for each in proposals]))
    return ProposalQuality(float(np.mean(means)), float((values >= threshold).mean()), count)


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
