"""Pictures with the boxes of what was found in them."""

import colorsys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

GOLDEN_RATIO = 0.618034


def class_color(number: int) -> tuple[int, int, int]:
    """A color for a class; those of neighboring numbers differ much.

    Args:
        number: of the class.

    Returns:
        red, green, blue from 0 to 255.

    >>> class_color(0)
    (255, 51, 51)
    """
    parts = colorsys.hsv_to_rgb((number * GOLDEN_RATIO) % 1, 0.8, 1.0)
    red, green, blue = (round(255 * part) for part in parts)
    return red, green, blue


def draw_objects(
    image: np.ndarray,
    boxes: np.ndarray,
    labels: Sequence[str],
    scores: np.ndarray | None = None,
    *,
    colors: Sequence[tuple[int, int, int]] | None = None,
) -> np.ndarray:
    """An image with boxes around its objects, and their names above.

    Args:
        image: uint8 (H, W, 3).
        boxes: (n, 4), corners in pixels.
        labels: of each.
        scores: of each, or None.
        colors: of each; by default by the order of the labels' names.

    Returns:
        uint8 (H, W, 3).

    >>> drawn = draw_objects(np.zeros((20, 20, 3), np.uint8), np.array([[2, 2, 9, 9]]), ["cat"])
    >>> drawn[2, 5].tolist()
    [255, 51, 51]
    """
    from PIL import Image, ImageDraw

    picture = Image.fromarray(np.ascontiguousarray(image))
    draw = ImageDraw.Draw(picture)
    names = sorted(set(labels))
    line = max(1, round(min(image.shape[:2]) / 250))
    # The best last, so that it is on top.
    for i in reversed(range(len(boxes))):
        color = colors[i] if colors is not None else class_color(names.index(labels[i]))
        x1, y1, x2, y2 = (float(v) for v in boxes[i])
        draw.rectangle((x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)), outline=color, width=line)
        text = labels[i] if scores is None else f"{labels[i]} {100 * float(scores[i]):.0f}"
        left, _top, right, bottom = draw.textbbox((0, 0), text)
        width, height = right - left + 2, bottom + 2
        x, y = min(x1, image.shape[1] - width), y1 - height if y1 >= height else y1
        draw.rectangle((x, y, x + width, y + height), fill=color)
        draw.text((x + 1, y), text, fill="black")
    return np.asarray(picture)


def save_objects(path: Path, *drawn: tuple) -> None:
    """Write `draw_objects` of its arguments to an image file.

    Args:
        path: where; its folder is made.
        *drawn: the arguments of `draw_objects`.

    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp(), "a", "b.png")
    >>> save_objects(place, np.zeros((8, 8, 3), np.uint8), np.zeros((0, 4)), [])
    >>> place.exists()
    True
    """
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(draw_objects(*drawn)).save(path)
