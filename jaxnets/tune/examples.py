"""Which examples the procedure looks at: a held-out part for the search, batches for the rate."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.data import Split, shuffle
from jaxnets.errors import JaxnetsError


def split_held_out(split: Split, share: float, *, seed: int = 0) -> tuple[Split, Split]:
    """Cut a validation part from training images: (the rest, the part), every class in both.

    The test images stay untouched by the search.

    Args:
        split: images and labels.
        share: of the part, between 0 and 1.
        seed: which images.

    Returns:
        Two splits.

    Raises:
        JaxnetsError: a share that leaves one of the two without an example of every class.

    >>> from jaxnets.data import load_dataset
    >>> train, valid = split_held_out(load_dataset("digits").train, 0.2)
    >>> len(train), len(valid)
    (1150, 287)
    """
    count = round(share * len(split))
    classes = len(np.unique(split.labels))
    if not 0 < share < 1 or min(count, len(split) - count) < classes:
        raise JaxnetsError(
            f"a share of {share:g} of {len(split)} images for validation leaves fewer "
            f"images than the {classes} classes in one of the two parts"
        )
    mask = np.zeros(len(split), bool)
    labels = np.asarray(split.labels)
    mask[shuffle.stratified_choice(labels, count, seed, use=shuffle.HOLDOUT)] = True
    images = np.asarray(split.images)
    return Split(images[~mask], labels[~mask]), Split(images[mask], labels[mask])


def draw_batches(
    split: Split, batch_size: int, steps: int, *, seed: int = 0
) -> dict[str, np.ndarray | jax.Array]:
    """``steps`` batches drawn with replacement, stacked: what a scan runs over.

    Args:
        split: images and labels.
        batch_size: B.
        steps: how many batches.
        seed: which examples, and the keys.

    Returns:
        ``{"image": (steps, B, H, W, C), "label": (steps, B), "key": (steps,) keys}``.

    Raises:
        JaxnetsError: a size below 1.

    >>> from jaxnets.data import load_dataset
    >>> draw_batches(load_dataset("digits").train, 4, 3)["image"].shape
    (3, 4, 8, 8, 1)
    """
    if batch_size < 1 or steps < 1:
        raise JaxnetsError(f"batch_size and steps must be 1 or more, got {batch_size} and {steps}")
    chosen = np.random.default_rng(seed).integers(len(split), size=(steps, batch_size))
    return {
        "image": np.asarray(split.images)[chosen],
        "label": jnp.asarray(np.asarray(split.labels)[chosen]),
        "key": jax.random.split(jax.random.key(seed), steps),
    }
