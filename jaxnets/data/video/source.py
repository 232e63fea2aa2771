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
        views: clips of each video in time.
        crop: side of the square that is cut out of every frame; None: whole frames, of one size.
        crops: how many squares, 1 in the middle, or 3 along the longer side: the test's views in
            space. SlowFast is measured with 10 × 3 views of the shorter side's size.
        notify: called once with a sentence where videos are shorter than a clip and are looped.

    Raises:
        ValueError: no videos, other sizes, frames smaller than ``crop``, or another number of
            labels.

    Source: Feichtenhofer et al. 2018 (SlowFast Networks), section 4, "Inference".

    >>> videos = [np.zeros((20, 8, 8, 1), np.uint8), np.zeros((9, 8, 8, 1), np.uint8)]
    >>> source = ClipSource(videos, [0, 1], frames=4, stride=2, views=3)
    >>> len(source), source.take(np.array([0, 5]))["clip"].shape
    (6, (2, 4, 8, 8, 1))
    >>> source.take(np.array([5]))["video_id"]
    array([1])
    >>> wide = [np.arange(12)[None, :, None].repeat(8, 0)[None].repeat(5, 0)]
    >>> three = ClipSource(wide, [0], frames=2, crop=8, crops=3)
    >>> three.take(np.arange(3))["clip"][:, 0, 0, 0, 0].tolist()
    [0, 2, 4]
    """

    def __init__(
        self,
        videos: Sequence[Any],
        labels: Sequence[int],
        *,
        frames: int,
        stride: int = 1,
        views: int = 1,
        crop: int | None = None,
        crops: int = 1,
        notify: Callable[[str], Any] = print,
    ):
        if not len(videos) or len(videos) != len(labels):
            raise ValueError(f"videos: got {len(videos)} with {len(labels)} labels")
        sizes = {tuple(video.shape[1:]) for video in videos}
        if crops not in (1, 3) or (crops == 3 and crop is None):
            raise ValueError(f"crops: expected 1, or 3 with crop=, got {crops} with crop={crop}")
        flat = {len(size) != 3 for size in sizes}
        if crop is not None and (True in flat or crop > min(min(s[:2]) for s in sizes) or crop < 1):
            raise ValueError(
                f"crop: expected at most the shorter side of videos (T, H, W, C), got {crop} for "
                f"{sorted(sizes)}"
            )
        if crop is None and (len(sizes) > 1 or True in flat):
            raise ValueError(
                f"videos: expected (T, H, W, C) of one size for all, got {sorted(sizes)}; give "
                "read_video short_side= and crop them, or give crop="
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
        self.crop, self.crops = crop, crops
        self.info = {"num_classes": int(self.labels.max()) + 1}

    def __len__(self) -> int:
        return len(self.videos) * self.views * self.crops

    def take(self, rows: np.ndarray) -> Batch:
        """These clips: ``clip``, ``label``, and ``video_id``, the number of the video."""
        rows = np.asarray(rows)
        each = self.views * self.crops
        numbers, clips = rows // each, []
        for row, number in zip(rows, numbers, strict=True):
            video = self.videos[number]
            view, place = divmod(row % each, self.crops)
            starts = uniform_starts(len(video), self.views, self.frames, self.stride)
            start = int(starts[view])
            clip = video[clip_indices(len(video), start, self.frames, self.stride)]
            clips.append(clip if self.crop is None else self._cut(clip, place))
        return {"clip": np.stack(clips), "label": self.labels[numbers], "video_id": numbers}

    def _cut(self, clip: np.ndarray, place: int) -> np.ndarray:
        """The square at a place of the longer side: its start, middle or end."""
        side = self.crop
        room = [n - side for n in clip.shape[1:3]]
        top, left = (n // 2 for n in room)
        if self.crops == 3 and room[0] > room[1]:
            top = (0, top, room[0])[place]
        elif self.crops == 3:
            left = (0, left, room[1])[place]
        return clip[:, top : top + side, left : left + side]
