"""Clips that are generated: textured people who each do two things at once."""

import numpy as np

from jaxnets.data.video.synthetic import DIRECTIONS

PEOPLE_ACTIONS = (*(f"moves {direction}" for direction in DIRECTIONS), "is bright", "is dark")
# Rows and columns a frame, in the order of `DIRECTIONS`.
_STEPS = ((0, 1), (0, -1), (1, 0), (-1, 0))


def synthetic_people(
    rng: np.random.Generator,
    count: int,
    *,
    frames: int = 8,
    size: int = 64,
    most: int = 3,
    speed: int = 2,
    noise: float = 8.0,
) -> dict[str, np.ndarray]:
    """Clips of people who stand still and whose clothes move in one of four directions.

    A person is a rectangle with a texture, brighter or darker than what is behind, that scrolls in
    its place: a single frame says nothing of the direction, and neither do the other people, who do
    other things. Clips of this kind are what the detection of actions has to tell apart: several
    people, several actions of each.

    Args:
        rng: NumPy's generator.
        count: N clips.
        frames: T.
        size: height and width; a person's sides are 3/8 to 1/2 of it.
        most: people in a clip, M; there is at least one, and they do not overlap.
        speed: pixels a frame.
        noise: standard deviation of each pixel of each frame, in gray levels.

    Returns:
        "clip" (N, T, size, size, 1) uint8, "boxes" (N, M, 4) in pixels, "box_mask" (N, M) and
        "actions" (N, M, 6), 1 for those of `PEOPLE_ACTIONS` that the person does.

    Raises:
        ValueError: numbers that make no clips.

    >>> made = synthetic_people(np.random.default_rng(0), 5)
    >>> made["clip"].shape, made["boxes"].shape, made["actions"].sum(-1).max(1).tolist()
    ((5, 8, 64, 64, 1), (5, 3, 4), [2.0, 2.0, 2.0, 2.0, 2.0])
    """
    if min(count, frames, most, speed) < 1 or size < 16:
        raise ValueError(
            "synthetic_people: expected at least one clip, frame and person, a speed of at least 1 "
            f"and 16 pixels, got {count}, {frames}, {most}, {speed} and {size}"
        )
    clip = np.full((count, frames, size, size), 127.5)
    boxes = np.zeros((count, most, 4), np.float32)
    mask = np.zeros((count, most), np.float32)
    actions = np.zeros((count, most, len(PEOPLE_ACTIONS)), np.float32)
    for n in range(count):
        wanted, found = rng.integers(1, most + 1), []
        for _ in range(20):
            height, width = rng.integers(3 * size // 8, size // 2 + 1, size=2)
            y, x = rng.integers(size - height + 1), rng.integers(size - width + 1)
            if all(
                x >= other[2] or y >= other[3] or x + width <= other[0] or y + height <= other[1]
                for other in found
            ):
                found.append((x, y, x + width, y + height))
            if len(found) == wanted:
                break
        for m, box in enumerate(found):
            direction, dark = rng.integers(4), rng.integers(2)
            left, top, right, bottom = box
            texture = _texture(rng, bottom - top, right - left)
            texture *= -1 if dark else 1
            for t in range(frames):
                shift = tuple(speed * t * step for step in _STEPS[direction])
                clip[n, t, top:bottom, left:right] += np.roll(texture, shift, (0, 1))
            boxes[n, m], mask[n, m] = box, 1
            actions[n, m, direction] = actions[n, m, 4 + dark] = 1
    clip += noise * rng.standard_normal(clip.shape)
    return {
        "clip": np.clip(np.rint(clip), 0, 255).astype(np.uint8)[..., None],
        "boxes": boxes,
        "box_mask": mask,
        "actions": actions,
    }


def _texture(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Spots of about four pixels, 20 to 110 gray levels, that go on where they are rolled round."""
    coarse = rng.uniform(0, 1, (max(height // 4, 1), max(width // 4, 1)))
    rows = np.arange(height) * len(coarse) // height
    columns = np.arange(width) * coarse.shape[1] // width
    return 20 + 90 * coarse[rows][:, columns]
