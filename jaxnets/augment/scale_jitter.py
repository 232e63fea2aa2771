"""Scale jitter on a fixed canvas: objects become larger or smaller, the image keeps its shape."""

import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from jaxnets.augment.checks import check_image
from jaxnets.augment.example import Example, image_of
from jaxnets.augment.region import Region, move_to_region
from jaxnets.augment.resample import bilinear_weights
from jaxnets.augment.values import to_dtype


def random_scale(
    key: jax.Array,
    example: Example,
    scales: tuple[float, float] = (0.5, 2.0),
    *,
    stretch: float = 1.0,
    fill: float | jax.Array = 0,
    mask_fill: int = 0,
    min_visible: float = 0.3,
) -> Example:
    """Enlarge or shrink an example about a random place; its image keeps its height and width.

    Enlarged, a random part of it is seen; shrunk, it lies at a random place of the canvas.

    Args:
        key: a JAX random key.
        example: a dict with ``image (H, W, C)``, uint8 or floating, or the image.
        scales: range of the factor, log-uniform.
        stretch: height and width may differ by up to this factor either way, log-uniform.
        fill: the value of what comes into view.
        mask_fill: what masks get there.
        min_visible: as of `scale_at`.

    Returns:
        The example, of the same shapes and dtypes; an image for an image.

    Raises:
        ValueError: scales that are not positive or not in order, a stretch below 1.

    Source: Ghiasi et al., "Simple Copy-Paste is a Strong Data Augmentation Method for Instance
    Segmentation", 2020, section 3, "large scale jittering"; Liu et al., "SSD", 2016, section 3.6.

    >>> random_scale(jax.random.key(0), jnp.ones((8, 9, 1))).shape
    (8, 9, 1)
    """
    low, high = scales
    if not 0 < low <= high:
        raise ValueError(f"scales: got {scales}; expected two positive numbers, the smaller first")
    if stretch < 1:
        raise ValueError(f"stretch: got {stretch}; expected at least 1")
    height, width = image_of(example).shape[:2]
    scale_key, stretch_key, place_key = jax.random.split(key, 3)
    factor = jnp.exp(jax.random.uniform(scale_key, (), minval=math.log(low), maxval=math.log(high)))
    tall = jnp.exp(jax.random.uniform(stretch_key, (), minval=-1.0) * math.log(stretch) / 2)
    # What of the image's extent the canvas shows; more than all of it where it is shrunk.
    extent = jnp.array([height, width], jnp.float32)
    seen = extent / (factor * jnp.stack([tall, 1 / tall]))
    place = jax.random.uniform(place_key, (2,)) * (extent - seen)
    return scale_at(
        example,
        (place[0], place[1], seen[0], seen[1]),
        fill=fill,
        mask_fill=mask_fill,
        min_visible=min_visible,
    )


def scale_at(
    example: Example,
    region: tuple[jax.Array | float, ...],
    *,
    fill: float | jax.Array = 0,
    mask_fill: int = 0,
    min_visible: float = 0.3,
) -> Example:
    """Show a region of an example, which may reach outside of it, on a canvas of the same size.

    Args:
        example: a dict with ``image (H, W, C)``, uint8 or floating, or the image.
        region: (top, left, height, width) in pixels; numbers or traced.
        fill: the value of what comes into view.
        mask_fill: what masks get there.
        min_visible: objects of which a smaller share of the area can still be seen become zeros
            and are switched off in ``box_mask``, as those that cannot be seen at all.

    Returns:
        The example, of the same shapes and dtypes; an image for an image.

    >>> example = {"image": jnp.ones((4, 4, 1)), "boxes": jnp.array([[0.0, 0, 4, 4]])}
    >>> shrunk = scale_at(example, (0, 0, 8, 8))
    >>> shrunk["boxes"].tolist(), round(shrunk["image"].sum().item(), 3)
    ([[0.0, 0.0, 2.0, 2.0]], 4.0)
    """
    image = image_of(example)
    check_image(image)
    height, width = image.shape[:2]
    top, left, tall, wide = (jnp.float32(value) for value in region)
    rows, row_inside = bilinear_weights(top, tall, height, height)
    columns, column_inside = bilinear_weights(left, wide, width, width)
    inside = row_inside[:, None, None] & column_inside[None, :, None]

    def move(image):
        x = jnp.einsum("yh,hwc->ywc", rows, image.astype(jnp.float32), precision="highest")
        x = jnp.einsum("xw,ywc->yxc", columns, x, precision="highest")
        return to_dtype(jnp.where(inside, x, jnp.asarray(fill, jnp.float32)), image.dtype)

    seen = Region(top, left, tall, wide, (height, width))
    moved = move_to_region(example, seen, move, mask_fill=mask_fill)
    if isinstance(example, Mapping) and "boxes" in example:
        area = _area(jnp.asarray(example["boxes"])) * (height / tall) * (width / wide)
        visible = _area(moved["boxes"]) >= min_visible * area
        mask = moved["box_mask"]
        moved["box_mask"] = jnp.where(visible, mask, jnp.zeros_like(mask))
        moved["boxes"] = jnp.where(visible[..., None], moved["boxes"], 0)
    return moved


def _area(boxes):
    sides = jnp.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    return sides[..., 0] * sides[..., 1]
