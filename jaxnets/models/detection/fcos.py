"""FCOS: no anchors; every place of a map inside an object tells the distances of its four sides.

Source: Tian, Shen, Chen, He, "FCOS: Fully Convolutional One-Stage Object Detection", 2019;
torchvision's network, with center sampling, as its authors added in 2020.
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
from jaxnets.models.detection.retinanet import PRIOR, focal_loss
from jaxnets.models.detection.targets import Objects, objects_of
from jaxnets.models.registry import IMAGENET_MEAN, IMAGENET_STD, register
from jaxnets.nn import Conv
from jaxnets.ops import boxes, relu

# Pixels to a place of each map.
STRIDES: Final = (8, 16, 32, 64, 128)
# Areas are compared by this less the area, as torchvision does.
HUGE: Final = 1e8


class FCOSOutputs(NamedTuple):
    """What an FCOS says of a batch of images, map by map.

    Attributes:
        logits: of each map (N, P, K), of independent classes; class 0, background, is never true.
        distances: of each map (N, P, 4), of a box's sides from the place, in strides, at least 0.
        centerness: of each map (N, P), before σ.
        places: of each map (P, 4), squares of the stride's side around the places.
        size: (2,), height and width of the images.

    >>> FCOSOutputs._fields
    ('logits', 'distances', 'centerness', 'places', 'size')
    """

    logits: tuple[jax.Array, ...]
    distances: tuple[jax.Array, ...]
    centerness: tuple[jax.Array, ...]
    places: tuple[jax.Array, ...]
    size: jax.Array


class FCOS(nn.Module):
    """Two heads of four 3×3 convolutions with group normalization, shared by all maps.

    Attributes:
        backbone: images → ordered mapping of maps of one width, the finest first.
        num_classes: K, with class 0 for the background, as torchvision counts; None returns the
            backbone's maps.
        strides: pixels to a place of each map.
        depth: convolutions of a head before its last.
        groups: of the group normalization.
        dtype: compute dtype.

    Call: images (N, H, W, C), sides multiples of 32 → `FCOSOutputs`, float32.

    >>> pyramid = resnet_pyramid("resnet18", stages=(1, 1, 1, 1), width=4).clone(features=8)
    >>> x = jax.ShapeDtypeStruct((1, 64, 64, 3), "float32")
    >>> network = FCOS(pyramid, 3, groups=2)
    >>> outputs, _ = jax.eval_shape(network.init_with_output, jax.random.key(0), x)
    >>> [each.shape for each in outputs.centerness]
    [(1, 64), (1, 16), (1, 4), (1, 1), (1, 1)]
    """

    backbone: nn.Module
    num_classes: int | None = 91
    strides: tuple[int, ...] = STRIDES
    depth: int = 4
    groups: int = 32
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> Any:
        maps = self.backbone(x, train=train)
        if self.num_classes is None:
            return maps
        if len(maps) != len(self.strides):
            raise ValueError(f"FCOS: got {len(maps)} maps; expected {len(self.strides)}")
        conv = partial(
            Conv,
            kernel_size=(3, 3),
            padding=1,
            kernel_init=nn.initializers.normal(0.01),
            dtype=self.dtype,
        )
        start = nn.initializers.constant(-math.log((1 - PRIOR) / PRIOR))
        score = conv(self.num_classes, bias_init=start, name="classification_score")
        distance = conv(4, name="regression_score")
        center = conv(1, name="centerness_score")
        classes = self._tower("classification", conv, maps)
        sides = self._tower("regression", conv, maps)

        def flat(y, width):
            return y.reshape(y.shape[0], -1, width).astype(jnp.float32)

        height, width = x.shape[1:3]
        places = []
        for each, stride in zip(maps.values(), self.strides, strict=True):
            rows, columns = each.shape[1:3]
            cell = boxes.cell_anchors((stride,), (1.0,))
            steps = (height // rows, width // columns)
            places.append(boxes.grid_anchors(cell, (rows, columns), steps))
        return FCOSOutputs(
            tuple(flat(score(y), self.num_classes) for y in classes),
            tuple(flat(relu(distance(y)), 4) for y in sides),
            tuple(flat(center(y), 1)[..., 0] for y in sides),
            tuple(places),
            jnp.float32([height, width]),
        )

    def _tower(self, name, conv, maps):
        width = next(iter(maps.values())).shape[-1]
        norm = partial(nn.GroupNorm, self.groups, epsilon=1e-5, dtype=self.dtype)
        layers = [
            (conv(width, name=f"{name}_conv{i}"), norm(name=f"{name}_norm{i}"))
            for i in range(self.depth)
        ]
        found = []
        for y in maps.values():
            for layer, normalize in layers:
                y = relu(normalize(layer(y)))
            found.append(y)
        return found


def fcos_matches(objects: Objects, places: tuple[jax.Array, ...], radius: float = 1.5) -> jax.Array:
    """Which object each place stands for.

    A place stands for the smallest object that it lies in, if it is within ``radius`` strides of
    its center and the farthest side is 4 to 8 strides away, less on the finest map and more on the
    coarsest.

    Args:
        objects: of one image, (M, …).
        places: of each map (P, 4).
        radius: in strides.

    Returns:
        int32 (ΣP,): the number of an object, or −1.

    Source: Tian et al., "FCOS", 2019, section 3.2; 2020, "center sampling".

    >>> corners, label = jnp.array([[0.0, 0, 16, 16]]), jnp.zeros(1, jnp.int32)
    >>> one = Objects(corners, label, label == 0, label)
    >>> fcos_matches(one, (jnp.array([[4.0, 4, 12, 12], [20.0, 4, 28, 12]]),)).tolist()
    [0, -1]
    """
    squares = jnp.concatenate(places)
    centers, strides = (squares[:, :2] + squares[:, 2:]) / 2, squares[:, 2] - squares[:, 0]
    middle = (objects.boxes[:, :2] + objects.boxes[:, 2:]) / 2
    near = jnp.abs(centers[:, None] - middle[None]).max(-1) < radius * strides[:, None]
    sides = jnp.concatenate(
        [
            centers[:, None] - objects.boxes[None, :, :2],
            objects.boxes[None, :, 2:] - centers[:, None],
        ],
        -1,
    )
    first, last = len(places[0]), len(squares) - len(places[-1])
    number = jnp.arange(len(squares))
    least = jnp.where(number < first, 0.0, 4 * strides)[:, None]
    most = jnp.where(number >= last, jnp.inf, 8 * strides)[:, None]
    farthest = sides.max(-1)
    fits = near & (sides.min(-1) > 0) & (farthest > least) & (farthest < most) & objects.mask
    value = jnp.where(fits, HUGE - boxes.area(objects.boxes), 0.0)
    return jnp.where(value.max(1) < 1e-5, -1, value.argmax(1)).astype(jnp.int32)


def fcos_losses(
    outputs: FCOSOutputs, batch: Mapping[str, Any], *, radius: float = 1.5
) -> dict[str, tuple[jax.Array, jax.Array]]:
    """Focal loss of the classes, 1 − GIoU of the boxes, cross entropy of the centerness.

    Each is a sum and the number of places that stand for an object. The order of the objects and
    padding change nothing.

    Args:
        outputs: of `FCOS`.
        batch: ``boxes (N, M, 4)``, ``box_label (N, M)`` from 0, without background, ``box_mask``
            and perhaps ``example_mask (N,)``.
        radius: as of `fcos_matches`.

    Returns:
        ``classification``, ``bbox_regression`` and ``bbox_ctrness``.

    Raises:
        ValueError: shapes that do not fit.

    Source: Tian et al., "FCOS", 2019, equations 1 to 3.

    >>> places = (jnp.array([[4.0, 4, 12, 12]]),)
    >>> outputs = FCOSOutputs(
    ...     (jnp.zeros((1, 1, 2)),), (jnp.ones((1, 1, 4)),), (jnp.zeros((1, 1)),), places,
    ...     jnp.full(2, 16.0))
    >>> batch = {"boxes": jnp.array([[[0.0, 0, 16, 16]]]), "box_label": jnp.array([[0]])}
    >>> losses = fcos_losses(outputs, batch | {"box_mask": jnp.ones((1, 1))})
    >>> {name: (round(float(total), 4), int(count)) for name, (total, count) in losses.items()}
    {'classification': (0.1733, 1), 'bbox_regression': (0.0, 1), 'bbox_ctrness': (0.6931, 1)}
    """
    squares = jnp.concatenate(outputs.places)
    classes = outputs.logits[0].shape[-1]

    def one(logits, distances, centerness, objects: Objects):
        matched = fcos_matches(objects, outputs.places, radius)
        positive, index = matched >= 0, jnp.maximum(matched, 0)
        label = jnp.where(positive, objects.labels[index] + 1, -1)
        targets = (label[:, None] == jnp.arange(classes)[None]).astype(logits.dtype)
        # Background places compare a box with itself, which has a gradient of zero.
        true = jnp.where(positive[:, None], objects.boxes[index], squares)
        found = boxes.decode_distances(jnp.where(positive[:, None], distances, 0.5), squares)
        gap = 1 - boxes.generalized_iou(found, true, paired=True)
        sides = boxes.encode_distances(true, squares)
        across, along = sides[:, 0::2], sides[:, 1::2]
        wanted = jnp.sqrt((across.min(1) / across.max(1)) * (along.min(1) / along.max(1)))
        cross = jax.nn.softplus(centerness) - wanted * centerness
        kept = (jnp.where(positive, values, 0.0).sum() for values in (gap, cross))
        return (focal_loss(logits, targets).sum(), *kept, positive.sum())

    objects, there = objects_of(batch)
    logits, distances, centerness = (
        jnp.concatenate(each, 1) for each in (outputs.logits, outputs.distances, outputs.centerness)
    )
    sums = jax.vmap(one)(logits, distances, centerness, objects)
    *totals, count = (jnp.where(there, values, 0).sum() for values in sums)
    names = ("classification", "bbox_regression", "bbox_ctrness")
    return {name: (total, count) for name, total in zip(names, totals, strict=True)}


def fcos_detections(
    outputs: FCOSOutputs,
    *,
    threshold: float = 0.6,
    min_score: float = 0.2,
    candidates: int = 1000,
    max_outputs: int = 100,
) -> boxes.Detections:
    """What an FCOS found, scored by √(p(class)·p(center)).

    Args:
        outputs: of `FCOS`.
        threshold: suppress a box when its IoU with a better one of its class is above it.
        min_score: a detection's score is above it.
        candidates: how many of each map, of all classes together, enter the suppression.
        max_outputs: D, how many detections of an image there are at most.

    Returns:
        `jaxnets.ops.boxes.Detections` of the batch, (N, D, …); labels from 0, without background.

    Source: Tian et al., "FCOS", 2019, section 3.3.

    >>> places = (jnp.array([[4.0, 4, 12, 12]]),)
    >>> outputs = FCOSOutputs(
    ...     (jnp.full((1, 1, 2), 9.0),), (jnp.ones((1, 1, 4)),), (jnp.full((1, 1), 9.0),), places,
    ...     jnp.full(2, 16.0))
    >>> fcos_detections(outputs).boxes[0, 0].tolist()
    [0.0, 0.0, 16.0, 16.0]
    """
    pairs = zip(outputs.logits, outputs.centerness, strict=True)
    return best_of_levels(
        [
            jnp.sqrt(jax.nn.sigmoid(logits[..., 1:]) * jax.nn.sigmoid(center[..., None]))
            for logits, center in pairs
        ],
        outputs.distances,
        outputs.places,
        outputs.size,
        boxes.decode_distances,
        threshold=threshold,
        min_score=min_score,
        candidates=candidates,
        max_outputs=max_outputs,
    )


@register(
    paper=papers.FCOS,
    parameters=32_322_720,
    macs=128_207_052_800,
    input_size=800,
    mean=IMAGENET_MEAN,
    std=IMAGENET_STD,
    weights=("torchvision fcos_resnet50_fpn",),
    task="detection",
    published="COCO AP 39.2 (torchvision)",
)
def fcos_resnet50_fpn(
    *, num_classes: int | None = 91, name: str | None = None, **fields: Any
) -> FCOS:
    """FCOS on a ResNet-50 with a feature pyramid.

    Args:
        num_classes: with class 0 for the background, as torchvision counts.
        name: Flax's.
        **fields: of `FCOS`.

    Returns:
        An `FCOS` for images whose sides are multiples of 32.

    >>> fcos_resnet50_fpn().strides
    (8, 16, 32, 64, 128)
    """
    published = {"backbone": resnet_pyramid(dtype=fields.get("dtype"))}
    return FCOS(num_classes=num_classes, name=name, **{**published, **fields})
