"""Semantic segmentation: one of K classes for every pixel."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.metrics import confusion_matrix, iou_of_classes, segmentation_summary
from jaxnets.ops.activations import identity
from jaxnets.tasks.classification import AUXILIARY
from jaxnets.train.task import Sums, Task


def segmentation(
    class_names: Sequence[str],
    *,
    void: int = 255,
    class_weights: Sequence[float] | None = None,
    auxiliary: float = 0.0,
    preprocess: Callable[[jax.Array], jax.Array] = identity,
) -> Task:
    """The task of telling the class of every pixel, on batches of ``image`` and ``masks``.

    Training minimizes Σ w·(−log p(class)) / Σ w over the pixels that are not void; evaluation
    measures the cross entropy without weights and, from one confusion matrix of all images, IoU.

    Args:
        class_names: K of them, in the order of the numbers in ``masks (B, H, W)``.
        void: the number of pixels that do not count.
        class_weights: w of each class, for classes of unequal size.
        auxiliary: weight of the loss of an auxiliary head (torchvision trains with ½).
        preprocess: images as stored → images as the network wants them.

    Returns:
        A `jaxnets.train.Task`. Evaluation gives ``loss``, those of
        `jaxnets.metrics.segmentation_summary` (``mIoU``, …) and ``IoU/name`` of each class.

    Raises:
        ValueError: weights of another number or below 0.

    Source: Long, Shelhamer, Darrell, "Fully Convolutional Networks for Semantic Segmentation",
    2015, section 5.

    >>> task = segmentation(["road", "sky"])
    >>> batch = {"masks": jnp.array([[[0, 1, 255]]]), "example_mask": jnp.ones(1)}
    >>> scores = jnp.array([[[[9.0, 0.0], [9.0, 0.0], [0.0, 0.0]]]])
    >>> task.summarize(jax.tree.map(np.asarray, task.measure(scores, batch)))["mIoU"]
    0.25
    """
    names = tuple(class_names)
    if class_weights is not None and (
        len(class_weights) != len(names) or not all(w >= 0 for w in class_weights)
    ):
        raise ValueError(
            f"class_weights: got {class_weights}; expected {len(names)} numbers of at least 0"
        )
    weights = jnp.ones(len(names)) if class_weights is None else jnp.asarray(class_weights)

    def losses(scores: jax.Array, batch: Mapping[str, Any]) -> tuple[jax.Array, jax.Array]:
        """Of each pixel: its loss, and the number of its class, −1 where it does not count.

        What is neither a class nor void has a loss of NaN, at which a run stops.
        """
        labels = jnp.asarray(batch["masks"]).astype(jnp.int32)
        strange = (labels != void) & ((labels < 0) | (labels >= len(names)))
        labels = jnp.where((labels == void) | strange, -1, labels)
        logs = jax.nn.log_softmax(scores.astype(jnp.float32))
        chosen = jnp.take_along_axis(logs, jnp.maximum(labels, 0)[..., None], -1)[..., 0]
        return jnp.where(strange, jnp.nan, -chosen), labels

    def mean(scores, batch):
        values, labels = losses(scores, batch)
        weight = jnp.where(labels >= 0, weights[jnp.maximum(labels, 0)], 0.0)
        counted = jnp.where((labels >= 0) | jnp.isnan(values), values, 0.0)
        total = jnp.where(jnp.isnan(counted), jnp.nan, weight * counted).sum()
        return total / jnp.maximum(weight.sum(), 1e-9)

    def loss(scores, updates, batch):
        total = mean(scores, batch)
        if auxiliary:
            heads = updates[AUXILIARY].values()
            total = total + auxiliary * sum(mean(head, batch) for head in heads)
        labels = losses(scores, batch)[1]
        hits = ((scores.argmax(-1) == labels) & (labels >= 0)).sum()
        return total, {"accuracy": hits / jnp.maximum((labels >= 0).sum(), 1)}

    def measure(scores, batch) -> Sums:
        values, labels = losses(scores, batch)
        there = (labels >= 0) & (jnp.asarray(batch["example_mask"]) != 0)[:, None, None]
        counts = confusion_matrix(
            scores.argmax(-1).ravel(),
            jnp.maximum(labels, 0).ravel(),
            len(names),
            weights=there.ravel().astype(jnp.int32),
        )
        count = there.sum()
        return {"loss": (jnp.where(there, values, 0).sum(), count), "confusion": (counts, count)}

    def summarize(sums: Sums) -> dict[str, float]:
        (total, count), (counts, _) = sums["loss"], sums["confusion"]
        counts = np.asarray(counts)
        each = zip(names, iou_of_classes(counts), strict=True)
        found = {"loss": float(total) / max(float(count), 1.0), **segmentation_summary(counts)}
        return found | {f"IoU/{name}": float(value) for name, value in each}

    return Task(
        inputs=lambda batch: preprocess(batch["image"]),
        loss=loss,
        measure=measure,
        summarize=summarize,
        weight=None,
        mutable=(AUXILIARY,) if auxiliary else (),
        meta=(("class_names", list(names)), ("void", void)),
    )
