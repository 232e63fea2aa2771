"""Pictures with the boxes of what was found in them."""

import colorsys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
    masks: np.ndarray | None = None,
    keypoints: np.ndarray | None = None,
) -> np.ndarray:
    """An image with boxes around its objects, and their names above; masks tinted, joints dotted.

    Args:
        image: uint8 (H, W, 3).
        boxes: (n, 4), corners in pixels.
        labels: of each.
        scores: of each, or None.
        colors: of each; by default by the order of the labels' names, with masks or key points by
            the order of the objects.
        masks: bool (n, H, W), or None.
        keypoints: (n, J, 2 or more), x and y first, in pixels, or None.

    Returns:
        uint8 (H, W, 3).

    >>> drawn = draw_objects(np.zeros((20, 20, 3), np.uint8), np.array([[2, 2, 9, 9]]), ["cat"])
    >>> drawn[2, 5].tolist()
    [255, 51, 51]
    """
    from PIL import Image, ImageDraw

    if colors is None and (masks is not None or keypoints is not None):
        colors = [class_color(i) for i in range(len(boxes))]
    if masks is not None and colors is not None:
        image = np.array(image)
        for mask, color in zip(masks, colors, strict=True):
            image[mask] = (image[mask] * 0.5 + 0.5 * np.array(color)).astype(np.uint8)
    picture = Image.fromarray(np.ascontiguousarray(image))
    draw = ImageDraw.Draw(picture)
    names = sorted(set(labels))
    line = max(1, round(min(image.shape[:2]) / 250))
    # The best last, so that it is on top.
    for i in reversed(range(len(boxes))):
        color = colors[i] if colors is not None else class_color(names.index(labels[i]))
        x1, y1, x2, y2 = (float(v) for v in boxes[i])
        draw.rectangle((x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)), outline=color, width=line)
        for x, y in () if keypoints is None else keypoints[i][:, :2]:
            draw.ellipse((x - 2 * line, y - 2 * line, x + 2 * line, y + 2 * line), fill=color)
        text = labels[i] if scores is None else f"{labels[i]} {100 * float(scores[i]):.0f}"
        left, _top, right, bottom = draw.textbbox((0, 0), text)
        width, height = right - left + 2, bottom + 2
        x, y = min(x1, image.shape[1] - width), y1 - height if y1 >= height else y1
        draw.rectangle((x, y, x + width, y + height), fill=color)
        draw.text((x + 1, y), text, fill="black")
    return np.asarray(picture)


def save_objects(path: Path, *drawn: Any, **more: Any) -> None:
    """Write `draw_objects` of its arguments to an image file.

    Args:
        path: where; its folder is made.
        *drawn: the arguments of `draw_objects`.
        **more: its keywords.

    >>> import tempfile
    >>> place = Path(tempfile.mkdtemp(), "a", "b.png")
    >>> save_objects(place, np.zeros((8, 8, 3), np.uint8), np.zeros((0, 4)), [])
    >>> place.exists()
    True
    """
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(draw_objects(*drawn, **more)).save(path)
