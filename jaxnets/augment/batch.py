"""From transforms of one image to transforms of a batch, each example with its own randomness."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxnets.augment.geometry import random_crop, random_flip

# (key, image (H, W, C)) → image.
Transform = Callable[[jax.Array, jax.Array], jax.Array]


def compose(*transforms: Transform) -> Transform:
    """One transform after the other, each with a key of its own.

    Args:
      transforms: functions (key, image) → image; bind options with ``functools.partial``.

    A transform added at the end leaves the randomness of those before it as it was.

    >>> both = compose(random_crop, random_flip)
    >>> both(jax.random.key(0), jnp.ones((8, 8, 3))).shape
    (8, 8, 3)
    """

    def composed(key, image):
        keys = jax.random.split(key, len(transforms))
        for own_key, transform in zip(keys, transforms, strict=True):
            image = transform(own_key, image)
        return image

    return composed if transforms else lambda key, image: image


def per_example(transform: Transform) -> Callable[..., jax.Array]:
    """The ``augment`` of `jaxnets.train.train_step`: the transform on every image of a batch.

    Every example's key is ``fold_in(step_key, row in the global batch)``: how many devices share
    the batch does not change what happens to an image.

    Args:
      transform: (key, image (H, W, C)) → image.

    Returns:
      (key, images (B, H, W, C), example_ids (B,) or None for 0 … B−1) → images.

    >>> augment = per_example(compose(random_crop, random_flip))
    >>> augment(jax.random.key(0), jnp.zeros((2, 8, 8, 1), jnp.uint8)).shape
    (2, 8, 8, 1)
    """

    def prepare(key, batch, example_ids=None):
        if example_ids is None:
            example_ids = jnp.arange(batch["image"].shape[0])

        def one(example_id, image):
            return transform(jax.random.fold_in(key, example_id), image)

        return {**batch, "image": jax.vmap(one)(example_ids, batch["image"])}

    return prepare


def chain(*prepares):
    """One after the other."""
    steps = [prepare for prepare in prepares if prepare is not None]
    if not steps:
        return None
    if len(steps) == 1:
        return steps[0]

    def chained(key, batch, example_ids):
        for own, step in zip(jax.random.split(key, len(steps)), steps, strict=True):
            batch = step(own, batch, example_ids)
        return batch

    return chained


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

    def crop_and_flip(key, image):
        crop_key, flip_key = jax.random.split(key)
        if padding:
            image = random_crop(crop_key, image, padding)
        return random_flip(flip_key, image) if flips else image

    return per_example(crop_and_flip)(key, {"image": images}, example_ids)["image"]
