"""Selective search: a few thousand boxes that hold nearly every object of an image.

Source: Uijlings, van de Sande, Gevers, Smeulders, "Selective Search for Object Recognition", 2013.
"""

from typing import Final, NamedTuple

import numpy as np

from jaxnets.data.proposals.color_spaces import to_color_space
from jaxnets.data.proposals.graph_segmentation import segment_graph
from jaxnets.data.proposals.grouping import group_regions
from jaxnets.data.proposals.region_features import describe_regions, neighbors
from jaxnets.errors import JaxnetsError, UnknownNameError


class Strategies(NamedTuple):
    """Ways to group an image; every combination gives regions of its own.

    Attributes:
        color_spaces: of `jaxnets.data.proposals.COLOR_SPACES`.
        measures: sets of `jaxnets.data.proposals.SIMILARITIES`.
        sizes: k of the first segments, in gray levels.

    >>> strategies = MODES["quality"]
    >>> len(strategies.color_spaces) * len(strategies.measures) * len(strategies.sizes)
    80
    """

    color_spaces: tuple[str, ...]
    measures: tuple[tuple[str, ...], ...]
    sizes: tuple[float, ...]


_ALL: Final = ("color", "texture", "size", "fill")
# Table 5 of the paper.
MODES: Final = {
    "single": Strategies(("hsv",), (_ALL,), (100.0,)),
    "fast": Strategies(("hsv", "lab"), (_ALL, _ALL[1:]), (50.0, 100.0)),
    "quality": Strategies(
        ("hsv", "lab", "rgi", "hue", "gray"),
        (_ALL, _ALL[1:], ("fill",), ("size",)),
        (50.0, 100.0, 150.0, 300.0),
    ),
}


def selective_search(
    image: np.ndarray,
    *,
    mode: str | Strategies = "fast",
    max_boxes: int | None = None,
    min_side: float = 1.0,
    scale: float = 1.0,
    seed: int = 0,
) -> np.ndarray:
    """Boxes that may hold an object, the likeliest first.

    For each color space and each k the image is segmented once; each set of similarities groups the
    segments into a tree, and every region of every tree gives its box. The i-th region from the
    top of a tree gets the rank i·u, u drawn from [0, 1); boxes are sorted by it, and equal ones
    kept once.

    Args:
        image: (H, W, 3), sRGB gray levels 0 … 255 of any dtype.
        mode: "single" (one strategy), "fast" (8), "quality" (80), or strategies of one's own.
        max_boxes: the first so many; None: all.
        min_side: boxes are at least so wide and high, in pixels.
        scale: enlarges k, and with it the first segments: 2 gives about half as many boxes, as
            GoogLeNet's authors take them.
        seed: of the ranks.

    Returns:
        float32 (n, 4), corners in pixels.

    Raises:
        JaxnetsError: an image of another shape, or a scale that is not positive.
        UnknownNameError: an unknown mode.

    Source: Uijlings et al. 2013, sections 3 and 5.4.

    >>> image = np.zeros((40, 60, 3), np.uint8); image[10:30, 20:50] = (200, 40, 40)
    >>> boxes = selective_search(image, mode="single")
    >>> [20.0, 10.0, 50.0, 30.0] in boxes.tolist()
    True
    """
    if isinstance(mode, str):
        if mode not in MODES:
            raise UnknownNameError("mode of selective search", mode, MODES)
        mode = MODES[mode]
    if image.ndim != 3 or image.shape[-1] != 3 or 0 in image.shape:
        raise JaxnetsError(f"image: got shape {image.shape}; expected (H, W, 3) with pixels")
    if not scale > 0:
        raise JaxnetsError(f"scale: got {scale}; expected a number above 0")
    rng = np.random.default_rng(seed)
    found, ranks = [], []
    for space in mode.color_spaces:
        colors = to_color_space(image, space)
        for k in mode.sizes:
            labels = segment_graph(colors, k=scale * k, min_size=round(scale * k))
            regions, pairs = describe_regions(colors, labels), neighbors(labels)
            for measures in mode.measures:
                boxes = group_regions(regions, pairs, measures).boxes[::-1]
                found.append(boxes)
                ranks.append(np.arange(1, len(boxes) + 1) * rng.random(len(boxes)))
    boxes = np.concatenate(found)[np.argsort(np.concatenate(ranks), kind="stable")]
    boxes = boxes[((boxes[:, 2:] - boxes[:, :2]) >= min_side).all(1)]
    first = np.sort(np.unique(boxes, axis=0, return_index=True)[1])
    return boxes[first[:max_boxes]].astype(np.float32)
