"""Follow one thing through a film: particles that a network scores, and that keeps on learning.

The first box says what it is. In each frame a thousand particles, boxes near the last ones, are cut
out and scored by the encoder of a stacked denoising autoencoder with one unit on top; the best is
the new box. Where the network is no longer sure, it learns again from what it was sure of. The
steps are those of `jaxnets.tasks.tracker`.

Source: Wang, Yeung, "Learning a Deep Compact Image Representation for Visual Tracking", 2013.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.errors import JaxnetsError
from jaxnets.tasks.tracker import TrackerOptions, start_tracker, track_frame

# Luminance of red, green and blue.
LUMA = (0.299, 0.587, 0.114)


class TrackedFilm(NamedTuple):
    """What was found in a film.

    Attributes:
        boxes: (T, 4), corners in pixels; the first is the one that was given.
        scores: (T,).
        effective: (T,), how many particles counted.
        learned: bool (T,), frames in which the network learned.

    >>> TrackedFilm._fields
    ('boxes', 'scores', 'effective', 'learned')
    """

    boxes: np.ndarray
    scores: np.ndarray
    effective: np.ndarray
    learned: np.ndarray


def track(
    frames: Sequence[np.ndarray] | np.ndarray,
    box: Sequence[float],
    options: TrackerOptions = TrackerOptions(),  # noqa: B008 (frozen)
    *,
    seed: int = 0,
) -> TrackedFilm:
    """Follow what a box of the first frame holds.

    Args:
        frames: uint8 (T, H, W, 3) or (T, H, W), all of one size.
        box: corners x1, y1, x2, y2 in the first frame, in pixels.
        options: what decides the result.
        seed: of everything random.

    Returns:
        `TrackedFilm`.

    Raises:
        JaxnetsError: no frames, a box without area or outside of the frame.

    >>> options = TrackerOptions(20, 4, (8,), first_steps=1, steps=1, pretraining=1)
    >>> track(np.zeros((3, 16, 16), np.uint8), (4, 4, 12, 12), options).boxes.shape
    (3, 4)
    """
    options.check()
    if len(frames) == 0:
        raise JaxnetsError("frames: got none; expected at least one")
    height, width = np.asarray(frames[0]).shape[:2]
    x1, y1, x2, y2 = (float(value) for value in box)
    if not (0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height):
        raise JaxnetsError(
            f"box: got {tuple(box)}; expected corners with x1 < x2 and y1 < y2 within the first "
            f"frame, {width}×{height} pixels"
        )
    key = jax.random.key(seed)
    start_key, key = jax.random.split(key)
    state = start_tracker(start_key, gray(frames[0]), jnp.array([x1, y1, x2, y2]), options)
    step = jax.jit(track_frame, static_argnums=3)
    found = []
    for number, frame in enumerate(frames[1:]):
        state, one = step(jax.random.fold_in(key, number), state, gray(frame), options)
        found.append(jax.device_get(one._replace(weights=None)))
    boxes = np.array([[x1, y1, x2, y2], *(one.box for one in found)], np.float32)
    return TrackedFilm(
        boxes,
        np.array([1.0, *(one.score for one in found)], np.float32),
        np.array([options.particles, *(one.effective for one in found)], np.float32),
        np.array([True, *(one.learned for one in found)], bool),
    )


def gray(frame: np.ndarray) -> np.ndarray:
    """A frame's luminance from 0 to 1.

    Args:
        frame: uint8 (H, W, 3) or (H, W).

    Returns:
        float32 (H, W).

    >>> gray(np.full((1, 1, 3), 255, np.uint8)).round(4).tolist()
    [[1.0]]
    """
    values = np.asarray(frame, np.float32) / 255
    return values if values.ndim == 2 else (values @ np.float32(LUMA)).astype(np.float32)
