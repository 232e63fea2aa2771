"""Flips, crops and shifts by whole pixels: nothing is computed with values, so any dtype will do.

Each moves the whole example together: image, boxes, masks and keypoints (see
`jaxnets.augment.region.move_to_region`). Every random transform has a twin without randomness:
``random_flip`` and ``flip``.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from jaxnets.augment.checks import check_image, check_range, check_size
from jaxnets.augment.example import Example, image_of
from jaxnets.augment.region import Region, move_to_region


def random_flip(
    key: jax.Array,
    example: Example,
    probability: float = 0.5,
    *,
    pairs: Sequence[tuple[int, int]] = (),
) -> Example:
    """Mirror an example left to right with probability ½.

    Args:
        key: a JAX random key.
        example: a dict with ``image (H, W, C)``, any dtype, or the image.
        probability: of the mirror image.
        pairs: as of `flip`.

    Returns:
        The example, of the same shapes and dtypes; an image for an image.

    Source: Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional Neural
    Networks", 2012, section 4.1.

    >>> random_flip(jax.random.key(0), jnp.arange(3).reshape(1, 3, 1)).shape
    (1, 3, 1)
    """
    check_range("probability", probability, 0, 1)
    return flip(example, jax.random.bernoulli(key, probability), pairs=pairs)


def random_crop(
    key: jax.Array, example: Example, padding: int = 4, *, mask_fill: int = 0
) -> Example:
    """Surround an image with ``padding`` zeros and cut its own size at a uniformly random place.

    Args:
        key: a JAX random key.
        example: a dict with ``image (H, W, C)``, any dtype, or the image.
        padding: pixels on each side; the paper's is 4 on CIFAR-10.
        mask_fill: as of `crop`.

    Returns:
        The example, of the same shapes and dtypes; an image for an image.

    Source: He et al., "Deep Residual Learning for Image Recognition", 2015, section 4.2.

    >>> random_crop(jax.random.key(0), jnp.ones((8, 8, 1))).shape
    (8, 8, 1)
    """
    offsets = jax.random.randint(key, (2,), 0, 2 * padding + 1)
    return crop(example, offsets[0], offsets[1], padding, mask_fill=mask_fill)


def random_window(
    key: jax.Array, example: Example, size: int, *, inclusive: bool = True
) -> Example:
    """Cut a square of ``size`` pixels at a uniformly random place.

    AlexNet cuts 224 from 256 and counts 32² places: it leaves the last row and column of the 33²
    out, which is ``inclusive=False``.

    Args:
        key: a JAX random key.
        example: a dict with ``image (H, W, C)``, any dtype, of at least ``size`` pixels each way,
            or the image.
        size: side of the square.
        inclusive: also cut at the lower and right border, as torchvision's RandomCrop does.

    Returns:
        The example, its image (size, size, C); an image for an image.

    Raises:
        ValueError: the image is smaller than the square.

    Source: Krizhevsky, Sutskever, Hinton, 2012, section 4.1.

    >>> random_window(jax.random.key(0), jnp.ones((8, 9, 1)), 6).shape
    (6, 6, 1)
    """
    image = image_of(example)
    check_image(image)
    check_size("size", size, min(image.shape[:2]))
    places = jnp.array([image.shape[0] - size, image.shape[1] - size])
    offsets = jax.random.randint(key, (2,), 0, jnp.maximum(places + int(inclusive), 1))
    return window(example, offsets[0], offsets[1], size)


def random_translate(
    key: jax.Array,
    example: Example,
    limit: int,
    fill: float | jax.Array = 0,
    *,
    mask_fill: int = 0,
) -> Example:
    """Shift an example by up to ``limit`` whole pixels, down or up and right or left.

    Args:
        key: a JAX random key.
        example: a dict with ``image (H, W, C)``, any dtype, or the image.
        limit: largest shift; all of −limit … limit are equally likely in each direction.
        fill: the value, or the value of each channel, of what comes into view.
        mask_fill: what masks get there.

    Returns:
        The example, of the same shapes and dtypes; an image for an image.

    >>> random_translate(jax.random.key(0), jnp.ones((4, 4, 1)), 2).shape
    (4, 4, 1)
    """
    image = image_of(example)
    check_image(image)
    check_size("limit", limit, min(image.shape[:2]))
    down, right = jax.random.randint(key, (2,), -limit, limit + 1)
    return translate(example, down, right, fill, mask_fill=mask_fill)


def flip(
    example: Example, flipped: jax.Array | bool, *, pairs: Sequence[tuple[int, int]] = ()
) -> Example:
    """Mirror an example left to right where ``flipped`` is true: x becomes W − x.

    Args:
        example: a dict with ``image (H, W, C)``, any dtype, or the image.
        flipped: a scalar.
        pairs: numbers of the keypoints that are each other's mirror images, such as the left and
            the right eye: they trade places.

    Returns:
        The example, of the same shapes and dtypes; an image for an image.

    >>> example = {"image": jnp.zeros((4, 8, 1)), "boxes": jnp.array([[1.0, 1, 3, 4]])}
    >>> flip(example, True)["boxes"].tolist()
    [[5.0, 1.0, 7.0, 4.0]]
    """
    height, width = image_of(example).shape[:2]
    region = Region(0, 0, height, width, (height, width), flipped)
    return move_to_region(
        example, region, lambda image: jnp.where(flipped, image[:, ::-1], image), pairs=pairs
    )


def crop(
    example: Example, top: jax.Array, left: jax.Array, padding: int, *, mask_fill: int = 0
) -> Example:
    """Cut (H, W) at a place of the image with ``padding`` zeros around it.

    Args:
        example: a dict with ``image (H, W, C)``, any dtype, or the image.
        top, left: both in 0 … 2·padding; (padding, padding) gives the image itself.
        padding: pixels on each side.
        mask_fill: what masks get around the image: 0, or the number of the class to be ignored.

    Returns:
        The example, of the same shapes and dtypes; an image for an image.

    >>> crop(jnp.arange(1, 4).reshape(1, 3, 1), 1, 0, 1)[0, :, 0].tolist()
    [0, 1, 2]
    """

    def move(image):
        padded = jnp.pad(image, ((padding, padding), (padding, padding), (0, 0)))
        return jax.lax.dynamic_slice(padded, (top, left, 0), image.shape)

    height, width = image_of(example).shape[:2]
    region = Region(top - padding, left - padding, height, width, (height, width))
    return move_to_region(example, region, move, mask_fill=mask_fill)


def window(example: Example, top: jax.Array, left: jax.Array, size: int) -> Example:
    """Cut a square at (top, left), which must lie inside the image.

    Args:
        example: a dict with ``image (H, W, C)``, any dtype, or the image.
        top, left: of the square, in pixels.
        size: its side.

    Returns:
        The example, its image (size, size, C); an image for an image.

    >>> window(jnp.arange(4).reshape(2, 2, 1), 1, 0, 1).tolist()
    [[[2]]]
    """
    image = image_of(example)
    check_image(image)
    check_size("size", size, min(image.shape[:2]))

    def move(image):
        return jax.lax.dynamic_slice(image, (top, left, 0), (size, size, image.shape[2]))

    return move_to_region(example, Region(top, left, size, size, (size, size)), move)


def translate(
    example: Example,
    down: jax.Array,
    right: jax.Array,
    fill: float | jax.Array = 0,
    *,
    mask_fill: int = 0,
) -> Example:
    """Shift an example by whole pixels.

    Args:
        example: a dict with ``image (H, W, C)``, any dtype, or the image.
        down, right: pixels; negative ones shift up and left.
        fill: the value, or the value of each channel, of what comes into view.
        mask_fill: what masks get there.

    Returns:
        The example, of the same shapes and dtypes; an image for an image.

    >>> translate(jnp.arange(1, 4).reshape(1, 3, 1), 0, 1)[0, :, 0].tolist()
    [0, 1, 2]
    """
    check_image(image_of(example))
    height, width = image_of(example).shape[:2]

    def move(image):
        rows, columns = jnp.arange(height) - down, jnp.arange(width) - right
        moved = image.take(rows, 0, mode="clip").take(columns, 1, mode="clip")
        inside_y, inside_x = (rows >= 0) & (rows < height), (columns >= 0) & (columns < width)
        there = inside_y[:, None, None] & inside_x[None, :, None]
        filling = jnp.broadcast_to(jnp.asarray(fill, jnp.result_type(image)), image.shape)
        return jnp.where(there, moved, filling)

    region = Region(-down, -right, height, width, (height, width))
    return move_to_region(example, region, move, mask_fill=mask_fill)
