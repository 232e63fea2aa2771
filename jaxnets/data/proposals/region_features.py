"""What two regions of an image are compared by: color, texture, size, how they fill their box.

Source: Uijlings et al., "Selective Search for Object Recognition", 2013, section 3.2,
"Complementary Similarity Measures".
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from jaxnets.errors import UnknownNameError

COLOR_BINS: Final = 25
TEXTURE_BINS: Final = 10
DIRECTIONS: Final = 8
# Of the derivatives that texture is measured by.
SIGMA: Final = 1.0

SIMILARITIES: Final = ("color", "texture", "size", "fill")


class Regions(NamedTuple):
    """What is known of the n regions of an image.

    Attributes:
        sizes: float64 (n,), pixels of each.
        boxes: float64 (n, 4), the tight box of each, corners in pixels.
        colors: float64 (n, 25·C), a histogram of each channel; each row sums to 1.
        textures: float64 (n, 80·C), a histogram of each direction's derivative; likewise.
        area: pixels of the image.

    >>> regions = describe_regions(np.zeros((2, 4, 1)), np.array([[0, 0, 1, 1]] * 2))
    >>> regions.sizes.tolist(), regions.boxes.tolist()
    ([4.0, 4.0], [[0.0, 0.0, 2.0, 2.0], [2.0, 0.0, 4.0, 2.0]])
    """

    sizes: np.ndarray
    boxes: np.ndarray
    colors: np.ndarray
    textures: np.ndarray
    area: int


def describe_regions(image: np.ndarray, labels: np.ndarray) -> Regions:
    """Sizes, boxes and histograms of the segments of an image.

    Colors have 25 bins a channel. Texture: the derivative of a Gaussian, σ = 1, in eight
    directions, as far as it is positive, in ten bins up to the channel's largest.

    Args:
        image: (H, W, C), 0 … 255, as `to_color_space` makes it.
        labels: integer (H, W), numbers of regions from 0, each of which occurs.

    Returns:
        `Regions`.

    >>> image = np.zeros((2, 4, 1)); image[:, 2:] = 255
    >>> describe_regions(image, np.array([[0, 0, 1, 1]] * 2)).colors[:, [0, 24]].tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    from scipy import ndimage

    count, flat = int(labels.max()) + 1, labels.ravel()
    sizes = np.bincount(flat, minlength=count).astype(np.float64)
    slices = ndimage.find_objects(labels + 1)
    boxes = np.array([[c.start, r.start, c.stop, r.stop] for r, c in slices], np.float64)

    def histogram(values, bins, top):
        place = np.minimum((values * (bins / max(top, 1e-9))).astype(np.int64), bins - 1)
        found = np.bincount(flat * bins + place.ravel(), minlength=count * bins)
        return found.reshape(count, bins)

    channels = image.shape[-1]
    colors = [histogram(image[..., c], COLOR_BINS, 255.0) for c in range(channels)]
    textures = []
    for c in range(channels):
        down, across = (
            ndimage.gaussian_filter(image[..., c], SIGMA, order=order) for order in ((1, 0), (0, 1))
        )
        top = float(np.hypot(down, across).max())
        for angle in 2 * np.pi * np.arange(DIRECTIONS) / DIRECTIONS:
            slope = np.maximum(np.cos(angle) * across + np.sin(angle) * down, 0)
            textures.append(histogram(slope, TEXTURE_BINS, top))
    parts = (np.concatenate(h, 1) / sizes[:, None] for h in (colors, textures))
    rows = [part / part.sum(1, keepdims=True) for part in parts]
    return Regions(sizes, boxes, *rows, area=labels.size)


def neighbors(labels: np.ndarray) -> np.ndarray:
    """Pairs of regions that share a side of a pixel.

    Args:
        labels: integer (H, W), numbers of regions from 0.

    Returns:
        int64 (P, 2), each pair once, the smaller number first.

    >>> neighbors(np.array([[0, 0, 1], [2, 2, 1]])).tolist()
    [[0, 1], [0, 2], [1, 2]]
    """
    count = int(labels.max()) + 1
    sides = ((labels[:, 1:], labels[:, :-1]), (labels[1:], labels[:-1]))
    low = np.concatenate([np.minimum(a, b).ravel() for a, b in sides]).astype(np.int64)
    high = np.concatenate([np.maximum(a, b).ravel() for a, b in sides]).astype(np.int64)
    pairs = np.unique((low * count + high)[low != high])
    return np.stack([pairs // count, pairs % count], 1)


def similarity(
    regions: Regions, a: np.ndarray, b: np.ndarray, measures: Sequence[str] = SIMILARITIES
) -> np.ndarray:
    """How well pairs of regions fit together: the sum of the measures, each in [0, 1].

    "color" and "texture": the intersection of the histograms, Σ min(h_a, h_b). "size":
    1 − (|a| + |b|)/|image|, so that small regions join first. "fill": 1 − (|box around both| − |a|
    − |b|)/|image|, so that what lies within another joins it.

    Args:
        regions: of an image.
        a, b: integer (P,), numbers of regions.
        measures: some of `SIMILARITIES`.

    Returns:
        float64 (P,), in [0, number of measures].

    Raises:
        UnknownNameError: an unknown measure.

    Source: Uijlings et al. 2013, equations 1 to 6.

    >>> regions = describe_regions(np.zeros((2, 4, 1)), np.array([[0, 0, 1, 1]] * 2))
    >>> similarity(regions, np.array([0]), np.array([1]), ["color", "size", "fill"]).tolist()
    [2.0]
    """
    total = np.zeros(len(a))
    for name in measures:
        if name not in SIMILARITIES:
            raise UnknownNameError("similarity", name, SIMILARITIES)
        if name in ("color", "texture"):
            rows = regions.colors if name == "color" else regions.textures
            # Sums of fractions may end a rounding above 1.
            total += np.minimum(np.minimum(rows[a], rows[b]).sum(1), 1.0)
            continue
        both = regions.sizes[a] + regions.sizes[b]
        if name == "fill":
            one, other = regions.boxes[a], regions.boxes[b]
            low, high = np.minimum(one, other)[:, :2], np.maximum(one, other)[:, 2:]
            both = (high - low).prod(1) - both
        total += 1 - both / regions.area
    return total
