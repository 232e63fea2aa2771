"""Random flips and crops, inside jit, with explicit keys.

Every example of a batch has its own key, ``fold_in(step_key, i)`` with i its row in the global
batch: how many devices share the batch does not change what happens to an image.
"""

import jax
import jax.numpy as jnp


def random_flip(key: jax.Array, image: jax.Array) -> jax.Array:
    """Mirror an image left to right with probability ½ (AlexNet, notes L109).

    Args:
      key: a JAX random key.
      image: (H, W, C), any dtype.

    >>> random_flip(jax.random.key(0), jnp.arange(3).reshape(1, 3, 1)).shape
    (1, 3, 1)
    """
    return flip(image, jax.random.bernoulli(key))


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


def flip(image: jax.Array, flipped: jax.Array) -> jax.Array:
    """Mirror an image (H, W, C) left to right where ``flipped`` is true."""
    return jnp.where(flipped, image[:, ::-1], image)


def crop(image: jax.Array, top: jax.Array, left: jax.Array, padding: int) -> jax.Array:
    """Cut (H, W) at (top, left), both in 0 … 2·padding, from an image with zeros around it."""
    padded = jnp.pad(image, ((padding, padding), (padding, padding), (0, 0)))
    return jax.lax.dynamic_slice(padded, (top, left, 0), image.shape)


def augment_batch(
    key: jax.Array,
    images: jax.Array,
    example_ids: jax.Array | None = None,
    *,
    padding: int = 4,
    flips: bool = True,
) -> jax.Array:
    """Crop and flip every image of a batch with its own randomness.

    Args:
      key: the step's key, the same on every device.
      images: (B, H, W, C), any dtype; uint8 is fastest.
      example_ids: integer (B,), the rows of these images in the global batch; by default
        0 … B-1, right where the whole batch is seen (one device, or jit over a mesh).
      padding: zeros around the image to crop from; 0 turns cropping off.
      flips: whether to mirror half of the images.

    >>> augment_batch(jax.random.key(0), jnp.zeros((2, 8, 8, 1), jnp.uint8)).shape
    (2, 8, 8, 1)
    """
    if example_ids is None:
        example_ids = jnp.arange(images.shape[0])

    def one(example_id, image):
        crop_key, flip_key = jax.random.split(jax.random.fold_in(key, example_id))
        if padding:
            image = random_crop(crop_key, image, padding)
        return random_flip(flip_key, image) if flips else image

    return jax.vmap(one)(example_ids, images)
