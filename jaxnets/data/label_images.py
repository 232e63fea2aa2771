"""Semantic segmentation: a folder of images and one of their label images."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from jaxnets.data.batch import Batch
from jaxnets.data.image_file import read_image
from jaxnets.data.object_masks import read_numbers
from jaxnets.data.object_source import fitted_size, resize
from jaxnets.data.objects import AnnotationError
from jaxnets.data.yolo_files import list_images


class LabelImageSource:
    """Images with the class number of every pixel, as a `Source`.

    Every image is scaled, its sides in proportion, until it just fits into the canvas, and lies in
    its upper left corner; its labels go along, each the nearest one, and are void elsewhere.

    Args:
        images: the folder of images.
        labels: the folder of label images, one channel or a palette, named as the images; it may be
            the same folder if the images have another suffix.
        classes: names in the order of the class numbers.
        size: (H, W) of the canvas, or the side of a square.
        void: the number of pixels that do not count, outside of 0 … K−1.

    Raises:
        AnnotationError: folders, images or label images that are missing, no classes, a void number
            that is a class.

    Source: Everingham et al., "The PASCAL Visual Object Classes Challenge", 2010, section 2.3.

    >>> LabelImageSource("/nowhere", "/nowhere", ["road"], size=64)
    Traceback (most recent call last):
    jaxnets.data.objects.AnnotationError: there is no folder /nowhere
    """

    def __init__(
        self,
        images: Path | str,
        labels: Path | str,
        classes: Sequence[str],
        *,
        size: int | tuple[int, int],
        void: int = 255,
    ):
        for folder in (Path(images), Path(labels)):
            if not folder.is_dir():
                raise AnnotationError(f"there is no folder {folder}")
        self.class_names = tuple(classes)
        if not self.class_names:
            raise AnnotationError("classes: there are none; expected at least one")
        if 0 <= void < len(self.class_names):
            raise AnnotationError(
                f"void: got {void}, which is class {self.class_names[void]!r}; expected a number "
                f"from {len(self.class_names)} on, or below 0"
            )
        self.size = (size, size) if isinstance(size, int) else tuple(size)
        self.void = void
        same = Path(images).resolve() == Path(labels).resolve()
        paths = [p for p in list_images(Path(images)) if not (same and p.suffix == ".png")]
        if not paths:
            raise AnnotationError(f"{images}: there are no images")
        self.pairs = tuple((path, Path(labels) / f"{path.stem}.png") for path in paths)
        missing = [label for _, label in self.pairs if not label.is_file()]
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise AnnotationError(
                f"{missing[0]}{more} isn't there; expected a label image for each image"
            )
        self.info: Mapping[str, Any] = MappingProxyType(
            {"class_names": self.class_names, "num_classes": len(self.class_names), "void": void}
        )

    def __len__(self) -> int:
        return len(self.pairs)

    def take(self, rows: np.ndarray) -> Batch:
        """These examples as a batch.

        Args:
            rows: example numbers, (B,).

        Returns:
            ``image`` uint8 (B, H, W, 3), ``masks`` int32 (B, H, W) and ``image_size`` (B, 2).

        Raises:
            AnnotationError: a label image of another size than its image, or with a number that is
                neither a class nor void.
            JaxnetsError: a damaged file.
        """
        rows = np.asarray(rows)
        batch: Batch = {
            "image": np.zeros((len(rows), *self.size, 3), np.uint8),
            "masks": np.full((len(rows), *self.size), self.void, np.int32),
            "image_size": np.zeros((len(rows), 2), np.int32),
        }
        for place, row in enumerate(rows):
            path, label_path = self.pairs[row]
            image, labels = read_image(path), read_numbers(label_path)
            if labels.shape != image.shape[:2]:
                raise AnnotationError(
                    f"{label_path.name} has {labels.shape[0]}×{labels.shape[1]} pixels; expected "
                    f"{image.shape[0]}×{image.shape[1]}, those of {path.name}"
                )
            wrong = labels[
                ((labels < 0) | (labels >= len(self.class_names))) & (labels != self.void)
            ]
            if wrong.size:
                raise AnnotationError(
                    f"{label_path.name} holds the number {wrong[0]}; expected 0 to "
                    f"{len(self.class_names) - 1}, or void, {self.void}"
                )
            inside = fitted_size(labels.shape, self.size)
            batch["image"][place, : inside[0], : inside[1]] = resize(image, inside)
            batch["masks"][place, : inside[0], : inside[1]] = resize(labels, inside, nearest=True)
            batch["image_size"][place] = labels.shape
        return batch
