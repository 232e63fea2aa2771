"""Pictures of colored shapes with their boxes, for smoke runs and examples."""

import json
from pathlib import Path

import numpy as np

NAMES = ("square", "disk")


def write_shapes(
    rng: np.random.Generator, folder: Path | str, count: int, *, size: int = 64
) -> Path:
    """Write images of squares and disks with COCO's JSON, outlines too: train, val and test.

    Args:
        rng: a NumPy generator.
        folder: where; made if it is not there.
        count: images of each split; every third has no objects.
        size: height and width in pixels.

    Returns:
        the folder.

    >>> import tempfile
    >>> folder = write_shapes(np.random.default_rng(0), tempfile.mkdtemp(), 2)
    >>> sorted(path.name for path in folder.glob("*.json"))
    ['test.json', 'train.json', 'val.json']
    """
    from PIL import Image

    folder = Path(folder)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rows, columns = np.mgrid[:size, :size] + 0.5
    for split in ("train", "val", "test"):
        images, annotations = [], []
        for number in range(count):
            picture = rng.integers(0, 60, (size, size, 3), dtype=np.uint8)
            for _ in range(0 if number % 3 == 2 else int(rng.integers(1, 4))):
                side = int(rng.integers(size // 6, size // 3))
                left, top = (int(v) for v in rng.integers(0, size - side, 2))
                label = int(rng.integers(len(NAMES)))
                y, x = rows - top - side / 2, columns - left - side / 2
                distance = np.hypot(x, y) if label else np.maximum(abs(x), abs(y))
                picture[distance < side / 2] = rng.integers(120, 256, 3)
                outline = _outline(left + side / 2, top + side / 2, side / 2, label)
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": number,
                        "category_id": label + 1,
                        "bbox": [left, top, side, side],
                        "segmentation": [outline],
                    }
                )
            name = f"{split}{number}.png"
            Image.fromarray(picture).save(folder / "images" / name)
            images.append({"id": number, "file_name": name, "width": size, "height": size})
        categories = [{"id": i + 1, "name": name} for i, name in enumerate(NAMES)]
        content = {"images": images, "annotations": annotations, "categories": categories}
        (folder / f"{split}.json").write_text(json.dumps(content))
    return folder


def _outline(x: float, y: float, radius: float, label: int) -> list[float]:
    """Corners of a square, or of a disk's polygon."""
    count = 24 if label else 4
    angles = 2 * np.pi * (np.arange(count) + 0.5) / count
    reach = radius if label else radius * np.sqrt(2)
    points = np.stack([x + reach * np.cos(angles), y + reach * np.sin(angles)], 1)
    return np.round(points, 2).ravel().tolist()


CFG = """[net]
width=64
height=64
[convolutional]
batch_normalize=1
filters=4
size=3
stride=8
pad=1
activation=leaky
[convolutional]
filters=14
size=1
activation=linear
[yolo]
mask=0,1
anchors=12,12, 18,18
classes=2
"""


def write_darknet(rng: np.random.Generator, folder: Path | str) -> tuple[Path, Path]:
    """Write a tiny detector of two classes in darknet's formats, with random weights.

    Args:
        rng: a NumPy generator.
        folder: where; made if it is not there.

    Returns:
        the cfg file and the weights file.

    >>> import tempfile
    >>> cfg, weights = write_darknet(np.random.default_rng(0), tempfile.mkdtemp())
    >>> cfg.name, weights.stat().st_size  # 20 bytes, then 4·4 + 108 and 14 + 56 numbers
    ('tiny.cfg', 796)
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    cfg, weights = folder / "tiny.cfg", folder / "tiny.weights"
    cfg.write_text(CFG)
    numbers = rng.uniform(0.1, 1.0, 4 * 4 + 108 + 14 + 56).astype("<f4")
    weights.write_bytes(np.int32([0, 2, 0, 0, 0]).tobytes() + numbers.tobytes())
    return cfg, weights
