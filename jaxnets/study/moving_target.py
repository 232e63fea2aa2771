"""A textured patch that wanders over a textured ground, with the box around it in every frame."""

import numpy as np


def moving_target(
    rng: np.random.Generator,
    frames: int = 60,
    *,
    size: tuple[int, int] = (96, 128),
    target: tuple[int, int] = (28, 24),
    noise: float = 6.0,
) -> tuple[np.ndarray, np.ndarray]:
    """A film and where its target is.

    The target follows a curve, up to four pixels a frame, grows and shrinks by a fifth, and gets
    brighter and darker.

    Args:
        rng: a NumPy generator.
        frames: T.
        size: height and width of a frame in pixels.
        target: height and width of the target in the first frame.
        noise: standard deviation of each pixel, in gray levels.

    Returns:
        uint8 (T, H, W, 3), and float32 (T, 4), corners in pixels.

    >>> film, boxes = moving_target(np.random.default_rng(0), 3)
    >>> film.shape, boxes.shape
    ((3, 96, 128, 3), (3, 4))
    """
    from PIL import Image

    height, width = size
    ground = _texture(rng, height, width, 12) * 0.6 + 40
    patch = Image.fromarray(_texture(rng, *target, 5).astype(np.uint8))
    phase = rng.uniform(0, 2 * np.pi, 4)
    film = np.zeros((frames, height, width, 3), np.uint8)
    boxes = np.zeros((frames, 4), np.float32)
    for t in range(frames):
        zoom = 1 + 0.2 * np.sin(2 * np.pi * t / 50)
        h, w = max(4, round(target[0] * zoom)), max(4, round(target[1] * zoom))
        free = height - h - 2, width - w - 2
        y = round((0.5 + 0.4 * np.sin(2 * np.pi * t / 45 + phase[0])) * free[0])
        x = round((0.5 + 0.4 * np.sin(2 * np.pi * t / 70 + phase[1])) * free[1])
        light = 1 + 0.1 * np.sin(2 * np.pi * t / 30 + phase[2])
        image = ground.copy()
        piece = np.asarray(patch.resize((w, h), Image.Resampling.BILINEAR), np.float64)
        image[y : y + h, x : x + w] = piece * light
        image = image + rng.normal(0, noise, image.shape)
        film[t] = np.clip(image, 0, 255).astype(np.uint8)
        boxes[t] = x, y, x + w, y + h
    return film, boxes


def _texture(rng, height, width, grain):
    """Smooth random colors, float64 (height, width, 3), from 0 to 255."""
    from PIL import Image

    coarse = rng.integers(0, 256, (height // grain + 2, width // grain + 2, 3)).astype(np.uint8)
    large = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(large, np.float64)
