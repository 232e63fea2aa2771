"""A thousand random sets of boxes, and of regions of small maps, from NumPy's frozen stream.

`make_boxes.py` gives them to torchvision and the tests to jaxnets; only results are stored. The
sets are of the kinds that are easy to get wrong: whole pixels, whose overlaps equal a threshold
exactly; equal scores; copies; boxes without width; none at all; boxes outside of the map.
"""

import zlib

import numpy as np

SETS = 1000
MOST = 48  # boxes of a set
THRESHOLDS = (0.3, 0.45, 0.5, 0.7)
LARGE_SETS = 4
LARGE = 400  # boxes of a large set
MAP = (5, 7, 2)
REGIONS = 3
CELLS = 3


def boxes_of(draw, count, kind):
    corners = draw.uniform(0, 40, (count, 2))
    sides = draw.uniform(1, 30, (count, 2))
    if kind % 3 == 1:
        corners, sides = np.floor(corners / 4) * 4, np.ceil(sides / 6) * 6
    if kind % 5 == 2:
        sides[draw.uniform(size=count) < 0.2, kind % 2] = 0
    if kind % 5 == 3 and count > 3:
        corners[: count // 3], sides[: count // 3] = corners[-1], sides[-1]
    return np.concatenate([corners, corners + sides], 1).astype(np.float32)


def suppression_set(number, count=None):
    """boxes (n, 4), scores (n,), classes (n,); scores are equal here and there in some sets."""
    draw = np.random.RandomState(1_000_000 + number)
    count = draw.randint(0, MOST + 1) if count is None else count
    boxes = boxes_of(draw, count, number)
    scores = draw.permutation(count).astype(np.float32) / max(count, 1)
    distinct = scores.copy()
    if number % 4 == 1:
        scores = np.floor(scores * 5) / 5
    return boxes, scores.astype(np.float32), distinct, draw.randint(0, 3, count)


def large_set(number):
    return suppression_set(500_000 + 3 * number, LARGE)


def checksum(kept):
    """Of indices in their order: the number of them, and CRC-32."""
    kept = np.ascontiguousarray(kept, np.int32)
    return len(kept), zlib.crc32(kept.tobytes())


def region_set(number):
    """A map (H, W, C), regions (R, 4), a weight of every output and one of every input, float64."""
    draw = np.random.RandomState(2_000_000 + number)
    height, width, channels = MAP
    features = draw.standard_normal(MAP)
    if number % 4 == 1:
        features = np.maximum(np.round(features), 0)  # maxima that are not unique
    corners = draw.uniform(-3, 12, (REGIONS, 2)) * (width / 7, height / 7)
    sides = draw.uniform(0, 9, (REGIONS, 2))
    if number % 3 == 1:
        corners, sides = np.round(corners), np.round(sides)
    if number % 5 == 2:
        sides[0] = 0
    if number % 7 == 3:
        corners[1] += 40  # outside
    regions = np.concatenate([corners, corners + sides], 1)
    shape = (REGIONS, CELLS, CELLS, channels)
    return features, 2.0 * regions, draw.standard_normal(shape), draw.standard_normal(MAP)
