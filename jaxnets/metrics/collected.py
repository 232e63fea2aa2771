"""Padded batches of true and found objects, taken apart into images."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

Arrays = Mapping[str, Any]


def real_images(truth: Arrays, found: Arrays) -> Iterator[tuple[dict, dict]]:
    """For each real example of a batch its true and its found objects, without padding.

    Args:
        truth: ``boxes (B, M, 4)``, ``box_label (B, M)``, ``box_mask (B, M)``; where they exist also
            ``box_ignore``, ``box_area``, ``masks``, ``keypoints`` and ``example_mask (B,)``.
        found: ``boxes (B, D, 4)``, ``scores``, ``labels`` and ``mask``, all (B, D), as
            `jaxnets.ops.boxes.Detections` has them; where they exist ``masks`` and ``keypoints``.

    Returns:
        An iterator over pairs of dicts of NumPy arrays, (m, …) and (d, …).

    Raises:
        ValueError: a key is missing, numbers of images differ, or a score is not finite.

    >>> truth = {"boxes": np.zeros((1, 2, 4)), "box_label": np.zeros((1, 2), int)}
    >>> truth["box_mask"] = np.array([[1, 0]])
    >>> found = {"boxes": np.zeros((1, 3, 4)), "scores": np.ones((1, 3))}
    >>> found |= {"labels": np.zeros((1, 3), int), "mask": np.zeros((1, 3), bool)}
    >>> [(len(a["boxes"]), len(b["boxes"])) for a, b in real_images(truth, found)]
    [(1, 0)]
    """
    if hasattr(found, "_asdict"):
        found = found._asdict()
    _require("truth", truth, ("boxes", "box_label", "box_mask"))
    _require("found", found, ("boxes", "scores", "labels", "mask"))
    true = {k: np.asarray(truth[k]) for k in TRUTH if truth.get(k) is not None}
    seen = {k: np.asarray(found[k]) for k in FOUND if found.get(k) is not None}
    images = len(true["boxes"])
    lengths = {len(array) for array in (*true.values(), *seen.values())}
    if lengths != {images}:
        raise ValueError(f"found: got arrays of {sorted(lengths)} images; expected {images} each")
    there = np.asarray(truth.get("example_mask", np.ones(images))) != 0
    for i in np.flatnonzero(there):
        objects, detections = true["box_mask"][i] != 0, seen["mask"][i] != 0
        a = {k: array[i][objects] for k, array in true.items()}
        b = {k: array[i][detections] for k, array in seen.items()}
        if not np.isfinite(b["scores"]).all():
            raise ValueError("found: a score is not a finite number; has training diverged?")
        yield a, b


TRUTH = ("boxes", "box_label", "box_mask", "box_ignore", "box_area", "masks", "keypoints")
FOUND = ("boxes", "scores", "labels", "mask", "masks", "keypoints")


def check_labels(name: str, labels: np.ndarray, num_classes: int) -> None:
    """Raise a ValueError unless all are class numbers.

    Args:
        name: of the argument, for the message.
        labels: integers.
        num_classes: K.

    >>> check_labels("box_label", np.array([0, 7]), 3)
    Traceback (most recent call last):
    ValueError: box_label: got class number 7; expected 0 to 2, as there are 3 classes
    """
    wrong = labels[(labels < 0) | (labels >= num_classes)]
    if len(wrong):
        raise ValueError(
            f"{name}: got class number {wrong[0]}; expected 0 to {num_classes - 1}, as there are "
            f"{num_classes} classes"
        )


def overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU of boxes (N, 4) with boxes (M, 4) in float64, (N, M); 0/0 is 0.

    >>> overlaps(np.array([[0, 0, 2, 2]]), np.array([[1, 0, 3, 2]])).round(3).tolist()
    [[0.333]]
    """
    return overlaps_in_turn(np.asarray(a)[:, None], np.asarray(b)[None])


def overlaps_in_turn(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """IoU of each box (…, 4) with its partner (…, 4) in float64, (…); 0/0 is 0.

    >>> overlaps_in_turn(np.array([[0, 0, 2, 2]]), np.array([[1, 0, 3, 2]])).round(3).tolist()
    [0.333]
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = np.maximum(sides, 0).prod(-1)
    areas = [np.maximum(x[..., 2:] - x[..., :2], 0).prod(-1) for x in (a, b)]
    union = areas[0] + areas[1] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def class_names(classes: int | Sequence[str]) -> tuple[str, ...]:
    """Names of classes: those given, or their numbers.

    >>> class_names(2), class_names(["cat"])
    (('0', '1'), ('cat',))
    """
    if isinstance(classes, int):
        classes = [str(i) for i in range(classes)]
    if not classes:
        raise ValueError("classes: got none; expected at least one class to measure")
    return tuple(classes)


def _require(name, given, keys):
    missing = [key for key in keys if given.get(key) is None]
    if missing:
        raise ValueError(f"{name}: got {sorted(given)}; expected {', '.join(missing)} as well")
