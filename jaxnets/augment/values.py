"""Between an image as stored and float32 from 0 to 1, in which colors are computed."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

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


def white_of(image: jax.Array) -> float | jax.Array:
    """The value of white where it is not given: 255 for uint8, 1 for floating images.

    Floating images of another range, such as 0 … 255 or normalized ones, are refused: ``white``
    must be given for them. Inside jit, where values are not known, they become NaN.

    Args:
        image: uint8 or floating.

    Returns:
        255 or 1; inside jit a traced NaN for a floating image of another range.

    Raises:
        ValueError: a floating image with values outside −1 … 2.

    >>> white_of(jnp.zeros((2, 2, 3), jnp.uint8)), white_of(jnp.zeros((2, 2, 3)))
    (255, 1)
    >>> white_of(jnp.full((2, 2, 3), 200.0))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: image: got floating values from 200 to 200, and no white; expected 0 … 1. Give ...
    """
    if image.dtype == jnp.uint8:
        return 255
    if not image.size:
        return 1
    if not isinstance(image, jax.core.Tracer):
        values = np.asarray(image, np.float32)
        low, high = float(values.min()), float(values.max())
        if low < _LOWEST or high > _HIGHEST:
            raise ValueError(
                f"image: got floating values from {low:g} to {high:g}, and no white; expected "
                "0 … 1. Give white=255 for gray levels 0 … 255, or change colors before images "
                "are normalized"
            )
        return 1
    wide = image.astype(jnp.float32)
    wrong = (wide.min() < _LOWEST) | (wide.max() > _HIGHEST)
    return jnp.where(wrong, jnp.nan, 1.0)


# Color noise and resampling leave 0 … 1 by less than this; no image in another range stays within
# it that is not black.
_LOWEST, _HIGHEST = -1.0, 2.0


def in_unit_range(
    image: jax.Array, change: Callable[[jax.Array], jax.Array], white: float | None
) -> jax.Array:
    """Apply ``change`` to the image scaled so that white is 1, and scale back.

    Args:
        image: uint8 or floating.
        change: float32 image → float32 image.
        white: the value of white; None is 255 for uint8 and 1 for floating images, see
            `white_of`.

    Returns:
        The changed image, of the image's dtype; uint8 is rounded and clipped.

    >>> in_unit_range(jnp.array([[[102]]], jnp.uint8), lambda x: 2 * x, None).item()
    204
    """
    check_gray_levels(image)
    white = white_of(image) if white is None else white
    return to_dtype(change(image.astype(jnp.float32) / white) * white, image.dtype)
