"""People of sticks with their joints, for smoke runs and tests."""

import json
from pathlib import Path

import numpy as np

from jaxnets.data.poses import LEEDS, PoseSplits
from jaxnets.data.source import ArraySource

# Right hip, knee, ankle … as angles and lengths from joint to joint, in shares of the figure.
_LIMBS = ((2, 1, 0.24), (1, 0, 0.24), (3, 4, 0.24), (4, 5, 0.24))
_ARMS = ((8, 7, 0.18), (7, 6, 0.18), (9, 10, 0.18), (10, 11, 0.18))


def stick_figures(
    rng: np.random.Generator, count: int, *, size: int = 64
) -> tuple[np.ndarray, np.ndarray]:
    """Figures of Leeds' 14 joints in random poses; right limbs are red, left ones blue.

    Args:
        rng: a NumPy generator.
        count: N.
        size: height and width in pixels.

    Returns:
        images uint8 (N, size, size, 3), and keypoints float32 (N, 1, 14, 3).

    >>> images, keypoints = stick_figures(np.random.default_rng(0), 2)
    >>> images.shape, keypoints.shape
    ((2, 64, 64, 3), (2, 1, 14, 3))
    """
    from PIL import Image, ImageDraw

    images = np.zeros((count, size, size, 3), np.uint8)
    joints = np.zeros((count, 14, 2))
    for number in range(count):
        points = joints[number]
        scale = rng.uniform(0.75, 1.0)
        center = rng.uniform(0.42, 0.58, 2)
        lean = rng.normal(0, 0.25)
        up = np.array([np.sin(lean), -np.cos(lean)])
        side = np.array([np.cos(lean), np.sin(lean)])
        points[2], points[3] = center - 0.07 * scale * side, center + 0.07 * scale * side
        shoulders = center + 0.27 * scale * up
        points[8] = shoulders - 0.1 * scale * side
        points[9] = shoulders + 0.1 * scale * side
        points[12] = shoulders + 0.04 * scale * up
        points[13] = points[12] + 0.13 * scale * up
        for limbs, spread in ((_LIMBS, 0.45), (_ARMS, 1.2)):
            for begin, end, length in limbs:
                angle = lean + rng.normal(0, spread)
                down = np.array([-np.sin(angle), np.cos(angle)])
                points[end] = points[begin] + length * scale * down
        pixels = np.clip(points, 0.02, 0.98) * size
        joints[number] = pixels
        picture = Image.fromarray(rng.integers(0, 50, (size, size, 3)).astype(np.uint8))
        draw = ImageDraw.Draw(picture)
        for a, b in LEEDS.bones:
            sides = {LEEDS.names[k].split()[0] for k in (a, b)}
            color = {"right": (230, 60, 60), "left": (70, 110, 240)}.get(
                sides.pop() if len(sides) == 1 else "", (220, 220, 220)
            )
            ends = tuple(pixels[a]), tuple(pixels[b])
            draw.line(ends, fill=color, width=max(1, size // 24))
        images[number] = np.asarray(picture)
    visible = np.ones((count, 14, 1))
    keypoints = np.concatenate((joints, visible), -1).astype(np.float32)[:, None]
    return images, keypoints


def write_people(
    rng: np.random.Generator, folder: Path | str, count: int, *, size: int = 64
) -> Path:
    """Write figures with COCO's JSON of boxes and keypoints: train, val and test.

    Args:
        rng: a NumPy generator.
        folder: where; made if it is not there.
        count: images of each split; every fourth has no figure.
        size: height and width in pixels.

    Returns:
        the folder.

    >>> import tempfile
    >>> folder = write_people(np.random.default_rng(0), tempfile.mkdtemp(), 2)
    >>> sorted(path.name for path in folder.glob("*.json"))
    ['test.json', 'train.json', 'val.json']
    """
    from PIL import Image

    folder = Path(folder)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    names = [name.replace(" ", "_") for name in LEEDS.names]
    for split in ("train", "val", "test"):
        pictures, keypoints = stick_figures(rng, count, size=size)
        images, annotations = [], []
        for number, (picture, (points,)) in enumerate(zip(pictures, keypoints, strict=True)):
            empty = number % 4 == 3
            file = f"{split}{number}.png"
            Image.fromarray(0 * picture if empty else picture).save(folder / "images" / file)
            images.append({"id": number, "file_name": file, "width": size, "height": size})
            if empty:
                continue
            low, high = points[:, :2].min(0) - 1, points[:, :2].max(0) + 1
            low, high = np.clip(low, 0, size).astype(float), np.clip(high, 0, size).astype(float)
            # COCO counts pixels, whose centers lie at ½.
            numbers = points.astype(float) * (1, 1, 2) - (0.5, 0.5, 0)
            entry = {"id": number + 1, "image_id": number, "category_id": 1}
            entry["bbox"] = np.round([*low, *(high - low)], 2).tolist()
            entry["keypoints"] = np.round(numbers, 2).ravel().tolist()
            annotations.append(entry | {"num_keypoints": len(names)})
        categories = [{"id": 1, "name": "person", "keypoints": names}]
        content = {"images": images, "annotations": annotations, "categories": categories}
        (folder / f"{split}.json").write_text(json.dumps(content))
    return folder


def stick_figure_splits(count: int, *, size: int = 64, seed: int = 0) -> PoseSplits:
    """So many figures to learn from and a quarter as many for the test.

    Args:
        count: training figures.
        size: height and width in pixels.
        seed: of the poses.

    Returns:
        `jaxnets.data.poses.PoseSplits`.

    >>> len(stick_figure_splits(8).test)
    2
    """
    rng = np.random.default_rng(seed)

    def draw(number):
        images, keypoints = stick_figures(rng, number, size=size)
        return ArraySource({"image": images, "keypoints": keypoints})

    return PoseSplits(draw(count), draw(max(count // 4, 1)), LEEDS)
