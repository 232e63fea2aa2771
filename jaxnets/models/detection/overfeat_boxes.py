"""OverFeat as a detector: what each place of its sliding window learns by, and what it found.

Source: Sermanet et al., "OverFeat", 2013, sections 4 and 5.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxnets.models.detection.targets import Objects, objects_of
from jaxnets.models.overfeat import OverFeat, OverFeatMaps, window_of
from jaxnets.ops import boxes

# Background windows to one that holds an object, and of an image without objects.
RATIO, AT_LEAST = 3.0, 3


def overfeat_windows(network: OverFeat, size: tuple[int, int]) -> np.ndarray:
    """The square of the image that each place of a dense OverFeat sees.

    Args:
        network: for its layers and offsets.
        size: height and width of the images.

    Returns:
        float32 (H, W, 4), corners in pixels, in the order of `OverFeatMaps`.

    Raises:
        ValueError: images smaller than the window.

    >>> from jaxnets.models.overfeat import overfeat_accurate
    >>> windows = overfeat_windows(overfeat_accurate(offsets=3), (281, 317))
    >>> windows.shape, windows[1, 2].tolist()
    ((6, 9, 4), [24.0, 12.0, 245.0, 233.0])
    """
    side, stride = window_of(network)
    counts = []
    for length in size:
        for i, row in enumerate(network.layers, start=1):
            length = (length + 2 * row.padding - row.kernel) // row.stride + 1
            if i == len(network.layers):
                length = (length - network.offsets + 1) // max(row.pool, 1)
            elif row.pool:
                length //= row.pool
        counts.append(network.offsets * (length - network.fc_window + 1))
    if min(counts) < 1:
        raise ValueError(f"size: got {size}; expected at least {side} pixels each way")
    top, left = np.meshgrid(*(stride * np.arange(n) for n in counts), indexing="ij")
    return np.stack([left, top, left + side, top + side], -1).astype(np.float32)


def overfeat_losses(
    outputs: OverFeatMaps,
    batch: Mapping[str, Any],
    windows: np.ndarray | jax.Array,
    *,
    high: float = 0.5,
) -> dict[str, tuple[jax.Array, jax.Array]]:
    """Cross entropy of the windows' classes, and the squared error of the boxes, as (sum, count).

    A window stands for the object that it overlaps most, from an IoU of ½ on; each object has one
    at least. Of the others those that are mistaken most are background, three to each of these.

    Args:
        outputs: of a dense `OverFeat` with ``box_widths``; class 0 is the background.
        batch: ``boxes (N, M, 4)``, ``box_label (N, M)`` from 0, without background, ``box_mask``
            and perhaps ``example_mask (N,)``.
        windows: of `overfeat_windows`, or of several scales, (P, 4).
        high: IoU from which on a window stands for an object.

    Returns:
        ``loss_classifier`` and ``loss_box_reg``; an image without objects teaches its background.

    Raises:
        ValueError: outputs without boxes, or shapes that do not fit.

    Source: Sermanet et al. 2013, section 4.2: a squared error; section 5: negatives are chosen
    while training.

    >>> maps = OverFeatMaps(jnp.zeros((1, 1, 1, 2)), jnp.zeros((1, 1, 1, 2, 4)))
    >>> batch = {"boxes": jnp.array([[[0.0, 0, 4, 8]]]), "box_label": jnp.zeros((1, 1), int)}
    >>> batch |= {"box_mask": jnp.ones((1, 1))}
    >>> losses = overfeat_losses(maps, batch, jnp.array([[[0.0, 0, 8, 8]]]))
    >>> [(round(float(a), 3), int(n)) for a, n in losses.values()]
    [(0.693, 1), (1.25, 1)]
    """
    if outputs.boxes is None:
        raise ValueError("overfeat_losses: outputs without boxes; expected a network's with them")
    objects, there = objects_of(batch)
    windows = jnp.asarray(windows, jnp.float32).reshape(-1, 4)
    classes = outputs.logits.shape[-1]
    logits = outputs.logits.reshape(len(there), -1, classes)
    corners = outputs.boxes.reshape(*logits.shape, 4)

    def one(logits, corners, objects: Objects):
        overlap = boxes.iou(objects.boxes, windows)
        matched = boxes.match(overlap, high=high, low=high, mask=objects.mask, keep_best=True)
        positive = matched >= 0
        label = jnp.where(positive, objects.labels[jnp.maximum(matched, 0)] + 1, 0)
        cross = -jnp.take_along_axis(jax.nn.log_softmax(logits), label[:, None], 1)[:, 0]
        counted = positive | boxes.hard_negatives(cross, matched, ratio=RATIO, at_least=AT_LEAST)
        wanted = _to_window(objects.boxes[jnp.maximum(matched, 0)], windows)
        own = jnp.take_along_axis(corners, label[:, None, None], 1)[:, 0]
        error = jnp.where(positive[:, None], (own - wanted) ** 2, 0.0)
        return jnp.where(counted, cross, 0.0).sum(), counted.sum(), error.sum(), positive.sum()

    sums = jax.vmap(one)(logits, corners, objects)
    cross, counted, error, positive = (jnp.where(there, each, 0).sum() for each in sums)
    return {"loss_classifier": (cross, counted), "loss_box_reg": (error, positive)}


def overfeat_detections(
    outputs: OverFeatMaps,
    windows: np.ndarray | jax.Array,
    *,
    size: tuple[int, int],
    min_score: float = 0.5,
    threshold: float = 0.5,
    candidates: int = 200,
    max_outputs: int = 50,
) -> boxes.Detections:
    """The boxes that places agree on, of each image of a batch.

    Every place gives the box of its likeliest class, where that is no background and likely enough;
    those of each class are merged on the host, and their probabilities added.

    Args:
        outputs: of a dense `OverFeat` with ``box_widths``; class 0 is the background.
        windows: of `overfeat_windows`.
        size: height and width of the images.
        min_score: a place's probability is above it.
        threshold: of `jaxnets.ops.boxes.greedy_merge`.
        candidates: of an image, so many places at most, the likeliest, are merged.
        max_outputs: D, boxes of an image at most.

    Returns:
        `jaxnets.ops.boxes.Detections` (N, D, …), by falling score, a sum of probabilities; index is
        0.

    Raises:
        ValueError: outputs without boxes.

    Source: Sermanet et al. 2013, section 4.3.

    >>> maps = OverFeatMaps(jnp.array([[[[0.0, 9.0]]]]), jnp.full((1, 1, 1, 2, 4), 0.5))
    >>> found = overfeat_detections(maps, jnp.array([[[0.0, 0, 8, 8]]]), size=(8, 8))
    >>> found.boxes[0, 0].tolist(), int(found.mask.sum())
    ([4.0, 4.0, 4.0, 4.0], 1)
    """
    if outputs.boxes is None:
        raise ValueError("overfeat_detections: outputs without boxes; expected a network's with")
    windows = jnp.asarray(windows, jnp.float32).reshape(-1, 4)
    count, classes = len(outputs.logits), outputs.logits.shape[-1]
    chances = jax.nn.softmax(outputs.logits).reshape(count, -1, classes)
    corners = outputs.boxes.reshape(*chances.shape, 4)
    few = min(candidates, len(windows))

    def likeliest(chances, corners):
        label = chances.argmax(-1)
        score = jnp.take_along_axis(chances, label[:, None], 1)[:, 0]
        score, place = lax.top_k(jnp.where((label > 0) & (score > min_score), score, 0.0), few)
        own = jnp.take_along_axis(corners[place], label[place][:, None, None], 1)[:, 0]
        start, sides = windows[place, :2], windows[place, 2:] - windows[place, :2]
        own = own.reshape(-1, 2, 2) * sides[:, None] + start[:, None]
        return boxes.clip(own.reshape(-1, 4), size), score, label[place].astype(jnp.int32) - 1

    one = (max_outputs,)
    shapes = (((4,), jnp.float32), ((), jnp.float32), ((), jnp.int32), ((), jnp.bool_))
    wanted = [jax.ShapeDtypeStruct((count, *one, *shape), kind) for shape, kind in shapes]
    merge = partial(_merge, threshold=threshold, max_outputs=max_outputs)
    given = lax.stop_gradient(jax.vmap(likeliest)(chances, corners))
    merged, scores, labels, mask = jax.pure_callback(
        merge, wanted, *given, vmap_method="sequential"
    )
    return boxes.Detections(merged, scores, labels, mask, jnp.zeros((count, *one), jnp.int32))


def _merge(corners, scores, labels, *, threshold, max_outputs):
    """Of each image the merged boxes of each class, padded."""
    corners, scores, labels = (np.asarray(each) for each in (corners, scores, labels))
    count = len(corners)
    boxes_out = np.zeros((count, max_outputs, 4), np.float32)
    scores_out = np.zeros((count, max_outputs), np.float32)
    labels_out = np.zeros((count, max_outputs), np.int32)
    for i in range(count):
        rows = []
        for k in np.unique(labels[i][scores[i] > 0]):
            here = (labels[i] == k) & (scores[i] > 0)
            merged = boxes.greedy_merge(corners[i][here], scores[i][here], threshold=threshold)
            rows += [(score, k, box) for box, score in zip(*merged, strict=True)]
        rows.sort(key=lambda row: -row[0])
        for place, (score, k, box) in enumerate(rows[:max_outputs]):
            boxes_out[i, place], scores_out[i, place], labels_out[i, place] = box, score, k
    return boxes_out, scores_out, labels_out, scores_out > 0


def _to_window(corners, windows):
    """Corners in units of windows."""
    sides = windows[:, 2:] - windows[:, :2]
    relative = corners.reshape(-1, 2, 2) - windows[:, None, :2]
    return (relative / sides[:, None]).reshape(-1, 4)
