"""Cutout: hide a square of the image."""

import jax
import jax.numpy as jnp

from jaxnets.augment.checks import check_image, check_size
from jaxnets.augment.example import Example, change_image, image_of


def cutout(key: jax.Array, example: Example, size: int, fill: float | jax.Array = 0) -> Example:
    """Hide a square whose center is uniform over the image: at a border it is partly outside.

    Boxes, masks and keypoints stay: the network is to find what it sees in part. The published
    sides are 16 on CIFAR-10, 8 on CIFAR-100 and 20 on SVHN, in images of 32 pixels.

    Args:
        key: a JAX random key.
        example: a dict with ``image (H, W, C)``, any dtype, or the image.
        size: side of the square in pixels; it may be larger than the image.
        fill: the value hidden pixels get, or one value a channel. The paper's is the training set's
            mean, which is 0 where images are normalized before.

    Returns:
        The example with another image, of the same shape and dtype; an image for an image.

    Source: DeVries, Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout",
    2017.

    >>> hidden = 1 - cutout(jax.random.key(0), jnp.ones((8, 8, 1)), 4)
    >>> 4 <= hidden.sum() <= 16
    Array(True, dtype=bool)
    """
    image = image_of(example)
    check_image(image)
    row_key, column_key = jax.random.split(key)
    row = jax.random.randint(row_key, (), 0, image.shape[0])
    column = jax.random.randint(column_key, (), 0, image.shape[1])
    return cutout_at(example, row, column, size, fill)


def cutout_at(
    example: Example, row: jax.Array, column: jax.Array, size: int, fill: float | jax.Array = 0
) -> Example:
    """Hide rows ``row − ⌊size/2⌋ … + size − 1`` and columns likewise, as far as they exist.

    Args:
        example: a dict with ``image (H, W, C)``, any dtype, or the image.
        row, column: the center of the square, in pixels.
        size: its side.
        fill: as of `cutout`.

    Returns:
        The example with another image, of the same shape and dtype; an image for an image.

    >>> cutout_at(jnp.ones((1, 5, 1)), 0, 0, 4)[0, :, 0].tolist()
    [0.0, 0.0, 1.0, 1.0, 1.0]
    """
    check_image(image_of(example))
    check_size("size", size)

    def covered(length, center):
        first = center - size // 2
        places = jnp.arange(length)
        return (places >= first) & (places < first + size)

    def hide(image):
        hidden = covered(image.shape[0], row)[:, None] & covered(image.shape[1], column)[None]
        filling = jnp.broadcast_to(jnp.asarray(fill, jnp.result_type(image)), image.shape)
        return jnp.where(hidden[..., None], filling, image)

    return change_image(example, hide)
