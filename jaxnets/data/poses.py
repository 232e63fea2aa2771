"""People with their joints, one to an image: the Leeds sports poses, and crops of COCO's people."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxnets.data.coco_files import read_coco
from jaxnets.data.image_file import read_image
from jaxnets.data.object_source import resize
from jaxnets.data.objects import AnnotationError
from jaxnets.data.source import ArraySource


class Skeleton(NamedTuple):
    """Joints, by their numbers.

    Attributes:
        names: of the joints.
        pairs: (right, left) joints, which trade places in a mirror image.
        torso: two joints whose distance is the size of a body, such as right hip and left shoulder.
        bones: joints to be joined by lines in pictures.

    >>> len(LEEDS.names), LEEDS.names[LEEDS.torso[0]], LEEDS.names[LEEDS.torso[1]]
    (14, 'right hip', 'left shoulder')
    """

    names: tuple[str, ...]
    pairs: tuple[tuple[int, int], ...]
    torso: tuple[int, int]
    bones: tuple[tuple[int, int], ...]


def mirror_pairs(names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Which joints trade places in a mirror image, by their names.

    Args:
        names: of the joints; "right" in one stands where another has "left".

    Returns:
        (right, left) numbers.

    >>> mirror_pairs(["nose", "left_eye", "right_eye", "left tail"])
    ((2, 1),)
    """
    numbers = {name.lower(): number for number, name in enumerate(names)}
    lefts = [(name.replace("left", "right"), n) for name, n in numbers.items() if "left" in name]
    return tuple((numbers[right], left) for right, left in lefts if right in numbers)


LEEDS = Skeleton(
    (
        *("right ankle", "right knee", "right hip", "left hip", "left knee", "left ankle"),
        *("right wrist", "right elbow", "right shoulder"),
        *("left shoulder", "left elbow", "left wrist", "neck", "head top"),
    ),
    ((0, 5), (1, 4), (2, 3), (6, 11), (7, 10), (8, 9)),
    (2, 9),
    (
        *((0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (6, 7), (7, 8), (9, 10), (10, 11)),
        *((8, 12), (9, 12), (12, 13), (2, 8), (3, 9)),
    ),
)
COCO_PERSON = Skeleton(
    (
        *("nose", "left eye", "right eye", "left ear", "right ear", "left shoulder"),
        *("right shoulder", "left elbow", "right elbow", "left wrist", "right wrist", "left hip"),
        *("right hip", "left knee", "right knee", "left ankle", "right ankle"),
    ),
    tuple((k + 1, k) for k in range(1, 17, 2)),
    (12, 5),
    (
        *((15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7)),
        *((6, 8), (7, 9), (8, 10), (0, 1), (0, 2), (1, 3), (2, 4)),
    ),
)


class PoseSplits(NamedTuple):
    """Training and test examples of poses.

    Attributes:
        train, test: of ``image (N, H, W, 3)`` uint8 and ``keypoints (N, 1, J, 3)``: x and y in
            pixels, and visibility.
        skeleton: what the joints are.

    >>> PoseSplits(None, None, LEEDS).skeleton.pairs[0]
    (0, 5)
    """

    train: ArraySource
    test: ArraySource
    skeleton: Skeleton


def read_leeds_poses(folder: Path | str, *, size: int | None = None) -> PoseSplits:
    """The Leeds sports poses: people doing sports, 14 joints, each image around one of them.

    Args:
        folder: with ``images/`` and ``joints.npz``: ``name`` of each file, ``joints (N, 14, 2)`` in
            pixels, and ``test``, which are for the test.
        size: height and width that images are brought to (default: as they are).

    Returns:
        `PoseSplits`.

    Raises:
        AnnotationError: files that are missing, or arrays that do not fit together.
        JaxnetsError: a damaged image.

    Source: Johnson, Everingham, "Learning Effective Human Pose Estimation from Inaccurate
    Annotation", 2011.

    >>> read_leeds_poses("/nowhere")
    Traceback (most recent call last):
    jaxnets.data.objects.AnnotationError: no poses at /nowhere; expected joints.npz and images/
    """
    folder = Path(folder)
    if not (folder / "joints.npz").is_file() or not (folder / "images").is_dir():
        raise AnnotationError(f"no poses at {folder}; expected joints.npz and images/")
    try:
        with np.load(folder / "joints.npz", allow_pickle=False) as file:
            joints, names = np.asarray(file["joints"], np.float32), file["name"]
            test = np.asarray(file["test"], bool)
    except (OSError, KeyError, ValueError) as error:
        raise AnnotationError(f"{folder / 'joints.npz'}: {error}") from None
    shape = (len(names), len(LEEDS.names), 2)
    if joints.shape != shape or test.shape != shape[:1]:
        raise AnnotationError(
            f"{folder / 'joints.npz'}: joints of shape {joints.shape}, test of {test.shape}; "
            f"expected {shape} and {shape[:1]} for {len(names)} names"
        )
    if not np.isfinite(joints).all():
        raise AnnotationError(f"{folder / 'joints.npz'}: joints that are not numbers")
    images = []
    for number, name in enumerate(names):
        image = read_image(folder / "images" / str(name))
        side = image.shape[:2] if size is None else (size, size)
        joints[number] *= np.array(side[::-1]) / image.shape[1::-1]
        images.append(resize(image, side))
    if len({image.shape for image in images}) > 1:
        raise AnnotationError(f"{folder}: images of several sizes; give a size")
    points = np.concatenate((joints, np.ones((*joints.shape[:2], 1), np.float32)), -1)[:, None]
    stacked = np.stack(images)
    return PoseSplits(_source(stacked, points, ~test), _source(stacked, points, test), LEEDS)


def read_people(
    annotations: Path | str,
    images: Path | str | None = None,
    *,
    size: int = 112,
    margin: float = 1.25,
    test_share: float = 0.15,
    least: int = 4,
) -> PoseSplits:
    """Every person of a file in COCO's format whose joints are marked, cut out as a square.

    Args:
        annotations: a JSON file with keypoints.
        images: the folder that its file names are relative to; see `read_coco`.
        size: height and width of the squares.
        margin: their side, as a multiple of the longer side of the person's box.
        test_share: share of the images, the last ones, whose people are the test.
        least: visible joints that a person must have.

    Returns:
        `PoseSplits`, with COCO's skeleton for 17 joints, the Leeds one for 14.

    Raises:
        AnnotationError: no such person, another number of joints, or what `read_coco` refuses.

    >>> read_people("/nowhere.json")
    Traceback (most recent call last):
    jaxnets.data.objects.AnnotationError: ...
    """
    found = read_coco(annotations, images, size=size, keypoints=True)
    squares: list[np.ndarray] = []
    poses: list[np.ndarray] = []
    owners: list[int] = []
    for number, one in enumerate(found.images):
        points = one.keypoints if one.keypoints is not None else np.zeros((0, 0, 3))
        chosen = [k for k in range(len(points)) if (points[k, :, 2] > 0).sum() >= least]
        image = read_image(one.path) if chosen else None
        for k in chosen:
            square, pose = _cut(image, one.boxes[k], points[k], size, margin)
            squares.append(square)
            poses.append(pose)
            owners.append(number)
    if not squares:
        raise AnnotationError(f"{annotations}: nobody in it has {least} visible joints")
    skeletons = {len(s.names): s for s in (LEEDS, COCO_PERSON)}
    joints = poses[0].shape[0]
    if joints not in skeletons:
        raise AnnotationError(f"{annotations}: {joints} joints; expected 17, or Leeds' 14")
    first = max(1, round((1 - test_share) * len(found.images)))
    test = np.array(owners) >= first
    if test.all() or not test.any():
        test = np.arange(len(owners)) >= max(1, round((1 - test_share) * len(owners)))
    stacked, marked = np.stack(squares), np.stack(poses)[:, None]
    train, held = _source(stacked, marked, ~test), _source(stacked, marked, test)
    return PoseSplits(train, held, skeletons[joints])


def _cut(image, box, points, size, margin):
    """A square around a box, 0 outside the image, and the joints in it."""
    x1, y1, x2, y2 = (float(v) for v in box)
    side = max(margin * max(x2 - x1, y2 - y1), 2.0)
    left, top = (x1 + x2 - side) / 2, (y1 + y2 - side) / 2
    rows = (np.arange(size) + 0.5) * side / size + top
    columns = (np.arange(size) + 0.5) * side / size + left
    i, j = np.floor(rows).astype(int), np.floor(columns).astype(int)
    inside = ((i >= 0) & (i < image.shape[0]))[:, None] & ((j >= 0) & (j < image.shape[1]))
    seen = image[np.clip(i, 0, image.shape[0] - 1)][:, np.clip(j, 0, image.shape[1] - 1)]
    moved = np.array(points, np.float32)
    moved[:, :2] = (moved[:, :2] - (left, top)) * size / side
    out = ((moved[:, :2] < 0) | (moved[:, :2] > size)).any(1)
    moved[out | (moved[:, 2] == 0)] = 0
    return np.where(inside[..., None], seen, 0).astype(np.uint8), moved


def _source(images: np.ndarray, keypoints: np.ndarray, part: np.ndarray) -> ArraySource:
    rows: Sequence[int] = np.flatnonzero(part)
    return ArraySource({"image": images[rows], "keypoints": keypoints[rows].astype(np.float32)})
