"""Which frames of a video make a clip: T frames, τ apart.

A video that is shorter than a clip is looped: after its last frame comes its first.

Source: Feichtenhofer et al. 2018 (SlowFast Networks), section 4 (T × τ); Wang et al. 2016 (Temporal
Segment Networks), section 3.1 (one frame of every segment).
"""

import numpy as np


def clip_indices(length: int, start: int, frames: int, stride: int = 1) -> np.ndarray:
    """The frames start, start + τ, …, looped where the video ends.

    Args:
        length: frames of the video.
        start: the first frame.
        frames: T.
        stride: τ.

    Returns:
        (T,) int64 in 0 … length − 1.

    Raises:
        ValueError: a number below 1, or a start outside the video.

    >>> clip_indices(10, 2, 4, 2).tolist(), clip_indices(3, 0, 5).tolist()
    ([2, 4, 6, 8], [0, 1, 2, 0, 1])
    """
    _check(length, frames, stride)
    if not 0 <= start < length:
        raise ValueError(f"start: got {start}; expected a frame of the {length} that there are")
    return (start + stride * np.arange(frames)) % length


def uniform_starts(length: int, clips: int, frames: int, stride: int = 1) -> np.ndarray:
    """First frames of clips that lie evenly over a video: the test's views in time.

    Args:
        length: frames of the video.
        clips: how many clips; one lies in the middle.
        frames, stride: of a clip, see `clip_indices`.

    Returns:
        (clips,) int64, from the first to the last that a whole clip fits behind.

    Raises:
        ValueError: a number below 1.

    >>> uniform_starts(100, 3, 16, 2).tolist(), uniform_starts(100, 1, 16, 2).tolist()
    ([0, 34, 69], [34])
    """
    _check(length, frames, stride)
    _check(clips, 1, 1)
    last = last_start(length, frames, stride)
    if clips == 1:
        return np.array([last // 2])
    return np.linspace(0, last, clips).astype(np.int64)


def last_start(length: int, frames: int, stride: int = 1) -> int:
    """The last first frame of a clip that needs no looping; 0 where all do.

    Args:
        length: frames of the video.
        frames, stride: of a clip, see `clip_indices`.

    Returns:
        max(length − (T − 1) τ − 1, 0).

    >>> last_start(100, 16, 2), last_start(8, 16, 2)
    (69, 0)
    """
    return max(length - (frames - 1) * stride - 1, 0)


def random_start(rng: np.random.Generator, length: int, frames: int, stride: int = 1) -> int:
    """The first frame of a clip at a random place of a video.

    Args:
        rng: NumPy's generator.
        length: frames of the video.
        frames, stride: of a clip, see `clip_indices`.

    Returns:
        Uniform over all that a whole clip fits behind; 0 where none does.

    Raises:
        ValueError: a number below 1.

    >>> 0 <= random_start(np.random.default_rng(0), 40, 8, 4) <= last_start(40, 8, 4)
    True
    """
    _check(length, frames, stride)
    return int(rng.integers(last_start(length, frames, stride) + 1))


def segment_indices(rng: np.random.Generator | None, length: int, segments: int) -> np.ndarray:
    """One frame of each of equal parts of a video: its middle one, or a random one.

    Args:
        rng: NumPy's generator for random frames; None: the middle ones.
        length: frames of the video.
        segments: how many.

    Returns:
        (segments,) int64, not falling; frames repeat where there are fewer than segments.

    Raises:
        ValueError: a number below 1.

    Source: Wang et al. 2016 (Temporal Segment Networks), section 3.1.

    >>> segment_indices(None, 30, 3).tolist()
    [5, 15, 25]
    """
    _check(length, segments, 1)
    edges = np.arange(segments + 1) * length / segments
    part = 0.5 if rng is None else rng.random(segments)
    found = np.floor(edges[:-1] + part * np.diff(edges)).astype(np.int64)
    return np.clip(found, 0, length - 1)


def dense_starts(length: int, frames: int, stride: int = 1, step: int = 1) -> np.ndarray:
    """First frames of all clips, ``step`` frames apart: for descriptors and for localization.

    Args:
        length: frames of the video.
        frames, stride: of a clip, see `clip_indices`.
        step: between neighbors; C3D's descriptor takes 8 of clips of 16.

    Returns:
        (clips,) int64; one that is looped where the video is shorter than a clip.

    Raises:
        ValueError: a number below 1.

    >>> dense_starts(40, 16, step=8).tolist(), dense_starts(5, 16).tolist()
    ([0, 8, 16, 24], [0])
    """
    _check(length, frames, stride)
    _check(step, 1, 1)
    return np.arange(0, last_start(length, frames, stride) + 1, step)


def _check(length: int, frames: int, stride: int) -> None:
    if min(length, frames, stride) < 1:
        raise ValueError(
            "a clip needs a video of at least 1 frame, at least 1 frame and a stride of at least 1;"
            f" got {length}, {frames} and {stride}"
        )
