"""COCO's JSON: boxes, masks and keypoints of the images of a folder."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from jaxnets.data.object_source import ObjectSource
from jaxnets.data.objects import AnnotationError, ImageObjects, class_number


def read_coco(
    annotations: Path | str,
    images: Path | str | None = None,
    *,
    size: int | tuple[int, int],
    max_objects: int | None = None,
    masks: bool = False,
    keypoints: bool = False,
    ignored: bool = False,
    instance_masks: Path | str | None = None,
) -> ObjectSource:
    """Images with objects from a file in COCO's format.

    Category numbers, which may have gaps, become class numbers 0 … K−1 in the order of the numbers.
    Keypoints, which COCO counts in pixels, are moved to pixel centers (+½), as everything here is
    in continuous coordinates.

    Args:
        annotations: a JSON file.
        images: the folder that its file names are relative to; by default ``images`` or the folder
            of the file itself, whichever holds the first image.
        size: (H, W) of the canvas that images are fitted into, or the side of a square.
        max_objects: M; by default the largest number of objects in an image.
        masks: also give ``masks``; those of polygons need ``jaxnets[detection]``.
        keypoints: also give ``keypoints``.
        ignored: also give crowds, marked in ``box_ignore``.
        instance_masks: a folder of images of numbers, for files whose images name a ``mask`` in it
            and whose annotations name the ``instance``'s number.

    Returns:
        An `ObjectSource`.

    Raises:
        AnnotationError: no JSON, parts of it missing, images that aren't there, unknown or empty
            categories, boxes with negative sides, polygons with fewer than three points, keypoints
            whose number differs.

    Source: Lin et al., "Microsoft COCO: Common Objects in Context", 2014, and its data format.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
    ...     _ = file.write('{"images": [], "annotations": [], "categories": []}')
    ...     file.flush()
    ...     read_coco(file.name, size=64)
    Traceback (most recent call last):
    jaxnets.data.objects.AnnotationError: ...: categories are empty; expected at least one class
    """
    path = Path(annotations)
    content = _read(path)
    categories = sorted(content["categories"], key=lambda entry: entry["id"])
    if not categories:
        raise AnnotationError(f"{path}: categories are empty; expected at least one class")
    numbers = {entry["id"]: number for number, entry in enumerate(categories)}
    names = [str(entry.get("name", entry["id"])) for entry in categories]
    folder = _image_folder(path, images, content["images"])
    by_image: dict[Any, list[dict]] = {}
    for entry in content["annotations"]:
        by_image.setdefault(entry["image_id"], []).append(entry)
    unknown = set(by_image) - {entry["id"] for entry in content["images"]}
    if unknown:
        raise AnnotationError(f"{path}: annotations of image {min(unknown)}, which is not listed")
    joint_names = _joint_names(content) if keypoints else ()
    joints = len(joint_names)
    found = []
    for image in content["images"]:
        entries = by_image.get(image["id"], [])
        where = f"{path.name}, image {image['file_name']}"
        outlines = [_outline(e, image, instance_masks, where) for e in entries] if masks else None
        found.append(
            ImageObjects(
                path=folder / image["file_name"],
                size=(int(image["height"]), int(image["width"])),
                boxes=np.array([_corners(e, where) for e in entries], np.float32).reshape(-1, 4),
                labels=np.array(
                    [class_number(e["category_id"], numbers, where) for e in entries], np.int32
                ),
                ignored=np.array([e.get("iscrowd", 0) != 0 for e in entries], bool),
                areas=np.array(
                    [e.get("area", e["bbox"][2] * e["bbox"][3]) for e in entries], np.float32
                ),
                masks=None if outlines is None else tuple(outlines),
                keypoints=_points(entries, joints, where) if keypoints else None,
                image_id=int(image["id"]),
                where=where,
            )
        )
    return ObjectSource(
        found,
        names,
        size=size,
        max_objects=max_objects,
        masks=masks,
        ignored=ignored,
        where=str(path),
        joint_names=[name for name in joint_names if name],
    )


def _read(path):
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise AnnotationError(f"can't read {path}: there is no such file") from None
    except (ValueError, OSError) as error:
        raise AnnotationError(f"can't read {path} as JSON: {error}") from None
    keys = ("images", "annotations", "categories")
    missing = [k for k in keys if not isinstance(content, dict) or k not in content]
    if missing:
        raise AnnotationError(f"{path} has no {', '.join(missing)}; expected COCO's format")
    return content


def _image_folder(path, images, entries):
    if images is not None:
        if not Path(images).is_dir():
            raise AnnotationError(f"there is no folder of images {images}")
        return Path(images)
    places = [
        path.parent / "images",
        path.parent,
        path.parent.parent / "images",
        path.parent.parent / path.stem.removeprefix("instances_"),
    ]
    for place in places:
        if not entries or (place / entries[0]["file_name"]).is_file():
            return place
    return places[0]


def _corners(entry, where):
    box = entry.get("bbox")
    if not isinstance(box, list) or len(box) != 4:
        raise AnnotationError(
            f"{where}: annotation {entry.get('id')} has bbox {box}; expected [x, y, width, height]"
        )
    x, y, width, height = box
    if width < 0 or height < 0:
        raise AnnotationError(
            f"{where}: annotation {entry.get('id')} has bbox {box}, with a negative side; expected "
            "[x, y, width, height], not corners"
        )
    return x, y, x + width, y + height


def _outline(entry, image, folder, where):
    if folder is not None:
        if "mask" not in image or "instance" not in entry:
            raise AnnotationError(f"{where}: no mask file or instance number beside instance_masks")
        return (Path(folder) / image["mask"], int(entry["instance"]))
    outline = entry.get("segmentation")
    if not outline:
        raise AnnotationError(
            f"{where}: annotation {entry.get('id')} has no segmentation; use masks=False"
        )
    for polygon in outline if isinstance(outline, list) else ():
        if len(polygon) < 6 or len(polygon) % 2:
            raise AnnotationError(
                f"{where}: annotation {entry.get('id')} has a polygon of {len(polygon)} numbers, "
                f"{len(polygon) // 2} points; expected x, y of at least three points"
            )
    return outline


def _joint_names(content):
    """One for each key point; empty texts where the file has numbers of them alone."""
    named = [e for e in content["categories"] if e.get("keypoints")]
    for entry in named:
        if len(entry["keypoints"]) != len(named[0]["keypoints"]):
            raise AnnotationError(
                f"category {entry.get('name')} has {len(entry['keypoints'])} keypoints; expected "
                f"{len(named[0]['keypoints'])}, as category {named[0].get('name')} has"
            )
    if named:
        return [str(name) for name in named[0]["keypoints"]]
    for entry in content["annotations"]:
        if entry.get("keypoints"):
            return [""] * (len(entry["keypoints"]) // 3)
    raise AnnotationError("keypoints: the file has none; use keypoints=False")


def _points(entries, joints, where):
    points = np.zeros((len(entries), joints, 3), np.float32)
    for place, entry in enumerate(entries):
        given = entry.get("keypoints")
        if given is None:
            continue
        if len(given) != 3 * joints:
            raise AnnotationError(
                f"{where}: annotation {entry.get('id')} has {len(given)} numbers of keypoints; "
                f"expected {3 * joints}: x, y and visibility of each of {joints}"
            )
        points[place] = np.array(given, np.float32).reshape(joints, 3)
    # Numbers of pixels become places; what is not labeled stays 0.
    points[..., :2] = np.where(points[..., 2:] > 0, points[..., :2] + 0.5, 0)
    return points
