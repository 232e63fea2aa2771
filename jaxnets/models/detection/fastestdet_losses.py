"""What FastestDet minimizes."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxnets.models.detection.fastestdet import FastestDetOutputs, fastestdet_boxes
from jaxnets.models.detection.targets import Objects, objects_of, smooth_l1
from jaxnets.ops import boxes

# How much boxes and objectness count beside classes.
FACTORS = (8.0, 16.0)
# Of objectness: what cells without and with objects weigh.
BALANCE = (0.75, 0.25)


def fastestdet_losses(
    outputs: FastestDetOutputs, batch: Mapping[str, Any]
) -> dict[str, tuple[jax.Array, jax.Array]]:
    """Overlap, objectness and class, each as (sum, count).

    The four cells around an object's center may stand for it; of all such pairs of the batch those
    do that overlap more than the mean. They learn 8·(1 − CIoU) and the cross entropy of the class.
    Objectness learns by 16 times smooth L1 of σ(t) with the overlap, 0 where a cell stands for
    nothing; cells that stand for something weigh a quarter of an image's in all, the others ¾ each.

    Args:
        outputs: of `FastestDet`.
        batch: ``boxes (N, M, 4)``, ``box_label (N, M)``, ``box_mask (N, M)`` and perhaps
            ``example_mask (N,)``.

    Returns:
        ``boxes`` and ``classes``, of pairs, and ``objectness``, of images.

    Raises:
        ValueError: shapes that do not fit.

    Source: the published network's code, which takes SIoU in place of CIoU.

    >>> shapes = ((1, 2, 2), (1, 2, 2, 4), (1, 2, 2, 3))
    >>> outputs = FastestDetOutputs(*map(jnp.zeros, shapes), jnp.full(2, 32.0))
    >>> truth = {"boxes": jnp.zeros((1, 0, 4)), "box_label": jnp.zeros((1, 0), int)}
    >>> losses = fastestdet_losses(outputs, truth | {"box_mask": jnp.zeros((1, 0))})
    >>> {name: round(float(total), 3) for name, (total, _) in losses.items()}  # 16·¾·½·½²
    {'boxes': 0.0, 'objectness': 1.5, 'classes': 0.0}
    """
    rows, columns = outputs.objectness.shape[1:]
    strides = outputs.size[::-1] / jnp.array([columns, rows], jnp.float32)
    corners = fastestdet_boxes(outputs)
    corner = jnp.array([[0, 0], [1, 0], [0, 1], [1, 1]])
    objects, there = objects_of(batch)

    def pairs(found, objects: Objects):
        """Of four cells for each object: their places, whether they are there, their overlaps."""
        true = objects.boxes
        center = (true[:, :2] + true[:, 2:]) / 2 / strides
        cell = jnp.floor(center).astype(jnp.int32)[:, None] + corner  # (M, 4, 2)
        inside = (cell >= 0).all(-1) & (cell < jnp.array([columns, rows])).all(-1)
        inside &= objects.mask[:, None]
        x, y = (jnp.where(inside, cell[..., i], 0) for i in (0, 1))
        target = jnp.broadcast_to(true[:, None], (*inside.shape, 4)).reshape(-1, 4)
        overlap = boxes.complete_iou(found[y, x].reshape(-1, 4), target, paired=True)
        return y * columns + x, inside, overlap.reshape(inside.shape)

    place, inside, overlap = jax.vmap(pairs)(corners, objects)
    inside &= there[:, None, None]
    fixed = jax.lax.stop_gradient(overlap)
    mean = jnp.where(inside, fixed, 0.0).sum() / jnp.maximum(inside.sum(), 1)
    # One pair alone is its own mean.
    kept = inside & ((fixed > mean) | (inside.sum() == 1))

    def one(objectness, logits, place, kept, overlap, labels):
        flat = place.reshape(-1)
        logs = jax.nn.log_softmax(logits.reshape(rows * columns, -1))[flat]
        label = jnp.broadcast_to(labels[:, None], kept.shape).reshape(-1, 1)
        classes = -jnp.take_along_axis(logs, label, 1)[:, 0]
        zeros = jnp.zeros(rows * columns)
        stands = zeros.astype(bool).at[flat].max(kept.reshape(-1))
        wanted = zeros.at[flat].max(jnp.where(kept, overlap, 0.0).reshape(-1))
        each = BALANCE[1] * rows * columns / jnp.maximum(kept.sum(), 1)
        weight = jnp.where(stands, each, BALANCE[0])
        error = smooth_l1(jax.nn.sigmoid(objectness.reshape(-1)) - wanted)
        return jnp.where(kept.reshape(-1), classes, 0.0).sum(), (weight * error).mean()

    parts = (outputs.objectness, outputs.logits, place, kept, fixed, objects.labels)
    classes, objectness = jax.vmap(one)(*parts)
    count = kept.sum()
    return {
        "boxes": (FACTORS[0] * jnp.where(kept, 1 - overlap, 0.0).sum(), count),
        "objectness": (FACTORS[1] * jnp.where(there, objectness, 0.0).sum(), there.sum()),
        "classes": (jnp.where(there, classes, 0.0).sum(), count),
    }
