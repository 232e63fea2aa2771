"""Annotated objects as small images to classify: each object's box, and as many boxes without."""

from pathlib import Path
from typing import Any

import numpy as np

from jaxnets.data import Dataset, ObjectSource, Split, load_objects
from jaxnets.data.object_source import fitted_size
from jaxnets.errors import JaxnetsError

BACKGROUND = "background"
# A box counts as free of objects if it covers no more than this share of any, and of itself.
FREE = 0.1
TRIES = 100


def load_object_crops(
    folder: Path | str, *, side: int = 32, canvas: int = 288, seed: int = 0
) -> Dataset:
    """A data set for classifiers out of one for detectors.

    Every object is cut out, resized to a square; beside it a box of the same size from the same
    image that holds no object is cut out as "background". Images in which no such box is found
    after some tries give none.

    Args:
        folder: with the splits "train" and "test" of `jaxnets.data.load_objects`.
        side: of the squares, in pixels.
        canvas: images are fitted into a square of this side first.
        seed: of the places of the background.

    Returns:
        The objects' classes, and "background" as the last one; images uint8 (side, side, 3).

    Raises:
        JaxnetsError: no such folder, or a split without objects.

    >>> load_object_crops("/nowhere")
    Traceback (most recent call last):
    jaxnets.data.objects.AnnotationError: there is no folder /nowhere
    """
    random = np.random.default_rng(seed)
    splits: list[Split] = []
    names: tuple[str, ...] = ()
    for name in ("train", "test"):
        source = load_objects(folder, name, size=canvas)
        names = (*source.class_names, BACKGROUND)
        splits.append(_crops(source, side, len(names) - 1, random))
        if not len(splits[-1]):
            raise JaxnetsError(f"{folder}: no object in the split {name!r}")
    train, test = splits
    return Dataset(f"objects of {Path(folder).name}", train, test, names, (side, side, 3))


def _crops(source: ObjectSource, side: int, background: int, random: Any) -> Split:
    images, labels = [], []
    for row in range(len(source)):
        example = source.take(np.array([row]))
        height, width = fitted_size(tuple(map(int, example["image_size"][0])), source.size)
        # Without what fills the canvas: it would give the background away.
        image = np.asarray(example["image"][0])[:height, :width]
        mask = np.asarray(example["box_mask"][0]) > 0
        boxes = np.asarray(example["boxes"][0])[mask]
        for box, label in zip(boxes, np.asarray(example["box_label"][0])[mask], strict=True):
            images.append(_cut(image, box, side))
            labels.append(int(label))
            free = _free_box(image.shape, box, boxes, random)
            if free is not None:
                images.append(_cut(image, free, side))
                labels.append(background)
    stacked = np.stack(images) if images else np.zeros((0, side, side, 3), np.uint8)
    return Split(stacked, np.asarray(labels, np.int32))


def _cut(image: np.ndarray, box: np.ndarray, side: int) -> np.ndarray:
    from PIL import Image

    left, top = np.floor(box[:2]).astype(int).clip(0)
    right, bottom = np.maximum(np.ceil(box[2:]).astype(int), (left + 1, top + 1))
    part = image[top:bottom, left:right]
    return np.asarray(Image.fromarray(part).resize((side, side), Image.Resampling.BILINEAR))


def _free_box(
    shape: tuple[int, ...], like: np.ndarray, boxes: np.ndarray, random: Any
) -> np.ndarray | None:
    """A box of the size of ``like`` somewhere in the image where no object is."""
    size = like[2:] - like[:2]
    room = np.array([shape[1], shape[0]]) - size
    if (room < 0).any() or (size < 1).any():
        return None
    for _ in range(TRIES):
        corner = random.uniform(0, room)
        found = np.concatenate([corner, corner + size])
        low, high = np.maximum(found[:2], boxes[:, :2]), np.minimum(found[2:], boxes[:, 2:])
        shared = np.prod(np.maximum(high - low, 0), axis=1)
        own = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
        if (shared <= FREE * np.minimum(own, np.prod(size))).all():
            return found
    return None
