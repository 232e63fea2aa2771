"""What an annotation says of one image, and what can be wrong with it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxnets.errors import JaxnetsError

# A coordinate below this in a whole data set means fractions of the image's sides.
LARGEST_FRACTION = 1.0


class AnnotationError(JaxnetsError, ValueError):
    """Annotations that contradict themselves, their images, or their classes."""


class ImageObjects(NamedTuple):
    """One image and the n objects in it; readers of all formats make these.

    Attributes:
        path: the image file.
        size: its height and width in pixels.
        boxes: float32 (n, 4), corners in pixels, in continuous coordinates.
        labels: int32 (n,), class numbers.
        ignored: bool (n,), crowds and difficult objects.
        areas: float32 (n,), square pixels.
        masks: for each object its outline in any of COCO's ways, or (file, number) for the pixels
            of a number in an image; None without.
        keypoints: float32 (n, J, 3), x and y in pixels, and visibility; None without.
        image_id: the data set's own number.
        where: what messages call it.

    >>> boxes = np.array([[1.0, 2, 3, 4]], np.float32)
    >>> one = ImageObjects(Path("a.png"), (8, 8), boxes, np.zeros(1, np.int32))
    >>> len(one.boxes), one.image_id
    (1, 0)
    """

    path: Path
    size: tuple[int, int]
    boxes: np.ndarray
    labels: np.ndarray
    ignored: np.ndarray | None = None
    areas: np.ndarray | None = None
    masks: tuple[Any, ...] | None = None
    keypoints: np.ndarray | None = None
    image_id: int = 0
    where: str = ""


def check_objects(
    boxes: np.ndarray,
    labels: np.ndarray,
    *,
    num_classes: int,
    mask: np.ndarray | None = None,
    size: tuple[int, int] | None = None,
    where: str = "the annotations",
) -> None:
    """Refuse boxes and labels that no detector can be trained on; padding may hold anything.

    Args:
        boxes: (…, M, 4), corners in pixels.
        labels: (…, M), class numbers.
        num_classes: K.
        mask: (…, M), true for an object, false for padding.
        size: height and width of the image: if it has more than one pixel, boxes that all lie in
            0 … 1 are refused, as they are fractions.
        where: what the message calls them.

    Raises:
        AnnotationError: corners in the wrong order, numbers that are not finite, fractions instead
            of pixels, labels out of range, shapes that do not fit.

    >>> check_objects(np.array([[5.0, 0, 2, 3]]), np.array([0]), num_classes=2)
    Traceback (most recent call last):
    jaxnets.data.objects.AnnotationError: the annotations: box 0 is [5.0, 0.0, 2.0, 3.0], with
    x2 < x1; expected the corners x1, y1, x2, y2. jaxnets.ops.boxes.convert changes the format
    """
    boxes, labels = np.asarray(boxes, np.float64), np.asarray(labels)
    if boxes.shape[-1:] != (4,) or boxes.shape[:-1] != labels.shape:
        raise AnnotationError(
            f"{where}: boxes have shape {boxes.shape} and labels {labels.shape}; expected "
            "(…, M, 4) and (…, M)"
        )
    there = np.ones(labels.shape, bool) if mask is None else np.asarray(mask) != 0
    boxes, labels = boxes[there], labels[there]
    for number, box in enumerate(boxes):
        if not np.isfinite(box).all():
            raise AnnotationError(f"{where}: box {number} is {box.tolist()}; expected numbers")
        for axis, name in enumerate("xy"):
            if box[axis + 2] < box[axis]:
                raise AnnotationError(
                    f"{where}: box {number} is {box.tolist()}, with {name}2 < {name}1; expected "
                    "the corners x1, y1, x2, y2. jaxnets.ops.boxes.convert changes the format"
                )
    if size is not None and max(size) > 1:
        check_pixels(boxes, where)
    wrong = labels[(labels < 0) | (labels >= num_classes)]
    if len(wrong):
        raise AnnotationError(
            f"{where}: class number {wrong[0]}; expected 0 to {num_classes - 1}, as there are "
            f"{num_classes} classes"
        )


def check_pixels(boxes: np.ndarray, where: str) -> None:
    """Refuse boxes that are fractions of an image: all of them in 0 … 1, and some with an area.

    Args:
        boxes: (n, 4), corners.
        where: what the message calls them.

    >>> check_pixels(np.array([[0.1, 0.2, 0.5, 0.9]]), "a.json")
    Traceback (most recent call last):
    jaxnets.data.objects.AnnotationError: a.json: all boxes lie in 0 … 1, as fractions of the image
    do; expected pixels. jaxnets.ops.boxes.scale multiplies them by the image's size
    """
    if len(boxes) and boxes.max() <= LARGEST_FRACTION and (boxes[:, 2:] > boxes[:, :2]).any():
        raise AnnotationError(
            f"{where}: all boxes lie in 0 … 1, as fractions of the image do; expected pixels. "
            "jaxnets.ops.boxes.scale multiplies them by the image's size"
        )


def check_all(images: Sequence[ImageObjects], num_classes: int, where: str) -> None:
    """Refuse a data set with images that are missing or annotations that are wrong.

    Args:
        images: of the whole data set.
        num_classes: K.
        where: what the message calls the data set.

    Raises:
        AnnotationError: see `check_objects`; or files that are not there, the first of them named.

    >>> check_all([], 0, "train.json")
    Traceback (most recent call last):
    jaxnets.data.objects.AnnotationError: train.json: there are no classes; expected at least one
    """
    if num_classes == 0:
        raise AnnotationError(f"{where}: there are no classes; expected at least one")
    missing = [one.path for one in images if not one.path.is_file()]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise AnnotationError(
            f"{where} names the image {missing[0]}{more}, which isn't there; expected the file, or "
            "another folder of images"
        )
    for one in images:
        check_objects(
            one.boxes, one.labels, num_classes=num_classes, where=one.where or str(one.path)
        )
    boxes = [one.boxes for one in images if len(one.boxes) and max(one.size) > 1]
    if boxes:
        check_pixels(np.concatenate(boxes), where)
    counts = {one.keypoints.shape[1] for one in images if one.keypoints is not None}
    if len(counts) > 1:
        raise AnnotationError(
            f"{where}: objects have {' and '.join(map(str, sorted(counts)))} keypoints; expected "
            "one number for all"
        )


def class_number(name: Any, numbers: Mapping[Any, int], where: str) -> int:
    """The number of a class, or an error that names those there are.

    >>> class_number("dog", {"cat": 0}, "a.xml")
    Traceback (most recent call last):
    jaxnets.data.objects.AnnotationError: a.xml: class 'dog'; expected one of 'cat'
    """
    if name not in numbers:
        known = ", ".join(map(repr, list(numbers)[:30])) or "none: the categories are empty"
        raise AnnotationError(f"{where}: class {name!r}; expected one of {known}")
    return numbers[name]
