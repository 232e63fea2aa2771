"""From transforms of one example to functions of a batch: the ``prepare`` of a training step."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from jaxnets.augment.example import Example, Transform
from jaxnets.augment.geometry import random_crop, random_flip

Batch = Mapping[str, jax.Array]

# (key, batch, example_ids (B,)) → batch; the key is the step's, the same on every device.
Prepare = Callable[[jax.Array, Batch, jax.Array], Batch]


def compose(*transforms: Transform) -> Transform:
    """One transform after the other, each with a key of its own.

    A transform added at the end leaves the randomness of those before it as it was.

    Args:
        transforms: functions (key, example) → example; bind options with ``functools.partial``.

    Returns:
        (key, example) → example; with no transforms, the identity.

    >>> both = compose(random_crop, random_flip)
    >>> both(jax.random.key(0), jnp.ones((8, 8, 3))).shape
    (8, 8, 3)
    """

    def composed(key, example):
        keys = jax.random.split(key, len(transforms))
        for own_key, transform in zip(keys, transforms, strict=True):
            example = transform(own_key, example)
        return example

    return composed if transforms else lambda key, example: example


def per_example(transform: Transform) -> Prepare:
    """The transform on every example of a batch, each with its own randomness.

    An example's key is ``fold_in(key, example_id)``, its id being its row in the global batch: how
    many devices share the batch does not change what happens to an example.

    Args:
        transform: (key, example) → example, on all entries of the batch at once.

    Returns:
        (key, batch, example_ids (B,) or None for 0 … B−1) → batch. A bare array of images
        (B, H, W, C) is accepted for the batch, and then images come back.

    >>> prepare = per_example(compose(random_crop, random_flip))
    >>> batch = {"image": jnp.zeros((2, 8, 8, 1), jnp.uint8), "label": jnp.array([3, 1])}
    >>> batch = prepare(jax.random.key(0), batch, jnp.arange(2))
    >>> batch["image"].shape, batch["label"].tolist()
    ((2, 8, 8, 1), [3, 1])
    """

    def prepare(key, batch, example_ids=None):
        if example_ids is None:
            example_ids = jnp.arange(len(jax.tree.leaves(batch)[0]))

        def one(example_id, example):
            return transform(jax.random.fold_in(key, example_id), example)

        return jax.vmap(one)(example_ids, batch)

    return prepare


def chain(*prepares: Prepare | None) -> Prepare | None:
    """Several prepare functions, one after the other, as one.

    Args:
        prepares: functions (key, batch, example_ids) → batch; None entries are left out.

    Returns:
        None where nothing is left; the one that is left, with the key as it is; or a function that
        gives each of them, in order, one key of ``jax.random.split(key, n)``.

    >>> chain(None, None) is None, chain(None, augment_batch) is augment_batch
    (True, True)
    >>> darker = per_example(lambda key, image: image / 2)
    >>> chain(darker, darker)(jax.random.key(0), jnp.ones((1, 1, 1, 1)), jnp.arange(1)).item()
    0.25
    """
    kept = [prepare for prepare in prepares if prepare is not None]
    if len(kept) < 2:
        return kept[0] if kept else None

    def chained(key, batch, example_ids=None):
        for own_key, prepare in zip(jax.random.split(key, len(kept)), kept, strict=True):
            batch = prepare(own_key, batch, example_ids)
        return batch

    return chained


def augment_batch(
    key: jax.Array,
    batch: Batch | jax.Array,
    example_ids: jax.Array | None = None,
    *,
    padding: int = 4,
    flips: bool = True,
) -> Batch | jax.Array:
    """Crop and flip every example of a batch with its own randomness.

    Args:
        key: the step's key, the same on every device.
        batch: a dict with ``image (B, H, W, C)``, any dtype (uint8 is fastest), or these images
            alone.
        example_ids: integer (B,), the rows of these examples in the global batch; by default
            0 … B-1, right where the whole batch is seen (one device, or jit over a mesh).
        padding: zeros around the image to crop from; 0 turns cropping off.
        flips: whether to mirror half of the images.

    Returns:
        The batch, or the images, of the same shapes.

    Source: He et al., "Deep Residual Learning for Image Recognition", 2015, section 4.2.

    >>> augment_batch(jax.random.key(0), {"image": jnp.zeros((2, 8, 8, 1))})["image"].shape
    (2, 8, 8, 1)
    """

    def crop_and_flip(key: jax.Array, example: Example) -> Example:
        crop_key, flip_key = jax.random.split(key)
        if padding:
            example = random_crop(crop_key, example, padding)
        return random_flip(flip_key, example) if flips else example

    return per_example(crop_and_flip)(key, batch, example_ids)
