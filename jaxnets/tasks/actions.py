"""Spatio-temporal detection: what each person of a clip does, several things at once."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnets.metrics import ava_average_precision
from jaxnets.ops.activations import identity
from jaxnets.train.task import Task

# What is collected, and the truth where people were found by a detector.
TRUTH = {"true_boxes": "boxes", "true_mask": "box_mask", "true_actions": "actions"}


def action_detection(
    class_names: Sequence[str],
    *,
    preprocess: Callable[[jax.Array], jax.Array] = identity,
    measured: Sequence[int] | None = None,
) -> Task:
    """The task of saying what people do, for `jaxnets.models.video.ActionDetector`.

    The loss is the mean binary cross-entropy over all people and actions.

    Args:
        class_names: K actions, in the order of the last axis of ``actions``.
        preprocess: clips as stored (B, T, H, W, C) → clips as the network wants them.
        measured: which of them count in the mean average precision; None: all that occur. AVA
            counts 60 of its 80.

    Returns:
        A `jaxnets.train.Task` on batches of ``clip``, ``boxes`` (B, M, 4) in pixels, ``box_mask``
        (B, M) and ``actions`` (B, M, K), each 0 or 1, such as a
        `jaxnets.data.video.KeyframeSource`'s. Evaluation gives the loss, AVA's frame ``mAP`` at an
        IoU of .5 and ``AP/name`` of each action; boxes are compared with "true_boxes" where the
        batch has them.

    Source: Gu et al. 2017 (AVA), section 5; Feichtenhofer et al. 2018 (SlowFast), section 5.

    >>> task = action_detection(("sit", "talk"))
    >>> batch = {"clip": jnp.zeros((1, 4, 8, 8, 3)), "boxes": jnp.zeros((1, 1, 4))}
    >>> batch |= {"box_mask": jnp.ones((1, 1)), "actions": jnp.array([[[1.0, 0.0]]])}
    >>> sorted(task.inputs(batch)), float(task.loss(jnp.zeros((1, 1, 2)), {}, batch)[0])
    (['box_mask', 'boxes', 'x'], 0.693...)
    """
    names = tuple(class_names)

    def inputs(batch: Mapping[str, Any]) -> dict[str, Any]:
        x = preprocess(jnp.asarray(batch["clip"]))
        return {"x": x, "boxes": batch["boxes"], "box_mask": batch["box_mask"]}

    def sums(outputs, batch):
        weight = jnp.asarray(batch["box_mask"], jnp.float32)
        if "example_mask" in batch:
            weight = weight * jnp.asarray(batch["example_mask"], jnp.float32)[:, None]
        errors = optax.sigmoid_binary_cross_entropy(outputs, batch["actions"]).mean(-1)
        return {"loss": (jnp.sum(errors * weight), weight.sum())}

    def loss(outputs, updates, batch):
        total, count = sums(outputs, batch)["loss"]
        return total / jnp.maximum(count, 1), {}

    def collect(outputs, batch):
        found = {"boxes": batch["boxes"], "mask": batch["box_mask"]}
        found["scores"] = jax.nn.sigmoid(outputs)
        return found | {key: batch.get(key, batch[own]) for key, own in TRUTH.items()}

    return Task(
        inputs=inputs,
        loss=loss,
        measure=sums,
        collect=collect,
        score=partial(score_actions, class_names=names, measured=measured),
        # Of no more people than there are, so that devices with many of them count more.
        weight=lambda batch: jnp.sum(jnp.asarray(batch["box_mask"], jnp.float32)),
        meta=(("class_names", list(names)),),
    )


def score_actions(
    found: Mapping[str, np.ndarray],
    *,
    class_names: Sequence[str],
    measured: Sequence[int] | None = None,
) -> dict[str, float]:
    """AVA's average precision of what was collected over a data set.

    Args:
        found: boxes (N, M, 4), mask (N, M) and scores (N, M, K) of each keyframe, and the truth as
            "true_boxes", "true_mask" and "true_actions".
        class_names: K of them.
        measured: numbers of those that count; None: all that occur.

    Returns:
        "mAP", and "AP/name" of each that occurs; see `jaxnets.metrics.ava_average_precision`.

    >>> box, one = np.array([[[0.0, 0, 4, 4]]]), np.ones((1, 1))
    >>> found = {"boxes": box, "mask": one, "scores": np.array([[[0.9, 0.2]]])}
    >>> found |= {"true_boxes": box, "true_mask": one, "true_actions": np.array([[[1.0, 0.0]]])}
    >>> score_actions(found, class_names=("sit", "talk"))
    {'mAP': 1.0, 'AP/sit': 1.0}
    """
    found = {key: np.asarray(value) for key, value in found.items()}
    truth: list[dict[str, Any]] = []
    said: list[dict[str, Any]] = []
    for n in range(len(found["boxes"])):
        frame = {"video": "", "second": n}
        truth.append({**frame, "box": (), "action": None})
        for m in np.flatnonzero(found["true_mask"][n]):
            box = found["true_boxes"][n, m]
            done = np.flatnonzero(found["true_actions"][n, m])
            truth += [{**frame, "box": box, "action": int(k)} for k in done]
        for m in np.flatnonzero(found["mask"][n]):
            scores = found["scores"][n, m]
            person = {**frame, "box": found["boxes"][n, m]}
            said += [{**person, "action": k, "score": float(s)} for k, s in enumerate(scores)]
    result = ava_average_precision(truth, said, actions=measured)
    each = {f"AP/{class_names[k]}": float(ap) for k, ap in result["ap"].items() if not np.isnan(ap)}
    return {"mAP": result["mean_ap"], **each}
