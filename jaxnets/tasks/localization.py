"""Temporal localization: the actions of a video, each with its start, its end and its class."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from jaxnets.metrics import temporal_average_precision
from jaxnets.models.detection.targets import mean_losses
from jaxnets.models.video.tal_losses import tal_detections, tal_losses
from jaxnets.train.task import Sums, Task

TRUTH = ("segments", "segment_label", "segment_mask")


def temporal_localization(class_names: Sequence[str], *, length: int) -> Task:
    """The task of finding actions in sequences of features, for `jaxnets.models.video.TALNet`.

    Args:
        class_names: of the actions, in the order of ``segment_label``.
        length: T, steps of every sequence.

    Returns:
        A `jaxnets.train.Task` on batches of ``sequence`` (B, T, C), ``segments``,
        ``segment_label`` and ``segment_mask``. Evaluation gives the losses, ``mAP`` (the mean over
        temporal IoU of .5, .55, …, .95) and ``mAP@0.5``.

    >>> task = temporal_localization(("jump", "run"), length=32)
    >>> sorted(task.inputs({"sequence": 0, "segments": 1, "segment_mask": 2, "segment_label": 3}))
    ['segment_mask', 'segments', 'x']
    """

    def loss(outputs, updates, batch):
        found = mean_losses(tal_losses(outputs, batch))
        return sum(found.values()), found

    def collect(outputs, batch):
        # What was given to be learned is no proposal of the network's own.
        own = outputs.proposals.shape[1] - batch["segments"].shape[1]
        kept = ("proposals", "proposal_mask", "logits", "refinements")
        outputs = outputs._replace(**{name: getattr(outputs, name)[:, :own] for name in kept})
        found = tal_detections(outputs, length)
        return {
            "segments": found.boxes[..., ::2],
            "scores": found.scores,
            "labels": found.labels,
            "mask": found.mask,
            **{f"true/{key}": batch[key] for key in TRUTH},
        }

    return Task(
        inputs=lambda batch: {
            "x": batch["sequence"],
            "segments": batch["segments"],
            "segment_mask": batch["segment_mask"],
        },
        loss=loss,
        measure=tal_losses,
        summarize=_summarize,
        collect=collect,
        score=partial(score_segments, class_names=tuple(class_names)),
        meta=(("class_names", list(class_names)), ("length", length)),
    )


def _summarize(sums: Sums) -> dict[str, Any]:
    found = {name: float(total) / max(float(count), 1.0) for name, (total, count) in sums.items()}
    return {"loss": sum(found.values()), **found}


def score_segments(
    found: Mapping[str, np.ndarray], *, class_names: Sequence[str]
) -> dict[str, float]:
    """Average precision of the actions collected over a data set.

    Args:
        found: segments (N, D, 2), scores, labels and mask (N, D), and the truth as
            ``true/segments``, ``true/segment_label`` and ``true/segment_mask``.
        class_names: K of them.

    Returns:
        "mAP" and "mAP@0.5"; see `jaxnets.metrics.temporal_average_precision`.

    >>> one, segment = np.ones((1, 1)), np.array([[[2.0, 6.0]]])
    >>> found = {"segments": segment, "scores": one, "labels": 0 * one.astype(int), "mask": one}
    >>> found |= {"true/segments": segment, "true/segment_mask": one}
    >>> score_segments(found | {"true/segment_label": found["labels"]}, class_names=["jump"])
    {'mAP': 1.0, 'mAP@0.5': 1.0}
    """

    def rows(segments, labels, mask, *scores):
        return {
            str(n): [
                (
                    *map(float, segments[n, m]),
                    class_names[labels[n, m]],
                    *(float(score[n, m]) for score in scores),
                )
                for m in np.flatnonzero(mask[n])
            ]
            for n in range(len(segments))
        }

    truth = rows(*(np.asarray(found[f"true/{key}"]) for key in TRUTH))
    seen = rows(*(np.asarray(found[key]) for key in ("segments", "labels", "mask", "scores")))
    measured = temporal_average_precision(truth, seen)
    return {"mAP": measured["mean"], "mAP@0.5": measured["mean_ap"][0.5]}
