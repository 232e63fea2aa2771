"""What a detector of two stages learns by, and what it found."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnets.models.detection.rcnn import RCNNOutputs
from jaxnets.models.detection.region_keypoints import find_keypoints, keypoint_loss
from jaxnets.models.detection.region_masks import mask_loss
from jaxnets.models.detection.region_proposals import BETA, rpn_losses
from jaxnets.models.detection.regions import WEIGHTS
from jaxnets.models.detection.targets import objects_of, smooth_l1
from jaxnets.ops import boxes


class RCNNDetections(NamedTuple):
    """What was found in a batch of images, by falling score, padded to a fixed number D.

    Attributes:
        boxes: (N, D, 4), corners in pixels; 0 in padding.
        scores: (N, D); 0 in padding.
        labels: int32 (N, D), class numbers from 0, without background.
        mask: bool (N, D), true for a detection.
        index: int32 (N, D), which of the regions it is.
        masks: (N, D, S, S), probabilities that the cells of the box belong to the object, for
            `jaxnets.ops.roi.paste_masks`; None without a head for them.
        keypoints: (N, D, J, 3), x and y in pixels and a score; None without a head for them.

    >>> RCNNDetections._fields[-2:]
    ('masks', 'keypoints')
    """

    boxes: jax.Array
    scores: jax.Array
    labels: jax.Array
    mask: jax.Array
    index: jax.Array
    masks: jax.Array | None = None
    keypoints: jax.Array | None = None


def rcnn_losses(
    outputs: RCNNOutputs,
    batch: Mapping[str, Any],
    *,
    sampled: jax.Array | None = None,
    beta: float = BETA,
) -> dict[str, tuple[jax.Array, jax.Array]]:
    """The two losses of the first stage, and those of each head, as (sum, count).

    Cross entropy of the drawn regions' classes, smooth L1 of the true class's offsets, and where
    the network has the heads, cross entropy of masks and of the places of key points. An image
    without objects teaches its background. The order of the objects and padding change nothing.

    Args:
        outputs: of an `RCNN` that was called with the batch's objects.
        batch: ``boxes (N, M, 4)``, ``box_label (N, M)`` from 0, without background, ``box_mask``,
            perhaps ``example_mask (N,)``, and for these heads ``masks (N, M, H, W)`` and
            ``keypoints (N, M, J, 3)``.
        sampled: integer (N, n), n ≤ 256, anchors for the first stage's losses, −1 for none; by
            default they are drawn.
        beta: β of the smooth L1 loss of regions; 1 in Fast R-CNN's paper.

    Returns:
        ``loss_classifier``, ``loss_box_reg``, ``loss_mask``, ``loss_keypoint``,
        ``loss_objectness``, ``loss_rpn_box_reg``, torchvision's names; the last two where the
        network has a first stage.

    Raises:
        ValueError: a network that was called without objects; entries that the batch lacks; shapes
            that do not fit.

    Source: Girshick, "Fast R-CNN", 2015, equations 1 to 3; He et al., "Mask R-CNN", 2017.

    >>> from jaxnets.models.detection import maskrcnn_resnet50_fpn
    >>> batch = {"boxes": jnp.zeros((1, 2, 4)), "box_label": jnp.zeros((1, 2), int)}
    >>> batch |= {"box_mask": jnp.zeros((1, 2)), "masks": jnp.zeros((1, 2, 64, 64))}
    >>> x, network = jnp.zeros((1, 64, 64, 3)), maskrcnn_resnet50_fpn(num_classes=2)
    >>> def run(key):
    ...     outputs, _ = network.init_with_output(key, x, objects=batch)
    ...     return rcnn_losses(outputs, batch)
    >>> sorted(jax.eval_shape(run, jax.random.key(0)))
    ['loss_box_reg', 'loss_classifier', 'loss_mask', 'loss_objectness', 'loss_rpn_box_reg']
    """
    drawn = outputs.drawn
    if drawn is None or drawn.logits is None or drawn.deltas is None:
        raise ValueError("rcnn_losses: the network was called without objects; expected objects=")
    objects, there = objects_of(batch)

    def one(regions, mask, matched, logits, deltas, objects):
        object_ = jnp.maximum(matched, 0)
        positive = mask & (matched >= 0)
        label = jnp.where(positive, objects.labels[object_] + 1, 0)
        logs = jnp.take_along_axis(jax.nn.log_softmax(logits), label[:, None], 1)[:, 0]
        wanted = boxes.encode(objects.boxes[object_], regions, weights=WEIGHTS)
        own = jnp.take_along_axis(deltas, label[:, None, None], 1)[:, 0]
        offsets = jnp.where(positive[:, None], smooth_l1(own - wanted, beta), 0.0)
        return jnp.where(mask, -logs, 0.0).sum(), offsets.sum(), mask.sum()

    parts = (drawn.boxes, drawn.mask, drawn.matched, drawn.logits, drawn.deltas, objects)
    classes, offsets, count = (jnp.where(there, v, 0).sum() for v in jax.vmap(one)(*parts))
    losses = {"loss_classifier": (classes, count), "loss_box_reg": (offsets, count)}
    if drawn.mask_logits is not None:
        losses["loss_mask"] = mask_loss(drawn, objects, _entry(batch, "masks"), there)
    if drawn.keypoint_logits is not None:
        points = _entry(batch, "keypoints")
        losses["loss_keypoint"] = keypoint_loss(drawn, objects, points, there)
    if outputs.proposals is None:
        return losses
    return losses | rpn_losses(outputs.key, outputs.proposals, batch, sampled=sampled)


def rcnn_detections(outputs: RCNNOutputs) -> RCNNDetections:
    """What a network of two stages found; its field ``rules`` decides what counts.

    Args:
        outputs: of an `RCNN`, not called with objects in training.

    Returns:
        `RCNNDetections` of the batch, with masks and key points where the network has heads for
        them. Key points are decoded by bicubic enlargement of each map to the box's size.

    Raises:
        ValueError: outputs without detections.

    Source: He et al., "Mask R-CNN", 2017, section 3.1, "Inference".

    >>> from jaxnets.models.detection import keypointrcnn_resnet50_fpn
    >>> network, x = keypointrcnn_resnet50_fpn(), jnp.zeros((1, 64, 64, 3))
    >>> def run(key):
    ...     return rcnn_detections(network.init_with_output(key, x)[0])
    >>> jax.eval_shape(run, jax.random.key(0)).keypoints.shape
    (1, 100, 17, 3)
    """
    found = outputs.found
    if found is None:
        raise ValueError(
            "rcnn_detections: in training with objects the network gives none; call it without"
        )
    masks = keypoints = None
    if found.mask_logits is not None:
        # Class 0 is background, which no detection is of.
        label = (found.labels + 1)[:, :, None, None, None]
        own = jnp.take_along_axis(found.mask_logits, label, -1)[..., 0]
        masks = jnp.where(found.mask[:, :, None, None], jax.nn.sigmoid(own), 0.0)
    if found.keypoint_logits is not None:
        size = outputs.canvas.height, outputs.canvas.width
        keypoints = find_keypoints(found.keypoint_logits, found.boxes, found.mask, size)
    return RCNNDetections(*found[:5], masks=masks, keypoints=keypoints)


def _entry(batch, name):
    if name not in batch:
        raise ValueError(f"rcnn_losses: the batch has no {name}, which the network has a head for")
    return jnp.asarray(batch[name])
