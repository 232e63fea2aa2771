"""PASCAL VOC's average precision: of 2007, by eleven points, and of 2010, by the area."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxnets.metrics.collected import check_labels, class_names, overlaps, real_images

METHODS = ("area", "11point")


def average_precision(recall: np.ndarray, precision: np.ndarray, *, method: str = "area") -> float:
    """The area below the curve of precision over recall, made monotonous from the right.

    "area" (VOC 2010 and later): ∫ max{p(r') : r' ≥ r} dr, exactly. "11point" (VOC 2007): its mean
    at r = 0, .1, …, 1.

    Args:
        recall: (n,), not falling.
        precision: (n,).
        method: "area" or "11point".

    Returns:
        a number in [0, 1]; 0 for an empty curve.

    Raises:
        ValueError: an unknown method, or shapes that differ.

    Source: Everingham et al., "The PASCAL Visual Object Classes Challenge", 2010, section 4.2, and
    the development kit of VOC 2010, section 3.4.1.

    >>> recall, precision = np.array([0.5, 0.5, 1.0]), np.array([1.0, 0.5, 2 / 3])
    >>> round(average_precision(recall, precision), 4)
    0.8333
    """
    if method not in METHODS:
        raise ValueError(f"method: got {method!r}; expected area or 11point")
    recall, precision = np.asarray(recall, np.float64), np.asarray(precision, np.float64)
    if recall.shape != precision.shape or recall.ndim != 1:
        raise ValueError(f"precision: got shape {precision.shape}; expected that of recall, (n,)")
    if method == "11point":
        points = np.arange(0.0, 1.1, 0.1)
        best = [precision[recall >= p].max() if (recall >= p).any() else 0.0 for p in points]
        return float(np.mean(best))
    recall = np.concatenate([[0.0], recall, [1.0]])
    envelope = np.maximum.accumulate(np.concatenate([[0.0], precision, [0.0]])[::-1])[::-1]
    steps = np.flatnonzero(recall[1:] != recall[:-1])
    return float(((recall[steps + 1] - recall[steps]) * envelope[steps + 1]).sum())


class VocEvaluator:
    """Collects batches of true and found objects, then measures them as PASCAL VOC does.

    By falling score, a detection counts if the object of its class that it overlaps most overlaps
    it by more than ``threshold`` and was not found before; ``box_ignore`` marks difficult objects,
    which are neither to be found nor wrong to find. Boxes are in continuous coordinates: what VOC
    writes as x1, y1, x2, y2 is x1 − 1, y1 − 1, x2, y2 here, and then IoU is the same number.

    Args:
        classes: how many there are, or their names.
        threshold: of IoU.
        method: as of `average_precision`.

    Raises:
        ValueError: no classes, or an unknown method.

    Source: Everingham et al., "The PASCAL Visual Object Classes Challenge", 2010, section 4.2.

    >>> evaluator = VocEvaluator(["cat", "dog"])
    >>> box = np.array([[[0.0, 0, 4, 4]]])
    >>> truth = {"boxes": box, "box_label": np.array([[1]]), "box_mask": np.array([[1]])}
    >>> found = {"boxes": box, "scores": np.array([[0.9]]), "labels": np.array([[1]])}
    >>> evaluator.add(truth, found | {"mask": np.array([[True]])})
    >>> evaluator.summarize()
    {'mAP': 1.0, 'AP/cat': nan, 'AP/dog': 1.0}
    """

    def __init__(
        self, classes: int | Sequence[str], *, threshold: float = 0.5, method: str = "area"
    ):
        self.class_names = class_names(classes)
        if method not in METHODS:
            raise ValueError(f"method: got {method!r}; expected area or 11point")
        self.threshold, self.method = threshold, method
        self._images: list[tuple[dict, dict]] = []

    def add(self, truth: Mapping[str, Any], found: Any) -> None:
        """Add the images of a batch; padding, of examples too, is left out.

        Args:
            truth: of `jaxnets.data.BATCH_KEYS`: boxes, box_label, box_mask and perhaps box_ignore.
            found: boxes, scores, labels, mask: `jaxnets.ops.boxes.Detections` of a batch, or a
                mapping.
        """
        for true, seen in real_images(truth, found):
            check_labels("box_label", true["box_label"], len(self.class_names))
            check_labels("labels", seen["labels"], len(self.class_names))
            self._images.append((true, seen))

    def curve(self, label: int) -> tuple[np.ndarray, np.ndarray]:
        """Recall and precision of a class after each of its detections, by falling score.

        Args:
            label: the class number.

        Returns:
            two float64 arrays (n,); recall is NaN where there is nothing to find.
        """
        wanted, scores, hits, counted = 0, [], [], []
        for true, seen in self._images:
            mine, theirs = true["box_label"] == label, seen["labels"] == label
            difficult = np.asarray(true.get("box_ignore", np.zeros(len(mine))))[mine] != 0
            wanted += int((~difficult).sum())
            order = np.argsort(-seen["scores"][theirs], kind="stable")
            overlap = overlaps(seen["boxes"][theirs][order], true["boxes"][mine])
            free = np.ones(len(difficult), bool)
            for row, score in zip(overlap, seen["scores"][theirs][order], strict=True):
                best = int(row.argmax()) if len(row) else -1
                enough = best >= 0 and row[best] > self.threshold
                scores.append(float(score))
                counted.append(not (enough and difficult[best]))
                hits.append(bool(enough and not difficult[best] and free[best]))
                if enough:
                    free[best] = False
        order = np.argsort(-np.array(scores), kind="stable")
        hit = np.array(hits, bool)[order]
        miss = (np.array(counted, bool) & ~np.array(hits, bool))[order]
        found, wrong = np.cumsum(hit, dtype=np.float64), np.cumsum(miss, dtype=np.float64)
        recall = found / wanted if wanted else np.full(len(found), np.nan)
        return recall, found / np.maximum(found + wrong, np.finfo(np.float64).eps)

    def summarize(self) -> dict[str, float]:
        """mAP and ``AP/name`` of each class; NaN, left out of mAP, where nothing is to be found."""
        values = {}
        for label, name in enumerate(self.class_names):
            wanted = any(
                ((t["box_label"] == label) & (t.get("box_ignore", 0) == 0)).any()
                for t, _ in self._images
            )
            curve = self.curve(label) if wanted else None
            values[f"AP/{name}"] = (
                average_precision(*curve, method=self.method) if curve else float("nan")
            )
        known = [value for value in values.values() if not np.isnan(value)]
        return {"mAP": float(np.mean(known)) if known else float("nan"), **values}
