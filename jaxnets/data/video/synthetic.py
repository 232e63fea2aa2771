"""Clips that are generated: a suite that needs motion, or appearance, or both; moving digits."""

from collections.abc import Sequence

import numpy as np

DIRECTIONS = ("right", "left", "down", "up")
_STEPS = np.array([(0, 1), (0, -1), (1, 0), (-1, 0)])
TASKS = ("direction", "appearance", "both")


def motion_suite(
    rng: np.random.Generator,
    count: int,
    *,
    frames: int = 8,
    size: int = 16,
    speed: int = 1,
    noise: float = 8.0,
) -> dict[str, np.ndarray]:
    """Clips of a textured patch, bright or dark, that moves in one of four directions.

    The patch leaves the picture on one side and comes back on the other, and starts anywhere: a
    single frame has the same distribution whatever the direction, so that no single-frame network
    can be better than chance at it. A clip and its negative have the same optical flow, so that
    flow says nothing of the appearance. "both" needs both.

    Args:
        rng: NumPy's generator.
        count: N clips.
        frames: T.
        size: height and width; the patch has a side of ⌊size / 2⌋.
        speed: pixels a frame.
        noise: standard deviation of each pixel of each frame, in gray levels.

    Returns:
        "clip" (N, T, size, size, 1) uint8, "direction" (N,) in 0 … 3 (`DIRECTIONS`),
        "appearance" (N,) 0 dark, 1 bright, "both" (N,) = 2 · direction + appearance.

    Raises:
        ValueError: sizes below what can be told apart.

    >>> clips = motion_suite(np.random.default_rng(0), 5)
    >>> clips["clip"].shape, clips["clip"].dtype.name, int(clips["both"].max()) < 8
    ((5, 8, 16, 16, 1), 'uint8', True)
    """
    if count < 1 or frames < 1 or size < 4 or not 0 < speed < size / 2:
        raise ValueError(
            "motion_suite: expected at least 1 clip of at least 1 frame of at least 4 pixels, and a"
            f" speed below half of them, got {count}, {frames}, {size}, {speed}"
        )
    direction, appearance = rng.integers(4, size=count), rng.integers(2, size=count)
    side = size // 2
    patch = rng.uniform(30, 110, (count, side, side))
    canvas = np.zeros((count, size, size))
    canvas[:, :side, :side] = patch * np.where(appearance, 1, -1)[:, None, None]
    start = rng.integers(size, size=(count, 2))
    clip = np.empty((count, frames, size, size))
    grid = np.arange(size)
    for t in range(frames):
        offset = start + speed * t * _STEPS[direction]
        rows = (grid - offset[:, :1]) % size
        columns = (grid - offset[:, 1:]) % size
        clip[:, t] = canvas[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None]]
    clip += 127.5 + noise * rng.standard_normal(clip.shape)
    return {
        "clip": np.clip(np.rint(clip), 0, 255).astype(np.uint8)[..., None],
        "direction": direction,
        "appearance": appearance,
        "both": 2 * direction + appearance,
    }


def moving_digits(
    rng: np.random.Generator,
    images: np.ndarray,
    count: int,
    *,
    frames: int = 20,
    size: int = 64,
    digits: int = 2,
    speeds: Sequence[float] = (2.0, 5.0),
) -> tuple[np.ndarray, np.ndarray]:
    """Moving MNIST: digits that fly through a dark square and bounce off its sides.

    Args:
        rng: NumPy's generator.
        images: (K, h, w) uint8 digits, such as MNIST's.
        count: N clips.
        frames: T.
        size: height and width of the square.
        digits: in each clip; where they overlap the brighter one is seen.
        speeds: lowest and highest, in pixels a frame; directions are uniform.

    Returns:
        (clips (N, T, size, size, 1) uint8, which images (N, digits)).

    Raises:
        ValueError: no digits, or digits larger than the square.

    Source: Srivastava, Mansimov, Salakhutdinov 2015 (Unsupervised Learning of Video
    Representations using LSTMs), section 3.2.

    >>> digits = np.full((3, 4, 4), 255, np.uint8)
    >>> clips, which = moving_digits(np.random.default_rng(0), digits, 2, frames=5, size=16)
    >>> clips.shape, which.shape
    ((2, 5, 16, 16, 1), (2, 2))
    """
    images = np.asarray(images)
    if images.ndim != 3 or not len(images) or max(images.shape[1:]) >= size:
        raise ValueError(
            f"images: expected (K, h, w) smaller than the square of {size}, got {images.shape}"
        )
    height, width = images.shape[1:]
    which = rng.integers(len(images), size=(count, digits))
    room = np.array([size - height, size - width])
    place = rng.uniform(0, 1, (count, digits, 2)) * room
    angle, speed = rng.uniform(0, 2 * np.pi, which.shape), rng.uniform(*speeds, which.shape)
    velocity = np.stack((np.sin(angle), np.cos(angle)), -1) * speed[..., None]
    clips = np.zeros((count, frames, size, size), np.uint8)
    for t in range(frames):
        # Folded back at the sides: a path that bounces is a straight one, seen in mirrors.
        position = np.abs((place + t * velocity + room) % (2 * room) - room)
        for n in range(count):
            for d in range(digits):
                y, x = np.rint(position[n, d]).astype(int)
                seen = clips[n, t, y : y + height, x : x + width]
                np.maximum(seen, images[which[n, d]], out=seen)
    return clips[..., None], which
