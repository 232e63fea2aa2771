"""What TAL-Net is trained for, and the actions that its output means."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxnets.models.detection.targets import smooth_l1
from jaxnets.models.video.tal_net import Localized, decode_segments, encode_segments
from jaxnets.ops import boxes
from jaxnets.ops.boxes import Detections
from jaxnets.ops.segments import segments_to_boxes

LossSums = dict[str, tuple[jax.Array, jax.Array]]


def tal_losses(outputs: Localized, batch: Mapping[str, Any]) -> LossSums:
    """The losses of both stages.

    An anchor from a temporal IoU of .7 on, or the best of some action, is a proposal; one below .3
    is none. A proposal from .5 on has its action's class, others are background. In place of drawn
    anchors (one to one) and proposals (one to three) all count, with weights that make the
    expectation of that draw: the mean over the positives and the mean over the negatives, ½ and ½,
    ¼ and ¾.

    Args:
        outputs: of `TALNet`.
        batch: ``segments`` (N, M, 2) in steps, ``segment_label`` and ``segment_mask`` (N, M).

    Returns:
        name → (sum over sequences, number of sequences), of "proposal", "proposal_ends",
        "classification" and "ends".

    Source: Chao et al. 2018 (TAL-Net), section 4.1; Ren et al. 2015 (Faster R-CNN), section 3.1.

    >>> one, two = jnp.zeros((1, 1)), jnp.array([[[2.0, 6.0]]])
    >>> outputs = Localized(two[0], one + 9, one[..., None].repeat(2, -1), two, one == 0,
    ...                     jnp.array([[[0.0, 9.0]]]), jnp.zeros((1, 1, 1, 2)))
    >>> batch = {"segments": two, "segment_label": jnp.zeros((1, 1), int), "segment_mask": one + 1}
    >>> [round(float(total), 3) for total, _ in tal_losses(outputs, batch).values()]
    [0.0, 0.0, 0.0, 0.0]
    """
    given = batch.get("example_mask")
    real = jnp.ones(len(outputs.logits)) if given is None else jnp.asarray(given, jnp.float32)
    truth = (batch["segments"], batch["segment_label"], batch["segment_mask"])
    each = jax.vmap(_of_one, in_axes=(Localized(None, *(0,) * 6), 0, 0, 0))(
        outputs, *map(jnp.asarray, truth)
    )
    return {name: (jnp.sum(value * real), real.sum()) for name, value in each.items()}


def _of_one(outputs: Localized, segments, labels, mask):
    mask = mask.astype(bool)
    segments = segments.astype(jnp.float32)
    truth = segments_to_boxes(segments)
    matched = boxes.match(
        boxes.iou(truth, segments_to_boxes(outputs.anchors)),
        high=0.7,
        low=0.3,
        mask=mask,
        keep_best=True,
    )
    positive, negative = matched >= 0, matched == boxes.NONE
    errors = optax.sigmoid_binary_cross_entropy(outputs.objectness, positive.astype(jnp.float32))
    proposal = _balanced(errors, positive, negative, 0.5)
    wanted = encode_segments(segments[matched], outputs.anchors)
    proposal_ends = _mean(smooth_l1(outputs.deltas - wanted).sum(-1), positive)

    matched = boxes.match(boxes.iou(truth, segments_to_boxes(outputs.proposals)), mask=mask)
    positive = (matched >= 0) & outputs.proposal_mask
    negative = (matched < 0) & outputs.proposal_mask
    label = labels[matched]
    errors = optax.softmax_cross_entropy_with_integer_labels(
        outputs.logits, jnp.where(positive, label + 1, 0)
    )
    wanted = encode_segments(segments[matched], outputs.proposals)
    own = jnp.take_along_axis(outputs.refinements, label[:, None, None], 1)[:, 0]
    return {
        "proposal": proposal,
        "proposal_ends": proposal_ends,
        "classification": _balanced(errors, positive, negative, 0.25),
        "ends": _mean(smooth_l1(own - wanted).sum(-1), positive),
    }


def _mean(values, mask):
    return jnp.sum(jnp.where(mask, values, 0)) / jnp.maximum(mask.sum(dtype=values.dtype), 1)


def _balanced(values, positive, negative, share):
    share = jnp.where(positive.any(), share, 0.0)
    return share * _mean(values, positive) + (1 - share) * _mean(values, negative)


def tal_detections(
    outputs: Localized,
    length: int,
    *,
    threshold: float = 0.4,
    min_score: float = 0.01,
    max_outputs: int = 50,
) -> Detections:
    """The actions found: refined proposals, the best of each class among those that overlap.

    Args:
        outputs: of `TALNet`.
        length: T, steps of the sequence.
        threshold: of temporal IoU within a class, above which the weaker goes.
        min_score: of an action.
        max_outputs: D, at most.

    Returns:
        `jaxnets.ops.boxes.Detections` of each sequence; ``boxes`` (N, D, 4) are
        (start, 0, end, 1), as `jaxnets.ops.segments.segments_to_boxes` makes them.

    >>> two = jnp.array([[[2.0, 6.0]]])
    >>> outputs = Localized(two[0], None, None, two, jnp.ones((1, 1), bool),
    ...                     jnp.array([[[0.0, 9.0]]]), jnp.zeros((1, 1, 1, 2)))
    >>> tal_detections(outputs, 8, max_outputs=1).boxes.tolist()
    [[[2.0, 0.0, 6.0, 1.0]]]
    """
    anchors = jnp.broadcast_to(outputs.proposals[:, :, None], outputs.refinements.shape)
    segments = segments_to_boxes(decode_segments(outputs.refinements, anchors, length))
    scores = jax.nn.softmax(outputs.logits)[..., 1:]

    def select(segments, scores, mask):
        return boxes.select_detections(
            segments,
            scores,
            threshold=threshold,
            min_score=min_score,
            max_outputs=max_outputs,
            mask=mask,
        )

    return jax.vmap(select)(segments, scores, outputs.proposal_mask)
