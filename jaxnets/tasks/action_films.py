"""The people of a video and what they do: boxes from files or a detector, films, AVA's csv."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxnets.data.video import Video, keyframe_indices, read_ava, write_video
from jaxnets.errors import JaxnetsError
from jaxnets.study.object_pictures import draw_objects
from jaxnets.tasks.action_finder import ActionInfo, PersonActions
from jaxnets.tasks.detector import Detector


def read_boxes(path: Path, name: str) -> list[dict[str, Any]]:
    """People of one video, from a file.

    Args:
        path: AVA's csv (video,second,x1,y1,x2,y2, whatever follows), or JSON: a list of
            {"second": 3.5, "box": [x1, y1, x2, y2]}; corners in 0 … 1.
        name: of the video; rows of others are left out.

    Returns:
        Rows with "second" and "box".

    Raises:
        JaxnetsError: a file of another form, boxes that are none, or none of this video.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "boxes.json")
    ...     _ = path.write_text('[{"second": 1, "box": [0, 0, 0.5, 1]}]')
    ...     read_boxes(path, "film")
    [{'second': 1, 'box': (0.0, 0.0, 0.5, 1.0)}]
    """
    if path.suffix.lower() == ".json":
        try:
            rows = [
                {"second": row["second"] + 0, "box": tuple(map(float, row["box"]))}
                for row in json.loads(path.read_text())
            ]
        except (OSError, ValueError, KeyError, TypeError) as error:
            wanted = '[{"second": 3.5, "box": [x1, y1, x2, y2]}, …]'
            raise JaxnetsError(f"{path}: expected {wanted} ({error!r})") from None
    else:
        found = read_ava(path)
        rows = [r for r in found if len(r["box"]) and r["video"] == name]
        if not rows:
            there = sorted({row["video"] for row in found})
            raise JaxnetsError(
                f"{path}: has nobody of the video {name!r}; it names {', '.join(there[:5])}"
            )
        rows = [{"second": row["second"], "box": row["box"]} for row in rows]
    for row in rows:
        box = np.array(row["box"])
        if box.shape != (4,) or not (box >= 0).all() or not (box <= 1).all():
            raise JaxnetsError(f"{path}: expected corners in 0 … 1, got {row['box']}")
        if not (box[:2] < box[2:]).all():
            raise JaxnetsError(f"{path}: expected x1 < x2 and y1 < y2, got {row['box']}")
    return rows


def find_people(
    detector: Detector,
    video: Video,
    seconds: Sequence[float],
    *,
    label: str = "person",
    min_score: float = 0.8,
) -> list[dict[str, Any]]:
    """The people that a detector finds at some moments of a video.

    Args:
        detector: with a class ``label``.
        video: RGB.
        seconds: the moments.
        label: of people.
        min_score: what is less certain is left out; PySlowFast takes .8.

    Returns:
        Rows with "second" and "box", corners in 0 … 1.

    Raises:
        JaxnetsError: the detector has no such class, or finds nobody.
    """
    if label not in detector.class_names:
        names = ", ".join(detector.class_names[:8])
        raise JaxnetsError(f"the detector has no class {label!r}; it has {names}")
    frames = [video.frames[keyframe_indices(video.times, s, 1)[0]] for s in seconds]
    height, width = video.frames.shape[1:3]
    rows = [
        {"second": second, "box": tuple((box / (width, height, width, height)).tolist())}
        for second, found in zip(seconds, detector.find_in(frames), strict=True)
        for box, score, name in zip(found.boxes, found.scores, found.labels, strict=True)
        if name == label and score >= min_score and (box[:2] < box[2:]).all()
    ]
    if not rows:
        raise JaxnetsError(
            f"the detector finds no {label} with a score of at least {min_score:g} at any of the "
            f"{len(seconds)} seconds; try a lower --person-score"
        )
    return rows


def write_ava(path: Path, name: str, found: Sequence[PersonActions]) -> None:
    """What people do as AVA's csv of detections: a row for each person and action, with a score."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        for person in found:
            corners = [f"{value:.4f}" for value in person.box]
            for number, score in enumerate(person.scores, start=1):
                writer.writerow((name, f"{person.second:g}", *corners, number, f"{score:.4f}"))


def draw_actions(
    path: Path,
    video: Video,
    found: Sequence[PersonActions],
    info: ActionInfo,
    *,
    start: float = 0.0,
    min_score: float = 0.5,
    enlarge: int = 1,
) -> Path:
    """A film with a box around each person and what it does; each moment stands for its neighbors.

    Args:
        path: of the film.
        video: RGB or gray.
        found: of `ActionFinder.find`.
        info: names the actions.
        start: the second at which the video begins.
        min_score: of an action that is written.
        enlarge: every pixel becomes so many squared.

    Returns:
        The path.
    """
    moments = np.array(sorted({person.second for person in found}), float)
    height, width = video.frames.shape[1:3]
    drawn = []
    for frame, time in zip(video.frames, video.times, strict=True):
        frame = np.broadcast_to(frame, (height, width, 3))
        frame = frame.repeat(enlarge, 0).repeat(enlarge, 1)
        moment = moments[np.abs(moments - start - time).argmin()]
        people = [person for person in found if person.second == moment]
        corners = np.array([person.box for person in people]) * (width, height, width, height)
        labels = [
            ", ".join(n for n, s in zip(info.class_names, p.scores, strict=True) if s >= min_score)
            for p in people
        ]
        colors = [_COLORS[i % len(_COLORS)] for i in range(len(people))]
        drawn.append(draw_objects(frame, corners * enlarge, labels, colors=colors))
    return write_video(path, np.stack(drawn), fps=video.fps or 25)


_COLORS = ((255, 190, 60), (90, 200, 255), (255, 120, 160), (140, 230, 120))
