"""The region proposal network: which boxes of an image are worth a second look.

Source: Ren, He, Girshick, Sun, "Faster R-CNN", 2015, section 3.1; on a pyramid as Lin et al.,
"Feature Pyramid Networks for Object Detection", 2016, section 4.1, and torchvision have it.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, Final, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.models.detection.targets import Objects, objects_of, smooth_l1
from jaxnets.nn import Conv
from jaxnets.ops import boxes, relu

# Of each map one size, at three ratios of height to width.
SIZES: Final = ((32,), (64,), (128,), (256,), (512,))
RATIOS: Final = (0.5, 1.0, 2.0)
# Where the error of an offset changes from its square to its absolute value.
BETA: Final = 1 / 9


class RPNOutputs(NamedTuple):
    """What a region proposal network says of a batch of images, map by map.

    Attributes:
        logits: of each map (N, P), of an object rather than background.
        deltas: of each map (N, P, 4), offsets of boxes from the anchors.
        anchors: of each map (P, 4), corners in pixels.
        size: (2,), height and width of the images.

    >>> RPNOutputs._fields
    ('logits', 'deltas', 'anchors', 'size')
    """

    logits: tuple[jax.Array, ...]
    deltas: tuple[jax.Array, ...]
    anchors: tuple[jax.Array, ...]
    size: jax.Array


class Proposals(NamedTuple):
    """Regions of a batch of images, by falling score, padded to a fixed number P.

    Attributes:
        boxes: (N, P, 4), corners in pixels; 0 in padding.
        scores: (N, P), probabilities of an object; 0 in padding.
        mask: bool (N, P), true for a region.

    >>> Proposals._fields
    ('boxes', 'scores', 'mask')
    """

    boxes: jax.Array
    scores: jax.Array
    mask: jax.Array


class RegionHead(nn.Module):
    """3×3 convolutions shared by all maps, then for each anchor one score and four offsets.

    Attributes:
        sizes: of each map, the square roots of its anchors' areas in pixels.
        ratios: height over width of the anchors.
        depth: 3×3 convolutions before the last ones.
        dtype: compute dtype.

    Call: (ordered mapping of maps of one width, (height, width) of the images) → `RPNOutputs`,
    float32. A ValueError where there is another number of maps than of sizes.

    >>> maps = {"p3": jax.ShapeDtypeStruct((1, 8, 8, 4), "float32")}
    >>> head = RegionHead(((32,),))
    >>> run = lambda maps: head.init_with_output(jax.random.key(0), maps, (64, 64))
    >>> jax.eval_shape(run, maps)[0].deltas[0].shape
    (1, 192, 4)
    """

    sizes: tuple[tuple[float, ...], ...] = SIZES
    ratios: tuple[float, ...] = RATIOS
    depth: int = 1
    dtype: Any = None

    @nn.compact
    def __call__(self, maps: Mapping[str, jax.Array], size: tuple[int, int]) -> RPNOutputs:
        if len(maps) != len(self.sizes):
            raise ValueError(
                f"region proposals: the backbone gives {len(maps)} maps; expected "
                f"{len(self.sizes)}, as sizes has"
            )
        count = len(self.sizes[0]) * len(self.ratios)
        width = next(iter(maps.values())).shape[-1]
        conv = partial(Conv, kernel_init=nn.initializers.normal(0.01), dtype=self.dtype)
        layers = [conv(width, (3, 3), padding=1, name=f"conv{i}") for i in range(self.depth)]
        score = conv(count, (1, 1), name="objectness")
        offset = conv(4 * count, (1, 1), name="offsets")
        logits, deltas, anchors = [], [], []
        for each, sizes in zip(maps.values(), self.sizes, strict=True):
            batch, rows, columns, _ = each.shape
            for layer in layers:
                each = relu(layer(each))
            logits.append(score(each).reshape(batch, -1).astype(jnp.float32))
            deltas.append(offset(each).reshape(batch, -1, 4).astype(jnp.float32))
            cell = boxes.cell_anchors(sizes, self.ratios)
            strides = (size[0] // rows, size[1] // columns)
            anchors.append(boxes.grid_anchors(cell, (rows, columns), strides))
        return RPNOutputs(tuple(logits), tuple(deltas), tuple(anchors), jnp.float32(size))


class RegionProposalNetwork(nn.Module):
    """A backbone and `RegionHead` on its maps.

    Attributes:
        backbone: images → ordered mapping of maps of one width, the finest first.
        sizes, ratios, depth: of `RegionHead`.
        dtype: compute dtype.

    Call: images (N, H, W, C), sides multiples of 32 → `RPNOutputs`, float32.

    >>> from jaxnets.models.detection.pyramid import resnet_pyramid
    >>> pyramid = resnet_pyramid("resnet18", (4, 8, 16, 32), stages=(1, 1, 1, 1), width=4)
    >>> network = RegionProposalNetwork(pyramid.clone(features=8, coarser=False, pooled=True))
    >>> x = jax.ShapeDtypeStruct((1, 64, 64, 3), "float32")
    >>> outputs, _ = jax.eval_shape(network.init_with_output, jax.random.key(0), x)
    >>> [each.shape for each in outputs.logits]
    [(1, 768), (1, 192), (1, 48), (1, 12), (1, 3)]
    """

    backbone: nn.Module
    sizes: tuple[tuple[float, ...], ...] = SIZES
    ratios: tuple[float, ...] = RATIOS
    depth: int = 1
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> RPNOutputs:
        maps = self.backbone(x, train=train)
        head = RegionHead(self.sizes, self.ratios, self.depth, self.dtype, name="proposals")
        return head(maps, x.shape[1:3])


def propose(
    outputs: RPNOutputs,
    *,
    candidates: int = 1000,
    max_outputs: int = 1000,
    threshold: float = 0.7,
    min_score: float = 0.0,
    min_side: float = 1e-3,
) -> Proposals:
    """The best regions of each map, suppressed map by map, then the best of all.

    Args:
        outputs: of `RegionProposalNetwork`.
        candidates: how many of each map enter the suppression; torchvision trains with 2000.
        max_outputs: P, how many regions of an image there are at most.
        threshold: suppress a region when its IoU with a better one of its map is above it.
        min_score: a region's score is at least this.
        min_side: and its sides, in pixels, after it was cut to the image.

    Returns:
        `Proposals`. Nothing of it has derivatives, as in the paper.

    Source: Ren et al., "Faster R-CNN", 2015, section 3.3.

    >>> anchors = (jnp.array([[0.0, 0, 8, 8], [1.0, 0, 9, 8], [8.0, 8, 16, 16]]),)
    >>> logits = (jnp.array([[0.0, 2.0, -2.0]]),)
    >>> outputs = RPNOutputs(logits, (jnp.zeros((1, 3, 4)),), anchors, jnp.full(2, 16.0))
    >>> found = propose(outputs, max_outputs=3)
    >>> found.boxes[0, 0].tolist(), found.mask.tolist()
    ([1.0, 0.0, 9.0, 8.0], [[True, True, False]])
    """
    logits, deltas = lax.stop_gradient((outputs.logits, outputs.deltas))

    def one(logits, deltas):
        parts = []
        rows = zip(logits, deltas, outputs.anchors, strict=True)
        for level, (each, moved, own) in enumerate(rows):
            best, place = lax.top_k(each, min(candidates, each.size))
            corners = boxes.decode(moved[place], own[place])
            corners = boxes.clip(corners, (outputs.size[0], outputs.size[1]))
            parts.append((corners, jax.nn.sigmoid(best), jnp.full(best.shape, level, jnp.int32)))
        corners, scores, levels = (jnp.concatenate(p) for p in zip(*parts, strict=True))
        there = ((corners[:, 2:] - corners[:, :2]) >= min_side).all(-1) & (scores >= min_score)
        kept = boxes.nms(
            corners, scores, threshold, classes=levels, mask=there, max_outputs=max_outputs
        )
        return Proposals(
            jnp.where(kept.mask[:, None], corners[kept.index], 0.0),
            jnp.where(kept.mask, scores[kept.index], 0.0),
            kept.mask,
        )

    return jax.vmap(one)(logits, deltas)


def rpn_losses(
    key: jax.Array,
    outputs: RPNOutputs,
    batch: Mapping[str, Any],
    *,
    count: int = 256,
    sampled: jax.Array | None = None,
) -> dict[str, tuple[jax.Array, jax.Array]]:
    """Cross entropy of objects and smooth L1 of offsets, at sampled anchors.

    An anchor stands for an object from an IoU of .7 on, or where no other overlaps the object
    more; below .3 it is background. Each loss is a sum and the number of sampled anchors, so an
    image without objects teaches its background. Padding changes nothing.

    Args:
        key: a JAX random key, for the sample.
        outputs: of `RegionProposalNetwork`.
        batch: ``boxes (N, M, 4)``, ``box_label (N, M)``, ``box_mask`` and perhaps
            ``example_mask (N,)``.
        count: anchors of an image, at most half of them standing for an object.
        sampled: integer (N, n), n ≤ ``count``, anchors to take instead, −1 for none.

    Returns:
        ``loss_objectness`` and ``loss_rpn_box_reg``, torchvision's names.

    Raises:
        ValueError: shapes that do not fit.

    Source: Ren et al., "Faster R-CNN", 2015, equation 1.

    >>> anchors = (jnp.array([[0.0, 0, 8, 8]]),)
    >>> zeros = (jnp.zeros((1, 1)),), (jnp.zeros((1, 1, 4)),)
    >>> batch = {"boxes": anchors[0][None], "box_label": jnp.array([[0]])}
    >>> batch |= {"box_mask": jnp.ones((1, 1))}
    >>> losses = rpn_losses(jax.random.key(0), RPNOutputs(*zeros, anchors, jnp.full(2, 8.0)), batch)
    >>> [(round(float(total), 4), int(number)) for total, number in losses.values()]
    [(0.6931, 1), (0.0, 1)]
    """
    anchors = jnp.concatenate(outputs.anchors)

    def one(key, logits, deltas, objects: Objects, given):
        overlap = boxes.iou(objects.boxes, anchors)
        matched = boxes.match(overlap, high=0.7, low=0.3, mask=objects.mask, keep_best=True)
        if given is None:
            chosen = boxes.sample(key, matched, count)
        else:
            chosen = boxes.sample_of(given, matched, count)
        logit, target = logits[chosen.index], chosen.positive.astype(logits.dtype)
        cross = jax.nn.softplus(logit) - target * logit
        true = objects.boxes[jnp.maximum(matched[chosen.index], 0)]
        error = deltas[chosen.index] - boxes.encode(true, anchors[chosen.index])
        offsets = jnp.where(chosen.positive[:, None], smooth_l1(error, BETA), 0.0)
        return jnp.where(chosen.mask, cross, 0.0).sum(), offsets.sum(), chosen.mask.sum()

    objects, there = objects_of(batch)
    logits, deltas = (jnp.concatenate(each, 1) for each in (outputs.logits, outputs.deltas))
    keys = jax.random.split(key, len(logits))
    sums = jax.vmap(one)(keys, logits, deltas, objects, sampled)
    cross, offsets, number = (jnp.where(there, values, 0).sum() for values in sums)
    return {"loss_objectness": (cross, number), "loss_rpn_box_reg": (offsets, number)}
