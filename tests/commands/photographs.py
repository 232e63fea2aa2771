"""Twenty-five pictures in five classes, drawn: a color and a shape of its own for each class."""

from pathlib import Path

import numpy as np
from PIL import Image

COLORS = {
    "blue_disk": (40, 80, 230),
    "green_stripes": (40, 200, 60),
    "red_square": (220, 40, 40),
    "white_cross": (240, 240, 240),
    "yellow_ring": (230, 220, 40),
}


def write_photographs(root: Path, each: int = 5) -> Path:
    """Write ``ROOT/CLASS/0.jpg`` …, of different sizes; returns the root."""
    rng = np.random.default_rng(0)
    for name, color in COLORS.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(each):
            height, width = rng.integers(60, 110, 2)
            y, x = np.mgrid[:height, :width]
            image = rng.integers(0, 90, (height, width, 3)).astype(float)
            cy, cx = height * rng.uniform(0.4, 0.6), width * rng.uniform(0.4, 0.6)
            radius = min(height, width) * rng.uniform(0.2, 0.35)
            distance = np.hypot(y - cy, x - cx)
            dy, dx = abs(y - cy), abs(x - cx)
            inside = {
                "blue_disk": distance < radius,
                "green_stripes": (x // 6) % 2 == 0,
                "red_square": (dy < radius) & (dx < radius),
                "white_cross": (dy < radius / 3) | (dx < radius / 3),
                "yellow_ring": (distance < radius) & (distance > radius * 0.6),
            }[name]
            image[inside] = color + rng.normal(0, 12, (inside.sum(), 3))
            picture = Image.fromarray(image.clip(0, 255).astype(np.uint8))
            picture.save(root / name / f"{number}.jpg", quality=90)
    return root
