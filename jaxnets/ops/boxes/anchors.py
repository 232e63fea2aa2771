"""Anchors: boxes at every cell of a feature map that a detector's outputs are relative to.

They depend on shapes alone, so NumPy makes them once, as constants of the program.
"""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np


def cell_anchors(
    sizes: Sequence[float], ratios: Sequence[float], *, rounded: bool = True
) -> np.ndarray:
    """Anchors of one cell around (0, 0): every size at every ratio, all of area size².

    w = size/√ratio, h = size·√ratio; ratios vary slowest, as in torchvision.

    Args:
        sizes: square roots of the areas, in pixels.
        ratios: height over width.
        rounded: round the corners to whole pixels.

    Returns:
        float32 (A, 4), corners; A = len(sizes)·len(ratios).

    Raises:
        ValueError: a size or ratio that is not positive.

    Source: Ren et al., "Faster R-CNN", 2015, section 3.1.1; rounding as in torchvision.

    >>> cell_anchors([32], [0.5, 1.0]).tolist()
    [[-23.0, -11.0, 23.0, 11.0], [-16.0, -16.0, 16.0, 16.0]]
    """
    _check_positive("sizes", sizes)
    _check_positive("ratios", ratios)
    # In float32, as the reference does, so that rounding falls to the same side.
    root = np.sqrt(np.asarray(ratios, np.float32))
    widths = ((1 / root)[:, None] * np.asarray(sizes, np.float32)).ravel()
    heights = (root[:, None] * np.asarray(sizes, np.float32)).ravel()
    corners = np.stack([-widths, -heights, widths, heights], 1) / 2
    return (np.round(corners) if rounded else corners).astype(np.float32)


def faster_rcnn_anchors(
    base_size: int = 16,
    scales: Sequence[float] = (8, 16, 32),
    ratios: Sequence[float] = (0.5, 1, 2),
) -> np.ndarray:
    """The nine anchors of the original Faster R-CNN, as its published weights expect them.

    Widths and heights at scale 1 are rounded, then scaled. The last row and column belong to a box:
    its width is x2 − x1 + 1. Add (0, 0, 1, 1) for corners in continuous coordinates.

    Args:
        base_size: pixels to a cell.
        scales: of the cell's side.
        ratios: height over width; they vary slowest.

    Returns:
        float32 (A, 4), corners in pixels of the cell at (0, 0).

    Raises:
        ValueError: a scale or ratio that is not positive.

    Source: Ren et al., "Faster R-CNN", 2015, section 3.1.1; the table of its published code.

    >>> faster_rcnn_anchors()[0].tolist()
    [-84.0, -40.0, 99.0, 55.0]
    """
    _check_positive("scales", scales)
    _check_positive("ratios", ratios)
    center = (base_size - 1) / 2
    boxes = []
    for ratio in ratios:
        width = round(math.sqrt(base_size**2 / ratio))
        height = round(width * ratio)
        for scale in scales:
            half = np.array([width * scale - 1, height * scale - 1]) / 2
            boxes.append([*(center - half), *(center + half)])
    return np.array(boxes, np.float32)


def grid_anchors(
    anchors: np.ndarray,
    grid: tuple[int, int],
    strides: float | tuple[float, float],
    *,
    offset: float = 0.0,
) -> jax.Array:
    """The anchors of one cell, repeated at every cell of a feature map.

    Args:
        anchors: (A, 4), corners in pixels relative to the cell's place.
        grid: rows and columns of the feature map.
        strides: pixels to a cell, vertically and horizontally.
        offset: of a cell's place in its area: 0 for its upper left corner, ½ for its center.

    Returns:
        float32 (rows·columns·A, 4), corners in pixels: row by row, all anchors of a cell together.

    Raises:
        ValueError: anchors that are not (A, 4).

    Source: Ren et al., "Faster R-CNN", 2015, section 3.1.1.

    >>> grid_anchors(cell_anchors([4], [1.0]), (1, 2), 8).tolist()
    [[-2.0, -2.0, 2.0, 2.0], [6.0, -2.0, 10.0, 2.0]]
    """
    anchors = np.asarray(anchors, np.float32)
    if anchors.ndim != 2 or anchors.shape[1] != 4:
        raise ValueError(f"anchors: got shape {anchors.shape}; expected (A, 4)")
    vertical, horizontal = np.broadcast_to(np.asarray(strides, np.float64), 2)
    y = ((np.arange(grid[0]) + offset) * vertical).astype(np.float32)
    x = ((np.arange(grid[1]) + offset) * horizontal).astype(np.float32)
    y, x = np.meshgrid(y, x, indexing="ij")
    places = np.stack([x, y, x, y], -1)[:, :, None]
    return jnp.asarray((places + anchors).reshape(-1, 4))


def ssd_anchors(
    image_size: tuple[int, int],
    grids: Sequence[tuple[int, int]],
    ratios: Sequence[Sequence[float]],
    scales: Sequence[float],
    *,
    steps: Sequence[float] | None = None,
    clipped: bool = True,
) -> jax.Array:
    """SSD's default boxes on all of its feature maps.

    Map k has squares of side s_k and √(s_k·s_(k+1)), and for each ratio a box of s_k·√a × s_k/√a
    and its transpose.

    Args:
        image_size: height and width in pixels.
        grids: rows and columns of each feature map.
        ratios: of each feature map, without 1.
        scales: shares of the image's sides, one more than there are feature maps.
        steps: pixels to a cell of each map; by default the image's sides over the map's.
        clipped: cut widths and heights to the image's.

    Returns:
        float32 (P, 4), corners in pixels: 8,732 for SSD300.

    Raises:
        ValueError: numbers of grids, ratios, scales or steps that do not fit.

    Source: Liu et al., "SSD: Single Shot MultiBox Detector", 2016, section 2.2.

    >>> ssd_anchors((300, 300), [(1, 1)], [[2]], [0.5, 0.5]).shape
    (4, 4)
    """
    levels = len(grids)
    if len(ratios) != levels or len(scales) != levels + 1:
        raise ValueError(
            f"scales: got {len(scales)} beside {levels} grids and {len(ratios)} ratios; expected "
            "ratios for each grid and one scale more"
        )
    if steps is not None and len(steps) != levels:
        raise ValueError(f"steps: got {len(steps)}; expected {levels}, one for each grid")
    size = np.array([image_size[1], image_size[0]], np.float64)
    parts = []
    for level, grid in enumerate(grids):
        scale = scales[level]
        between = math.sqrt(scale * scales[level + 1])
        sides = [(scale, scale), (between, between)]
        for ratio in ratios[level]:
            root = math.sqrt(ratio)
            sides += [(scale * root, scale / root), (scale / root, scale * root)]
        half = np.array(sides)
        half = (np.clip(half, 0, 1) if clipped else half) * size / 2
        cell = np.concatenate([-half, half], 1)
        if steps is None:
            stride = (image_size[0] / grid[0], image_size[1] / grid[1])
        else:
            stride = (steps[level], steps[level])
        parts.append(grid_anchors(cell, grid, stride, offset=0.5))
    return jnp.concatenate(parts)


def _check_positive(name, values):
    if len(values) == 0 or not all(value > 0 for value in values):
        raise ValueError(f"{name}: got {list(values)}; expected positive numbers")
