"""Which anchors a detector's outputs are relative to: SSD's default boxes, or shapes on a grid."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.ops import boxes

Grid = tuple[int, int]


class DefaultBoxes(NamedTuple):
    """SSD's default boxes: at each cell of map k squares of two sizes and two boxes a ratio.

    Attributes:
        ratios: of each map, without 1.
        scales: shares of the image's sides, one more than there are maps.
        steps: pixels to a cell of each map; None: the image's sides over the map's.

    Source: Liu et al., "SSD: Single Shot MultiBox Detector", 2016, section 2.2.

    >>> anchors = DefaultBoxes(((2,), (2, 3)), (0.2, 0.5, 0.9))
    >>> anchors.per_cell, anchors((64, 64), [(4, 4), (2, 2)]).shape
    ((4, 6), (88, 4))
    """

    ratios: tuple[tuple[float, ...], ...]
    scales: tuple[float, ...]
    steps: tuple[float, ...] | None = None

    @property
    def per_cell(self) -> tuple[int, ...]:
        """How many there are at a cell of each map."""
        return tuple(2 + 2 * len(ratios) for ratios in self.ratios)

    def __call__(self, size: tuple[int, int], grids: Sequence[Grid]) -> jax.Array:
        """The anchors of an image.

        Args:
            size: its height and width in pixels.
            grids: rows and columns of each map.

        Returns:
            float32 (P, 4), corners in pixels.
        """
        return boxes.ssd_anchors(size, grids, self.ratios, self.scales, steps=self.steps)


class AnchorShapes(NamedTuple):
    """Anchors of given widths and heights around the center of each cell.

    Attributes:
        shapes: of each map, (width, height) in pixels of each anchor.

    >>> anchors = AnchorShapes((((8, 8),), ((16, 16), (32, 16))))
    >>> anchors.per_cell, anchors((64, 64), [(8, 8), (4, 4)])[0].tolist()
    ((1, 2), [0.0, 0.0, 8.0, 8.0])
    """

    shapes: tuple[tuple[tuple[float, float], ...], ...]

    @property
    def per_cell(self) -> tuple[int, ...]:
        """How many there are at a cell of each map."""
        return tuple(len(level) for level in self.shapes)

    def __call__(self, size: tuple[int, int], grids: Sequence[Grid]) -> jax.Array:
        """The anchors of an image.

        Args:
            size: its height and width in pixels.
            grids: rows and columns of each map.

        Returns:
            float32 (P, 4), corners in pixels.

        Raises:
            ValueError: another number of maps than of groups of shapes.
        """
        if len(grids) != len(self.shapes):
            raise ValueError(f"grids: got {len(grids)} maps; expected {len(self.shapes)}")
        parts = []
        for level, grid in zip(self.shapes, grids, strict=True):
            half = np.asarray(level, np.float32) / 2
            strides = (size[0] / grid[0], size[1] / grid[1])
            cell = np.concatenate([-half, half], 1)
            parts.append(boxes.grid_anchors(cell, grid, strides, offset=0.5))
        return jnp.concatenate(parts)


def fit_anchor_shapes(
    key: jax.Array, sizes: np.ndarray, levels: int, per_level: int = 3
) -> AnchorShapes:
    """Anchors for the objects of a data set: k-means by IoU, the small ones on the finest map.

    Args:
        key: a JAX random key.
        sizes: (n, 2), widths and heights of objects in pixels; those without area are left out.
        levels: how many maps there are.
        per_level: anchors of each.

    Returns:
        `AnchorShapes`.

    Raises:
        ValueError: fewer objects than anchors are wanted.

    Source: Redmon, Farhadi, "YOLO9000: Better, Faster, Stronger", 2017, section 2; split over maps
    as in "YOLOv3", 2018, section 2.3.

    >>> sizes = np.array([[8, 8], [8, 9], [30, 30], [31, 30]], np.float32)
    >>> fit_anchor_shapes(jax.random.key(0), sizes, 2, 1).shapes
    (((8.0, 8.5),), ((30.5, 30.0),))
    """
    sizes = np.asarray(sizes, np.float32)
    sizes = sizes[(sizes > 0).all(1)]
    count = levels * per_level
    if len(sizes) < count:
        raise ValueError(f"sizes: got {len(sizes)} objects with an area; expected at least {count}")
    found = boxes.anchors_by_kmeans(key, jnp.asarray(sizes), count)
    centers = np.asarray(found.sizes).astype(float).round(1).tolist()  # by rising area
    rows = [tuple(map(tuple, centers[i * per_level : (i + 1) * per_level])) for i in range(levels)]
    return AnchorShapes(tuple(rows))
