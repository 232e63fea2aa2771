"""The four design principles of the Inception papers, as checks on any network.

Source: Szegedy, Vanhoucke, Ioffe, Shlens, Wojna, "Rethinking the Inception Architecture for
Computer Vision", 2015, section 2. The paper words them as advice, without numbers:
the limits here are ours, and each says where it comes from.
"""

import dataclasses
import itertools
import math
from collections import defaultdict
from collections.abc import Sequence

import flax.linen as nn

from jaxnets.inspect.layer import Layer, Trace
from jaxnets.inspect.table import trace

# The paper's own example of a bottleneck, figure 9 on the left, pools 35×35×320 to 17×17×320 and
# only then widens to 640: squeezed 2.0 times. The tightest place of the networks that it holds up,
# GoogLeNet (in front of 4a) and Inception-v3 (in front of its last two modules), is 1.6.
SQUEEZE_LIMIT = 1.8
# Basic blocks, VGG: all of it at full width, 1.0. ResNet-50: 0.1. GoogLeNet and v3: 0.4.
FULL_WIDTH_LIMIT = 0.5
# ResNet-152 has 0.70 of its arithmetic at 14×14, the most of the networks that do well.
STAGE_LIMIT = 0.75


@dataclasses.dataclass(frozen=True)
class Check:
    """What one principle says of a network.

    Attributes:
        principle: its number and name.
        holds: whether ``value`` keeps to ``limit``; always so where there is nothing to check.
        value, limit: see ``meaning``.
        meaning: what the value is, in words.
        where: the layer with the largest value.

    >>> check = check_principles("lenet5")[2]
    >>> print(f"{check.principle}: {check.value:.0%} of at most {check.limit:.0%}, {check.where}")
    3 aggregate over embeddings: 100% of at most 50%, c3
    >>> check.holds
    False
    """

    principle: str
    holds: bool
    value: float
    limit: float
    meaning: str
    where: str


@dataclasses.dataclass(frozen=True)
class Stage:
    """All layers that work at one resolution.

    Attributes:
        resolution: (height, width) of the maps.
        depth: convolutions there.
        width: the most channels of a map that everything passes through, else of any map.
        parameters, macs: of those layers.

    >>> from jaxnets.inspect import layer_table
    >>> stages(layer_table("lenet5"))[0]
    Stage(resolution=(28, 28), depth=1, width=6, parameters=156, macs=117600)
    """

    resolution: tuple[int, int]
    depth: int
    width: int
    parameters: int
    macs: int


def check_principles(
    model: "nn.Module | str", input_shape: Sequence[int] | None = None
) -> list[Check]:
    """Hold a network against the four principles, without initializing or running it.

    1. *No representational bottleneck*: no map that everything passes through is much smaller than
       both what came before it and what is made of it again.
    2. *Higher-dimensional representations are easier to process locally*: channels do not become
       fewer where the resolution falls.
    3. *Spatial aggregation over lower-dimensional embeddings*: most of the arithmetic of windows
       larger than 1×1 sees fewer channels than the trunk has.
    4. *Balance of width and depth*: no single resolution takes nearly all of the arithmetic.

    Args:
        model: a registered name or a network.
        input_shape: (H, W, C) of one image; for a name the default is its published input.

    Returns:
        Four checks. They are advice: VGG breaks the third and is a good network all the same.

    Raises:
        UnknownNameError: no such network.
        ValueError: a network without ``input_shape``.

    Source: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", 2015,
    section 2; the limits are ours.

    >>> [check.holds for check in check_principles("googlenet")]
    [True, True, True, True]
    >>> [check.holds for check in check_principles("vgg16")]
    [True, True, False, True]
    """
    return checks_of(trace(model, input_shape))


def checks_of(traced: Trace) -> list[Check]:
    """`check_principles` for a network that has been traced already.

    Args:
        traced: of `trace` or `trace_network`.

    Returns:
        Four checks, in the order of the principles.

    >>> for check in checks_of(trace("lenet5")):
    ...     print(f"{check.principle}: {check.value:.2f} {'holds' if check.holds else 'is broken'}")
    1 no representational bottleneck: 0.87 holds
    2 wider where coarser: 1.00 holds
    3 aggregate over embeddings: 1.00 is broken
    4 width and depth in balance: 0.67 holds
    """
    return [_bottleneck(traced), _widening(traced), _embedding(traced), _balance(traced)]


def stages(layers: Sequence[Layer]) -> list[Stage]:
    """Width, depth and cost at each resolution of a layer table, from fine to coarse.

    Args:
        layers: of `layer_table`. Only convolutions whose maps have more than one position count.

    Returns:
        One `Stage` for each (height, width).

    >>> from jaxnets.inspect import layer_table
    >>> [(stage.resolution, stage.width, stage.macs) for stage in stages(layer_table("lenet5"))]
    [((28, 28), 6, 117600), ((10, 10), 16, 240000)]
    """
    grouped: dict[tuple[int, int], list[Layer]] = defaultdict(list)
    for layer in layers:
        if layer.kind == "conv" and len(layer.shape) == 3 and max(layer.shape[:2]) > 1:
            grouped[layer.shape[:2]].append(layer)
    return [
        Stage(
            resolution,
            depth=len(rows),
            width=max(row.shape[-1] for row in rows),
            parameters=sum(row.parameters for row in rows),
            macs=sum(row.macs for row in rows),
        )
        for resolution, rows in sorted(grouped.items(), reverse=True)
    ]


def _bottleneck(traced: Trace) -> Check:
    """squeeze = min(least before, most after) / size, over the maps that everything passes.

    "Least before" begins with the input: a map as large as the input can hold all that is in it,
    however large the maps in front of it were. "Most after": without a larger map behind it a small
    one is no bottleneck but the slow decrease that the principle asks for.
    """
    sizes = [(name, math.prod(shape)) for name, shape in traced.trunk]
    worst, where = 0.0, sizes[0][0]
    for i in range(1, len(sizes) - 1):
        before = min(size for _, size in sizes[:i])
        after = max(size for _, size in sizes[i + 1 :])
        squeeze = min(before, after) / sizes[i][1]
        if squeeze > worst:
            worst, where = squeeze, sizes[i][0]
    return Check(
        "1 no representational bottleneck",
        worst <= SQUEEZE_LIMIT,
        worst,
        SQUEEZE_LIMIT,
        "how much smaller the tightest map is than those before and behind it",
        where,
    )


def _widening(traced: Trace) -> Check:
    last: dict[tuple[int, ...], tuple[str, int]] = {}
    for name, shape in traced.trunk[1:]:
        last[shape[:-1]] = (name, shape[-1])
    ends = list(last.values())
    worst, where = 0.0, ends[0][0] if ends else ""
    for (_, before), (name, channels) in itertools.pairwise(ends):
        if before / channels > worst:
            worst, where = before / channels, name
    return Check(
        "2 wider where coarser",
        worst <= 1,
        worst,
        1.0,
        "most channels at one resolution against those at the next coarser one",
        where,
    )


def _embedding(traced: Trace) -> Check:
    spatial = [row for row in traced.layers if row.kind == "conv" and max(row.window) > 1]
    full = [row for row in spatial if row.fan_in >= row.trunk]
    macs = sum(row.macs for row in spatial)
    share = sum(row.macs for row in full) / macs if macs else 0.0
    costliest = max(full, key=lambda row: row.macs, default=None)
    return Check(
        "3 aggregate over embeddings",
        share <= FULL_WIDTH_LIMIT,
        share,
        FULL_WIDTH_LIMIT,
        "share of the windowed arithmetic that sees all channels of the trunk",
        costliest.name if costliest else "",
    )


def _balance(traced: Trace) -> Check:
    parts = stages(traced.layers)
    total = sum(stage.macs for stage in parts)
    costliest = max(parts, key=lambda stage: stage.macs, default=None)
    share = costliest.macs / total if total and len(parts) > 1 else 0.0
    return Check(
        "4 width and depth in balance",
        share <= STAGE_LIMIT,
        share,
        STAGE_LIMIT,
        "largest share of the convolutions' arithmetic at one resolution",
        "×".join(map(str, costliest.resolution)) if costliest else "",
    )
