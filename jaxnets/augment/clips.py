"""Transforms of clips: those of images with one crop and one flip for all frames, and in time."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.augment.checks import check_size
from jaxnets.augment.example import Example, Transform

CLIP = "clip"


def on_clip(transform: Callable[[jax.Array, jax.Array], jax.Array]) -> Transform:
    """A transform of images as one of clips: every frame is changed alike, by the same key.

    Args:
        transform: (key, image (H, W, C)) → image, such as `random_flip`; options are bound with
            ``functools.partial``.

    Returns:
        (key, example) → example, which changes ``clip (T, H, W, C)``, or a bare clip.

    >>> from jaxnets.augment import random_crop
    >>> still = jnp.tile(jnp.arange(64.0).reshape(1, 8, 8, 1), (5, 1, 1, 1))
    >>> moved = on_clip(random_crop)(jax.random.key(0), still)
    >>> bool((moved == moved[:1]).all()), bool((moved == still).all())
    (True, False)
    """

    def changed(key: jax.Array, example: Example) -> Example:
        clip = _clip(example)
        return _put(example, jax.vmap(lambda frame: transform(key, frame))(clip))

    return changed


def random_time_window(key: jax.Array, example: Example, frames: int) -> Example:
    """A run of frames at a random place of a clip.

    Args:
        key: a JAX random key.
        example: a dict with ``clip (T, H, W, C)``, or the clip.
        frames: of the result, at most T.

    Returns:
        The example, its clip (frames, H, W, C).

    Raises:
        ValueError: more frames than there are.

    >>> clip = jnp.arange(6).reshape(6, 1, 1, 1)
    >>> part = random_time_window(jax.random.key(1), clip, 4).ravel()
    >>> part.shape, (part[1:] - part[:-1]).tolist()
    ((4,), [1, 1, 1])
    """
    clip = _clip(example)
    check_size("frames", frames, clip.shape[0])
    start = jax.random.randint(key, (), 0, clip.shape[0] - frames + 1)
    return _put(example, lax.dynamic_slice_in_dim(clip, start, frames))


def _clip(example: Example) -> jax.Array:
    clip = example[CLIP] if isinstance(example, dict) else example
    if jnp.ndim(clip) != 4:
        raise ValueError(f"clip: expected (T, H, W, C), got shape {jnp.shape(clip)}")
    return jnp.asarray(clip)


def _put(example: Example, clip: jax.Array) -> Example:
    return {**example, CLIP: clip} if isinstance(example, dict) else clip
