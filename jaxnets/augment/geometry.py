"""Flips, crops and shifts of one image: nothing is computed with its values, so any dtype will do.

Every random transform has a twin without randomness: ``random_flip`` and ``flip``.
"""

import jax
import jax.numpy as jnp

from jaxnets.augment.checks import check_image, check_range, check_size


def random_flip(key: jax.Array, image: jax.Array, probability: float = 0.5) -> jax.Array:
    """Mirror an image left to right with probability ½ (AlexNet, notes L109).

    Args:
      key: a JAX random key.
      image: (H, W, C), any dtype.
      probability: of the mirror image.

    >>> random_flip(jax.random.key(0), jnp.arange(3).reshape(1, 3, 1)).shape
    (1, 3, 1)
    """
    check_range("probability", probability, 0, 1)
    return flip(image, jax.random.bernoulli(key, probability))


def random_crop(key: jax.Array, image: jax.Array, padding: int = 4) -> jax.Array:
    """Surround an image with ``padding`` zeros and cut its own size at a uniformly random place.

    What "Deep Residual Learning" (He et al. 2015, section 4.2) does on CIFAR-10, with padding 4.

    Args:
      key: a JAX random key.
      image: (H, W, C), any dtype.
      padding: pixels on each side.

    >>> random_crop(jax.random.key(0), jnp.ones((8, 8, 1))).shape
    (8, 8, 1)
    """
    offsets = jax.random.randint(key, (2,), 0, 2 * padding + 1)
    return crop(image, offsets[0], offsets[1], padding)


def random_window(
    key: jax.Array, image: jax.Array, size: int, *, inclusive: bool = True
) -> jax.Array:
    """Cut a square of ``size`` pixels at a uniformly random place.

    AlexNet cuts 224 from 256 and counts 32² places (Krizhevsky et al. 2012, section 4.1): it
    leaves the last row and column of the 33² out, which is ``inclusive=False``.

    Args:
      key: a JAX random key.
      image: (H, W, C), any dtype, of at least ``size`` pixels each way.
      size: side of the square.
      inclusive: also cut at the lower and right border, as torchvision's RandomCrop does.

    Raises:
      ValueError: the image is smaller than the square.

    >>> random_window(jax.random.key(0), jnp.ones((8, 9, 1)), 6).shape
    (6, 6, 1)
    """
    check_image(image)
    check_size("size", size, min(image.shape[:2]))
    places = jnp.array([image.shape[0] - size, image.shape[1] - size])
    offsets = jax.random.randint(key, (2,), 0, jnp.maximum(places + inclusive, 1))
    return window(image, offsets[0], offsets[1], size)


def random_translate(
    key: jax.Array, image: jax.Array, limit: int, fill: float | jax.Array = 0
) -> jax.Array:
    """Shift an image by up to ``limit`` whole pixels, down or up and right or left.

    Args:
      key: a JAX random key.
      image: (H, W, C), any dtype.
      limit: largest shift; all of −limit … limit are equally likely in each direction.
      fill: the value, or the value of each channel, of what comes into view.

    >>> random_translate(jax.random.key(0), jnp.ones((4, 4, 1)), 2).shape
    (4, 4, 1)
    """
    check_image(image)
    check_size("limit", limit, min(image.shape[:2]))
    down, right = jax.random.randint(key, (2,), -limit, limit + 1)
    return translate(image, down, right, fill)


def flip(image: jax.Array, flipped: jax.Array) -> jax.Array:
    """Mirror an image (H, W, C) left to right where ``flipped`` is true."""
    return jnp.where(flipped, image[:, ::-1], image)


def crop(image: jax.Array, top: jax.Array, left: jax.Array, padding: int) -> jax.Array:
    """Cut (H, W) at (top, left), both in 0 … 2·padding, from an image with zeros around it."""
    padded = jnp.pad(image, ((padding, padding), (padding, padding), (0, 0)))
    return jax.lax.dynamic_slice(padded, (top, left, 0), image.shape)


def window(image: jax.Array, top: jax.Array, left: jax.Array, size: int) -> jax.Array:
    """Cut a square at (top, left), which must lie inside the image (H, W, C)."""
    check_image(image)
    check_size("size", size, min(image.shape[:2]))
    return jax.lax.dynamic_slice(image, (top, left, 0), (size, size, image.shape[2]))


def translate(
    image: jax.Array, down: jax.Array, right: jax.Array, fill: float | jax.Array = 0
) -> jax.Array:
    """Shift an image (H, W, C) by whole pixels; ``fill`` is what comes into view.

    >>> translate(jnp.arange(1, 4).reshape(1, 3, 1), 0, 1)[0, :, 0].tolist()
    [0, 1, 2]
    """
    check_image(image)
    height, width, _ = image.shape
    rows, columns = jnp.arange(height) - down, jnp.arange(width) - right
    moved = image.take(rows, 0, mode="clip").take(columns, 1, mode="clip")
    there = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))
    return jnp.where(there[..., None], moved, jnp.asarray(fill, image.dtype))
