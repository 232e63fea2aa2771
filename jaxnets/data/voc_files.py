"""PASCAL VOC's XML: one file an image."""

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from jaxnets.data.object_source import ObjectSource
from jaxnets.data.objects import AnnotationError, ImageObjects, class_number

VOC_CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa"),
    *("train", "tvmonitor"),
)


def read_voc(
    annotations: Path | str,
    images: Path | str,
    *,
    size: int | tuple[int, int],
    names: Path | str | None = None,
    classes: Sequence[str] = VOC_CLASSES,
    max_objects: int | None = None,
    ignored: bool = False,
) -> ObjectSource:
    """Images with objects from a folder of PASCAL VOC's XML files.

    VOC counts pixels from 1 and the last one belongs to the box: x1, y1, x2, y2 become x1 − 1,
    y1 − 1, x2, y2 in continuous coordinates.

    Args:
        annotations: the folder of XML files.
        images: the folder of images that they name.
        size: (H, W) of the canvas that images are fitted into, or the side of a square.
        names: a text file with the names of the images to take, one a line, such as
            ``ImageSets/Main/trainval.txt``; by default all.
        classes: their names, in the order of the class numbers.
        max_objects: M; by default the largest number of objects in an image.
        ignored: also give difficult objects, marked in ``box_ignore``.

    Returns:
        An `ObjectSource`.

    Raises:
        AnnotationError: files that are missing or no VOC XML, unknown classes, corners in the wrong
            order.

    Source: Everingham et al., "The PASCAL Visual Object Classes Challenge", 2010, section 2.3.

    >>> read_voc("/nowhere", "/nowhere", size=64)
    Traceback (most recent call last):
    jaxnets.data.objects.AnnotationError: there is no folder of annotations /nowhere
    """
    folder = Path(annotations)
    if not folder.is_dir():
        raise AnnotationError(f"there is no folder of annotations {folder}")
    if names is None:
        paths = sorted(folder.glob("*.xml"))
    else:
        listed = [line.split() for line in Path(names).read_text().splitlines()]
        paths = [folder / f"{words[0]}.xml" for words in listed if words]
    if not paths:
        raise AnnotationError(f"{names or folder}: there are no annotations; expected XML files")
    numbers = {name: number for number, name in enumerate(classes)}
    found = [_read(path, Path(images), numbers, i) for i, path in enumerate(paths)]
    return ObjectSource(
        found, classes, size=size, max_objects=max_objects, ignored=ignored, where=str(folder)
    )


def _read(path, images, numbers, image_id):
    try:
        text = path.read_bytes()
    except OSError as error:
        raise AnnotationError(f"can't read {path}: {error.strerror}") from None
    if b"<!ENTITY" in text:
        raise AnnotationError(f"{path} defines entities; expected plain VOC XML")
    try:
        root = ElementTree.fromstring(text)
        size = (int(root.findtext("size/height")), int(root.findtext("size/width")))
        file_name = root.findtext("filename")
        objects = root.findall("object")
        corners = [
            [float(entry.findtext(f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax")]
            for entry in objects
        ]
        labels = [class_number(e.findtext("name"), numbers, path.name) for e in objects]
        difficult = [int(entry.findtext("difficult") or 0) != 0 for entry in objects]
    except AnnotationError:
        raise
    except (ElementTree.ParseError, TypeError, ValueError) as error:
        raise AnnotationError(f"{path} is no VOC annotation: {error}") from None
    boxes = np.array(corners, np.float32).reshape(-1, 4) - np.float32([1, 1, 0, 0])
    return ImageObjects(
        path=images / (file_name or f"{path.stem}.jpg"),
        size=size,
        boxes=boxes,
        labels=np.array(labels, np.int32),
        ignored=np.array(difficult, bool),
        image_id=image_id,
        where=path.name,
    )
