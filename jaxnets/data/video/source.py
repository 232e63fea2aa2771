"""Clips of videos as a `jaxnets.data.Source`: views that lie evenly over each video."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxnets.data.batch import Batch
from jaxnets.data.video.sampling import clip_indices, uniform_starts


class ClipSource:
    """Clips of videos in memory or in memory maps; an example is one view of one video.

    Which clip an example is does not change, so that a run can be repeated and resumed. For
    training take many views, or clips a few frames longer than the network's, out of which
    `jaxnets.augment.random_time_window` cuts another part in every step; for tests the paper's
    number, and average (`jaxnets.metrics.video_predictions`).

    Args:
        videos: each (T_i, H, W, C) uint8, all of one size; see `jaxnets.data.video.cached_video`.
        labels: class number of each.
        frames: T of a clip.
        stride: τ, between its frames.
        views: clips of each video.
        notify: called once with a sentence where videos are shorter than a clip and are looped.

    Raises:
        ValueError: no videos, other sizes, or another number of labels.

    >>> videos = [np.zeros((20, 8, 8, 1), np.uint8), np.zeros((9, 8, 8, 1), np.uint8)]
    >>> source = ClipSource(videos, [0, 1], frames=4, stride=2, views=3)
    >>> len(source), source.take(np.array([0, 5]))["clip"].shape
    (6, (2, 4, 8, 8, 1))
    >>> source.take(np.array([5]))["video_id"]
    array([1])
    """

    def __init__(
        self,
        videos: Sequence[Any],
        labels: Sequence[int],
        *,
        frames: int,
        stride: int = 1,
        views: int = 1,
        notify: Callable[[str], Any] = print,
    ):
        if not len(videos) or len(videos) != len(labels):
            raise ValueError(f"videos: got {len(videos)} with {len(labels)} labels")
        sizes = {tuple(video.shape[1:]) for video in videos}
        if len(sizes) > 1 or len(next(iter(sizes))) != 3:
            raise ValueError(
                f"videos: expected (T, H, W, C) of one size for all, got {sorted(sizes)}; give "
                "read_video short_side= and crop them"
            )
        span = (frames - 1) * stride + 1
        short = sum(len(video) < span for video in videos)
        if short:
            notify(
                f"{short} of {len(videos)} videos have fewer than the {span} frames that a clip "
                "spans and are looped"
            )
        self.videos, self.labels = list(videos), np.asarray(labels)
        self.frames, self.stride, self.views = frames, stride, views
        self.info = {"num_classes": int(self.labels.max()) + 1}

    def __len__(self) -> int:
        return len(self.videos) * self.views

    def take(self, rows: np.ndarray) -> Batch:
        """These clips: ``clip``, ``label``, and ``video_id``, the number of the video."""
        rows = np.asarray(rows)
        numbers, clips = rows // self.views, []
        for row, number in zip(rows, numbers, strict=True):
            video = self.videos[number]
            starts = uniform_starts(len(video), self.views, self.frames, self.stride)
            start = int(starts[row % self.views])
            clips.append(video[clip_indices(len(video), start, self.frames, self.stride)])
        return {"clip": np.stack(clips), "label": self.labels[numbers], "video_id": numbers}
