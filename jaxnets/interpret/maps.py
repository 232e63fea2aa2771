"""What is made of a map: its size, a box around what it shows, and how well two boxes agree."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np


def resize_maps(maps: jax.Array, size: Sequence[int]) -> jax.Array:
    """Maps at another size, by linear interpolation between their positions' centers.

    Args:
        maps: (N, h, w).
        size: (H, W).

    Returns:
        (N, H, W).

    >>> resize_maps(jnp.array([[[0.0, 1.0]]]), (1, 4))[0, 0].tolist()
    [0.0, 0.25, 0.75, 1.0]
    """
    maps = jnp.asarray(maps)
    return jax.image.resize(maps, (len(maps), *size), "linear", antialias=False)


def boxes_from_maps(
    maps: jax.Array, *, threshold: float = 0.2, size: Sequence[int] | None = None
) -> np.ndarray:
    """The box around the largest connected part of each map above a share of its maximum.

    Args:
        maps: (N, h, w), one object in each.
        threshold: share of the maximum, from 0 to below 1.
        size: (H, W) of the image; maps of another size are resized first.

    Returns:
        (N, 4), x and y of the upper left and of the lower right corner in pixels, the latter just
        outside. A map without positive values gives the whole image.

    Raises:
        ValueError: maps of another shape, or a threshold outside 0 … 1.

    Source: Zhou et al. 2016, §3.2.

    >>> boxes_from_maps(jnp.zeros((1, 4, 6)).at[0, 1:3, 2:5].set(1.0)).tolist()
    [[2.0, 1.0, 5.0, 3.0]]
    """
    from scipy import ndimage

    if not 0 <= threshold < 1:
        raise ValueError(f"threshold: got {threshold}; expected a share from 0 to below 1")
    if np.ndim(maps) != 3:
        raise ValueError(f"maps: got shape {np.shape(maps)}; expected (N, h, w)")
    maps = np.asarray(maps if size is None else resize_maps(maps, size))
    boxes = []
    for one in maps:
        labels, count = ndimage.label(one > threshold * one.max()) if one.max() > 0 else (None, 0)
        if not count:
            boxes.append((0, 0, one.shape[1], one.shape[0]))
            continue
        largest = np.bincount(labels.ravel())[1:].argmax()
        rows, columns = ndimage.find_objects(labels)[largest]
        boxes.append((columns.start, rows.start, columns.stop, rows.stop))
    return np.asarray(boxes, np.float64).reshape(-1, 4)


def box_overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of pairs of boxes.

    Args:
        a, b: (N, 4), x and y of the upper left and of the lower right corner.

    Returns:
        (N,); 0 for two empty boxes.

    >>> box_overlap(np.array([[0, 0, 2, 2]]), np.array([[0, 1, 2, 3]])).round(3).tolist()
    [0.333]
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    both = np.prod(np.maximum(sides, 0), axis=-1)
    areas = [np.prod(np.maximum(x[:, 2:] - x[:, :2], 0), axis=-1) for x in (a, b)]
    union = areas[0] + areas[1] - both
    return np.where(union > 0, both / np.where(union > 0, union, 1), 0.0)
