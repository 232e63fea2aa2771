"""Fast R-CNN: the convolutions run once an image, then a head looks at each region given.

Source: Girshick, "Fast R-CNN", 2015; py-faster-rcnn's models/pascal_voc/VGG16/fast_rcnn.
"""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.models import papers
from jaxnets.models.backbone import backbone
from jaxnets.models.detection.rcnn import Canvas, RCNNOutputs
from jaxnets.models.detection.rcnn_losses import rcnn_losses
from jaxnets.models.detection.region_heads import BoxHead
from jaxnets.models.detection.region_proposals import Proposals
from jaxnets.models.detection.regions import (
    FoundRegions,
    RegionRules,
    draw_regions,
    match_regions,
    select_regions,
)
from jaxnets.models.detection.targets import objects_of
from jaxnets.models.registry import IMAGENET_MEAN, IMAGENET_STD, register
from jaxnets.nn import Dense
from jaxnets.ops.roi import roi_pool

# Section 2.3: of two images 64 regions each, a quarter with an IoU of ½ or more with an object,
# the rest with one of .1 to ½; py-faster-rcnn suppresses detections from .3 on.
RULES: Final = RegionRules(
    proposals=2000, drawn=64, positive_share=0.25, high=0.5, low=0.1, threshold=0.3
)


class FastRCNN(nn.Module):
    """A backbone, RoIPool of the regions given, and a head for the class and box of each.

    Attributes:
        backbone: images → ordered mapping of maps, of which the last is pooled from.
        num_classes: K, with class 0 for the background; None returns the backbone's maps.
        box_head: features of regions (R, 7, 7, C) → (R, C').
        rules: how many regions are drawn to learn from, and which of them are detections.
        side: cells of RoIPool in each direction.
        dtype: compute dtype.

    Call: images (N, H, W, C) and ``proposals``, regions (N, R, 4), corners in pixels, NaN in
    padding → `RCNNOutputs`, float32, whose ``proposals`` is None. Without proposals,
    `spread_regions` takes their place. With ``objects``, a mapping of ``boxes (N, M, 4)``,
    ``box_label``, ``box_mask``, regions to learn from are drawn from the proposals and the objects'
    own boxes by the random stream "dropout", if there is one, else always alike; ``regions``
    (N, S, 4), NaN in padding, are taken in place of those. Without ``train`` there are detections,
    too.

    >>> network = FastRCNN(backbone("resnet18", (8,), stages=(1, 1), width=4), 3, BoxHead((), (8,)))
    >>> x, regions = jnp.zeros((1, 32, 48, 3)), jnp.zeros((1, 5, 4))
    >>> run = lambda x: network.init_with_output(jax.random.key(0), x, proposals=regions)
    >>> jax.eval_shape(run, x)[0].found.boxes.shape
    (1, 100, 4)
    """

    backbone: nn.Module
    num_classes: int | None = 21
    box_head: nn.Module = BoxHead(widths=(4096, 4096), dropout_rate=0.5)
    rules: RegionRules = RULES
    side: int = 7
    dtype: Any = None

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        *,
        proposals: jax.Array | None = None,
        objects: Mapping[str, Any] | None = None,
        regions: jax.Array | None = None,
        train: bool = False,
    ) -> Any:
        maps = self.backbone(x, train=train)
        if self.num_classes is None:
            return maps
        if regions is not None and objects is None:
            raise ValueError("regions: expected objects beside them, which say what they hold")
        size = x.shape[1:3]
        if proposals is None:
            proposals = jnp.tile(spread_regions(size, self.rules.proposals), (len(x), 1, 1))
        if proposals.ndim != 3 or proposals.shape[::2] != (len(x), 4):
            raise ValueError(
                f"proposals: got shape {proposals.shape}; expected ({len(x)}, R, 4), the corners "
                "of R regions of each image"
            )
        given = _as_proposals(proposals)
        features = list(maps.values())[-1]
        stride = 2.0 ** round(math.log2(size[0] / features.shape[1]))
        key = self.make_rng("dropout") if self.has_rng("dropout") else jax.random.key(0)
        draw_key, key = jax.random.split(key)
        dense = partial(Dense, dtype=self.dtype)
        score = dense(
            self.num_classes, kernel_init=nn.initializers.normal(0.01), name="class_score"
        )
        offset = dense(
            4 * self.num_classes, kernel_init=nn.initializers.normal(0.001), name="box_offsets"
        )

        def look(corners, there, train):
            """Logits (N, R, K) and offsets (N, R, K, 4) of regions."""
            pooled = roi_pool(features, corners, self.side, stride=stride, mask=there)
            y = self.box_head(pooled.reshape(-1, *pooled.shape[2:]), train=train)
            shape = (*corners.shape[:2], self.num_classes)
            logits = score(y).reshape(shape).astype(jnp.float32)
            return logits, offset(y).reshape(*shape, 4).astype(jnp.float32)

        found = drawn = None
        if objects is not None:
            true, _ = objects_of(objects)
            if regions is None:
                drawn = draw_regions(draw_key, given, true, self.rules)
            else:
                drawn = match_regions(regions, true, self.rules)
            logits, deltas = look(drawn.boxes, drawn.mask, train)
            drawn = drawn._replace(logits=logits, deltas=deltas)
        if objects is None or not train:
            logits, deltas = look(given.boxes, given.mask, False)
            found = FoundRegions(*select_regions(given, logits, deltas, size, self.rules))
        return RCNNOutputs(None, found, drawn, key, Canvas(*size))


def fast_rcnn_losses(
    outputs: RCNNOutputs, batch: Mapping[str, Any]
) -> dict[str, tuple[jax.Array, jax.Array]]:
    """Cross entropy of the drawn regions' classes and smooth L1, β = 1, of their offsets.

    Args:
        outputs: of a `FastRCNN` that was called with the batch's objects.
        batch: ``boxes (N, M, 4)``, ``box_label (N, M)`` from 0, without background, ``box_mask``
            and perhaps ``example_mask (N,)``.

    Returns:
        ``loss_classifier`` and ``loss_box_reg``, each a sum and the number of drawn regions, as
        py-faster-rcnn divides them.

    Raises:
        ValueError: a network that was called without objects, or shapes that do not fit.

    Source: Girshick, "Fast R-CNN", 2015, equations 1 to 3.

    >>> network = FastRCNN(backbone("resnet18", (8,), stages=(1, 1), width=4), 3, BoxHead((), (8,)))
    >>> batch = {"boxes": jnp.zeros((1, 2, 4)), "box_label": jnp.zeros((1, 2), int)}
    >>> batch |= {"box_mask": jnp.zeros((1, 2))}
    >>> def run(key):
    ...     outputs, _ = network.init_with_output(key, jnp.zeros((1, 32, 32, 3)), objects=batch)
    ...     return fast_rcnn_losses(outputs, batch)
    >>> sorted(jax.eval_shape(run, jax.random.key(0)))
    ['loss_box_reg', 'loss_classifier']
    """
    return rcnn_losses(outputs, batch, beta=1.0)


def spread_regions(size: tuple[int, int], count: int) -> jax.Array:
    """Regions of all places, sizes and shapes, evenly spread, where none are known.

    Point i of a sequence of low discrepancy in four dimensions, (½ + i·α_j) mod 1 with α_j = g^−j
    and g⁵ = g + 1, decides on height, width and place: sides are r² of the image's, r from ⅓ to 1.

    Args:
        size: height and width of the image.
        count: R.

    Returns:
        float32 (R, 4), corners in pixels, all within the image.

    >>> regions = spread_regions((60, 90), 100)
    >>> bool((regions[:, :2] >= 0).all() & (regions[:, 2:] <= jnp.array([90, 60])).all())
    True
    """
    g = 1.1673039782614187
    steps = jnp.arange(count, dtype=jnp.float32)[:, None]
    points = (0.5 + steps * jnp.array([[g**-j for j in range(1, 5)]])) % 1
    whole = jnp.array([[size[1], size[0]]], jnp.float32)
    sides = ((1 + 2 * points[:, :2]) / 3) ** 2 * whole
    low = points[:, 2:] * (whole - sides)
    return jnp.concatenate([low, low + sides], 1).astype(jnp.float32)


def _as_proposals(regions):
    there = ~jnp.isnan(regions).any(-1)
    corners = jnp.where(there[..., None], regions, 0.0).astype(jnp.float32)
    return Proposals(jax.lax.stop_gradient(corners), there.astype(jnp.float32), there)


@register(
    paper=papers.FAST_RCNN,
    parameters=134_690_729,
    macs=255_282_118_656,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    task="detection",
    published="VOC 2007 mAP 66.9 (paper, table 1)",
)
def fast_rcnn_vgg16(
    *, num_classes: int | None = 21, name: str | None = None, **fields: Any
) -> FastRCNN:
    """Fast R-CNN on VGG-16 without its last pooling, for 2,000 regions of an image.

    Args:
        num_classes: with class 0 for the background; 21 are PASCAL VOC's.
        name: Flax's.
        **fields: of `FastRCNN`.

    Returns:
        A `FastRCNN` for images whose sides are multiples of 16.

    >>> fast_rcnn_vgg16().rules.drawn
    64
    """
    dtype = fields.get("dtype")
    published = {
        "backbone": backbone("vgg16", (16,), dtype=dtype),
        "box_head": BoxHead(widths=(4096, 4096), dropout_rate=0.5, dtype=dtype),
    }
    return FastRCNN(num_classes=num_classes, name=name, **{**published, **fields})
