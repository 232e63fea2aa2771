"""Rotation about the image's middle, with all that is marked in it."""

import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates

from jaxnets.augment.checks import check_image
from jaxnets.augment.example import Example, change_image, image_of
from jaxnets.augment.region import move_marks
from jaxnets.augment.values import to_dtype


def random_rotate(
    key: jax.Array,
    example: Example,
    degrees: float = 30.0,
    *,
    fill: float | jax.Array = 0,
    mask_fill: int = 0,
) -> Example:
    """Turn an example about its image's middle by an angle in [−degrees, degrees].

    Args:
        key: a JAX random key.
        example: a dict with ``image (H, W, C)`` or ``clip``, uint8 or floating, or the image.
        degrees: the largest angle.
        fill: the value of what comes into view.
        mask_fill: what masks get there.

    Returns:
        The example, of the same shapes and dtypes; see `rotate_by`.

    Raises:
        ValueError: an angle below 0 or above 180 degrees.

    >>> random_rotate(jax.random.key(0), jnp.ones((8, 9, 1))).shape
    (8, 9, 1)
    """
    if not 0 <= degrees <= 180:
        raise ValueError(f"degrees: got {degrees}; expected 0 to 180")
    angle = jax.random.uniform(key, (), minval=-degrees, maxval=degrees)
    return rotate_by(example, angle, fill=fill, mask_fill=mask_fill)


def rotate_by(
    example: Example,
    degrees: float | jax.Array,
    *,
    fill: float | jax.Array = 0,
    mask_fill: int = 0,
) -> Example:
    """Turn an example counterclockwise about its image's middle; the canvas keeps its size.

    The image is interpolated bilinearly, masks take the nearest pixel. Boxes become the bounds of
    their turned corners, clipped; those outside become zeros and are switched off in ``box_mask``
    (made if missing). Keypoints outside get visibility 0.

    Args:
        example: a dict with ``image (H, W, C)`` or ``clip``, and where they exist ``boxes (…, 4)``
            with ``box_mask``, ``masks (…, H, W)`` and ``keypoints (…, J, 2 or 3)``; or the image.
        degrees: the angle, a number or traced.
        fill: the value of what comes into view.
        mask_fill: what masks get there.

    Returns:
        The example, of the same shapes and dtypes.

    Raises:
        ValueError: shapes that do not fit.

    >>> image = jnp.arange(4, dtype=jnp.uint8).reshape(2, 2, 1)
    >>> turned = rotate_by({"image": image, "keypoints": jnp.array([[2.0, 0.5]])}, 90.0)
    >>> turned["image"][..., 0].tolist(), turned["keypoints"].round(3).tolist()
    ([[1, 3], [0, 2]], [[0.5, 0.0]])
    """
    check_image(image_of(example))
    height, width = image_of(example).shape[:2]
    angle = jnp.asarray(degrees, jnp.float32) * (math.pi / 180)
    cosine, sine = jnp.cos(angle), jnp.sin(angle)

    def turn(x, y):
        """Coordinates in the image → in the result; y points down."""
        c, s = cosine.astype(x.dtype), sine.astype(x.dtype)
        x, y = x - width / 2, y - height / 2
        return c * x + s * y + width / 2, c * y - s * x + height / 2

    # Where each pixel of the result comes from: turned back, numbers of pixels in place of places.
    across = jnp.arange(width, dtype=jnp.float32)[None] + (0.5 - width / 2)
    down = jnp.arange(height, dtype=jnp.float32)[:, None] + (0.5 - height / 2)
    places = [
        cosine * down + sine * across + height / 2 - 0.5,
        cosine * across - sine * down + width / 2 - 0.5,
    ]

    def move(image):
        layers = jnp.moveaxis(image.astype(jnp.float32), -1, 0)
        colors = jnp.broadcast_to(jnp.asarray(fill, jnp.float32), (len(layers),))
        # Outside there is the color of what comes into view, so that borders fade into it.
        found = jax.vmap(
            lambda layer, color: map_coordinates(layer - color, places, 1, "constant") + color
        )(layers, colors)
        return to_dtype(jnp.moveaxis(found, 0, -1), image.dtype)

    moved = change_image(example, move)
    if not isinstance(example, Mapping):
        return moved

    def turn_masks(masks):
        rows, columns = (jnp.floor(place + 0.5).astype(jnp.int32) for place in places)
        there = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        found = masks[..., jnp.clip(rows, 0, height - 1), jnp.clip(columns, 0, width - 1)]
        there = jnp.broadcast_to(there, found.shape)
        return jnp.where(there, found, jnp.asarray(mask_fill, masks.dtype))

    def turn_boxes(boxes):
        x, y = turn(boxes[..., jnp.array([0, 2, 2, 0])], boxes[..., jnp.array([1, 1, 3, 3])])
        return jnp.stack([x.min(-1), y.min(-1), x.max(-1), y.max(-1)], -1)

    move_marks(example, moved, (height, width), masks=turn_masks, boxes=turn_boxes, points=turn)
    return moved
