"""The region of an image that a geometric transform keeps, and what it does to everything there.

Coordinates are continuous: the pixel in row i and column j covers [j, j + 1) × [i, i + 1), so an
image's corners are (0, 0) and (W, H), and a mirror image has W − x for x. Boxes and keypoints use
the same coordinates; where a data set numbers pixels (COCO's keypoints), add ½ first.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.augment.example import Example, change_image, image_of


class Region(NamedTuple):
    """A rectangle of an image that is resized to ``size``, and mirrored where that is asked.

    Attributes:
        top, left, height, width: in pixels of the image, numbers or traced; it may reach outside.
        size: (rows, columns) of the result.
        mirrored: whether the result is mirrored left to right; a bool or traced.

    >>> Region(0, 2, 4, 4, (8, 8)).mirrored
    False
    """

    top: jax.Array | float
    left: jax.Array | float
    height: jax.Array | float
    width: jax.Array | float
    size: tuple[int, int]
    mirrored: jax.Array | bool = False


def move_to_region(
    example: Example,
    region: Region,
    move_image: Callable[[jax.Array], jax.Array],
    *,
    mask_fill: int = 0,
    pairs: Sequence[tuple[int, int]] = (),
) -> Example:
    """Take image, boxes, masks and keypoints of an example to a region, everything together.

    Boxes are clipped to the region; those without area left become zeros and are switched off in
    ``box_mask`` (made if missing). Masks take the nearest pixel. Keypoints outside the region, its
    border excluded, get visibility 0; without a visibility their coordinates alone tell it.

    Args:
        example: ``image (H, W, C)`` or ``clip``, and where they exist ``boxes (…, 4)`` as x1, y1,
            x2, y2 in pixels with ``box_mask (…)``, ``masks (…, H, W)``, ``keypoints (…, J, 2)`` as
            x, y in pixels or ``(…, J, 3)`` with visibility. Or a bare image.
        region: where the result comes from.
        move_image: the transform's way of moving the image itself.
        mask_fill: what masks get where the region reaches outside the image.
        pairs: (left, right) numbers of keypoints that trade places in a mirror image.

    Returns:
        The example, of the same entries and of the size of the region; or the image.

    Raises:
        ValueError: shapes that do not fit; pairs that are not of different keypoints.

    >>> region = Region(0, 2, 4, 4, (4, 4), mirrored=True)
    >>> example = {"image": jnp.zeros((4, 8, 1)), "boxes": jnp.array([[1.0, 1, 3, 4]])}
    >>> moved = move_to_region(example, region, lambda image: image[:, 5:1:-1])
    >>> moved["boxes"].tolist(), moved["box_mask"].tolist()
    ([[3.0, 1.0, 4.0, 4.0]], [1.0])
    """
    moved = change_image(example, move_image)
    if not isinstance(example, Mapping):
        return moved
    move_marks(
        example,
        moved,
        region.size,
        masks=lambda masks: _move_masks(masks, region, mask_fill),
        boxes=lambda boxes: _move_boxes(boxes, region),
        points=lambda x, y: _move_coordinates(x, y, region),
    )
    if "keypoints" in example:
        moved["keypoints"] = _trade_pairs(moved["keypoints"], region, pairs)
    return moved


def move_marks(
    example: Mapping[str, Any],
    moved: dict[str, Any],
    size: tuple[int, int],
    *,
    masks: Callable[[jax.Array], jax.Array],
    boxes: Callable[[jax.Array], jax.Array],
    points: Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]],
) -> None:
    """Write to ``moved`` where an example's masks, boxes and keypoints go, checked and clipped.

    Args:
        example: as of `move_to_region`.
        moved: the example with its image moved already.
        size: (rows, columns) of the result.
        masks: (…, H, W) → moved.
        boxes: (…, 4) → moved, x1, y1, x2, y2, not clipped.
        points: x and y of keypoints → moved.

    Raises:
        ValueError: shapes that do not fit.

    >>> example, moved = {"image": jnp.zeros((4, 8, 1)), "keypoints": jnp.zeros((1, 3))}, {}
    >>> same = lambda array: array
    >>> move_marks(example, moved, (4, 8), masks=same, boxes=same, points=lambda x, y: (x + 2, y))
    >>> moved["keypoints"].tolist()
    [[2.0, 0.0, 0.0]]
    """
    rows, columns = size
    if "masks" in example:
        given, shape = jnp.asarray(example["masks"]), jnp.shape(image_of(example))[:2]
        if given.shape[-2:] != shape:
            raise ValueError(f"masks: got shape {given.shape}; expected (…, *{shape}) as the image")
        moved["masks"] = masks(given)
    if "boxes" in example:
        given = floating(example["boxes"])
        if given.shape[-1] != 4:
            raise ValueError(f"boxes: got shape {given.shape}; expected (M, 4)")
        mask = jnp.asarray(example.get("box_mask", jnp.ones(given.shape[:-1])))
        x1, y1, x2, y2 = jnp.moveaxis(boxes(given), -1, 0)
        x1, x2 = jnp.clip(x1, 0, columns), jnp.clip(x2, 0, columns)
        y1, y2 = jnp.clip(y1, 0, rows), jnp.clip(y2, 0, rows)
        kept = (x2 > x1) & (y2 > y1)
        found = jnp.stack([x1, y1, x2, y2], -1).astype(given.dtype)
        moved["boxes"] = jnp.where(kept[..., None], found, jnp.zeros_like(found))
        moved["box_mask"] = jnp.where(kept, mask, jnp.zeros_like(mask))
    if "keypoints" in example:
        given = floating(example["keypoints"])
        if given.ndim < 2 or given.shape[-1] not in (2, 3):
            raise ValueError(f"keypoints: got shape {given.shape}; expected (…, J, 2 or 3)")
        x, y = points(given[..., 0], given[..., 1])
        parts = [x, y]
        if given.shape[-1] == 3:
            there = (x >= 0) & (x <= columns) & (y >= 0) & (y <= rows)
            parts.append(jnp.where(there, given[..., 2], 0))
        moved["keypoints"] = jnp.stack(parts, -1).astype(given.dtype)


def nearest_pixels(start: jax.Array, extent: jax.Array, count: int) -> jax.Array:
    """The pixels in which the centers of ``count`` equal parts of [start, start + extent] lie.

    A center on the border of two pixels lies in the later one.

    Args:
        start, extent: in pixels, numbers or traced.
        count: how many parts.

    Returns:
        int32 (count,), below 0 or beyond the image where the interval is.

    >>> nearest_pixels(0, 8, 4).tolist()
    [1, 3, 5, 7]
    """
    # More than the rounding of the center, which would otherwise decide, and image and masks, that
    # are compiled apart, would fall to different sides.
    first, length = jnp.float32(start), jnp.float32(extent)
    slack = 5e-7 * (jnp.abs(first) + length)
    last = jnp.ceil(first + length) - 1
    pixels = jnp.minimum(jnp.floor(centers(start, extent, count) + slack), last)
    return pixels.astype(jnp.int32)


def centers(start: jax.Array, extent: jax.Array, count: int) -> jax.Array:
    """The centers of ``count`` equal parts of [start, start + extent], float32.

    Args:
        start, extent: in pixels, numbers or traced.
        count: how many parts.

    Returns:
        (count,).

    >>> centers(1, 8, 4).tolist()
    [2.0, 4.0, 6.0, 8.0]
    """
    start, extent = jnp.float32(start), jnp.float32(extent)
    # Multiplied first, so that integer results are exact.
    return start + (jnp.arange(count, dtype=jnp.float32) + 0.5) * extent / count


def floating(array: jax.typing.ArrayLike) -> jax.Array:
    """Coordinates as floating numbers: integers become float32.

    >>> floating([1, 2]).dtype.name
    'float32'
    """
    array = jnp.asarray(array)
    return array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(jnp.float32)


def _move_masks(masks, region, fill):
    height, width = masks.shape[-2:]
    rows = nearest_pixels(region.top, region.height, region.size[0])
    columns = nearest_pixels(region.left, region.width, region.size[1])
    columns = jnp.where(region.mirrored, columns[::-1], columns)
    inside_y, inside_x = (rows >= 0) & (rows < height), (columns >= 0) & (columns < width)
    moved = masks.take(rows, -2, mode="clip").take(columns, -1, mode="clip")
    there = jnp.broadcast_to(inside_y[:, None] & inside_x[None, :], moved.shape)
    return jnp.where(there, moved, jnp.asarray(fill, masks.dtype))


def _move_coordinates(x, y, region):
    rows, columns = region.size
    top, left, height, width = (jnp.asarray(value, x.dtype) for value in region[:4])
    # Whole pixels that are not resized are multiplied by exactly 1.
    x = (x - left) * (columns / width)
    y = (y - top) * (rows / height)
    return jnp.where(region.mirrored, columns - x, x), y


def _move_boxes(boxes, region):
    x1, y1 = _move_coordinates(boxes[..., 0], boxes[..., 1], region)
    x2, y2 = _move_coordinates(boxes[..., 2], boxes[..., 3], region)
    x1, x2 = jnp.where(region.mirrored, x2, x1), jnp.where(region.mirrored, x1, x2)
    return jnp.stack([x1, y1, x2, y2], -1)


def _trade_pairs(moved, region, pairs):
    order = np.arange(moved.shape[-2])
    named = [number for pair in pairs for number in pair]
    if len(set(named)) != len(named) or not set(named) <= set(order.tolist()):
        raise ValueError(
            f"pairs: got {tuple(pairs)}; expected different numbers below {len(order)}, the "
            "number of keypoints"
        )
    for left, right in pairs:
        order[[left, right]] = right, left
    return jnp.where(region.mirrored, moved[..., order, :], moved) if len(named) else moved
