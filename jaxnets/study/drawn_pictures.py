"""Pictures that are drawn: five shapes of random color, size and place, in a folder a class."""

from pathlib import Path

import numpy as np

SHAPES = ("cross", "disk", "ring", "square", "stripes")


def draw_pictures(root: Path | str, each: int = 12, *, seed: int = 0) -> Path:
    """Write ``ROOT/SHAPE/0.jpg`` …, of different sizes, for those who have no photographs at hand.

    Colors say nothing: it is the shape that counts.

    Args:
        root: the folder, which is made.
        each: pictures of each of the five shapes.
        seed: of everything random.

    Returns:
        The folder.

    >>> import tempfile
    >>> root = draw_pictures(tempfile.mkdtemp(), 2)
    >>> sorted(path.name for path in root.iterdir()), len(list(root.rglob("*.jpg")))
    (['cross', 'disk', 'ring', 'square', 'stripes'], 10)
    """
    from PIL import Image

    root, random = Path(root), np.random.default_rng(seed)
    for name in SHAPES:
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(each):
            picture = _draw(name, random)
            Image.fromarray(picture).save(root / name / f"{number}.jpg", quality=90)
    return root


def _draw(name: str, random: np.random.Generator) -> np.ndarray:
    height, width = random.integers(60, 110, 2)
    y, x = np.mgrid[:height, :width]
    cy, cx = height * random.uniform(0.4, 0.6), width * random.uniform(0.4, 0.6)
    r = min(height, width) * random.uniform(0.25, 0.35)
    distance, dy, dx = np.hypot(y - cy, x - cx), abs(y - cy), abs(x - cx)
    inside = {
        "cross": ((dy < r / 3) & (dx < r)) | ((dx < r / 3) & (dy < r)),
        "disk": distance < r,
        "ring": (distance < r) & (distance > 0.6 * r),
        "square": (dy < r) & (dx < r),
        "stripes": (x // 8) % 2 == 0,
    }[name]
    image = random.integers(0, 256, 3) * 0.5 + random.normal(0, 15, (height, width, 3))
    image[inside] += random.uniform(70, 120)
    return image.clip(0, 255).astype(np.uint8)
