"""SSD: class scores and box offsets at the default boxes of several feature maps, in one pass.

The network gives `SSDOutputs`; `ssd_losses` and `ssd_detections` are pure functions of them, so
that both are there in training and in evaluation.

Source: Liu et al., "SSD: Single Shot MultiBox Detector", 2016.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.models.detection.anchor_sets import AnchorShapes, DefaultBoxes
from jaxnets.models.detection.targets import Objects, objects_of, smooth_l1
from jaxnets.models.layers import ConvNorm
from jaxnets.nn import BatchNorm, Conv
from jaxnets.ops import boxes

# The inverse of the targets' standard deviations, .1, .1, .2, .2.
WEIGHTS: Final = (10.0, 10.0, 5.0, 5.0)


class SSDOutputs(NamedTuple):
    """What an SSD says of a batch of images.

    Attributes:
        logits: (N, P, K), class 0 being background.
        deltas: (N, P, 4), offsets of boxes from the anchors, see `jaxnets.ops.boxes.encode`.
        anchors: (P, 4), corners in pixels.
        size: (2,), height and width of the images.

    >>> SSDOutputs._fields
    ('logits', 'deltas', 'anchors', 'size')
    """

    logits: jax.Array
    deltas: jax.Array
    anchors: jax.Array
    size: jax.Array


class SSD(nn.Module):
    """Heads on a backbone's maps: for each anchor K class scores and four offsets.

    Attributes:
        backbone: images → ordered mapping of maps (N, H', W', C), the finest first; called with
            ``train``.
        anchors: of as many maps.
        num_classes: K, background among them as class 0, as torchvision counts; None returns the
            backbone's maps.
        separable: depthwise 3×3 convolution, normalization and 1×1 convolution (SSDlite) instead of
            a 3×3 convolution.
        head_size: side of the heads' kernels where they are not separable.
        kernel_init: of the heads' kernels.
        norm: normalization layer of separable heads.
        dtype: compute dtype.

    Call: images (N, H, W, C) → `SSDOutputs`, float32. A ValueError where the backbone gives
    another number of maps than there are anchors for.

    >>> from jaxnets.models import backbone
    >>> maps = backbone("resnet18", (8, 16), stages=(1, 1, 1), width=4)
    >>> anchors = AnchorShapes((((8, 8),), ((16, 16), (32, 16))))
    >>> network = SSD(maps, anchors, num_classes=3)
    >>> x = jax.ShapeDtypeStruct((1, 64, 64, 3), "float32")
    >>> outputs, _ = jax.eval_shape(network.init_with_output, jax.random.key(0), x)
    >>> outputs.logits.shape, outputs.anchors.shape
    ((1, 96, 3), (96, 4))
    """

    backbone: nn.Module
    anchors: DefaultBoxes | AnchorShapes
    num_classes: int | None = 91
    separable: bool = False
    head_size: int = 3
    kernel_init: nn.initializers.Initializer = nn.initializers.glorot_uniform()
    norm: Callable[..., nn.Module] = BatchNorm
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> Any:
        maps = self.backbone(x, train=train)
        if self.num_classes is None:
            return maps
        if len(maps) != len(self.anchors.per_cell):
            raise ValueError(
                f"SSD: the backbone gives {len(maps)} maps; expected {len(self.anchors.per_cell)}, "
                "as anchors has"
            )
        logits, deltas, grids = [], [], []
        for i, (each, count) in enumerate(zip(maps.values(), self.anchors.per_cell, strict=True)):
            grids.append(each.shape[1:3])
            for name, width, parts in (
                ("classification", self.num_classes, logits),
                ("regression", 4, deltas),
            ):
                y = self._head(each, count * width, f"{name}{i}", train)
                parts.append(y.reshape(y.shape[0], -1, width).astype(jnp.float32))
        size = x.shape[1:3]
        return SSDOutputs(
            jnp.concatenate(logits, 1),
            jnp.concatenate(deltas, 1),
            self.anchors(size, grids),
            jnp.asarray(size, jnp.float32),
        )

    def _head(self, x, features, name, train):
        conv = partial(Conv, features, kernel_init=self.kernel_init, dtype=self.dtype)
        if not self.separable:
            side = self.head_size
            return conv((side, side), padding=side // 2, name=name)(x)
        channels = x.shape[-1]
        layer = partial(ConvNorm, norm=self.norm, conv=partial(Conv, kernel_init=self.kernel_init))
        x = layer(
            channels,
            (3, 3),
            padding=1,
            groups=channels,
            activation=jax.nn.relu6,
            dtype=self.dtype,
            name=f"{name}_depthwise",
        )(x, train)
        return conv((1, 1), name=name)(x)


def ssd_losses(
    outputs: SSDOutputs,
    batch: Mapping[str, Any],
    *,
    overlap: float = 0.5,
    negatives: float = 3.0,
    background: int = 3,
) -> dict[str, tuple[jax.Array, jax.Array]]:
    """The two losses of SSD, each as (sum, number of anchors that stand for an object).

    An anchor stands for the object that it overlaps most, from an IoU of ``overlap`` on, and every
    object has at least one. Smooth L1 of their offsets; cross entropy of their classes and of the
    hardest background anchors. `jaxnets.models.detection.mean_losses` divides. The order of the
    objects and padding change nothing.

    Args:
        outputs: of `SSD`.
        batch: ``boxes (N, M, 4)``, ``box_label (N, M)`` from 0, without background, ``box_mask``
            and perhaps ``example_mask (N,)``.
        overlap: IoU.
        negatives: background anchors to one that stands for an object.
        background: the least number of them, so that an image without objects teaches what
            background looks like (torchvision: 0).

    Returns:
        ``bbox_regression`` and ``classification``.

    Raises:
        ValueError: shapes that do not fit.

    Source: Liu et al., "SSD: Single Shot MultiBox Detector", 2016, section 2.2.

    >>> anchors = jnp.array([[0.0, 0, 8, 8], [8.0, 0, 16, 8]])
    >>> outputs = SSDOutputs(jnp.zeros((1, 2, 3)), jnp.zeros((1, 2, 4)), anchors, jnp.ones(2) * 16)
    >>> batch = {"boxes": anchors[None, :1], "box_label": jnp.array([[1]])}
    >>> losses = ssd_losses(outputs, batch | {"box_mask": jnp.ones((1, 1))})
    >>> {name: (float(total), int(count)) for name, (total, count) in losses.items()}
    {'bbox_regression': (0.0, 1), 'classification': (2.1972246170043945, 1)}
    """

    def one(logits: jax.Array, deltas: jax.Array, objects: Objects):
        matched = boxes.match_each_object(
            boxes.iou(objects.boxes, outputs.anchors), threshold=overlap, mask=objects.mask
        )
        positive, index = matched >= 0, jnp.maximum(matched, 0)
        wanted = boxes.encode(objects.boxes[index], outputs.anchors, weights=WEIGHTS)
        offsets = jnp.where(positive[:, None], smooth_l1(deltas - wanted), 0.0).sum()
        label = jnp.where(positive, objects.labels[index] + 1, 0)
        losses = -jnp.take_along_axis(jax.nn.log_softmax(logits), label[:, None], 1)[:, 0]
        hard = boxes.hard_negatives(losses, matched, ratio=negatives, at_least=background)
        return offsets, jnp.where(positive | hard, losses, 0.0).sum(), positive.sum()

    objects, there = objects_of(batch)
    sums = jax.vmap(one)(outputs.logits, outputs.deltas, objects)
    offsets, classes, count = (jnp.where(there, values, 0).sum() for values in sums)
    return {"bbox_regression": (offsets, count), "classification": (classes, count)}


def ssd_detections(
    outputs: SSDOutputs,
    *,
    threshold: float = 0.45,
    min_score: float = 0.01,
    candidates: int = 400,
    max_outputs: int = 200,
) -> boxes.Detections:
    """What an SSD found: boxes decoded, scored by softmax, suppressed class by class.

    Args:
        outputs: of `SSD`.
        threshold: suppress a box when its IoU with a better one of its class is above it.
        min_score: a detection's score is above it.
        candidates: how many of each class enter the suppression.
        max_outputs: D, how many detections of an image there are at most.

    Returns:
        `jaxnets.ops.boxes.Detections` of the batch, (N, D, …); labels from 0, without background.

    Source: Liu et al., "SSD: Single Shot MultiBox Detector", 2016, section 2.2.

    >>> anchors = jnp.array([[0.0, 0, 8, 8], [8.0, 0, 16, 8]])
    >>> logits = jnp.array([[[0.0, 0.0, 5.0], [9.0, 0.0, 0.0]]])
    >>> found = ssd_detections(SSDOutputs(logits, jnp.zeros((1, 2, 4)), anchors, jnp.full(2, 16.0)))
    >>> found.boxes[0, 0].tolist(), int(found.labels[0, 0]), int(found.mask.sum())
    ([0.0, 0.0, 8.0, 8.0], 1, 1)
    """

    def one(logits, deltas):
        decoded = boxes.decode(deltas, outputs.anchors, weights=WEIGHTS)
        return boxes.select_detections(
            boxes.clip(decoded, (outputs.size[0], outputs.size[1])),
            jax.nn.softmax(logits)[:, 1:],
            threshold=threshold,
            min_score=min_score,
            candidates=candidates,
            max_outputs=max_outputs,
        )

    return boxes.each_image(one, outputs.logits, outputs.deltas)
