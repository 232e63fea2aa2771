"""YOLO's text files: one an image, one object a line, in fractions of the image."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxnets.data.object_source import ObjectSource
from jaxnets.data.objects import AnnotationError, ImageObjects
from jaxnets.errors import JaxnetsError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".tif", ".tiff")
# Fractions are rounded when they are written.
SLACK = 1e-3


def read_yolo(
    images: Path | str,
    labels: Path | str,
    classes: Sequence[str] | Path | str,
    *,
    size: int | tuple[int, int],
    max_objects: int | None = None,
    masks: bool = False,
) -> ObjectSource:
    """Images with objects from a folder of text files as YOLO reads them.

    A line is ``class x y width height``, the center and the sides as fractions of the image; or
    ``class x y x y …``, a polygon. An image without a file, or with an empty one, has no objects.

    Args:
        images: the folder of images.
        labels: the folder of text files, named as the images.
        classes: names in the order of the class numbers, or a file with one a line.
        size: (H, W) of the canvas that images are fitted into, or the side of a square.
        max_objects: M; by default the largest number of objects in an image.
        masks: also give ``masks``; every line must be a polygon.

    Returns:
        An `ObjectSource`.

    Raises:
        AnnotationError: folders or images that are missing, lines of other lengths, pixels instead
            of fractions, class numbers out of range, polygons with fewer than three points.

    Source: Redmon, Divvala, Girshick, Farhadi, "You Only Look Once", 2016; the format of darknet.

    >>> read_yolo("/nowhere", "/nowhere", ["cat"], size=64)
    Traceback (most recent call last):
    jaxnets.data.objects.AnnotationError: there is no folder /nowhere
    """
    for folder in (Path(images), Path(labels)):
        if not folder.is_dir():
            raise AnnotationError(f"there is no folder {folder}")
    if isinstance(classes, Path | str):
        classes = [line.strip() for line in Path(classes).read_text().splitlines() if line.strip()]
    paths = list_images(Path(images))
    if not paths:
        raise AnnotationError(f"{images}: there are no images")
    found = [
        _read(path, Path(labels) / f"{path.stem}.txt", len(classes), masks, number)
        for number, path in enumerate(paths)
    ]
    return ObjectSource(
        found, classes, size=size, max_objects=max_objects, masks=masks, where=str(labels)
    )


def list_images(folder: Path) -> list[Path]:
    """The images of a folder, in the order of their names.

    >>> list_images(Path("/nowhere"))
    []
    """
    return sorted(p for p in folder.glob("*") if p.suffix.lower() in IMAGE_SUFFIXES)


def image_size(path: Path) -> tuple[int, int]:
    """Height and width of an image as it is seen, upright, from the head of its file.

    Raises:
        JaxnetsError: Pillow can't read it.

    >>> image_size(Path("/nowhere/a.png"))
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: can't read the image /nowhere/a.png: ...
    """
    from PIL import Image

    try:
        with Image.open(path) as file:
            width, height = file.size
            turned = file.getexif().get(0x0112, 1) in (5, 6, 7, 8)
    except Exception as error:  # damaged files make Pillow's decoders raise nearly anything
        reason = str(error) or type(error).__name__
        raise JaxnetsError(f"can't read the image {path}: {reason}") from error
    return (width, height) if turned else (height, width)


def _read(path, text_path, num_classes, masks, image_id):
    height, width = size = image_size(path)
    boxes, labels, outlines = [], [], []
    lines = text_path.read_text().splitlines() if text_path.is_file() else []
    for number, line in enumerate(lines, 1):
        where = f"{text_path.name}, line {number}"
        try:
            values = [float(word) for word in line.split()]
        except ValueError:
            raise AnnotationError(f"{where}: {line.strip()!r}; expected numbers") from None
        if not values:
            continue
        polygon = np.array(values[1:])
        if len(values) != 5 and (len(values) < 7 or len(values) % 2 == 0):
            raise AnnotationError(
                f"{where}: {len(values)} numbers; expected class x y width height, or class and "
                "x y of at least three points"
            )
        if values[0] != int(values[0]) or not 0 <= values[0] < num_classes:
            raise AnnotationError(
                f"{where}: class number {values[0]:g}; expected 0 to {num_classes - 1}, as there "
                f"are {num_classes} classes"
            )
        if polygon.min() < -SLACK or polygon.max() > 1 + SLACK:
            raise AnnotationError(
                f"{where}: {line.strip()!r}; expected fractions of the image, 0 … 1, not pixels"
            )
        labels.append(int(values[0]))
        if len(values) == 5:
            if masks:
                raise AnnotationError(f"{where}: a box without a polygon; use masks=False")
            x, y, w, h = polygon * (width, height, width, height)
            boxes.append([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
        else:
            points = polygon.reshape(-1, 2) * (width, height)
            boxes.append([*points.min(0), *points.max(0)])
            outlines.append([points.ravel().tolist()])
    return ImageObjects(
        path=path,
        size=size,
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        labels=np.array(labels, np.int32),
        masks=tuple(outlines) if masks else None,
        image_id=image_id,
        where=text_path.name,
    )
