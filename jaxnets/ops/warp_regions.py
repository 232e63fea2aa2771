"""Regions of an image as images of one size, with some of what is around them."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.ops.boxes.checks import check_boxes, check_count
from jaxnets.ops.precision import at_least_float32


def warp_regions(
    image: jax.Array,
    boxes: jax.Array,
    size: int,
    *,
    context: int = 16,
    fill: jax.Array | float = 0.0,
) -> jax.Array:
    """Stretch each region to a square, so that ``context`` pixels of it lie around the box.

    The box is enlarged about its center by size/(size − 2·context) and sampled bilinearly at the
    centers of the square's pixels; what lies outside the image is ``fill``.

    Args:
        image: (H, W, C), of any dtype.
        boxes: (R, 4), corners in pixels.
        size: of the squares, in pixels; 227 for AlexNet.
        context: pixels of the square on each side that show what is around the box.
        fill: a number, or one for each channel, such as the mean color.

    Returns:
        (R, size, size, C), floating, float32 at least.

    Raises:
        ValueError: shapes that do not fit, a size below 1, or a context that leaves nothing.

    Source: Girshick et al., "Rich feature hierarchies", 2014, appendix A.

    >>> image = jnp.arange(16.0).reshape(4, 4, 1)
    >>> warp_regions(image, jnp.array([[1.0, 1, 3, 3]]), 2, context=0)[0, ..., 0].tolist()
    [[5.0, 6.0], [9.0, 10.0]]
    """
    check_boxes("boxes", boxes, 2)
    check_count("size", size)
    if image.ndim != 3 or 0 in image.shape:
        raise ValueError(f"image: got shape {image.shape}; expected (H, W, C) with pixels")
    if not 0 <= 2 * context < size:
        raise ValueError(f"context: got {context}; expected 0 or more, below half of {size}")
    return _warp_regions(image, boxes, jnp.asarray(fill), size, context)


@partial(jax.jit, static_argnums=(3, 4), inline=True)
def _warp_regions(image, boxes, fill, size, context):
    wide = at_least_float32(image)
    boxes = lax.stop_gradient(at_least_float32(boxes)).astype(wide.dtype)
    center, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    half = half * size / (size - 2 * context)
    step = (jnp.arange(size, dtype=wide.dtype) + 0.5) / size
    rows, columns = (
        _samples(center[:, axis] - half[:, axis], half[:, axis], step, image.shape[1 - axis])
        for axis in (1, 0)
    )

    def one(rows, columns):
        (low, high, share, inside), (left, right, across, within) = rows, columns
        lines = wide[low] * (1 - share)[:, None, None] + wide[high] * share[:, None, None]
        across = across[None, :, None]
        found = lines[:, left] * (1 - across) + lines[:, right] * across
        outside = jnp.broadcast_to(fill.astype(wide.dtype), found.shape)
        return jnp.where((inside[:, None] & within[None])[..., None], found, outside)

    return jax.vmap(one)(rows, columns)


def _samples(start, half, step, length):
    """Of samples along an axis (R, size): the pixel below and above, the share of the one above,
    and whether they lie in the image."""
    place = start[:, None] + 2 * half[:, None] * step[None]
    inside = (place >= 0) & (place <= length)
    place = jnp.clip(place - 0.5, 0, length - 1)
    below = jnp.floor(place)
    low = below.astype(jnp.int32)
    return low, jnp.minimum(low + 1, length - 1), place - below, inside
