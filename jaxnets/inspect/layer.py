"""What is noted of every layer.

A layer is what makes a new map: a convolution, a matrix product, a pooling (anything without
parameters whose outputs each look at a window of elements; several in a row are one).
Normalizations, activations, additions and concatenations change or collect maps in place; those
with parameters have a row of their own.
"""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Layer:
    """One row of the table.

    Attributes:
        name: path of the module that owns the parameters, or of the one that pools.
        kind: "input", "conv", "dense", "pool", "subsample" (strides without a window), "in place"
            (normalizations and the like), "product" (of two maps), "loop" (taken whole: a scan
            over parts of a map or with its maps collected, a while, a cond). The layers of a scan
            over stacked parameters have one row each, which counts all turns.
        shape: of the output for one image, without the batch axis.
        parameters: learnable ones that the module owns and no earlier row has shown.
        macs: multiply-accumulates for one image.
        activations: values of the output, 0 where it is made in place.
        field: receptive field on the input, (height, width), padding around the image included;
            infinite where it has no edge.
        jump: input pixels between neighboring outputs, (height, width), 0 behind global pooling.
        start: input coordinate of the first output's center; 0 is the first pixel's center.
        sees_all: whether the center output sees every pixel of the input.
        window: (height, width) of the convolution or pooling itself.
        fan_in: input channels that one output channel of a convolution sees; 0 for others.
        trunk: channels of the last map before it that everything passes through, or of the map
            that a 1×1 convolution right before it narrowed.

    >>> from jaxnets.inspect import layer_table
    >>> rows = {row.name: row for row in layer_table("lenet5")}
    >>> conv = rows["c3"]
    >>> conv.kind, conv.shape, conv.window, conv.fan_in
    ('conv', (10, 10, 16), (5, 5), 6)
    >>> conv.parameters == (5 * 5 * 6 + 1) * 16, conv.macs == 10 * 10 * 16 * 5 * 5 * 6
    (True, True)
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int = 0
    macs: int = 0
    activations: int = 0
    field: tuple[Any, ...] = ()
    jump: tuple[Any, ...] = ()
    start: tuple[Any, ...] = ()
    sees_all: bool = False
    window: tuple[int, ...] = ()
    fan_in: int = 0
    trunk: int = 0


@dataclasses.dataclass(frozen=True)
class Trace:
    """All that one walk finds.

    Attributes:
        layers: in the order of computation, the input first.
        outputs: for each array that the network returns, the receptive field as a `Layer`.
        trunk: (name, shape) of the maps that everything passes through, in order.

    >>> from jaxnets.inspect import trace
    >>> traced = trace("lenet5")
    >>> len(traced.layers), traced.outputs.field
    (8, (32, 32))
    >>> traced.trunk[:3]
    (('input', (32, 32, 1)), ('c1', (28, 28, 6)), ('pool1', (14, 14, 6)))
    """

    layers: tuple[Layer, ...]
    outputs: Any
    trunk: tuple[tuple[str, tuple[int, ...]], ...]
