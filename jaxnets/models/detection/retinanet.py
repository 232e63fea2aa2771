"""RetinaNet: a dense detector whose focal loss keeps easy background from drowning the objects.

Source: Lin, Goyal, Girshick, He, Dollár, "Focal Loss for Dense Object Detection", 2017;
torchvision's network.
"""

import math
from collections.abc import Mapping
from functools import partial
from typing import Any, Final, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.models import papers
from jaxnets.models.detection.levels import best_of_levels
from jaxnets.models.detection.pyramid import resnet_pyramid
from jaxnets.models.detection.targets import Objects, objects_of
from jaxnets.models.registry import IMAGENET_MEAN, IMAGENET_STD, register
from jaxnets.nn import Conv
from jaxnets.ops import boxes, relu

# Of each map three sizes, a third of an octave apart, at three ratios.
SIZES: Final = tuple(
    (s, int(s * 2 ** (1 / 3)), int(s * 2 ** (2 / 3))) for s in (32, 64, 128, 256, 512)
)
RATIOS: Final = (0.5, 1.0, 2.0)
# Every anchor begins as an object with this probability.
PRIOR: Final = 0.01


class RetinaNetOutputs(NamedTuple):
    """What a RetinaNet says of a batch of images, map by map.

    Attributes:
        logits: of each map (N, P, K), of independent classes; class 0, background, is never true.
        deltas: of each map (N, P, 4), offsets of boxes from the anchors.
        anchors: of each map (P, 4), corners in pixels.
        size: (2,), height and width of the images.

    >>> RetinaNetOutputs._fields
    ('logits', 'deltas', 'anchors', 'size')
    """

    logits: tuple[jax.Array, ...]
    deltas: tuple[jax.Array, ...]
    anchors: tuple[jax.Array, ...]
    size: jax.Array


class RetinaNet(nn.Module):
    """Two heads of four 3×3 convolutions, shared by all maps of a pyramid.

    Attributes:
        backbone: images → ordered mapping of maps of one width, the finest first.
        num_classes: K, with class 0 for the background, as torchvision counts; None returns the
            backbone's maps.
        sizes: of each map, the square roots of its anchors' areas in pixels.
        ratios: height over width of the anchors.
        depth: convolutions of a head before its last.
        dtype: compute dtype.

    Call: images (N, H, W, C), sides multiples of 32 → `RetinaNetOutputs`, float32.

    >>> pyramid = resnet_pyramid("resnet18", stages=(1, 1, 1, 1), width=4).clone(features=8)
    >>> x = jax.ShapeDtypeStruct((1, 64, 64, 3), "float32")
    >>> outputs, _ = jax.eval_shape(
    ...     RetinaNet(pyramid, 3).init_with_output, jax.random.key(0), x
    ... )
    >>> [each.shape for each in outputs.logits]
    [(1, 576, 3), (1, 144, 3), (1, 36, 3), (1, 9, 3), (1, 9, 3)]
    """

    backbone: nn.Module
    num_classes: int | None = 91
    sizes: tuple[tuple[float, ...], ...] = SIZES
    ratios: tuple[float, ...] = RATIOS
    depth: int = 4
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> Any:
        maps = self.backbone(x, train=train)
        if self.num_classes is None:
            return maps
        if len(maps) != len(self.sizes):
            raise ValueError(f"RetinaNet: got {len(maps)} maps; expected {len(self.sizes)}")
        count = len(self.sizes[0]) * len(self.ratios)
        start = nn.initializers.constant(-math.log((1 - PRIOR) / PRIOR))
        logits = self._head("classification", count * self.num_classes, maps, bias_init=start)
        deltas = self._head("regression", count * 4, maps)
        height, width = x.shape[1:3]
        anchors = []
        for each, sizes in zip(maps.values(), self.sizes, strict=True):
            rows, columns = each.shape[1:3]
            cell = boxes.cell_anchors(sizes, self.ratios)
            strides = (height // rows, width // columns)
            anchors.append(boxes.grid_anchors(cell, (rows, columns), strides))
        return RetinaNetOutputs(logits, deltas, tuple(anchors), jnp.float32([height, width]))

    def _head(self, name, features, maps, **last):
        conv = partial(
            Conv,
            kernel_size=(3, 3),
            padding=1,
            kernel_init=nn.initializers.normal(0.01),
            dtype=self.dtype,
        )
        width = next(iter(maps.values())).shape[-1]
        layers = [conv(width, name=f"{name}_conv{i}") for i in range(self.depth)]
        score = conv(features, name=f"{name}_score", **last)
        parts = self.num_classes if name == "classification" else 4
        found = []
        for each in maps.values():
            for layer in layers:
                each = relu(layer(each))
            y = score(each)
            found.append(y.reshape(y.shape[0], -1, parts).astype(jnp.float32))
        return tuple(found)


def focal_loss(
    logits: jax.Array, targets: jax.Array, *, alpha: float = 0.25, gamma: float = 2.0
) -> jax.Array:
    """α_t (1 − p_t)^γ (−log p_t), p_t being the probability of what is true.

    Args:
        logits: any shape.
        targets: the same shape, 0 or 1.
        alpha: weight of ones; 1 − alpha is that of zeros.
        gamma: how much less what is easy counts; 0 gives the cross entropy.

    Returns:
        like ``logits``.

    Source: Lin et al., "Focal Loss for Dense Object Detection", 2017, equation 5.

    >>> [round(v, 4) for v in focal_loss(jnp.zeros(2), jnp.array([1.0, 0.0])).tolist()]
    [0.0433, 0.13]
    """
    signed = jnp.where(targets > 0, logits, -logits)
    weight = jnp.where(targets > 0, alpha, 1 - alpha)
    return -weight * jax.nn.sigmoid(-signed) ** gamma * jax.nn.log_sigmoid(signed)


def retinanet_losses(
    outputs: RetinaNetOutputs, batch: Mapping[str, Any], *, high: float = 0.5, low: float = 0.4
) -> dict[str, tuple[jax.Array, jax.Array]]:
    """Focal loss of the classes and L1 of the offsets, each as (sum over images, their number).

    Those of an image are divided by its number of anchors that stand for an object, at least 1, so
    an image without objects teaches its background. The order of the objects and padding change
    nothing.

    Args:
        outputs: of `RetinaNet`.
        batch: ``boxes (N, M, 4)``, ``box_label (N, M)`` from 0, without background, ``box_mask``
            and perhaps ``example_mask (N,)``.
        high: IoU from which an anchor stands for an object.
        low: IoU below which it is background; between the two it counts for nothing.

    Returns:
        ``classification`` and ``bbox_regression``.

    Raises:
        ValueError: shapes that do not fit.

    Source: Lin et al., "Focal Loss for Dense Object Detection", 2017, section 4.

    >>> anchors = (jnp.array([[0.0, 0, 8, 8]]),)
    >>> zeros = (jnp.zeros((1, 1, 3)),), (jnp.zeros((1, 1, 4)),)
    >>> batch = {"boxes": anchors[0][None], "box_label": jnp.array([[0]])}
    >>> batch |= {"box_mask": jnp.ones((1, 1))}
    >>> losses = retinanet_losses(RetinaNetOutputs(*zeros, anchors, jnp.ones(2) * 8), batch)
    >>> [(round(float(total), 4), int(count)) for total, count in losses.values()]
    [(0.3033, 1), (0.0, 1)]
    """
    anchors = jnp.concatenate(outputs.anchors)
    classes = outputs.logits[0].shape[-1]

    def one(logits: jax.Array, deltas: jax.Array, objects: Objects):
        overlap = boxes.iou(objects.boxes, anchors)
        matched = boxes.match(overlap, high=high, low=low, mask=objects.mask, keep_best=True)
        positive, index = matched >= 0, jnp.maximum(matched, 0)
        count = jnp.maximum(positive.sum(), 1)
        label = jnp.where(positive, objects.labels[index] + 1, -1)
        targets = label[:, None] == jnp.arange(classes)[None]
        losses = focal_loss(logits, targets.astype(logits.dtype))
        valid = (matched != boxes.BETWEEN)[:, None]
        wanted = boxes.encode(objects.boxes[index], anchors)
        offsets = jnp.where(positive[:, None], jnp.abs(deltas - wanted), 0.0)
        return jnp.where(valid, losses, 0.0).sum() / count, offsets.sum() / count

    objects, there = objects_of(batch)
    logits, deltas = (jnp.concatenate(each, 1) for each in (outputs.logits, outputs.deltas))
    sums = jax.vmap(one)(logits, deltas, objects)
    found = (jnp.where(there, values, 0).sum() for values in sums)
    return {
        name: (total, there.sum())
        for name, total in zip(("classification", "bbox_regression"), found, strict=True)
    }


def retinanet_detections(
    outputs: RetinaNetOutputs,
    *,
    threshold: float = 0.5,
    min_score: float = 0.05,
    candidates: int = 1000,
    max_outputs: int = 300,
) -> boxes.Detections:
    """What a RetinaNet found: the best of each map, suppressed class by class.

    Args:
        outputs: of `RetinaNet`.
        threshold: suppress a box when its IoU with a better one of its class is above it.
        min_score: a detection's score is above it.
        candidates: how many of each map, of all classes together, enter the suppression.
        max_outputs: D, how many detections of an image there are at most.

    Returns:
        `jaxnets.ops.boxes.Detections` of the batch, (N, D, …); labels from 0, without background.

    Source: Lin et al., "Focal Loss for Dense Object Detection", 2017, section 4.1, "Inference".

    >>> anchors = (jnp.array([[0.0, 0, 8, 8], [8.0, 0, 16, 8]]),)
    >>> logits = (jnp.array([[[9.0, -9.0, 3.0], [9.0, -9.0, -9.0]]]),)
    >>> outputs = RetinaNetOutputs(logits, (jnp.zeros((1, 2, 4)),), anchors, jnp.full(2, 16.0))
    >>> found = retinanet_detections(outputs)
    >>> int(found.mask.sum()), int(found.labels[0, 0]), found.boxes[0, 0].tolist()
    (1, 1, [0.0, 0.0, 8.0, 8.0])
    """

    return best_of_levels(
        [jax.nn.sigmoid(logits[..., 1:]) for logits in outputs.logits],
        outputs.deltas,
        outputs.anchors,
        outputs.size,
        boxes.decode,
        threshold=threshold,
        min_score=min_score,
        candidates=candidates,
        max_outputs=max_outputs,
    )


@register(
    paper=papers.RETINANET,
    parameters=34_068_119,
    macs=151_540_437_248,
    input_size=800,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    weights=("torchvision retinanet_resnet50_fpn",),
    task="detection",
    published="COCO AP 36.4 (torchvision)",
)
def retinanet_resnet50_fpn(
    *, num_classes: int | None = 91, name: str | None = None, **fields: Any
) -> RetinaNet:
    """RetinaNet on a ResNet-50 with a feature pyramid.

    The published weights were trained with frozen normalizations without an epsilon:
    ``backbone=resnet_pyramid(norm=partial(BatchNorm, epsilon=0.0))``.

    Args:
        num_classes: with class 0 for the background, as torchvision counts.
        name: Flax's.
        **fields: of `RetinaNet`.

    Returns:
        A `RetinaNet` for images whose sides are multiples of 32.

    >>> retinanet_resnet50_fpn().sizes[0]
    (32, 40, 50)
    """
    published = {"backbone": resnet_pyramid(dtype=fields.get("dtype"))}
    return RetinaNet(num_classes=num_classes, name=name, **{**published, **fields})
