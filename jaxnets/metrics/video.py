"""Predictions of clips put together for their videos; how well actions are found in time and space.

On the host, in float64: what the evaluations of ActivityNet and AVA compute.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxnets.metrics.voc import average_precision

ACTIVITYNET_THRESHOLDS = tuple(np.round(np.arange(0.5, 1.0, 0.05), 2).tolist())


def video_predictions(scores: np.ndarray, video_id: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean of the predictions of all views of each video.

    Args:
        scores: (N, K) of clips: probabilities, as the mean of softmaxes is meant.
        video_id: (N,) integers.

    Returns:
        (the videos' numbers (V,), ascending, their mean scores (V, K)); the order of the views
        does not matter.

    Raises:
        ValueError: shapes that do not fit.

    Source: Feichtenhofer et al. 2018 (SlowFast Networks), section 4: 10 clips × 3 crops.

    >>> ids, mean = video_predictions(np.array([[1, 0], [0, 1], [0.5, 0.5]]), np.array([7, 3, 7]))
    >>> ids.tolist(), mean.tolist()
    ([3, 7], [[0.0, 1.0], [0.75, 0.25]])
    """
    scores, video_id = np.asarray(scores, np.float64), np.asarray(video_id)
    if scores.ndim != 2 or video_id.shape != scores.shape[:1]:
        raise ValueError(
            f"scores: expected (N, K) and a number of a video for each, got {scores.shape} and "
            f"{video_id.shape}"
        )
    numbers, place = np.unique(video_id, return_inverse=True)
    total = np.zeros((len(numbers), scores.shape[1]))
    np.add.at(total, place, scores)
    return numbers, total / np.bincount(place)[:, None]


def video_accuracy(
    scores: np.ndarray, labels: np.ndarray, video_id: np.ndarray, *, k: int = 1
) -> dict[str, float]:
    """Share of clips, and of videos by the mean of their clips, whose class is among the top k.

    Args:
        scores: (N, K) of clips.
        labels: (N,) class numbers, the same for all clips of a video.
        video_id: (N,).
        k: how many classes may be named; of equal scores the lower number comes first.

    Returns:
        "clip" and "video".

    Raises:
        ValueError: clips of one video with several labels, or shapes that do not fit.

    Source: Karpathy et al. 2014 (Large-scale Video Classification), section 4.1: Hit@k.

    >>> scores = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])
    >>> video_accuracy(scores, np.array([0, 0, 1]), np.array([0, 0, 1]))
    {'clip': 0.666..., 'video': 1.0}
    """
    labels = np.asarray(labels)
    numbers, mean = video_predictions(scores, video_id)
    of_video = np.array([labels[np.asarray(video_id) == n][0] for n in numbers])
    if not np.array_equal(of_video[np.searchsorted(numbers, video_id)], labels):
        raise ValueError("labels: clips of one video have several labels")

    def hit(scores, labels):
        top = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return float((top == labels[:, None]).any(1).mean())

    return {"clip": hit(np.asarray(scores, np.float64), labels), "video": hit(mean, of_video)}


def temporal_iou(segment: Sequence[float], segments: np.ndarray) -> np.ndarray:
    """|a ∩ b| / |a ∪ b| of one interval of time with others.

    Args:
        segment: (start, end).
        segments: (M, 2).

    Returns:
        (M,) in 0 … 1; 0 for two intervals without length.

    >>> temporal_iou((0, 4), np.array([[2, 6], [4, 5], [0, 4]])).tolist()
    [0.333..., 0.0, 1.0]
    """
    segments = np.asarray(segments, np.float64).reshape(-1, 2)
    overlap = np.minimum(segment[1], segments[:, 1]) - np.maximum(segment[0], segments[:, 0])
    overlap = np.maximum(overlap, 0.0)
    union = (segments[:, 1] - segments[:, 0]) + (segment[1] - segment[0]) - overlap
    return np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)


def temporal_average_precision(
    truth: Mapping[str, Sequence[tuple[float, float, str]]],
    found: Mapping[str, Sequence[tuple[float, float, str, float]]],
    *,
    thresholds: Sequence[float] = ACTIVITYNET_THRESHOLDS,
) -> dict[str, Any]:
    """Mean average precision of actions found in time, as ActivityNet measures it.

    By falling score, a detection counts if it overlaps an instance of its class in its video that
    was not found before by at least the threshold; it takes the one that it overlaps most.

    Args:
        truth: video → (start, end, label), seconds.
        found: video → (start, end, label, score).
        thresholds: of temporal IoU; default .5, .55, …, .95.

    Returns:
        "mean" over thresholds, "mean_ap" by threshold, "ap" by class as (thresholds,) arrays. The
        classes are those of ``truth``.

    Raises:
        ValueError: no instances, or a score that is not finite.

    Source: Caba Heilbron et al. 2015 (ActivityNet), and its evaluation code.

    >>> truth = {"a": [(0, 10, "jump")]}
    >>> found = {"a": [(0, 9, "jump", 0.9), (0, 10, "jump", 0.8)]}
    >>> result = temporal_average_precision(truth, found, thresholds=(0.5, 0.95))
    >>> result["mean_ap"]
    {0.5: 1.0, 0.95: 0.5}
    """
    classes = sorted({label for segments in truth.values() for *_, label in segments})
    if not classes:
        raise ValueError("truth: has no instances")
    ap = {}
    for name in classes:
        wanted = {
            video: np.array([s[:2] for s in segments if s[2] == name], float).reshape(-1, 2)
            for video, segments in truth.items()
        }
        rows = [
            (float(score), video, (start, end))
            for video, segments in found.items()
            for start, end, label, score in segments
            if label == name
        ]
        scores = np.array([row[0] for row in rows])
        if not np.isfinite(scores).all():
            raise ValueError("found: a score is not a finite number")
        # ActivityNet sorts ascending and turns round: of equal scores the later one is first.
        order = np.argsort(scores, kind="stable")[::-1]
        ious = [temporal_iou(rows[i][2], wanted.get(rows[i][1], np.zeros((0, 2)))) for i in order]
        places = [rows[i][1] for i in order]
        count = sum(map(len, wanted.values()))
        ap[name] = np.array([_ap_at(t, ious, places, wanted, count) for t in thresholds])
    table = np.array(list(ap.values()))
    by_threshold = dict(zip(map(float, thresholds), table.mean(0).tolist(), strict=True))
    return {"mean": float(table.mean()), "mean_ap": by_threshold, "ap": ap}


def _ap_at(threshold, ious, videos, wanted, count) -> float:
    taken = {video: np.zeros(len(segments), bool) for video, segments in wanted.items()}
    hits = np.zeros(len(ious))
    for i, (iou, video) in enumerate(zip(ious, videos, strict=True)):
        for j in np.argsort(iou)[::-1]:
            if iou[j] < threshold:
                break
            if not taken[video][j]:
                taken[video][j] = hits[i] = True
                break
    return _area(hits, count)


def _area(hits: np.ndarray, count: int) -> float:
    """Average precision of detections by falling score, ``hits`` being 1 where they are right."""
    right = np.cumsum(hits)
    return average_precision(right / count, right / np.arange(1, len(hits) + 1))


def ava_average_precision(
    truth: Iterable[Mapping[str, Any]],
    found: Iterable[Mapping[str, Any]],
    *,
    actions: Sequence[int] | None = None,
    threshold: float = 0.5,
) -> dict[str, Any]:
    """Mean average precision over frames of who does what, as AVA measures it.

    A frame is one second of one video. By falling score, a detection counts if the person of its
    action that it overlaps most overlaps it by at least the threshold and was not found before.

    Args:
        truth: rows with "video", "second", "box" (x1, y1, x2, y2) and "action", as
            `jaxnets.data.video.read_ava` reads them; those without an action are frames with
            nobody.
        found: the same with "score". Detections in frames that ``truth`` does not have are left
            out.
        actions: the numbers of the actions that count; None: those of ``truth``.
        threshold: of IoU.

    Returns:
        "mean_ap", and "ap" by action; an action that is nowhere in ``truth`` has NaN, and does not
        count.

    Raises:
        ValueError: no action at all.

    Source: Gu et al. 2017 (AVA), section 5.1, and its evaluation code.

    >>> row = {"video": "a", "second": 902, "box": (0, 0, 1, 1), "action": 12}
    >>> ava_average_precision([row], [row | {"score": 0.5}])["mean_ap"]
    1.0
    """
    truth, found = list(truth), list(found)
    frames = {(row["video"], row["second"]) for row in truth}
    if actions is None:
        actions = sorted({row["action"] for row in truth if row["action"] is not None})
    ap = {}
    for action in actions:
        wanted: dict[tuple, list] = {}
        for row in truth:
            if row["action"] == action:
                wanted.setdefault((row["video"], row["second"]), []).append(row["box"])
        rows = [
            row
            for row in found
            if row["action"] == action and (row["video"], row["second"]) in frames
        ]
        rows.sort(key=lambda row: -row["score"])
        taken = {frame: np.zeros(len(boxes), bool) for frame, boxes in wanted.items()}
        hits = np.zeros(len(rows))
        for i, row in enumerate(rows):
            frame = (row["video"], row["second"])
            if frame not in wanted:
                continue
            iou = _box_iou(row["box"], np.array(wanted[frame], np.float64))
            best = int(iou.argmax())
            if iou[best] >= threshold and not taken[frame][best]:
                taken[frame][best] = hits[i] = True
        count = sum(map(len, wanted.values()))
        ap[action] = _area(hits, count) if count else float("nan")
    values = [value for value in ap.values() if not np.isnan(value)]
    if not values:
        raise ValueError(f"truth: has none of the actions {list(actions)}")
    return {"mean_ap": float(np.mean(values)), "ap": ap}


def _box_iou(box: Sequence[float], boxes: np.ndarray) -> np.ndarray:
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    overlap = np.maximum(high - low, 0).prod(1)
    area = (box[2] - box[0]) * (box[3] - box[1]) + (boxes[:, 2:] - boxes[:, :2]).prod(1) - overlap
    return np.divide(overlap, area, out=np.zeros_like(overlap), where=area > 0)
