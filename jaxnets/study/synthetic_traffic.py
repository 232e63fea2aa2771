"""Streets with drawn vehicles and pedestrians, as COCO's JSON has them: two classes."""

import json
from pathlib import Path
from typing import Any

import numpy as np

NAMES = ("vehicle", "pedestrian")


def write_traffic(
    rng: np.random.Generator,
    folder: Path | str,
    count: int,
    *,
    size: tuple[int, int] = (96, 160),
) -> Path:
    """Write drawn streets with COCO's JSON of boxes: train, val and test.

    Args:
        rng: a NumPy generator.
        folder: where; made if it is not there.
        count: images of each split; a few have no objects.
        size: height and width in pixels.

    Returns:
        the folder.

    >>> import tempfile
    >>> folder = write_traffic(np.random.default_rng(0), tempfile.mkdtemp(), 1)
    >>> sorted(path.name for path in folder.glob("*.json"))
    ['test.json', 'train.json', 'val.json']
    """
    folder = Path(folder)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for split in ("train", "val", "test"):
        images, annotations = [], []
        for number in range(count):
            name = f"{split}{number}.png"
            picture, objects = street(rng, size)
            picture.save(folder / "images" / name)
            images.append({"id": number, "file_name": name, "width": size[1], "height": size[0]})
            for label, (x1, y1, x2, y2) in objects:
                entry = {"id": len(annotations) + 1, "image_id": number, "category_id": label + 1}
                annotations.append(entry | {"bbox": [x1, y1, x2 - x1, y2 - y1]})
        categories = [{"id": i + 1, "name": name} for i, name in enumerate(NAMES)]
        content = {"images": images, "annotations": annotations, "categories": categories}
        (folder / f"{split}.json").write_text(json.dumps(content))
    return folder


def street(
    rng: np.random.Generator, size: tuple[int, int]
) -> tuple[Any, list[tuple[int, tuple[float, float, float, float]]]]:
    """One picture: sky, houses, a road, and up to four objects that do not hide each other.

    Args:
        rng: a NumPy generator.
        size: height and width in pixels.

    Returns:
        A Pillow image, and (class, corners) of each object.

    >>> picture, objects = street(np.random.default_rng(0), (96, 160))
    >>> picture.size, all(label in (0, 1) for label, _ in objects)
    ((160, 96), True)
    """
    from PIL import Image, ImageDraw

    height, width = size
    picture = Image.new("RGB", (width, height), _color(rng, 120, 220))
    draw = ImageDraw.Draw(picture)
    horizon = int(height * rng.uniform(0.35, 0.5))
    for _ in range(5):
        x, wide = rng.integers(0, width), rng.integers(10, 50)
        top = int(rng.integers(0, horizon))
        draw.rectangle((int(x), top, int(x + wide), horizon), fill=_color(rng, 60, 200))
    draw.rectangle((0, horizon, width, height), fill=(_gray(rng, 70, 120),) * 3)
    for x in range(int(rng.integers(0, 20)), width, 30):
        draw.line((x, height - 8, x + 14, height - 8), fill=(220, 220, 220), width=2)
    objects: list[tuple[int, tuple[float, float, float, float]]] = []
    for _ in range(int(rng.integers(0, 5))):
        label = int(rng.integers(2))
        tall = rng.uniform(0.18, 0.4) * height
        wide = tall * (rng.uniform(1.6, 2.2) if label == 0 else rng.uniform(0.35, 0.5))
        if wide >= width - 4:
            continue
        x, bottom = rng.uniform(2, width - wide - 2), rng.uniform(horizon + 0.6 * tall, height - 1)
        box = (float(x), float(bottom - tall), float(x + wide), float(bottom))
        if any(_meet(box, other) for _, other in objects):
            continue
        (_vehicle if label == 0 else _pedestrian)(rng, draw, box)
        objects.append((label, box))
    noisy = np.asarray(picture, np.float32) + rng.normal(0, 6, (height, width, 3))
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)), objects


def _meet(a, b):
    return min(a[2], b[2]) > max(a[0], b[0]) - 2 and min(a[3], b[3]) > max(a[1], b[1]) - 2


def _gray(rng, low, high):
    return int(rng.integers(low, high))


def _color(rng, low, high):
    return tuple(int(value) for value in rng.integers(low, high, 3))


def _vehicle(rng, draw, box):
    x1, y1, x2, y2 = box
    wide, tall = x2 - x1, y2 - y1
    color, wheel = _color(rng, 20, 256), 0.16 * tall
    middle = y1 + 0.42 * tall
    cabin = ((x1 + 0.2 * wide, middle), (x1 + 0.32 * wide, y1), (x1 + 0.72 * wide, y1))
    draw.polygon((*cabin, (x1 + 0.85 * wide, middle)), fill=color)
    inside = ((x1 + 0.28 * wide, middle), (x1 + 0.36 * wide, y1 + 2), (x1 + 0.68 * wide, y1 + 2))
    draw.polygon((*inside, (x1 + 0.77 * wide, middle)), fill=(160, 200, 220))
    draw.rectangle((x1, middle, x2, y2 - wheel), fill=color)
    for place in (0.22, 0.78):
        x = x1 + place * wide
        draw.ellipse((x - wheel, y2 - 2 * wheel, x + wheel, y2), fill=(20, 20, 20))


def _pedestrian(rng, draw, box):
    x1, y1, x2, y2 = box
    wide, tall = x2 - x1, y2 - y1
    x, head = (x1 + x2) / 2, 0.09 * tall
    draw.ellipse((x - head, y1, x + head, y1 + 2 * head), fill=(225, 180, 150))
    hip = y1 + 0.55 * tall
    shirt, trousers = _color(rng, 20, 256), _color(rng, 10, 110)
    draw.ellipse((x - 0.3 * wide, y1 + 2 * head, x + 0.3 * wide, hip + 0.05 * tall), fill=shirt)
    thick = max(1, int(0.16 * wide))
    for side in (-1, 1):
        draw.line(
            (x + side * 0.12 * wide, hip, x + side * 0.4 * wide, y2), fill=trousers, width=thick
        )
        hand = (x + side * 0.5 * wide, y1 + 0.52 * tall)
        draw.line((x + side * 0.22 * wide, y1 + 0.24 * tall, *hand), fill=shirt, width=thick)
