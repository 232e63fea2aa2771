"""Writes boxes.npz: what torchvision makes of a thousand sets of boxes and of regions.

Needs torch and torchvision, which the tests do not: ``python tests/golden/make_boxes.py``. Last run
with torch 2.13.0 (CPU), torchvision 0.28.0, numpy 2.4.

The sets are those of `box_sets.py`. Of suppression (float32) a count and a checksum of the kept
indices are stored for every set and threshold. Of RoIAlign and RoIPool (float64) the result times a
random weight, and its gradient times another. Of overlaps, coders, matching, anchors, levels and
pasted masks the arrays.
"""

import contextlib
from pathlib import Path

import box_sets
import numpy as np
import torch

with contextlib.suppress(ImportError):  # a torchvision made for another build of torch
    import tvshim  # noqa: F401
from torchvision import ops
from torchvision.models.detection import _utils as det
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.ops.boxes import _batched_nms_vanilla
from torchvision.ops.poolers import LevelMapper

arrays: dict[str, np.ndarray] = {}


def t(array):
    return torch.from_numpy(np.ascontiguousarray(array))


def suppression(sets):
    kept = np.zeros((len(sets), 4, 2), np.int64)
    by_class = np.zeros((len(sets), 4, 2), np.int64)
    for i, (boxes, scores, distinct, classes) in enumerate(sets):
        for j, threshold in enumerate(box_sets.THRESHOLDS):
            kept[i, j] = box_sets.checksum(ops.nms(t(boxes), t(scores), threshold).numpy())
            # The other way of batched_nms moves the boxes of each class, and rounds.
            indices = _batched_nms_vanilla(t(boxes), t(distinct), t(classes), threshold)
            by_class[i, j] = box_sets.checksum(indices.numpy())
    return kept, by_class


arrays["nms"], arrays["nms_by_class"] = suppression(
    [box_sets.suppression_set(i) for i in range(box_sets.SETS)]
)
arrays["nms_large"], arrays["nms_large_by_class"] = suppression(
    [box_sets.large_set(i) for i in range(box_sets.LARGE_SETS)]
)


def region_results(function):
    results = np.zeros((box_sets.SETS, 2))
    for i in range(box_sets.SETS):
        features, regions, out_weight, in_weight = map(t, box_sets.region_set(i))
        x = features.permute(2, 0, 1)[None].contiguous().requires_grad_()
        y = function(x, [regions]).permute(0, 2, 3, 1)
        total = (y * out_weight).sum()
        (gradient,) = torch.autograd.grad(total, x)
        results[i] = total.item(), (gradient[0].permute(1, 2, 0) * in_weight).sum().item()
    return results


for aligned in (False, True):
    for samples in (1, 2, None):
        arrays[f"roi_align_{aligned}_{samples}"] = region_results(
            lambda x, r, a=aligned, s=samples: ops.roi_align(
                x, r, box_sets.CELLS, spatial_scale=0.5, sampling_ratio=s or -1, aligned=a
            )
        )
arrays["roi_pool"] = region_results(lambda x, r: ops.roi_pool(x, r, box_sets.CELLS, 0.5))

draw = np.random.RandomState(0)
corners = draw.uniform(0, 50, (7, 2))
a = np.concatenate([corners, corners + draw.uniform(2, 30, (7, 2))], 1)
corners = draw.uniform(0, 50, (9, 2))
b = np.concatenate([corners, corners + draw.uniform(2, 30, (9, 2))], 1)
arrays["a"], arrays["b"] = a, b
arrays["iou"] = ops.box_iou(t(a), t(b)).numpy()
arrays["generalized_iou"] = ops.generalized_box_iou(t(a), t(b)).numpy()
arrays["distance_iou"] = ops.distance_box_iou(t(a), t(b), eps=0.0).numpy()
arrays["complete_iou"] = ops.complete_box_iou(t(a), t(b), eps=0.0).numpy()
x = t(a).requires_grad_()
loss = ops.complete_box_iou_loss(x, t(b[:7]), reduction="sum", eps=0.0)
arrays["complete_iou_gradient"] = torch.autograd.grad(loss, x)[0].numpy()
coder = det.BoxCoder((10.0, 10.0, 5.0, 5.0))
arrays["deltas"] = coder.encode_single(t(a), t(b[:7])).numpy()
wild = draw.standard_normal((7, 4)) * (5, 5, 20, 20)
arrays["wild"] = wild
arrays["decoded"] = coder.decode_single(t(wild), t(b[:7])).numpy()
linear = det.BoxLinearCoder(normalize_by_size=True)
arrays["distances"] = linear.encode(t(b[:7]), t(a)).numpy()
arrays["from_distances"] = linear.decode(t(np.abs(wild)), t(b[:7])).numpy()
quality = np.round(draw.uniform(0, 1, (5, 40)) ** 2, 2)
arrays["quality"] = quality
for best in (False, True):
    arrays[f"matched_{best}"] = det.Matcher(0.7, 0.3, best)(t(quality)).numpy()
arrays["matched_ssd"] = det.SSDMatcher(0.5)(t(quality)).numpy()
images = ImageList(torch.zeros(1, 3, 64, 96), [(64, 96)])
maps = [torch.zeros(1, 1, 8, 12), torch.zeros(1, 1, 4, 6)]
anchors = AnchorGenerator(((32, 64), (128, 256)), ((0.5, 1.0, 2.0),) * 2)(images, maps)[0]
arrays["anchors"] = anchors.numpy().astype(np.int16)
grids = ((38, 38), (19, 19), (10, 10), (5, 5), (3, 3), (1, 1))
generator = DefaultBoxGenerator(
    [[2], [2, 3], [2, 3], [2, 3], [2], [2]],
    scales=[0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05],
    steps=[8, 16, 32, 64, 100, 300],
)
images = ImageList(torch.zeros(1, 3, 300, 300), [(300, 300)])
ssd = generator(images, [torch.zeros(1, 1, *grid) for grid in grids])[0].numpy()
arrays["ssd_count"] = np.array(len(ssd))
arrays["ssd_some"] = ssd[::97]
sizes = draw.uniform(5, 900, (50, 2))
arrays["level_boxes"] = np.concatenate([np.zeros((50, 2)), sizes], 1).astype(np.float32)
arrays["levels"] = LevelMapper(2, 5)([t(arrays["level_boxes"])]).numpy()
arrays["masks"] = draw.uniform(0, 1, (4, 6, 6)).astype(np.float32)
arrays["mask_boxes"] = np.float32(
    [[3.2, 4.1, 12.7, 11.9], [-4, -3, 6, 8], [8, 9, 30, 40], [5, 5, 5, 5]]
)
arrays["pasted"] = paste_masks_in_image(
    t(arrays["masks"])[:, None], t(arrays["mask_boxes"]), (16, 20)
)[:, 0].numpy()

np.savez_compressed(Path(__file__).with_name("boxes.npz"), **arrays)
