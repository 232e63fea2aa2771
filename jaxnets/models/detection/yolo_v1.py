"""YOLO v1: one grid over the whole image; each cell says which class, and where two boxes are.

Source: Redmon, Divvala, Girshick, Farhadi, "You Only Look Once: Unified, Real-Time Object
Detection", 2016.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.models import papers
from jaxnets.models.checks import check_images
from jaxnets.models.detection.targets import objects_of
from jaxnets.models.registry import register
from jaxnets.nn import Conv, Dense
from jaxnets.ops import boxes, max_pool

# Figure 3: (filters, size) of each stage, between poolings.
STAGES = (
    ((64, 7),),
    ((192, 3),),
    ((128, 1), (256, 3), (256, 1), (512, 3)),
    (*((256, 1), (512, 3)) * 4, (512, 1), (1024, 3)),
    (*((512, 1), (1024, 3)) * 2, (1024, 3), (1024, 3), (1024, 3), (1024, 3)),
)


class YOLOv1(nn.Module):
    """24 convolutions and two fully connected layers, as in figure 3.

    Attributes:
        num_classes: K; None returns the maps of the last three stages, the finest first.
        side: S, cells a side.
        boxes_per_cell: B.
        stages: (filters, size) of the convolutions between poolings.
        hidden: units of the first fully connected layer.
        dtype: compute dtype.

    Call: images (N, H, W, C) from 0 to 1, of 448×448 → (N, S, S, 5 B + K): of each box its center
    in the cell, √width and √height as shares of the image, and confidence; then the classes.

    >>> x = jax.ShapeDtypeStruct((1, 448, 448, 3), "float32")
    >>> jax.eval_shape(yolov1().init_with_output, jax.random.key(0), x)[0].shape
    (1, 7, 7, 30)
    """

    num_classes: int | None = 20
    side: int = 7
    boxes_per_cell: int = 2
    stages: tuple[tuple[tuple[int, int], ...], ...] = STAGES
    hidden: int = 4096
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> Any:
        check_images(self, x, smallest=32, stem="conv1_1")
        maps = OrderedDict()
        last = len(self.stages)
        for stage, layers in enumerate(self.stages, 1):
            for number, (filters, size) in enumerate(layers, 1):
                # The first convolution, and in the last stage the fourth from the end but two.
                halved = (stage == 1 and number == 1) or (
                    stage == last and number == len(layers) - 2
                )
                name = f"conv{stage}_{number}"
                x = Conv(
                    filters, (size, size), strides=1 + halved, padding=size // 2, dtype=self.dtype,
                    name=name,
                )(x)  # fmt: skip
                x = jax.nn.leaky_relu(x, 0.1)
            maps[f"stage{stage}"] = x
            if stage < last:
                x = max_pool(x, 2, strides=2)
        if self.num_classes is None:
            return OrderedDict(list(maps.items())[-3:])
        x = x.reshape(len(x), -1)
        x = jax.nn.leaky_relu(Dense(self.hidden, dtype=self.dtype, name="fc1")(x), 0.1)
        x = nn.Dropout(0.5, deterministic=not train)(x)
        numbers = 5 * self.boxes_per_cell + self.num_classes
        x = Dense(self.side**2 * numbers, dtype=self.dtype, name="fc2")(x)
        return x.astype(jnp.float32).reshape(-1, self.side, self.side, numbers)


def yolo_v1_boxes(
    outputs: jax.Array, size: tuple[int, int], *, boxes_per_cell: int = 2
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """The boxes that every cell says.

    Args:
        outputs: of `YOLOv1`, (N, S, S, 5 B + K).
        size: height and width of the images.
        boxes_per_cell: B.

    Returns:
        corners in pixels (N, S, S, B, 4), confidences (N, S, S, B), classes (N, S, S, K).

    >>> corners, sure, kinds = yolo_v1_boxes(jnp.full((1, 1, 1, 7), 0.5), (8, 8), boxes_per_cell=1)
    >>> corners[0, 0, 0, 0].tolist(), sure.shape, kinds.shape
    ([3.0, 3.0, 5.0, 5.0], (1, 1, 1, 1), (1, 1, 1, 2))
    """
    side = outputs.shape[1]
    raw = outputs[..., : 5 * boxes_per_cell].reshape(*outputs.shape[:3], boxes_per_cell, 5)
    row, column = jnp.meshgrid(jnp.arange(side), jnp.arange(side), indexing="ij")
    cell = jnp.stack((column, row), -1)[None, :, :, None]
    scale = jnp.array(size[::-1], jnp.float32)
    center = (cell + raw[..., :2]) / side * scale
    half = 0.5 * raw[..., 2:4] ** 2 * scale
    corners = jnp.concatenate((center - half, center + half), -1)
    return corners, raw[..., 4], outputs[..., 5 * boxes_per_cell :]


def yolo_v1_losses(
    outputs: jax.Array,
    batch: Mapping[str, Any],
    *,
    boxes_per_cell: int = 2,
    coordinates: float = 5.0,
    nothing: float = 0.5,
) -> dict[str, tuple[jax.Array, jax.Array]]:
    """The five parts of YOLO's squared error, each as (sum, number of images).

    The cell in which an object's center lies is responsible, and in it the box that overlaps the
    object most. Where several centers lie in one cell, the first object counts.

    .. math:: λ_c [(x - x̂)² + (y - ŷ)²] + λ_c [(√w - √ŵ)² + (√h - √ĥ)²] + (C - Ĉ)^2_{obj}
        + λ_n (C - Ĉ)^2_{noobj} + Σ_c (p_c - p̂_c)²

    Args:
        outputs: of `YOLOv1`.
        batch: ``image``, ``boxes (N, M, 4)``, ``box_label (N, M)``, ``box_mask`` and perhaps
            ``example_mask (N,)``.
        boxes_per_cell: B.
        coordinates: λ_c.
        nothing: λ_n.

    Returns:
        ``centers``, ``sizes``, ``objects``, ``nothing`` and ``classes``.

    Raises:
        ValueError: shapes that do not fit.

    Source: Redmon et al., 2016, equation 3.

    >>> batch = {"image": jnp.zeros((1, 8, 8, 3)), "boxes": jnp.array([[[2.0, 2, 6, 6]]])}
    >>> batch |= {"box_label": jnp.array([[1]]), "box_mask": jnp.ones((1, 1))}
    >>> said = jnp.array([0.5, 0.5, 0.5**0.5, 0.5**0.5, 1.0, 0.0, 1.0]).reshape(1, 1, 1, 7)
    >>> losses = yolo_v1_losses(said, batch, boxes_per_cell=1)
    >>> [round(float(total), 5) for total, _ in losses.values()]
    [0.0, 0.0, 0.0, 0.0, 0.0]
    """
    size = batch["image"].shape[1:3]
    objects, there = objects_of(batch)
    corners, sure, kinds = yolo_v1_boxes(outputs, size, boxes_per_cell=boxes_per_cell)
    side, classes = outputs.shape[1], kinds.shape[-1]
    raw = outputs[..., : 5 * boxes_per_cell].reshape(*outputs.shape[:3], boxes_per_cell, 5)
    scale = jnp.array(size[::-1], jnp.float32)

    def one(corners, sure, kinds, raw, true, labels, mask):
        center = (true[:, :2] + true[:, 2:]) / 2 / scale
        shares = jnp.maximum(true[:, 2:] - true[:, :2], 0) / scale
        cell = jnp.clip((center * side).astype(jnp.int32), 0, side - 1)
        place = cell[:, 1] * side + cell[:, 0]
        # Of several objects in a cell the first.
        same = (place[:, None] == place) & mask[:, None] & mask
        first = mask & ~jnp.tril(same, -1).any(1)
        flat = corners.reshape(side * side, boxes_per_cell, 4)[place]
        overlap = jax.vmap(lambda box, theirs: boxes.iou(box[None], theirs)[0])(true, flat)
        overlap = jax.lax.stop_gradient(overlap)
        best = overlap.argmax(-1)
        rows = jnp.arange(len(place))
        chosen = raw.reshape(side * side, boxes_per_cell, 5)[place, best]
        wanted = center * side - cell
        centers = ((chosen[:, :2] - wanted) ** 2).sum(-1)
        sizes = ((chosen[:, 2:4] - jnp.sqrt(shares)) ** 2).sum(-1)
        confident = (chosen[:, 4] - overlap[rows, best]) ** 2
        named = jax.nn.one_hot(labels, classes)
        known = ((kinds.reshape(side * side, classes)[place] - named) ** 2).sum(-1)
        taken = jnp.zeros((side * side, boxes_per_cell), bool)
        taken = taken.at[place, best].max(first)
        free = jnp.where(taken, 0.0, sure.reshape(side * side, boxes_per_cell) ** 2).sum()

        def total(values):
            return jnp.where(first, values, 0.0).sum()

        parts = coordinates * total(centers), coordinates * total(sizes), total(confident)
        return *parts, nothing * free, total(known)

    args = corners, sure, kinds, raw, objects.boxes, objects.labels, objects.mask
    sums = jax.vmap(one)(*args)
    names = "centers", "sizes", "objects", "nothing", "classes"
    count = there.sum()
    return {
        name: (jnp.where(there, values, 0).sum(), count)
        for name, values in zip(names, sums, strict=True)
    }


def yolo_v1_detections(
    outputs: jax.Array,
    size: tuple[int, int] = (448, 448),
    *,
    boxes_per_cell: int = 2,
    threshold: float = 0.5,
    min_score: float = 0.1,
    candidates: int = 98,
    max_outputs: int = 98,
) -> boxes.Detections:
    """What YOLO v1 found: a score is a box's confidence times its cell's class.

    Args:
        outputs: of `YOLOv1`.
        size: height and width of the images.
        boxes_per_cell: B.
        threshold: suppress a box when its IoU with a better one of its class is above it.
        min_score: a detection's score is above it.
        candidates: how many of each class enter the suppression.
        max_outputs: D, how many detections of an image there are at most.

    Returns:
        `jaxnets.ops.boxes.Detections` of the batch, (N, D, …).

    Source: Redmon et al., 2016, equation 1 and section 2.3.

    >>> said = jnp.array([0.5, 0.5, 0.5, 0.5, 0.8, 0.1, 0.9]).reshape(1, 1, 1, 7)
    >>> found = yolo_v1_detections(said, (8, 8), boxes_per_cell=1, max_outputs=1)
    >>> int(found.labels[0, 0]), round(float(found.scores[0, 0]), 2)
    (1, 0.72)
    """
    corners, sure, kinds = yolo_v1_boxes(outputs, size, boxes_per_cell=boxes_per_cell)
    scores = sure[..., None] * kinds[:, :, :, None]
    count = len(outputs)

    def select(corners, scores):
        return boxes.select_detections(
            corners,
            scores,
            threshold=threshold,
            min_score=min_score,
            candidates=candidates,
            max_outputs=max_outputs,
        )

    return boxes.each_image(
        select, corners.reshape(count, -1, 4), scores.reshape(count, -1, scores.shape[-1])
    )


@register(
    paper=papers.YOLO_V1,
    parameters=271_703_550,
    macs=20_285_153_280,
    input_size=448,
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    task="detection",
    published="VOC 2007 mAP 63.4 %",
)
def yolov1(*, num_classes: int | None = 20, name: str | None = None, **fields: Any) -> YOLOv1:
    """YOLO v1 as in the paper's figure 3: two boxes in each of 7×7 cells.

    Args:
        num_classes: K, without background.
        name: Flax's.
        **fields: of `YOLOv1`.

    Returns:
        A `YOLOv1` for images of 448×448.

    >>> yolov1(num_classes=3).num_classes
    3
    """
    return YOLOv1(num_classes=num_classes, name=name, **fields)
