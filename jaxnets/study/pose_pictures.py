"""Draw the joints of a person, joined by bones."""

import numpy as np

from jaxnets.data.poses import Skeleton


def draw_pose(
    image: np.ndarray, points: np.ndarray, skeleton: Skeleton, *, least: int = 240
) -> np.ndarray:
    """An image with a skeleton over it: right limbs red, left ones blue, the rest green.

    Args:
        image: uint8 (H, W, 3).
        points: (J, 2 or 3), x and y in pixels; with a visibility of 0 a joint is left out.
        skeleton: what the joints are.
        least: an image whose sides are smaller is enlarged by a whole number, to be seen.

    Returns:
        uint8, the image, or an enlarged one.

    >>> from jaxnets.data.poses import LEEDS
    >>> draw_pose(np.zeros((60, 40, 3), np.uint8), np.full((14, 2), 9.0), LEEDS).shape
    (360, 240, 3)
    """
    from PIL import Image, ImageDraw

    factor = max(1, -(-least // min(image.shape[:2])))
    picture = Image.fromarray(image.repeat(factor, 0).repeat(factor, 1))
    draw, width = ImageDraw.Draw(picture), max(2, min(picture.size) // 80)
    there = points[:, 2] > 0 if points.shape[1] > 2 else np.ones(len(points), bool)
    places = [tuple(float(v) for v in factor * point[:2]) for point in points]
    colors = {"right": (240, 60, 60), "left": (60, 130, 255)}
    for a, b in skeleton.bones:
        if there[a] and there[b]:
            sides = {skeleton.names[k].split()[0] for k in (a, b)}
            one = sides.pop() if len(sides) == 1 else ""
            draw.line((places[a], places[b]), fill=colors.get(one, (60, 220, 90)), width=width)
    for k in np.flatnonzero(there):
        x, y = places[k]
        draw.ellipse((x - width, y - width, x + width, y + width), fill=(255, 255, 255))
    return np.asarray(picture)
