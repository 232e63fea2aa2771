"""What YOLO v2 and v3 minimize."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxnets.models.detection.darknet import Section, anchors_of, stride_of
from jaxnets.models.detection.darknet_layers import HEADS
from jaxnets.models.detection.targets import objects_of
from jaxnets.ops import boxes

SMALLEST = 1.0  # pixels


def yolo_losses(
    outputs: Sequence[jax.Array],
    batch: Mapping[str, Any],
    sections: tuple[Section, ...],
    *,
    ignored: float = 0.5,
) -> dict[str, tuple[jax.Array, jax.Array]]:
    """Where, whether and what: the three losses of YOLO, each as (sum, number of objects).

    An object belongs to the anchor, of all heads, whose shape is most like its own, in the cell of
    its center. There t_x and t_y are learned by cross entropy of σ(t) with the place in the cell,
    t_w and t_h by half the squared error, both times 2 − (the object's share of the image), so that
    small objects count for more; objectness by cross entropy everywhere but where a predicted box
    overlaps some object by more than ``ignored`` without being responsible; classes by independent
    cross entropies, of [region] with softmax by one cross entropy. A side of less than a pixel
    counts as one: the logarithm of a box without width would pull t_w without bound.

    Args:
        outputs: of `Darknet`.
        batch: ``image``, ``boxes (N, M, 4)``, ``box_label (N, M)``, ``box_mask (N, M)`` and perhaps
            ``example_mask (N,)``.
        sections: of the same network.
        ignored: IoU.

    Returns:
        ``boxes``, ``objectness`` and ``classes``; `mean_losses` divides.

    Raises:
        ValueError: shapes that do not fit.

    Source: Redmon, Farhadi, "YOLOv3: An Incremental Improvement", 2018, sections 2.1 and 2.2, and
    darknet's yolo layer; the grid's place as cross entropy, as darknet's gradients are.

    >>> from jaxnets.models.detection.darknet import parse_cfg
    >>> sections = parse_cfg("[net]\\n[yolo]\\nmask=0\\nanchors=4,4\\nclasses=2")
    >>> batch = {"image": jnp.zeros((1, 8, 8, 3)), "boxes": jnp.array([[[0.0, 0, 4, 4]]])}
    >>> batch |= {"box_label": jnp.array([[1]]), "box_mask": jnp.ones((1, 1))}
    >>> losses = yolo_losses([jnp.zeros((1, 1, 1, 1, 7))], batch, sections)
    >>> {name: round(float(total), 4) for name, (total, _) in losses.items()}
    {'boxes': 2.426, 'objectness': 0.6931, 'classes': 1.3863}
    """
    heads = [section for section in sections if section.kind in HEADS]
    height, width = batch["image"].shape[1:3]
    objects, there = objects_of(batch)
    pairs = list(zip(heads, outputs, strict=True))
    strides = [stride_of(section, width, raw.shape[2]) for section, raw in pairs]
    sizes = [anchors_of(section, stride) for section, stride in zip(heads, strides, strict=True)]
    shapes = jnp.asarray([pair for own in sizes for pair in own])
    extents = jnp.maximum(objects.boxes[..., 2:] - objects.boxes[..., :2], SMALLEST)
    common = jnp.minimum(extents[:, :, None], shapes).prod(-1)
    alike = common / (extents.prod(-1)[..., None] + shapes.prod(-1) - common)
    best = alike.argmax(-1)  # (N, M)
    count = jnp.where(there[:, None], objects.mask, False).sum()
    totals = {"boxes": 0.0, "objectness": 0.0, "classes": 0.0}
    first = 0
    for (section, raw), stride, own in zip(pairs, strides, sizes, strict=True):
        here = objects.mask & (best >= first) & (best < first + len(own))
        softmax = section.kind == "region" and section.get("softmax", 0)
        spread = section.get("scale_x_y", 1.0)

        one = partial(
            _image_losses,
            anchors=jnp.asarray(own),
            stride=stride,
            size=(height, width),
            softmax=softmax,
            spread=spread,
            ignored=ignored,
        )
        kinds = jnp.clip(best - first, 0, len(own) - 1)
        # Every object of the image overlaps predictions, whichever head is responsible for it.
        wide = raw.astype(jnp.float32)
        parts = jax.vmap(one)(wide, objects.boxes, objects.labels, (here, objects.mask), kinds)
        for name, values in zip(totals, parts, strict=True):
            totals[name] += jnp.where(there, values, 0).sum()
        first += len(own)
    return {name: (total, count) for name, total in totals.items()}


def _image_losses(
    raw, true, labels, masks, kind, *, anchors, stride, size, softmax, spread, ignored
):
    """The three sums of one image and one head; raw (H, W, A, 5 + K), true (M, 4)."""
    here, present = masks
    height, width = size
    rows, columns = raw.shape[:2]
    center = (true[:, :2] + true[:, 2:]) / 2 / stride
    column = jnp.clip(center[:, 0].astype(jnp.int32), 0, columns - 1)
    row = jnp.clip(center[:, 1].astype(jnp.int32), 0, rows - 1)
    extent = jnp.maximum(true[:, 2:] - true[:, :2], SMALLEST)
    # Of several objects of one anchor in one cell the first.
    place = (row * columns + column) * len(anchors) + kind
    same = (place[:, None] == place) & here[:, None] & here
    mine = here & ~jnp.tril(same, -1).any(1)
    said = raw[row, column, kind]
    small = 2 - extent.prod(-1) / (height * width)
    inside = center - jnp.stack((column, row), -1)
    where = optax.sigmoid_binary_cross_entropy(said[:, :2], inside).sum(-1)
    extents = jnp.log(extent / anchors[kind])
    large = 0.5 * ((said[:, 2:4] - extents) ** 2).sum(-1)
    found = jnp.where(mine, small * (where + large), 0.0).sum()

    named = jax.nn.one_hot(labels, raw.shape[-1] - 5)
    if softmax:
        kinds = -(named * jax.nn.log_softmax(said[:, 5:])).sum(-1)
    else:
        kinds = optax.sigmoid_binary_cross_entropy(said[:, 5:], named).sum(-1)
    classes = jnp.where(mine, kinds, 0.0).sum()

    decoded = boxes.decode_grid(raw[..., :4], anchors, stride, spread=spread)
    overlap = boxes.iou(decoded.reshape(-1, 4), true)
    overlap = jnp.where(present, overlap, 0.0).max(-1, initial=0.0)
    flat = raw[..., 4].reshape(-1)
    wanted = jnp.zeros(flat.shape, bool).at[place].max(mine)
    losses = optax.sigmoid_binary_cross_entropy(flat, wanted.astype(flat.dtype))
    counted = wanted | (jax.lax.stop_gradient(overlap) <= ignored)
    return found, jnp.where(counted, losses, 0.0).sum(), classes
