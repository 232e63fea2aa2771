"""Video classification: one of K classes for every clip, and for every video by its clips."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.data import Source
from jaxnets.metrics import video_accuracy, video_predictions
from jaxnets.ops.activations import identity
from jaxnets.tasks.classification import classification
from jaxnets.train.task import Task


def video_classification(
    num_classes: int,
    *,
    preprocess: Callable[[jax.Array], jax.Array] = identity,
    flow: Callable[[jax.Array], jax.Array] | None = None,
    **options: Any,
) -> Task:
    """The task of telling K classes apart, on batches of ``clip`` and ``label``.

    Everything but the inputs is `classification`: loss, metrics, class weights.

    Args:
        num_classes: K.
        preprocess: clips as stored (B, T, H, W, C) → clips as the network wants them.
        flow: for networks of two streams, clips as stored → flow (B, L, H, W, 2), which the network
            takes as ``flow``; batches that have "flow" bring their own.
        **options: further ones of `classification`.

    Returns:
        A `jaxnets.train.Task`.

    >>> task = video_classification(3, preprocess=lambda clip: clip / 255)
    >>> batch = {"clip": np.full((2, 4, 8, 8, 1), 51), "label": np.zeros(2, int)}
    >>> inputs = task.inputs(batch)
    >>> sorted(inputs), round(float(inputs["x"].max()), 3)
    (['x'], 0.2)
    """
    base = classification(num_classes, preprocess=preprocess, **options)

    def inputs(batch: Mapping[str, Any]) -> dict[str, jax.Array]:
        found = {"x": preprocess(jnp.asarray(batch["clip"]))}
        if "flow" in batch:
            found["flow"] = jnp.asarray(batch["flow"])
        elif flow is not None:
            found["flow"] = flow(jnp.asarray(batch["clip"]))
        return found

    return base._replace(inputs=inputs)


def separate_streams(task: Task) -> Task:
    """The same task, with each stream of a two-stream network trained by its own loss.

    The loss is the mean of the streams' losses, whose gradients meet no other stream's parameters:
    each learns what it can see, as if trained alone. The loss of the averaged softmax instead
    gives a stream little to learn where the other one is right. Measures are of the average.

    Args:
        task: such as `video_classification`, for a network that writes the collection "streams"
            (`jaxnets.models.video.TwoStream`).

    Returns:
        A `jaxnets.train.Task`.

    Source: Simonyan & Zisserman 2014 (Two-Stream Convolutional Networks for Action Recognition in
    Videos), §2.

    >>> task = separate_streams(video_classification(2))
    >>> streams = {"streams": {"logits": (jnp.zeros((2, 1, 2)),)}}
    >>> loss, _ = task.loss(jnp.zeros((1, 2)), streams, {"label": jnp.array([0])})
    >>> round(float(loss), 4)  # ln 2
    0.6931
    """

    def loss(outputs: Any, updates: Mapping[str, Any], batch: Mapping[str, Any]) -> Any:
        _, metrics = task.loss(outputs, updates, batch)
        (logits,) = updates["streams"]["logits"]
        losses = [task.loss(stream, updates, batch)[0] for stream in logits]
        return sum(losses) / len(losses), metrics

    return task._replace(loss=loss, mutable=(*task.mutable, "streams"))


class VideoScores(NamedTuple):
    """What a network says of clips.

    Attributes:
        clips: (N, K) probabilities, one row a clip.
        videos: (V, K), the mean of each video's clips.
        accuracy: "clip" and "video", shares.

    >>> VideoScores(np.eye(2), np.eye(2), {"clip": 1.0, "video": 1.0}).videos.shape
    (2, 2)
    """

    clips: np.ndarray
    videos: np.ndarray
    accuracy: dict[str, float]

    def summary(self) -> dict[str, float | int]:
        """``clip_accuracy`` and ``video_accuracy``, ``clips`` and ``videos``, their numbers."""
        shares = {f"{kind}_accuracy": share for kind, share in self.accuracy.items()}
        return {**shares, "clips": len(self.clips), "videos": len(self.videos)}


def score_videos(
    model: nn.Module,
    variables: Mapping[str, Any],
    source: Source,
    *,
    task: Task,
    batch_size: int = 32,
) -> VideoScores:
    """Run a network on all views of all videos and average the predictions of each video.

    Args:
        model: the network.
        variables: its variables.
        source: clips with ``label`` and ``video_id``, such as a `jaxnets.data.video.ClipSource`
            with several views.
        task: of `video_classification`; its inputs are the network's.
        batch_size: clips at a time; the last batch is filled up, so that one program is compiled.

    Returns:
        `VideoScores`.

    Raises:
        ValueError: the source has no clips.

    Source: Feichtenhofer et al. 2018 (SlowFast Networks), section 4.

    >>> from jaxnets.data.video import ClipSource
    >>> from jaxnets.models import create_model
    >>> layers = ((4, 3, 1, 1, False, True),)
    >>> model = create_model("single_frame", num_classes=2, layers=layers, fc_width=4)
    >>> variables = model.init(jax.random.key(0), jnp.zeros((1, 2, 8, 8, 1)))
    >>> videos = [np.zeros((9, 8, 8, 1), np.uint8)] * 3
    >>> source = ClipSource(videos, [0, 1, 0], frames=2, views=2)
    >>> task = video_classification(2, preprocess=lambda clip: clip / 255)
    >>> scores = score_videos(model, variables, source, task=task, batch_size=4)
    >>> scores.clips.shape, scores.videos.shape
    ((6, 2), (3, 2))
    """
    if not len(source):
        raise ValueError("source: has no clips")

    @jax.jit
    def run(variables, batch):
        return jax.nn.softmax(model.apply(variables, **task.inputs(batch)))

    clips, labels, numbers = [], [], []
    for start in range(0, len(source), batch_size):
        rows = np.arange(start, min(start + batch_size, len(source)))
        batch = source.take(np.resize(rows, batch_size))
        given = {k: v for k, v in batch.items() if k in ("clip", "flow")}
        clips.append(np.asarray(run(variables, given))[: len(rows)])
        labels.append(batch["label"][: len(rows)])
        numbers.append(batch["video_id"][: len(rows)])
    scores, label, video_id = map(np.concatenate, (clips, labels, numbers))
    accuracy = video_accuracy(scores, label, video_id)
    return VideoScores(scores, video_predictions(scores, video_id)[1], accuracy)
