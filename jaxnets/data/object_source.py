"""Annotated images as batches of one shape: every image fitted into a canvas, objects padded."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from jaxnets.data.batch import Batch
from jaxnets.data.image_file import read_image
from jaxnets.data.object_masks import object_mask
from jaxnets.data.objects import AnnotationError, ImageObjects, check_all


class ObjectSource:
    """Images with boxes, and masks and keypoints where wanted, as a `Source`.

    Every image is scaled, its sides in proportion, until it just fits into the canvas, and lies in
    its upper left corner; the rest is 0. Boxes and keypoints move along; `to_original` takes what a
    detector found back. Objects are padded to ``max_objects``; an image without any is an example
    like the others.

    Args:
        images: what the annotations say; readers such as `read_coco` make them.
        class_names: K of them, in the order of the labels.
        size: (H, W) of the canvas, or the side of a square.
        max_objects: M; by default the largest number of objects in an image.
        masks: give ``masks (B, M, H, W)`` of the objects, uint8.
        ignored: also give crowds and difficult objects, marked in ``box_ignore``: evaluation wants
            them, training does not.
        where: what messages call the data set.
        joint_names: of the keypoints, where they have names.

    Raises:
        AnnotationError: annotations that are wrong (see `check_objects`), images that are missing,
            more objects than ``max_objects``.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.png"
    ...     Image.new("RGB", (20, 10)).save(path)
    ...     box = np.array([[2.0, 4, 20, 10]], np.float32)
    ...     one = ImageObjects(path, (10, 20), box, np.zeros(1, np.int32))
    ...     batch = ObjectSource([one], ["cat"], size=8, max_objects=2).take(np.array([0]))
    >>> batch["image"].shape, batch["box_mask"].tolist(), batch["boxes"][0, 0].round().tolist()
    ((1, 8, 8, 3), [[1.0, 0.0]], [1.0, 2.0, 8.0, 4.0])
    """

    def __init__(
        self,
        images: Sequence[ImageObjects],
        class_names: Sequence[str],
        *,
        size: int | tuple[int, int],
        max_objects: int | None = None,
        masks: bool = False,
        ignored: bool = False,
        where: str = "the data set",
        joint_names: Sequence[str] = (),
    ):
        self.class_names = tuple(class_names)
        check_all(images, len(self.class_names), where)
        self.size = (size, size) if isinstance(size, int) else tuple(size)
        if min(self.size) < 1:
            raise ValueError(f"size: got {size}; expected at least one pixel each way")
        self.images = tuple(one if ignored else _without_ignored(one) for one in images)
        most = max((len(one.boxes) for one in self.images), default=0)
        self.max_objects = max(most, 1) if max_objects is None else max_objects
        if most > self.max_objects:
            full = next(one for one in self.images if len(one.boxes) == most)
            raise AnnotationError(
                f"{full.path.name} has {most} objects; expected at most max_objects, "
                f"{self.max_objects}: raise it"
            )
        self.masks = masks
        bare = next((one for one in self.images if one.masks is None and len(one.boxes)), None)
        if masks and bare:
            raise AnnotationError(f"{bare.path.name} has no masks; use masks=False")
        self.joint_names = tuple(joint_names)
        self.joints = next(
            (one.keypoints.shape[1] for one in self.images if one.keypoints is not None), 0
        )
        self.info: Mapping[str, Any] = MappingProxyType(
            {"class_names": self.class_names, "num_classes": len(self.class_names)}
        )

    def __len__(self) -> int:
        return len(self.images)

    def take(self, rows: np.ndarray) -> Batch:
        """These examples as a batch: image, boxes, box_label, box_mask and what belongs to them.

        Args:
            rows: example numbers, (B,).

        Returns:
            ``image``, ``boxes`` in pixels of the canvas, ``box_label``, ``box_mask``,
            ``box_ignore``, ``box_area``, ``image_id``, ``image_size``; with masks ``masks``, with
            keypoints ``keypoints``.

        Raises:
            AnnotationError: an image has another size than its annotations say.
            JaxnetsError: a damaged image.
        """
        rows = np.asarray(rows)
        count, most, (height, width) = len(rows), self.max_objects, self.size
        batch: Batch = {
            "image": np.zeros((count, height, width, 3), np.uint8),
            "boxes": np.zeros((count, most, 4), np.float32),
            "box_label": np.zeros((count, most), np.int32),
            "box_mask": np.zeros((count, most), np.float32),
            "box_ignore": np.zeros((count, most), np.float32),
            "box_area": np.zeros((count, most), np.float32),
            "image_id": np.array([self.images[row].image_id for row in rows], np.int64),
            "image_size": np.array([self.images[row].size for row in rows], np.int32),
        }
        if self.masks:
            batch["masks"] = np.zeros((count, most, height, width), np.uint8)
        if self.joints:
            batch["keypoints"] = np.zeros((count, most, self.joints, 3), np.float32)
        for place, row in enumerate(rows):
            self._put(batch, place, self.images[row])
        return batch

    def _put(self, batch, place, one):
        image = read_image(one.path)
        if image.shape[:2] != one.size:
            raise AnnotationError(
                f"{one.path.name} has {image.shape[0]}×{image.shape[1]} pixels (height × width); "
                f"expected {one.size[0]}×{one.size[1]}, as its annotations say"
            )
        inside = fitted_size(one.size, self.size)
        batch["image"][place, : inside[0], : inside[1]] = resize(image, inside)
        factors = np.array([inside[1] / one.size[1], inside[0] / one.size[0]], np.float32)
        n = len(one.boxes)
        batch["boxes"][place, :n] = one.boxes * np.tile(factors, 2)
        batch["box_label"][place, :n] = one.labels
        batch["box_mask"][place, :n] = 1
        if one.ignored is not None:
            batch["box_ignore"][place, :n] = one.ignored
        areas = (one.boxes[:, 2:] - one.boxes[:, :2]).prod(1) if one.areas is None else one.areas
        batch["box_area"][place, :n] = areas
        if self.masks:
            for i in range(n):
                mask = object_mask(one.masks[i], one.size)
                batch["masks"][place, i, : inside[0], : inside[1]] = resize(
                    mask, inside, nearest=True
                )
        if one.keypoints is not None:
            batch["keypoints"][place, :n] = one.keypoints * np.append(factors, 1)


def to_original(boxes: np.ndarray, image_size: np.ndarray, canvas: tuple[int, int]) -> np.ndarray:
    """Boxes of a canvas in the pixels of the image as it was stored.

    Args:
        boxes: (B, D, 4), corners in pixels of the canvas.
        image_size: (B, 2), of the batch that the boxes were found in.
        canvas: (H, W), the source's ``size``.

    Returns:
        float32 (B, D, 4).

    >>> boxes = np.array([[[0.8, 1.6, 8.0, 4.0]]])
    >>> to_original(boxes, np.array([[10, 20]]), (8, 8)).tolist()
    [[[2.0, 4.0, 20.0, 10.0]]]
    """
    inside = [fitted_size((int(h), int(w)), canvas) for h, w in np.asarray(image_size)]
    factors = np.asarray(image_size, np.float64) / np.array(inside)
    return (np.asarray(boxes) * np.tile(factors[:, ::-1], 2)[:, None]).astype(np.float32)


def fitted_size(size: tuple[int, int], canvas: tuple[int, int]) -> tuple[int, int]:
    """Height and width of an image scaled to just fit into a canvas, to whole pixels.

    >>> fitted_size((10, 20), (8, 8))
    (4, 8)
    """
    factor = min(canvas[0] / size[0], canvas[1] / size[1])
    height, width = (max(1, min(c, round(s * factor))) for s, c in zip(size, canvas, strict=True))
    return height, width


def resize(image: np.ndarray, size: tuple[int, int], *, nearest: bool = False) -> np.ndarray:
    """An image, or with ``nearest`` a mask, at another size in pixels.

    >>> [resize(np.zeros((4, 4, c), np.uint8), (2, 3)).shape for c in (3, 1)]
    [(2, 3, 3), (2, 3, 1)]
    """
    if image.shape[:2] == size:
        return image
    if image.ndim == 3 and image.shape[2] == 1:  # Pillow's gray images have two axes
        return resize(image[..., 0], size, nearest=nearest)[..., None]
    from PIL import Image

    method = Image.Resampling.NEAREST if nearest else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(image).resize((size[1], size[0]), method))


def _without_ignored(one):
    if one.ignored is None or not one.ignored.any():
        return one
    kept = ~one.ignored
    return one._replace(
        boxes=one.boxes[kept],
        labels=one.labels[kept],
        ignored=one.ignored[kept],
        areas=None if one.areas is None else one.areas[kept],
        masks=None
        if one.masks is None
        else tuple(m for m, k in zip(one.masks, kept, strict=True) if k),
        keypoints=None if one.keypoints is None else one.keypoints[kept],
    )
