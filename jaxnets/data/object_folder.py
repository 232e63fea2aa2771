"""A folder of annotated images in whichever of the known layouts it is."""

import json
from pathlib import Path

from jaxnets.data.coco_files import read_coco
from jaxnets.data.object_source import ObjectSource
from jaxnets.data.objects import AnnotationError
from jaxnets.data.voc_files import VOC_CLASSES, read_voc
from jaxnets.data.yolo_files import read_yolo


def load_objects(
    folder: Path | str,
    split: str = "train",
    *,
    size: int | tuple[int, int],
    max_objects: int | None = None,
    masks: bool = False,
    keypoints: bool = False,
    ignored: bool = False,
) -> ObjectSource:
    """A split of a data set of your own, by its folder alone.

    Looked for, in this order:

    - COCO's JSON: ``SPLIT.json``, ``SPLIT/_annotations.coco.json``,
      ``annotations/instances_SPLIT*.json``, ``annotations/SPLIT.json``, ``instances.json``;
    - VOC's XML: ``Annotations``, ``JPEGImages`` and ``ImageSets/Main/SPLIT.txt``, and classes in
      ``classes.txt`` if they are not VOC's;
    - YOLO's text: ``images/SPLIT`` and ``labels/SPLIT``, or ``SPLIT/images`` and ``SPLIT/labels``,
      and ``classes.txt``.

    Args:
        folder: of the data set.
        split: "train", "val" and the like.
        size: (H, W) of the canvas that images are fitted into, or the side of a square.
        max_objects: M; by default the largest number of objects in an image.
        masks: also give ``masks``; where the images of a JSON name a ``mask``, it is an image of
            numbers in the folder ``masks``.
        keypoints: also give ``keypoints``; only COCO's JSON has them.
        ignored: also give crowds and difficult objects, marked in ``box_ignore``.

    Returns:
        An `ObjectSource`.

    Raises:
        AnnotationError: no such folder or none of these layouts, or whatever is wrong with it.

    >>> load_objects("/nowhere", size=64)
    Traceback (most recent call last):
    jaxnets.data.objects.AnnotationError: there is no folder /nowhere
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise AnnotationError(f"there is no folder {folder}")
    options = {"size": size, "max_objects": max_objects}
    annotations = [
        folder / f"{split}.json",
        folder / split / "_annotations.coco.json",
        *sorted((folder / "annotations").glob(f"instances_{split}*.json")),
        folder / "annotations" / f"{split}.json",
        folder / "instances.json",
    ]
    for path in annotations:
        if path.is_file():
            options |= {"masks": masks, "keypoints": keypoints, "ignored": ignored}
            if (folder / "masks").is_dir() and _names_masks(path):
                options["instance_masks"] = folder / "masks"
            return read_coco(path, **options)
    if keypoints:
        raise AnnotationError(f"{folder}: there is no JSON of {split}, which keypoints are read of")
    names = folder / "classes.txt"
    if (folder / "Annotations").is_dir():
        if masks:
            raise AnnotationError(f"{folder}: VOC's XML has no masks; use masks=False")
        listed = folder / "ImageSets" / "Main" / f"{split}.txt"
        if not listed.is_file():
            raise AnnotationError(f"{listed} isn't there; expected the names of the split's images")
        classes = names.read_text().split() if names.is_file() else VOC_CLASSES
        return read_voc(
            folder / "Annotations",
            folder / "JPEGImages",
            names=listed,
            classes=classes,
            ignored=ignored,
            **options,
        )
    for images, labels in (
        (folder / "images" / split, folder / "labels" / split),
        (folder / split / "images", folder / split / "labels"),
    ):
        if images.is_dir() and labels.is_dir():
            if not names.is_file():
                raise AnnotationError(f"{names} isn't there; expected the classes, one a line")
            return read_yolo(images, labels, names, masks=masks, **options)
    raise AnnotationError(
        f"{folder}: found neither COCO's JSON of {split}, nor VOC's Annotations, nor YOLO's images "
        f"and labels of {split}"
    )


def _names_masks(path: Path) -> bool:
    """Whether the images of a JSON name files of masks; what is wrong with it is said elsewhere."""
    try:
        images = json.loads(path.read_text())["images"]
    except (ValueError, KeyError, TypeError, OSError):
        return False
    return isinstance(images, list) and any(isinstance(i, dict) and "mask" in i for i in images)
