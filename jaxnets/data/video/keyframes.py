"""Clips around seconds of videos with the people in them: AVA's annotations as a source."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxnets.data.batch import Batch
from jaxnets.data.object_source import fitted_size, resize
from jaxnets.data.video.decode import Video
from jaxnets.errors import JaxnetsError


def keyframe_indices(
    times: np.ndarray, second: float, frames: int, stride: int = 1, *, fps: float = 30.0
) -> np.ndarray:
    """The frames around a moment: T of them, τ / fps seconds apart.

    Frame i is the one that is shown at second + (i − ⌊T / 2⌋) · τ / fps; before the video's start
    and behind its end its first and last frame stand.

    Args:
        times: (L,) seconds of the video's frames, ascending.
        second: the moment.
        frames: T.
        stride: τ.
        fps: frames a second that τ counts in.

    Returns:
        (T,) int64 in 0 … L − 1.

    Raises:
        JaxnetsError: a moment that the video does not have.

    >>> keyframe_indices(np.arange(100) / 10, 5.0, 4, 1, fps=10).tolist()
    [48, 49, 50, 51]
    """
    times = np.asarray(times, np.float64)
    if not times[0] - 1 <= second <= times[-1] + 1:
        raise JaxnetsError(f"second {second:g}: the video has seconds {times[0]:g} … {times[-1]:g}")
    wanted = second + (np.arange(frames) - frames // 2) * (stride / fps)
    # The frame that is shown began before; files round their times to milliseconds.
    return np.clip(np.searchsorted(times, wanted + 2e-3, side="right") - 1, 0, len(times) - 1)


class KeyframeSource:
    """Clips around annotated seconds, each with the people at that moment and what they do.

    Frames are scaled, in proportion, until they just fit into the canvas, in its upper left corner;
    boxes move along.

    Args:
        videos: by the names of ``truth``.
        truth: rows as `jaxnets.data.video.read_ava` reads them: "video", "second", "box" (corners
            in 0 … 1) and "action" from 1 on.
        num_actions: K.
        size: (H, W) of the canvas.
        frames, stride, fps: of a clip, see `keyframe_indices`.
        start: the second of ``truth`` at which the videos begin; AVA's usual excerpts begin at 900.
        boxes: rows of people that a detector found, whom the network is asked about in place of
            those of ``truth``.
        where: what messages call the annotations.

    Examples have ``clip`` (T, H, W, C), ``boxes`` (M, 4) in pixels, ``box_mask`` (M,), ``actions``
    (M, K), ``video_id`` and ``second``; with ``boxes`` the truth is "true_boxes", "true_mask",
    "true_actions", and ``actions`` are 0.

    Raises:
        JaxnetsError: a video that is not there, an action above K, nobody at all.

    >>> video = Video(np.zeros((30, 8, 16, 3), np.uint8), np.arange(30) / 10, True)
    >>> rows = [{"video": "a", "second": 1, "box": (0.0, 0.0, 0.5, 1.0), "action": 2}]
    >>> source = KeyframeSource({"a": video}, rows, num_actions=3, size=(4, 8), frames=4)
    >>> batch = source.take(np.array([0]))
    >>> batch["clip"].shape, batch["boxes"].tolist(), batch["actions"].tolist()
    ((1, 4, 4, 8, 3), [[[0.0, 0.0, 4.0, 4.0]]], [[[0.0, 1.0, 0.0]]])
    """

    def __init__(
        self,
        videos: Mapping[str, Video],
        truth: Iterable[Mapping[str, Any]],
        *,
        num_actions: int,
        size: tuple[int, int],
        frames: int,
        stride: int = 1,
        fps: float = 30.0,
        start: float = 0.0,
        boxes: Iterable[Mapping[str, Any]] | None = None,
        where: str = "the annotations",
    ):
        self.videos, self.names = videos, tuple(sorted(videos))
        people = _by_keyframe(truth, num_actions, where)
        asked = people if boxes is None else _by_keyframe(boxes, None, "the boxes")
        # Seconds where the detector found nobody are measured as well.
        self.keyframes = [k for k in sorted(people) if boxes is not None or asked[k]]
        if not any(asked.get(k) for k in self.keyframes):
            raise JaxnetsError(f"{where}: there is nobody at any second")
        if missing := sorted({video for video, _ in self.keyframes} - set(videos)):
            raise JaxnetsError(
                f"{where}: rows name videos that are not there: {', '.join(missing[:5])}"
            )
        self._people, self._asked = people, (None if boxes is None else asked)
        self._most = max(len(asked.get(k, ())) for k in self.keyframes)
        self._most_true = max(len(people[k]) for k in self.keyframes)
        self._clip = {"frames": frames, "stride": stride, "fps": fps}
        self.size, self.start, self.num_actions = size, start, num_actions
        self.info = {"num_classes": num_actions}

    def __len__(self) -> int:
        return len(self.keyframes)

    def people(self, row: int) -> list[tuple[float, ...]]:
        """The boxes that a row asks about, corners in 0 … 1, in the order of ``boxes``."""
        asked = self._people if self._asked is None else self._asked
        return list(asked.get(self.keyframes[row], {}))

    def take(self, rows: np.ndarray) -> Batch:
        """These clips with their people."""
        found = [self._example(*self.keyframes[row]) for row in np.asarray(rows)]
        return {key: np.stack([one[key] for one in found]) for key in found[0]}

    def _example(self, name: str, second: int) -> dict[str, Any]:
        video = self.videos[name]
        try:
            index = keyframe_indices(video.times, second - self.start, **self._clip)
        except JaxnetsError as error:
            raise JaxnetsError(f"{name}: {error}, counted from {self.start:g} on") from None
        inside = fitted_size(video.frames.shape[1:3], self.size)
        clip = np.zeros((len(index), *self.size, video.frames.shape[-1]), np.uint8)
        for place, i in enumerate(index):
            clip[place, : inside[0], : inside[1]] = resize(np.asarray(video.frames[i]), inside)
        people = self._people[name, second]
        example = {"clip": clip, "video_id": self.names.index(name), "second": second}
        if self._asked is None:
            return example | _padded(people, self._most, inside, self.num_actions)
        asked = _padded(self._asked.get((name, second), {}), self._most, inside, self.num_actions)
        true = _padded(people, self._most_true, inside, self.num_actions)
        names = {"boxes": "true_boxes", "box_mask": "true_mask", "actions": "true_actions"}
        return example | asked | {new: true[old] for old, new in names.items()}


def _by_keyframe(rows, num_actions, where) -> dict[tuple[str, int], dict[tuple, set[int]]]:
    """(video, second) → box → numbers of the actions from 0 on."""
    found: dict[tuple[str, int], dict[tuple, set[int]]] = {}
    for row in rows:
        people = found.setdefault((row["video"], row["second"]), {})
        action = row.get("action")
        if not len(row["box"]):
            continue
        done = people.setdefault(tuple(row["box"]), set())
        if num_actions is not None and action is not None:
            if not 1 <= action <= num_actions:
                raise JaxnetsError(
                    f"{where}: action {action} of {row['video']}, second {row['second']}; expected "
                    f"1 … {num_actions}"
                )
            done.add(action - 1)
    return found


def _padded(people, most, inside, num_actions) -> dict[str, np.ndarray]:
    height, width = inside
    boxes = np.zeros((most, 4), np.float32)
    actions = np.zeros((most, num_actions), np.float32)
    mask = np.zeros(most, np.float32)
    for m, (box, done) in enumerate(people.items()):
        boxes[m] = np.array(box) * (width, height, width, height)
        actions[m, sorted(done)], mask[m] = 1, 1
    return {"boxes": boxes, "box_mask": mask, "actions": actions}


def read_action_names(path: str | Path) -> tuple[dict[int, str], int]:
    """AVA's list of actions: a .pbtxt with ``name: "…"`` and ``id: N``, or lines of names.

    Args:
        path: ava_action_list_v2.2_for_activitynet_2019.pbtxt, or a text file with a name a line,
            numbered from 1.

    Returns:
        (number → name, the largest number).

    Raises:
        JaxnetsError: a file that cannot be read, or has no names.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "list.pbtxt")
    ...     _ = path.write_text('item { name: "bend/bow" id: 1 } item { name: "sit" id: 11 }')
    ...     read_action_names(path)
    ({1: 'bend/bow', 11: 'sit'}, 11)
    """
    try:
        text = Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise JaxnetsError(f"{path}: cannot be read ({error})") from None
    pairs = re.findall(r'name:\s*"([^"]*)"\s*(?:label_)?id:\s*(\d+)', text)
    if pairs:
        names = {int(number): name for name, number in pairs}
    else:
        lines: Sequence[str] = [line.strip() for line in text.splitlines() if line.strip()]
        names = dict(enumerate(lines, start=1))
    if not names or ("{" in text and not pairs):
        raise JaxnetsError(f"{path}: expected a .pbtxt with name and id, or a name a line")
    return names, max(names)
