"""Boxes that may hold an object, found without a network: on the host, in NumPy and SciPy.

`selective_search` segments an image, then groups the segments from small to large; every region
that arises is a proposal. `grow_boxes` is the simplest search of the kind: a box grows until
nothing touches it any more.
"""

from jaxnets.data.proposals.color_spaces import COLOR_SPACES, to_color_space
from jaxnets.data.proposals.graph_segmentation import segment_graph
from jaxnets.data.proposals.grouping import RegionTree, group_regions
from jaxnets.data.proposals.growing import grow_box, grow_boxes, objectness
from jaxnets.data.proposals.region_features import (
    SIMILARITIES,
    Regions,
    describe_regions,
    neighbors,
    similarity,
)
from jaxnets.data.proposals.selective_search import MODES, Strategies, selective_search

__all__ = [
    "COLOR_SPACES",
    "MODES",
    "SIMILARITIES",
    "RegionTree",
    "Regions",
    "Strategies",
    "describe_regions",
    "group_regions",
    "grow_box",
    "grow_boxes",
    "neighbors",
    "objectness",
    "segment_graph",
    "selective_search",
    "similarity",
    "to_color_space",
]
