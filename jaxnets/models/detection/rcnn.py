"""Detectors of two stages: regions that may hold an object, then a head that looks at each.

Source: Girshick, "Fast R-CNN", 2015; Ren, He, Girshick, Sun, "Faster R-CNN", 2015; on a pyramid:
Lin et al., "Feature Pyramid Networks for Object Detection", 2016, section 4.2; masks and key
points: He et al., "Mask R-CNN", 2017; torchvision's networks.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.models.detection.region_heads import BoxHead, thin_uniform
from jaxnets.models.detection.region_proposals import (
    RATIOS,
    SIZES,
    RegionHead,
    RPNOutputs,
    propose,
)
from jaxnets.models.detection.regions import (
    DrawnRegions,
    FoundRegions,
    RegionRules,
    draw_regions,
    match_regions,
    select_regions,
)
from jaxnets.models.detection.targets import objects_of
from jaxnets.nn import Conv, Dense
from jaxnets.ops.roi import assign_levels, roi_align

# Of regions whose mask or key points are wanted, and of those whose class is.
FINE, COARSE = 14, 7


@jax.tree_util.register_static
@dataclass(frozen=True)
class Canvas:
    """Height and width of images in pixels, known while a program is compiled.

    >>> jax.jit(lambda canvas: jnp.zeros(canvas.height))(Canvas(2, 3)).shape
    (2,)
    """

    height: int
    width: int


class RCNNOutputs(NamedTuple):
    """What a network of two stages says of a batch of images.

    Attributes:
        proposals: of the first stage, on all anchors; None where regions come from outside.
        found: the detections; None in training with objects, which has no use for them.
        drawn: regions to learn from, where the network was called with objects or regions.
        key: for the losses' own samples.
        canvas: size of the images.

    >>> RCNNOutputs._fields
    ('proposals', 'found', 'drawn', 'key', 'canvas')
    """

    proposals: RPNOutputs | None
    found: FoundRegions | None
    drawn: DrawnRegions | None
    key: jax.Array
    canvas: Canvas


class RCNN(nn.Module):
    """A pyramid, region proposals on its maps, and heads on the features of each region.

    Attributes:
        backbone: images → ordered mapping of maps of one width, the finest first; regions are
            taken from all of them but one that is named "pool".
        num_classes: K, with class 0 for the background, as torchvision counts; None returns the
            backbone's maps.
        box_head: features of regions (R, 7, 7, C) → (R, C').
        mask_head: features (R, 14, 14, C) → (R, S, S, C'); None: no masks.
        keypoint_head: features (R, 14, 14, C) → logits (R, S, S, J); None: no key points.
        sizes, ratios, depth: of `RegionHead`.
        rules: how many regions there are, and which of them are detections.
        samples: of RoIAlign, in each direction of a cell.
        dtype: compute dtype.

    Call: images (N, H, W, C), sides multiples of 32 → `RCNNOutputs`, float32. With ``objects``, a
    mapping of ``boxes (N, M, 4)``, ``box_label``, ``box_mask``, regions to learn from are drawn
    from the proposals and the objects' own boxes, by the random stream "dropout" if there is one,
    else always alike; ``regions`` (N, S, 4), NaN in padding, are taken in place of them. Without
    ``train`` there are detections, too.

    >>> from jaxnets.models.detection.pyramid import resnet_pyramid
    >>> pyramid = resnet_pyramid("resnet18", (4, 8, 16, 32), stages=(1, 1, 1, 1), width=4)
    >>> pyramid = pyramid.clone(features=8, coarser=False, pooled=True)
    >>> x = jax.ShapeDtypeStruct((1, 64, 64, 3), "float32")
    >>> network = RCNN(pyramid, 3, BoxHead(widths=(16,)))
    >>> outputs, _ = jax.eval_shape(network.init_with_output, jax.random.key(0), x)
    >>> outputs.found.boxes.shape, outputs.drawn
    ((1, 100, 4), None)
    """

    backbone: nn.Module
    num_classes: int | None = 91
    box_head: nn.Module = BoxHead()
    mask_head: nn.Module | None = None
    keypoint_head: nn.Module | None = None
    sizes: tuple[tuple[float, ...], ...] = SIZES
    ratios: tuple[float, ...] = RATIOS
    depth: int = 1
    rules: RegionRules = RegionRules()
    samples: int = 2
    dtype: Any = None

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        *,
        objects: Mapping[str, Any] | None = None,
        regions: jax.Array | None = None,
        train: bool = False,
    ) -> Any:
        maps = self.backbone(x, train=train)
        if self.num_classes is None:
            return maps
        if regions is not None and objects is None:
            raise ValueError("regions: expected objects beside them, which say what they hold")
        rules, size = self.rules, x.shape[1:3]
        key = self.make_rng("dropout") if self.has_rng("dropout") else jax.random.key(0)
        draw_key, key = jax.random.split(key)
        head = RegionHead(self.sizes, self.ratios, self.depth, self.dtype, name="proposals")
        outputs = head(maps, size)
        pooled = {name: each for name, each in maps.items() if name != "pool"}
        strides = tuple(size[0] / each.shape[1] for each in pooled.values())
        crop = partial(_crop, tuple(pooled.values()), strides, self.samples)
        dense = partial(Dense, kernel_init=thin_uniform, dtype=self.dtype)
        score = dense(self.num_classes, name="class_score")
        offset = dense(4 * self.num_classes, name="box_offsets")
        mask_score = None
        if self.mask_head is not None:
            mask_score = Conv(self.num_classes, (1, 1), dtype=self.dtype, name="mask_score")

        def look(corners, there, train):
            """Logits (N, R, K) and offsets (N, R, K, 4) of regions."""
            y = self.box_head(crop(corners, there, COARSE), train=train)
            shape = (*corners.shape[:2], self.num_classes)
            logits = score(y).reshape(shape).astype(jnp.float32)
            return logits, offset(y).reshape(*shape, 4).astype(jnp.float32)

        def look_closer(corners, there, train):
            """Logits of masks (N, R, S, S, K) and of key points (N, R, S, S, J), or None."""
            mask_logits = keypoint_logits = None
            lead = corners.shape[:2]
            if mask_score is not None:
                y = mask_score(self.mask_head(crop(corners, there, FINE), train=train))
                mask_logits = y.reshape(*lead, *y.shape[1:]).astype(jnp.float32)
            if self.keypoint_head is not None:
                y = self.keypoint_head(crop(corners, there, FINE), train=train)
                keypoint_logits = y.reshape(*lead, *y.shape[1:]).astype(jnp.float32)
            return mask_logits, keypoint_logits

        found = drawn = None
        limits = {"threshold": rules.overlap, "min_score": rules.proposal_score}
        if objects is not None:
            true, _ = objects_of(objects)
            if regions is None:
                many = propose(
                    outputs,
                    candidates=rules.train_candidates,
                    max_outputs=rules.train_proposals,
                    **limits,
                )
                drawn = draw_regions(draw_key, many, true, rules)
            else:
                drawn = match_regions(regions, true, rules)
            logits, deltas = look(drawn.boxes, drawn.mask, train)
            # Those that hold an object come first.
            few = drawn.boxes[:, : rules.positives], drawn.positive[:, : rules.positives]
            masks, keypoints = look_closer(*few, train)
            drawn = drawn._replace(
                logits=logits, deltas=deltas, mask_logits=masks, keypoint_logits=keypoints
            )
        if objects is None or not train:
            best = propose(
                outputs, candidates=rules.candidates, max_outputs=rules.proposals, **limits
            )
            logits, deltas = look(best.boxes, best.mask, False)
            chosen = select_regions(best, logits, deltas, size, rules)
            masks, keypoints = look_closer(chosen.boxes, chosen.mask, False)
            found = FoundRegions(*chosen, mask_logits=masks, keypoint_logits=keypoints)
        return RCNNOutputs(outputs, found, drawn, key, Canvas(*size))


def _crop(maps, strides, samples, corners, there, side):
    """Features of regions (N, R, 4) as one batch (N·R, side, side, C)."""
    first, last = (round(math.log2(s)) for s in (strides[0], strides[-1]))
    levels = assign_levels(corners, last - first + 1, first_level=first)
    options = {"strides": strides, "levels": levels, "mask": there, "samples": samples}
    features = roi_align(maps, corners, side, **options)
    return features.reshape(-1, *features.shape[2:])
