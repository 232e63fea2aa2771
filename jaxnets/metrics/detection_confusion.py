"""The confusion matrix of a detector, with a row and a column for the background."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxnets.metrics.collected import check_labels, overlaps, real_images


def detection_confusion(
    truth: Mapping[str, Any],
    found: Any,
    num_classes: int,
    *,
    threshold: float = 0.5,
    min_score: float = 0.25,
) -> np.ndarray:
    """Count which class every object was detected as, whatever the class.

    Of all pairs with an IoU above ``threshold`` the one with the largest is taken first; each
    object and each detection is in one pair at most. An object without a pair was detected as
    background, and what a detection without a pair stands for is background. Objects marked in
    ``box_ignore`` are not counted, nor is a detection that overlaps one of them and no other.

    Args:
        truth: boxes, box_label, box_mask and perhaps box_ignore of a batch, padded.
        found: boxes, scores, labels, mask: `jaxnets.ops.boxes.Detections` of a batch, or a mapping.
        num_classes: K.
        threshold: of IoU.
        min_score: detections with a score below it are left out.

    Returns:
        int64 (K + 1, K + 1), true classes in rows and detected ones in columns, background last.
        Matrices of batches may be added; rows but the last sum to the numbers of objects.

    Raises:
        ValueError: a key is missing, or a label is no class number.

    >>> box = np.array([[[0.0, 0, 4, 4]]])
    >>> truth = {"boxes": box, "box_label": np.array([[0]]), "box_mask": np.array([[1]])}
    >>> found = {"boxes": box, "scores": np.array([[0.9]]), "labels": np.array([[1]])}
    >>> detection_confusion(truth, found | {"mask": np.array([[True]])}, 2).tolist()
    [[0, 1, 0], [0, 0, 0], [0, 0, 0]]
    """
    matrix = np.zeros((num_classes + 1, num_classes + 1), np.int64)
    for true, seen in real_images(truth, found):
        check_labels("box_label", true["box_label"], num_classes)
        check_labels("labels", seen["labels"], num_classes)
        ignored = np.asarray(true.get("box_ignore", np.zeros(len(true["boxes"])))) != 0
        sure = seen["scores"] >= min_score
        corners, labels = seen["boxes"][sure], seen["labels"][sure]
        overlap = overlaps(true["boxes"], corners)
        pairs = _pairs(np.where(ignored[:, None], 0.0, overlap), threshold)
        rows, columns = [i for i, _ in pairs], [j for _, j in pairs]
        np.add.at(matrix, (true["box_label"][rows], labels[columns]), 1)
        missed = ~ignored
        missed[rows] = False
        np.add.at(matrix, (true["box_label"][missed], num_classes), 1)
        free = ~(overlap[ignored] > threshold).any(0)
        free[columns] = False
        np.add.at(matrix, (num_classes, labels[free]), 1)
    return matrix


def _pairs(overlap, threshold):
    """(row, column) of the largest entries above the threshold, each row and column once."""
    rows, columns = np.nonzero(overlap > threshold)
    # Equal overlaps are taken in the order of rows, then columns.
    order = np.argsort(-overlap[rows, columns], kind="stable")
    pairs: list[tuple[int, int]] = []
    used_rows: set[int] = set()
    used_columns: set[int] = set()
    for i, j in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if i not in used_rows and j not in used_columns:
            pairs.append((i, j))
            used_rows.add(i)
            used_columns.add(j)
    return pairs
