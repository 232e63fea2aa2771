"""Which elements of an earlier array one element of a later one sees, by the steps of a jaxpr."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

EVERYTHING = (0, -math.inf, math.inf)


@dataclasses.dataclass(frozen=True)
class Extent:
    """What is seen along one spatial axis: element i sees elements jump·i + low … jump·i + high.

    Attributes:
        axis: which axis of the later array walks along it; None: none does any more (it was pooled
            or flattened away), and ``jump`` is 0.
        jump, low, high: in elements of the earlier array, the padding around it included.

    >>> Extent(1, 2, -3, 3).moved(2, -1, 1)  # a 3×3 with stride 2 behind a 7×7 with stride 2
    Extent(axis=1, jump=4, low=-5, high=5)
    """

    axis: int | None
    jump: Any
    low: Any
    high: Any

    @property
    def size(self) -> Any:
        """Elements that are seen."""
        return self.high - self.low + 1

    def moved(self, stride: Any, low: Any, high: Any) -> "Extent":
        """Behind a step whose element i reads elements stride·i + low … stride·i + high of this."""
        return Extent(
            self.axis,
            self.jump * stride,
            self.low + self.jump * low,
            self.high + self.jump * high,
        )

    def collapsed(self, elements: int) -> "Extent":
        """Behind a step that takes all ``elements`` of the axis together."""
        return Extent(None, 0, self.low, self.high + self.jump * (elements - 1))

    def on(self, axis: int | None) -> "Extent":
        """The same on another axis of the array."""
        return dataclasses.replace(self, axis=axis)


def union(a: Extent, b: Extent) -> Extent:
    """What is seen by an element that is made of both.

    >>> union(Extent(1, 2, 0, 0), Extent(1, 2, 2, 2))
    Extent(axis=1, jump=2, low=0, high=2)
    """
    low, high = min(a.low, b.low), max(a.high, b.high)
    if a.axis == b.axis and a.jump == b.jump:
        return Extent(a.axis, a.jump, low, high)
    # A map and something that has been gathered from all of it (a squeeze-and-excite gate): no
    # single window says it, every element may see everything.
    axis = a.axis if a.axis is not None else b.axis
    return Extent(axis, max(a.jump, b.jump), -math.inf, math.inf)


Step = Callable[[Extent], Extent]


def step_of(eqn: Any, operand: int) -> Step:
    """How a primitive changes an extent, from its ``operand``-th input to its outputs.

    Args:
        eqn: an equation of a jaxpr without jaxprs inside.
        operand: which of its inputs.

    Returns:
        A function of the extent. What is not known comes out as seeing everything.
    """
    name, params = eqn.primitive.name, eqn.params
    shape = eqn.invars[operand].aval.shape
    maker = _MAKERS.get(name)
    if maker is not None:
        return maker(eqn, operand, params, shape)
    if "window_dimensions" in params and name.startswith("reduce_window"):
        return _window(eqn, operand, params, shape)
    if name.startswith(("cum", "sort", "fft", "rev")):
        return _anything
    if "axes" in params and name.startswith(("reduce_", "arg")):
        return _gone(shape, params["axes"])
    if eqn.outvars[0].aval.shape == shape:
        return lambda extent: extent
    return lambda extent: Extent(None, *EVERYTHING)


def _anything(extent: Extent) -> Extent:
    return Extent(extent.axis, *EVERYTHING)


def _conv(eqn, operand, params, shape) -> Step:
    spec = params["dimension_numbers"]
    if operand != 0:
        return lambda extent: Extent(None, *EVERYTHING)
    kernel = eqn.invars[1].aval.shape
    changes = {}
    for i, axis in enumerate(spec.lhs_spec[2:]):
        reach = (kernel[spec.rhs_spec[2 + i]] - 1) * int(params["rhs_dilation"][i])
        before, apart = int(params["padding"][i][0]), params["lhs_dilation"][i]
        stride = int(params["window_strides"][i])
        if apart == 1:
            changes[axis] = (spec.out_spec[2 + i], stride, -before, reach - before)
        else:
            low, high = -(before // apart), (reach - before) // apart
            changes[axis] = (spec.out_spec[2 + i], stride / apart, low, high)

    def step(extent: Extent) -> Extent:
        if extent.axis is None:
            return extent
        axis, *move = changes[extent.axis]
        return extent.moved(*move).on(axis)

    return step


def _window(eqn, operand, params, shape) -> Step:
    def step(extent: Extent) -> Extent:
        if (a := extent.axis) is None:
            return extent
        dilation = params.get("window_dilation") or (1,) * len(shape)
        reach = (params["window_dimensions"][a] - 1) * dilation[a]
        before = int(params["padding"][a][0])
        return extent.moved(params["window_strides"][a], -before, reach - before)

    return step


def _slice(eqn, operand, params, shape) -> Step:
    strides = params["strides"] or (1,) * len(shape)

    def step(extent: Extent) -> Extent:
        if (a := extent.axis) is None:
            return extent
        start = int(params["start_indices"][a])
        return extent.moved(int(strides[a]), start, start)

    return step


def _pad(eqn, operand, params, shape) -> Step:
    if operand != 0:
        return lambda extent: extent

    def step(extent: Extent) -> Extent:
        if extent.axis is None:
            return extent
        low, _, interior = map(int, params["padding_config"][extent.axis])
        if interior:
            return extent.moved(1 / (interior + 1), -low, -low)
        return extent.moved(1, -low, -low)

    return step


def _gone(shape: Sequence[int], axes: Sequence[int]) -> Step:
    def step(extent: Extent) -> Extent:
        a = extent.axis
        if a is None:
            return extent
        if a in axes:
            return extent.collapsed(shape[a])
        return extent.on(a - sum(other < a for other in axes))

    return step


def _squeeze(eqn, operand, params, shape) -> Step:
    return _gone(shape, params["dimensions"])


def _broadcast(eqn, operand, params, shape) -> Step:
    def step(extent: Extent) -> Extent:
        a = extent.axis
        if operand != 0 or a is None:
            return extent
        to = params["broadcast_dimensions"][a]
        return extent.on(to) if params["shape"][to] == shape[a] else extent.collapsed(1)

    return step


def _transpose(eqn, operand, params, shape) -> Step:
    where = {old: new for new, old in enumerate(params["permutation"])}
    return lambda extent: extent if extent.axis is None else extent.on(where[extent.axis])


def _reshape(eqn, operand, params, shape) -> Step:
    new = eqn.outvars[0].aval.shape

    def step(extent: Extent) -> Extent:
        a = extent.axis
        if operand != 0 or a is None:
            return extent
        for to, elements in enumerate(new):
            if elements == shape[a] and math.prod(new[:to]) == math.prod(shape[:a]):
                return extent.on(to)
        return extent.collapsed(shape[a])

    return step


def _dot(eqn, operand, params, shape) -> Step:
    contract, batch = params["dimension_numbers"]
    contract, batch = contract[operand], batch[operand]
    other = eqn.invars[1 - operand].aval.shape
    used = len(params["dimension_numbers"][0][1 - operand]) + len(batch)
    free = [a for a in range(len(shape)) if a not in contract and a not in batch]
    first = len(batch) + (len(other) - used if operand == 1 else 0)

    def step(extent: Extent) -> Extent:
        a = extent.axis
        if a is None:
            return extent
        if a in contract:
            return extent.collapsed(shape[a])
        return extent.on(batch.index(a) if a in batch else first + free.index(a))

    return step


def _concatenate(eqn, operand, params, shape) -> Step:
    along = params["dimension"]
    before = sum(v.aval.shape[along] for v in eqn.invars[:operand])

    def step(extent: Extent) -> Extent:
        return extent.moved(1, -before, -before) if extent.axis == along else extent

    return step


def _split(eqn, operand, params, shape) -> Step:
    return lambda extent: _anything(extent) if extent.axis == params["axis"] else extent


_MAKERS = {
    "conv_general_dilated": _conv,
    "slice": _slice,
    "pad": _pad,
    "squeeze": _squeeze,
    "broadcast_in_dim": _broadcast,
    "transpose": _transpose,
    "reshape": _reshape,
    "dot_general": _dot,
    "concatenate": _concatenate,
    "split": _split,
}
