"""Boxes under jit: formats, overlaps, suppression, coders, anchors, matching and sampling.

A box is x1, y1, x2, y2 in pixels, with x1 ≤ x2 and y1 ≤ y2, in continuous coordinates: pixel
(row i, column j) covers [j, j + 1) × [i, i + 1). Images hold different numbers of objects, so
arrays are padded to M boxes and a mask says which are real; an image without objects is an ordinary
case everywhere. Shapes depend on shapes alone, so one program serves all images; `jax.vmap` adds a
batch.
"""

from jaxnets.ops.boxes.anchors import (
    cell_anchors,
    faster_rcnn_anchors,
    grid_anchors,
    ssd_anchors,
)
from jaxnets.ops.boxes.assignment import assign
from jaxnets.ops.boxes.coder import (
    decode,
    decode_distances,
    decode_grid,
    encode,
    encode_distances,
    encode_grid,
)
from jaxnets.ops.boxes.detections import Detections, select_detections
from jaxnets.ops.boxes.each_image import each_image
from jaxnets.ops.boxes.formats import FORMATS, area, clip, convert, scale
from jaxnets.ops.boxes.kmeans import Clusters, anchors_by_kmeans
from jaxnets.ops.boxes.matching import (
    BETWEEN,
    NONE,
    canonical_order,
    match,
    match_each_object,
)
from jaxnets.ops.boxes.merging import greedy_merge
from jaxnets.ops.boxes.nms import Kept, nms
from jaxnets.ops.boxes.overlap import complete_iou, distance_iou, generalized_iou, iou
from jaxnets.ops.boxes.sampling import Sample, hard_negatives, sample, sample_of
from jaxnets.ops.boxes.soft_nms import SoftKept, soft_nms

__all__ = [
    "BETWEEN",
    "FORMATS",
    "NONE",
    "Clusters",
    "Detections",
    "Kept",
    "Sample",
    "SoftKept",
    "anchors_by_kmeans",
    "area",
    "assign",
    "canonical_order",
    "cell_anchors",
    "clip",
    "complete_iou",
    "convert",
    "decode",
    "decode_distances",
    "decode_grid",
    "distance_iou",
    "each_image",
    "encode",
    "encode_distances",
    "encode_grid",
    "faster_rcnn_anchors",
    "generalized_iou",
    "greedy_merge",
    "grid_anchors",
    "hard_negatives",
    "iou",
    "match",
    "match_each_object",
    "nms",
    "sample",
    "sample_of",
    "scale",
    "select_detections",
    "soft_nms",
    "ssd_anchors",
]
