"""Felzenszwalb and Huttenlocher's segmentation: neighbors join where no edge is between them.

Source: Felzenszwalb, Huttenlocher, "Efficient Graph-Based Image Segmentation", 2004, algorithm 1.
"""

from array import array

import numpy as np

from jaxnets.errors import JaxnetsError

# Edges are looked at in so many parts; after each, those that can no longer join anything are
# left out at once.
PARTS = 32


def segment_graph(
    image: np.ndarray, *, k: float = 100.0, sigma: float = 0.8, min_size: int = 20
) -> np.ndarray:
    """The segments of an image, each as similar inside as its size allows.

    By rising difference w of neighboring pixels, two components A and B become one where
    w < min(Int(A) + k/|A|, Int(B) + k/|B|); Int is the largest difference that joined one. Then
    components of less than ``min_size`` pixels join the neighbor that differs least.

    A component whose Int + k/size is at most w never grows again, as w only rises: pairs with such
    a one, or within one component, are left out by NumPy, many at a time.

    Args:
        image: (H, W, C), gray levels 0 … 255 of any dtype.
        k: a larger one gives larger segments.
        sigma: of the Gaussian that smooths the image first, in pixels; 0: none.
        min_size: no segment has fewer pixels.

    Returns:
        int32 (H, W), numbers from 0 in the order of reading.

    Raises:
        JaxnetsError: an image without three axes or without pixels, or numbers below 0.

    Source: Felzenszwalb, Huttenlocher 2004, section 3.

    >>> image = np.zeros((6, 8, 1)); image[:, 4:] = 90
    >>> segment_graph(image, k=20, sigma=0, min_size=1)[0].tolist()
    [0, 0, 0, 0, 1, 1, 1, 1]
    """
    if image.ndim != 3 or 0 in image.shape:
        raise JaxnetsError(f"image: got shape {image.shape}; expected (H, W, C) with pixels")
    if min(k, sigma, min_size) < 0:
        raise JaxnetsError(f"k, sigma, min_size: got {k}, {sigma}, {min_size}; expected 0 or more")
    from scipy import ndimage

    smooth = np.asarray(image, np.float64)
    if sigma:
        smooth = ndimage.gaussian_filter(smooth, (sigma, sigma, 0))
    costs, first, second = _edges(smooth)
    parent, size = _join_similar(costs, first, second, k, image.shape[0] * image.shape[1])
    _join_small(first, second, parent, size, min_size)
    numbers = np.unique(_roots(parent), return_inverse=True)[1]
    return numbers.reshape(image.shape[:2]).astype(np.int32)


def _edges(image):
    """Differences between all neighbors, eight to a pixel, by rising difference, and both ends."""
    height, width = image.shape[:2]
    place = np.arange(height * width).reshape(height, width)
    ends = [
        (np.s_[:, 1:], np.s_[:, :-1]),
        (np.s_[1:], np.s_[:-1]),
        (np.s_[1:, 1:], np.s_[:-1, :-1]),
        (np.s_[1:, :-1], np.s_[:-1, 1:]),
    ]
    parts = [np.sqrt(((image[a] - image[b]) ** 2).sum(-1)).ravel() for a, b in ends]
    costs = np.concatenate(parts)
    order = np.argsort(costs, kind="stable")
    first, second = (np.concatenate([place[e[i]].ravel() for e in ends])[order] for i in (0, 1))
    return costs[order], first, second


def _join_similar(costs, first, second, k, count):
    """The forest of components: the parent of each pixel, and the size of each root."""
    # Python reads and writes these quickly one by one, NumPy all at once.
    parent, size = array("q", range(count)), array("q", [1]) * count
    limit = array("d", [k]) * count  # Int + k/size
    roots = np.arange(count)
    step = max(1, -(-len(costs) // PARTS))
    for start in range(0, len(costs), step):
        part = slice(start, start + step)
        a, b = roots[first[part]], roots[second[part]]
        growing = np.frombuffer(limit) > costs[start]
        kept = (a != b) & growing[a] & growing[b]
        rows = zip(costs[part][kept].tolist(), a[kept].tolist(), b[kept].tolist(), strict=True)
        for cost, u, v in rows:
            while parent[u] != u:
                parent[u] = u = parent[parent[u]]
            while parent[v] != v:
                parent[v] = v = parent[parent[v]]
            if u != v and cost < limit[u] and cost < limit[v]:
                if v < u:
                    u, v = v, u
                parent[v] = u
                size[u] += size[v]
                limit[u] = cost + k / size[u]
        roots = _roots(parent)
    return parent, size


def _join_small(first, second, parent, size, min_size):
    """Join what is too small with its most similar neighbor; changes ``parent`` and ``size``."""
    roots, sizes = _roots(parent), np.frombuffer(size, np.int64)
    a, b = roots[first], roots[second]
    # Sizes only grow: what is large enough on both sides now will not be joined.
    kept = (a != b) & (np.minimum(sizes[a], sizes[b]) < min_size)
    for u, v in zip(a[kept].tolist(), b[kept].tolist(), strict=True):
        while parent[u] != u:
            parent[u] = u = parent[parent[u]]
        while parent[v] != v:
            parent[v] = v = parent[parent[v]]
        if u != v and (size[u] < min_size or size[v] < min_size):
            if v < u:
                u, v = v, u
            parent[v] = u
            size[u] += size[v]


def _roots(parent):
    """The root of each pixel's component, which becomes the parent of all its pixels."""
    found = np.frombuffer(parent, np.int64)
    while True:
        above = found[found]
        if np.array_equal(above, found):
            return above
        found[:] = above
