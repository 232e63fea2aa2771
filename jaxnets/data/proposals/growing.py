"""The heuristic search from small to large: a box grows until it frames what it touches.

The baseline that selective search is measured against: one map of where something is, no regions.
"""

from collections.abc import Sequence

import numpy as np

from jaxnets.errors import JaxnetsError

# Of the smoothing before, and of that after, the colors' differences are taken; in pixels.
FINE, COARSE = 1.0, 4.0
# Seeds are looked for once in each cell of so many pixels.
CELL = 16


def grow_box(mask: np.ndarray, seed: tuple[int, int], *, reach: int = 1) -> np.ndarray:
    """The box that a pixel grows to, side by side, until nothing touches it any more.

    The box begins as the pixel. While something lies in a strip ``reach`` pixels wide along one of
    its sides, corners included, that side moves out to the farthest of it. Each move is needed, so
    of a connected object exactly the tight box is left; with a larger reach the box frames groups
    of objects, and with a reach as long as the image everything.

    Args:
        mask: bool (H, W), where something is.
        seed: (row, column) of a pixel.
        reach: pixels.

    Returns:
        int64 (4,), corners x1, y1, x2, y2.

    Raises:
        JaxnetsError: a mask of another shape, a seed outside it or where nothing is, or a reach
            below 1.

    >>> mask = np.zeros((6, 8), bool); mask[1:4, 2:7] = True
    >>> grow_box(mask, (2, 3)).tolist()
    [2, 1, 7, 4]
    """
    if mask.ndim != 2:
        raise JaxnetsError(f"mask: got shape {mask.shape}; expected (H, W)")
    if reach < 1:
        raise JaxnetsError(f"reach: got {reach}; expected 1 pixel or more")
    (y, x), (height, width) = seed, mask.shape
    if not (0 <= y < height and 0 <= x < width and mask[y, x]):
        raise JaxnetsError(f"seed: got {(y, x)}; expected a pixel of the mask, where it is true")
    left, top, right, bottom = int(x), int(y), int(x) + 1, int(y) + 1
    while True:
        before = left, top, right, bottom
        rows = slice(max(top - reach, 0), bottom + reach)
        start = max(left - reach, 0)
        if len(there := np.flatnonzero(mask[rows, start:left].any(0))):
            left = start + int(there[0])
        if len(there := np.flatnonzero(mask[rows, right : right + reach].any(0))):
            right += int(there[-1]) + 1
        columns = slice(max(left - reach, 0), right + reach)
        start = max(top - reach, 0)
        if len(there := np.flatnonzero(mask[start:top, columns].any(1))):
            top = start + int(there[0])
        if len(there := np.flatnonzero(mask[bottom : bottom + reach, columns].any(1))):
            bottom += int(there[-1]) + 1
        if (left, top, right, bottom) == before:
            return np.array(before)


def objectness(image: np.ndarray) -> np.ndarray:
    """A naive map of where something is: how far colors differ from those around.

    The image, smoothed a little, less its mean color, plus the slope of its colors smoothed more;
    both are divided by their largest value.

    Args:
        image: (H, W, C), of any numbers.

    Returns:
        float64 (H, W), in [0, 1].

    >>> image = np.zeros((16, 16, 3)); image[6:10, 6:10] = 255
    >>> map_ = objectness(image); bool(map_[8, 8] > 2 * map_[0, 0])
    True
    """
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(np.asarray(image, np.float64), (FINE, FINE, 0))
    apart = np.linalg.norm(smooth - smooth.mean((0, 1)), axis=-1)
    slopes = [ndimage.gaussian_filter1d(smooth, FINE, axis=axis, order=1) ** 2 for axis in (0, 1)]
    edges = ndimage.gaussian_filter(np.sqrt(sum(slopes).sum(-1)), COARSE)
    parts = [part / max(float(part.max()), 1e-9) for part in (apart, edges)]
    return (parts[0] + parts[1]) / 2


def grow_boxes(
    image: np.ndarray,
    *,
    shares: Sequence[float] = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7),
    reaches: Sequence[int] = (1, 2, 4, 8, 16),
    min_side: float = 1.0,
) -> np.ndarray:
    """Boxes that may hold an object, grown on `objectness`, or on a mask.

    For each share the pixels with the largest objectness make a mask; boxes grow from one of its
    pixels in each cell of a grid that no box of this mask and reach holds yet.

    Args:
        image: (H, W, C); or bool (H, W), a mask that is taken as it is.
        shares: of the pixels, how many are something.
        reaches: of `grow_box`.
        min_side: boxes are at least so wide and high, in pixels.

    Returns:
        float32 (n, 4), corners in pixels, no two alike: from small reaches to large ones.

    Raises:
        JaxnetsError: an image of another shape, or shares outside 0 … 1.

    >>> mask = np.zeros((40, 40), bool); mask[3:9, 4:20] = True; mask[30:38, 22:30] = True
    >>> grow_boxes(mask, reaches=[1]).tolist()
    [[4.0, 3.0, 20.0, 9.0], [22.0, 30.0, 30.0, 38.0]]
    """
    if image.dtype == bool and image.ndim == 2:
        masks = [image]
    elif image.ndim != 3 or 0 in image.shape:
        raise JaxnetsError(f"image: got shape {image.shape}; expected (H, W, C), or a bool (H, W)")
    elif not all(0 <= share <= 1 for share in shares):
        raise JaxnetsError(f"shares: got {list(shares)}; expected numbers from 0 to 1")
    else:
        found = objectness(image)
        masks = [found > np.quantile(found, 1 - share) for share in shares]
    boxes: dict[tuple[int, ...], None] = {}
    for reach in reaches:
        for mask in masks:
            left = mask.copy()
            for seed in _seeds(mask):
                if left[seed]:
                    box = grow_box(mask, seed, reach=reach)
                    boxes[tuple(box.tolist())] = None
                    left[box[1] : box[3], box[0] : box[2]] = False
    result = np.array(list(boxes), np.float32).reshape(-1, 4)
    return result[((result[:, 2:] - result[:, :2]) >= min_side).all(1)]


def _seeds(mask):
    """The first pixel of each cell of a grid where the mask is true, in the order of reading."""
    rows, columns = np.nonzero(mask)
    cells = rows // CELL * (mask.shape[1] // CELL + 1) + columns // CELL
    first = np.unique(cells, return_index=True)[1]
    return list(zip(rows[first].tolist(), columns[first].tolist(), strict=True))
