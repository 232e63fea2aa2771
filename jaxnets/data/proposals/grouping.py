"""From segments to a tree of regions: the two neighbors that fit best become one, again and again.

Source: Uijlings et al., "Selective Search for Object Recognition", 2013, algorithm 1.
"""

import heapq
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxnets.data.proposals.region_features import SIMILARITIES, Regions, similarity


class RegionTree(NamedTuple):
    """All regions that grouping passes through: n segments, then one more with each union.

    Attributes:
        boxes: float64 (2n − 1, 4), the tight box of each, corners in pixels.
        sizes: float64 (2n − 1,), pixels of each.
        children: int64 (n − 1, 2), which two regions each union is of.
        similarities: float64 (n − 1,), of the two.

    >>> RegionTree._fields
    ('boxes', 'sizes', 'children', 'similarities')
    """

    boxes: np.ndarray
    sizes: np.ndarray
    children: np.ndarray
    similarities: np.ndarray


def group_regions(
    regions: Regions, pairs: np.ndarray, measures: Sequence[str] = SIMILARITIES
) -> RegionTree:
    """Join the most similar neighbors until one region is left, the whole image.

    A union's histograms are the means of those of its two parts, weighted by their sizes, so that
    no pixel is looked at again.

    Args:
        regions: of an image, see `describe_regions`.
        pairs: integer (P, 2), which of them are neighbors, see `neighbors`.
        measures: what they are compared by, see `similarity`.

    Returns:
        `RegionTree`; of n regions that hang together, with n − 1 unions.

    Source: Uijlings et al. 2013, algorithm 1.

    >>> from jaxnets.data.proposals import describe_regions, neighbors
    >>> labels = np.array([[0, 0, 1, 2]] * 2)
    >>> image = np.array([[[0.0], [0], [200], [200]]] * 2)
    >>> tree = group_regions(describe_regions(image, labels), neighbors(labels), ["color"])
    >>> tree.children.tolist(), tree.boxes[-1].tolist()
    ([[1, 2], [0, 3]], [0.0, 0.0, 4.0, 2.0])
    """
    count = len(regions.sizes)
    rows = [np.concatenate([part, np.zeros((count - 1, *part.shape[1:]))]) for part in regions[:4]]
    known = Regions(*rows, area=regions.area)
    around: list[set[int]] = [set() for _ in range(2 * count - 1)]
    for a, b in pairs.tolist():
        around[a].add(b)
        around[b].add(a)
    values = similarity(known, pairs[:, 0], pairs[:, 1], measures)
    heap = [(-v, a, b) for v, (a, b) in zip(values.tolist(), pairs.tolist(), strict=True)]
    heapq.heapify(heap)
    alive = [True] * (2 * count - 1)
    children, joined = [], []
    new = count
    while heap:
        value, a, b = heapq.heappop(heap)
        if not (alive[a] and alive[b]):
            continue
        alive[a] = alive[b] = False
        children.append((a, b))
        joined.append(-value)
        _unite(known, a, b, new)
        mine = around[new] = {i for i in around[a] | around[b] if alive[i]}
        for i in mine:
            around[i].add(new)
        others = np.fromiter(sorted(mine), np.int64, len(mine))
        found = similarity(known, others, np.full(len(others), new), measures)
        for other, each in zip(others.tolist(), found.tolist(), strict=True):
            heapq.heappush(heap, (-each, other, new))
        new += 1
    unions = np.array(children, np.int64).reshape(-1, 2)
    return RegionTree(known.boxes[:new], known.sizes[:new], unions, np.array(joined))


def _unite(regions, a, b, new):
    """Write what is known of the union of two regions into row ``new``."""
    sizes = regions.sizes
    sizes[new] = sizes[a] + sizes[b]
    for rows in (regions.colors, regions.textures):
        rows[new] = (sizes[a] * rows[a] + sizes[b] * rows[b]) / sizes[new]
    regions.boxes[new, :2] = np.minimum(regions.boxes[a, :2], regions.boxes[b, :2])
    regions.boxes[new, 2:] = np.maximum(regions.boxes[a, 2:], regions.boxes[b, 2:])
