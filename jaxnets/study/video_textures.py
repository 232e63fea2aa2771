"""Textures with a known motion, for measuring optical flow."""

import numpy as np


def moved_textures(
    motion: tuple[float, float], size: tuple[int, int] = (72, 88), *, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """A texture, and the same moved: a sum of plane waves, so that any motion is exact.

    Args:
        motion: pixels to the right and down.
        size: (height, width).
        seed: of the waves' lengths, 6 to 45 pixels, directions and phases.

    Returns:
        Two pictures (H, W), float32, gray levels mostly from 0 to 255.

    >>> first, second = moved_textures((1.0, 2.0))
    >>> bool(np.allclose(first[:-2, :-1], second[2:, 1:], atol=1e-3))
    True
    """
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float64)
    pictures = []
    for dx, dy in ((0.0, 0.0), motion):
        random = np.random.default_rng(seed)
        picture = np.zeros(size)
        for _ in range(60):
            length, angle, phase = random.uniform((6, 0, 0), (45, 2 * np.pi, 2 * np.pi))
            kx, ky = 2 * np.pi / length * np.cos(angle), 2 * np.pi / length * np.sin(angle)
            picture += np.sqrt(length) * np.cos(kx * (x - dx) + ky * (y - dy) + phase)
        pictures.append((128 + 1.7 * picture).astype(np.float32))
    return pictures[0], pictures[1]
