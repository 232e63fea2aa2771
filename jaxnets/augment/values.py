"""Between an image as stored and float32 from 0 to 1, in which colors are computed."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxnets.augment.checks import check_gray_levels


def to_dtype(values: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """Gray levels in the image's dtype; for uint8 rounded and kept within 0 … 255.

    Args:
        values: floating gray levels.
        dtype: uint8 or floating.

    Returns:
        The same shape, in ``dtype``.

    >>> to_dtype(jnp.array([-3.0, 1.6, 300.0]), jnp.uint8).tolist()
    [0, 2, 255]
    """
    if dtype == jnp.uint8:
        values = jnp.clip(jnp.round(values), 0, 255)
    return values.astype(dtype)


def white_of(image: jax.Array) -> int:
    """The value of white where it is not given: 255 for uint8, 1 for floating images.

    Nothing is checked: for floating images of another range, such as 0 … 255 or normalized ones,
    ``white`` must be given.

    Args:
        image: uint8 or floating.

    Returns:
        255 or 1.

    >>> white_of(jnp.zeros((2, 2, 3), jnp.uint8)), white_of(jnp.zeros((2, 2, 3)))
    (255, 1)
    """
    return 255 if image.dtype == jnp.uint8 else 1


def in_unit_range(
    image: jax.Array, change: Callable[[jax.Array], jax.Array], white: float | None
) -> jax.Array:
    """Apply ``change`` to the image scaled so that white is 1, and scale back.

    Args:
        image: uint8 or floating.
        change: float32 image → float32 image.
        white: the value of white; None is 255 for uint8 and 1 for floating images.

    Returns:
        The changed image, of the image's dtype; uint8 is rounded and clipped.

    >>> in_unit_range(jnp.array([[[102]]], jnp.uint8), lambda x: 2 * x, None).item()
    204
    """
    check_gray_levels(image)
    white = white_of(image) if white is None else white
    return to_dtype(change(image.astype(jnp.float32) / white) * white, image.dtype)
