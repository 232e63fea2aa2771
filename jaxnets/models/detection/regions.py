"""Regions of a detector of two stages: those to learn from, and those that are detections."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.models.detection.region_proposals import Proposals
from jaxnets.models.detection.targets import Objects
from jaxnets.ops import boxes

# Standard deviations .1, .1, .2, .2 of the offsets, as their inverse.
WEIGHTS = (10.0, 10.0, 5.0, 5.0)
# A detection has sides of this many pixels at least.
MIN_SIDE = 1e-2


class RegionRules(NamedTuple):
    """How many regions there are, and which of them are detections; torchvision's numbers.

    Attributes:
        candidates, proposals: of each map before, and of all after the suppression of regions.
        train_candidates, train_proposals: the same, of the regions that are drawn from.
        overlap: a region is suppressed when its IoU with a better one is above it.
        proposal_score: of the first stage, the least.
        drawn: regions of an image to learn from.
        positive_share: of them, at most, that hold an object.
        high: a region stands for an object from this IoU on.
        low: of images with objects, a region is background from this IoU on; what overlaps the
            objects less is not drawn.
        pairs: regions with a class, how many enter the last suppression.
        min_score: a detection's score is above it.
        threshold: a detection is suppressed when its IoU with a better one of its class is above.
        detections: how many of an image there are at most.

    >>> RegionRules().positives
    128
    """

    candidates: int = 1000
    proposals: int = 1000
    train_candidates: int = 2000
    train_proposals: int = 2000
    overlap: float = 0.7
    proposal_score: float = 0.0
    drawn: int = 512
    positive_share: float = 0.25
    high: float = 0.5
    low: float = 0.0
    pairs: int = 2000
    min_score: float = 0.05
    threshold: float = 0.5
    detections: int = 100

    @property
    def positives(self) -> int:
        """At most so many of the drawn regions hold an object."""
        return int(self.drawn * self.positive_share)


class DrawnRegions(NamedTuple):
    """Regions of a batch to learn from, padded to S; those that hold an object come first.

    Attributes:
        boxes: (N, S, 4), corners in pixels; 0 in padding.
        mask: bool (N, S), true for a region.
        matched: int32 (N, S), which object of `objects_of` it stands for; −1 for background.
        logits: (N, S, K), of classes, background first.
        deltas: (N, S, K, 4), offsets of boxes from the regions, for each class.
        mask_logits: (N, P, S', S', K), of the first P regions, or None.
        keypoint_logits: (N, P, S', S', J), or None.

    >>> DrawnRegions._fields[:3]
    ('boxes', 'mask', 'matched')
    """

    boxes: jax.Array
    mask: jax.Array
    matched: jax.Array
    logits: jax.Array | None = None
    deltas: jax.Array | None = None
    mask_logits: jax.Array | None = None
    keypoint_logits: jax.Array | None = None

    @property
    def positive(self) -> jax.Array:
        """bool (N, S): the regions that stand for an object."""
        return self.mask & (self.matched >= 0)


class FoundRegions(NamedTuple):
    """Detections of a batch, and what the heads for masks and key points say of them.

    Attributes:
        boxes, scores, labels, mask, index: of `jaxnets.ops.boxes.Detections`, (N, D, …); index is
            that of the region.
        mask_logits: (N, D, S, S, K), or None.
        keypoint_logits: (N, D, S, S, J), or None.

    >>> FoundRegions._fields[-2:]
    ('mask_logits', 'keypoint_logits')
    """

    boxes: jax.Array
    scores: jax.Array
    labels: jax.Array
    mask: jax.Array
    index: jax.Array
    mask_logits: jax.Array | None = None
    keypoint_logits: jax.Array | None = None


def draw_regions(
    key: jax.Array, proposals: Proposals, objects: Objects, rules: RegionRules
) -> DrawnRegions:
    """A sample of an image's proposals and of its objects' own boxes.

    Args:
        key: a JAX random key.
        proposals: of a batch.
        objects: of the batch.
        rules: how many.

    Returns:
        `DrawnRegions`, without what a network says of them.

    Source: Girshick, "Fast R-CNN", 2015, section 2.3, "Mini-batch sampling"; the objects' own boxes
    are added so that there is something to learn from at the beginning.

    >>> nothing = Proposals(jnp.zeros((1, 2, 4)), jnp.zeros((1, 2)), jnp.zeros((1, 2), bool))
    >>> box = jnp.array([[[1.0, 1, 5, 5]]])
    >>> one = Objects(box, jnp.zeros((1, 1), int), jnp.ones((1, 1), bool), jnp.zeros((1, 1), int))
    >>> drawn = draw_regions(jax.random.key(0), nothing, one, RegionRules(drawn=4))
    >>> drawn.mask.tolist(), drawn.matched[0, 0].item(), drawn.boxes[0, 0].tolist()
    ([[True, False, False, False]], 0, [1.0, 1.0, 5.0, 5.0])
    """
    corners = jnp.concatenate([proposals.boxes, objects.boxes.astype(proposals.boxes.dtype)], 1)
    there = jnp.concatenate([proposals.mask, objects.mask], 1)

    def one(key, corners, there, objects):
        overlap = boxes.iou(objects.boxes, corners)
        matched = boxes.match(overlap, high=rules.high, low=rules.high, mask=objects.mask)
        if rules.low:
            best = jnp.where(objects.mask[:, None], overlap, 0).max(0)
            there &= (best >= rules.low) | ~objects.mask.any()
        # What is neither object nor background is not drawn.
        chosen = boxes.sample(
            key, jnp.where(there, matched, boxes.BETWEEN), rules.drawn, rules.positive_share
        )
        picked = jnp.where(chosen.mask[:, None], corners[chosen.index], 0.0)
        return picked, chosen.mask, jnp.where(chosen.positive, matched[chosen.index], boxes.NONE)

    keys = jax.random.split(key, len(corners))
    return DrawnRegions(*jax.vmap(one)(keys, corners, there, objects))


def match_regions(corners: jax.Array, objects: Objects, rules: RegionRules) -> DrawnRegions:
    """Given regions as those to learn from.

    Args:
        corners: (N, S, 4), in pixels; NaN in padding.
        objects: of the batch.
        rules: from which IoU on a region stands for an object.

    Returns:
        `DrawnRegions`, without what a network says of them.

    >>> box = jnp.array([[[1.0, 1, 5, 5]]])
    >>> one = Objects(box, jnp.zeros((1, 1), int), jnp.ones((1, 1), bool), jnp.zeros((1, 1), int))
    >>> regions = jnp.array([[[20.0, 1, 25, 5], [1, 1, 5, 4]]])
    >>> match_regions(regions, one, RegionRules()).matched.tolist()
    [[0, -1]]
    """

    def one(corners, objects):
        there = ~jnp.isnan(corners).any(-1)
        corners = lax.stop_gradient(jnp.where(there[:, None], corners, 0.0))
        overlap = boxes.iou(objects.boxes, corners)
        matched = boxes.match(overlap, high=rules.high, low=rules.high, mask=objects.mask)
        matched = jnp.where(there, matched, boxes.NONE)
        order = jnp.argsort(jnp.where(matched >= 0, 0, jnp.where(there, 1, 2)), stable=True)
        return corners[order], there[order], matched[order]

    return DrawnRegions(*jax.vmap(one)(corners, objects))


def select_regions(
    proposals: Proposals,
    logits: jax.Array,
    deltas: jax.Array,
    size: tuple[int, int],
    rules: RegionRules,
) -> boxes.Detections:
    """From what a head says of regions to detections.

    Args:
        proposals: (N, R, …).
        logits: (N, R, K), background first.
        deltas: (N, R, K, 4), offsets for each class.
        size: height and width of the images.
        rules: which are detections.

    Returns:
        `jaxnets.ops.boxes.Detections`, (N, D, …); labels from 0, without background.

    Source: Girshick, "Fast R-CNN", 2015, section 2.2, "Detection"; one suppression for all classes.

    >>> region = Proposals(jnp.array([[[1.0, 1, 5, 5]]]), jnp.ones((1, 1)), jnp.ones((1, 1), bool))
    >>> found = select_regions(
    ...     region, jnp.array([[[0.0, 9]]]), jnp.zeros((1, 1, 2, 4)), (8, 8), RegionRules())
    >>> found.boxes[0, 0].tolist(), int(found.mask.sum())
    ([1.0, 1.0, 5.0, 5.0], 1)
    """
    number, classes = logits.shape[1], logits.shape[2] - 1
    few = min(rules.pairs, number * classes)

    def one(regions, there, logits, deltas):
        scores = jax.nn.softmax(logits)[:, 1:]
        corners = boxes.decode(deltas[:, 1:], regions[:, None], weights=WEIGHTS)
        corners = boxes.clip(corners, size)
        wide = ((corners[..., 2:] - corners[..., :2]) >= MIN_SIDE).all(-1)
        possible = there[:, None] & wide & (scores > rules.min_score)
        best, place = lax.top_k(jnp.where(possible, scores, -1.0).ravel(), few)
        corners = corners.reshape(-1, 4)[place]
        region, label = place // classes, (place % classes).astype(jnp.int32)
        kept = boxes.nms(
            corners,
            best,
            rules.threshold,
            classes=label,
            mask=best >= 0,
            max_outputs=rules.detections,
        )

        def chosen(values):
            real = kept.mask.reshape(kept.mask.shape + (1,) * (values.ndim - 1))
            return jnp.where(real, values[kept.index], jnp.zeros((), values.dtype))

        picked = (chosen(corners), chosen(best), chosen(label), kept.mask)
        return boxes.Detections(*picked, chosen(region.astype(jnp.int32)))

    return boxes.each_image(
        one, proposals.boxes, proposals.mask, *lax.stop_gradient((logits, deltas))
    )
