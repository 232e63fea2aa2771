"""The layer table of a network: shapes, parameters, arithmetic, memory, receptive field."""

import dataclasses
import math
from collections.abc import Sequence

import flax.linen as nn

from jaxnets.inspect.layer import Layer, Trace
from jaxnets.inspect.trace import trace_network
from jaxnets.models.registry import create_model, model_info


@dataclasses.dataclass(frozen=True)
class Totals:
    """Sums over a layer table.

    Attributes:
        parameters, macs: equal to `count_parameters` and `count_macs`.
        activations: values of the input and of every map that a layer makes, for one image: what a
            training step keeps at the least.
        largest_activation: the largest of these maps.

    >>> sums = totals(layer_table("lenet5"))
    >>> sums.parameters, sums.largest_activation == 28 * 28 * 6
    (61706, True)
    """

    parameters: int
    macs: int
    activations: int
    largest_activation: int


def trace(model: "nn.Module | str", input_shape: Sequence[int] | None = None) -> Trace:
    """Layers, outputs and trunk of a network, see `jaxnets.inspect.Trace`.

    Args:
        model: a registered name or a network.
        input_shape: (H, W, C) of one image; for a name the default is its published input.

    Returns:
        The `Trace`.

    Raises:
        UnknownNameError: no such network.
        ValueError: a network without ``input_shape``.

    >>> [name for name, _ in trace("lenet5").trunk]
    ['input', 'c1', 'pool1', 'c3', 'pool2']
    """
    if isinstance(model, str):
        input_shape = input_shape or model_info(model).input_shape
        return trace_network(create_model(model), input_shape)
    if input_shape is None:
        raise ValueError("inspect: a network needs input_shape=(height, width, channels), got None")
    return trace_network(model, input_shape)


def layer_table(
    model: "nn.Module | str", input_shape: Sequence[int] | None = None
) -> tuple[Layer, ...]:
    """Every layer of a network, without initializing or running it.

    Args:
        model: a registered name or a network.
        input_shape: (H, W, C) of one image; for a name the default is its published input.

    Returns:
        One `Layer` a row, in the order of computation, the input first.

    Raises:
        UnknownNameError: no such network.
        ValueError: a network without ``input_shape``.

    Source: the table of Stanford's CS231n, lecture 9, for VGG-16.

    >>> rows = {row.name: row for row in layer_table("vgg16")}
    >>> rows["fc6"].parameters, rows["stage1/conv2"].field, rows["pool5"].field
    (102764544, (5, 5), (212, 212))
    """
    return trace(model, input_shape).layers


def totals(layers: Sequence[Layer]) -> Totals:
    """Sums over a layer table.

    Args:
        layers: of `layer_table`, or some of them.

    Returns:
        The `Totals`.

    >>> totals(layer_table("vgg16")).activations  # the lecture's slide adds up to 24 million
    15237608
    """
    return Totals(
        parameters=sum(layer.parameters for layer in layers),
        macs=sum(layer.macs for layer in layers),
        activations=sum(layer.activations for layer in layers),
        largest_activation=max(layer.activations for layer in layers),
    )


def receptive_fields(model: nn.Module, input_shape: Sequence[int]) -> "dict[str, Layer] | Layer":
    """What each output of a network sees: its endpoints with ``num_classes=None``, or its logits.

    Field r and jump j behind a layer with kernel k and stride s: r ← r + (k − 1)·j, j ← j·s, from
    r = j = 1 at the input; where paths join, the union of what they see.

    Args:
        model: a network that takes (images, train=…).
        input_shape: (H, W, C) of one image.

    Returns:
        A `Layer` for each array that the network returns, in the same structure; its ``field``,
        ``jump`` and ``start`` are in pixels of the input.

    Source: Araujo, Norris, Sim, "Computing Receptive Fields of Convolutional Neural Networks",
    Distill, 2019.

    >>> from jaxnets.models import create_model
    >>> fields = receptive_fields(create_model("resnet50", num_classes=None), (224, 224, 3))
    >>> {name: (layer.field[0], layer.jump[0]) for name, layer in fields.items()}
    {'stem': (7, 2), 'stage1': (35, 4), 'stage2': (91, 8), 'stage3': (267, 16), 'stage4': (427, 32)}
    """
    return trace_network(model, input_shape).outputs


COLUMNS = ("layer", "kind", "output", "parameters", "MACs", "activations", "field", "stride")


def row_entries(layer: Layer) -> tuple[str, ...]:
    """One row as text, in the order of `COLUMNS`."""
    return (
        layer.name,
        layer.kind,
        "×".join(map(str, layer.shape)),
        f"{layer.parameters:,}" if layer.parameters else "",
        f"{layer.macs:,}" if layer.macs else "",
        f"{layer.activations:,}" if layer.activations else "",
        _pair(layer.field) + (" all" if layer.sees_all else ""),
        _pair(layer.jump),
    )


def _pair(values: Sequence[float]) -> str:
    """3 for (3, 3), 1×7 for others.

    >>> _pair((1, 7)), _pair((math.inf, math.inf))
    ('1×7', '∞')
    """
    texts = ["∞" if math.isinf(v) else f"{v:g}" for v in values]
    return texts[0] if len(set(texts)) == 1 else "×".join(texts)


def as_text(layers: Sequence[Layer]) -> str:
    """The table with its sums, aligned for a terminal.

    Args:
        layers: of `layer_table`.

    Returns:
        Lines without a break at the end.

    >>> print(as_text(layer_table("lenet5")[:3]))
    layer  kind   output   parameters     MACs  activations  field  stride
    ──────────────────────────────────────────────────────────────────────
    input  input  32×32×1                             1,024      1       1
    c1     conv   28×28×6         156  117,600        4,704      5       1
    pool1  pool   14×14×6                             1,176      6       2
    156 parameters (0.0 MiB in float32)
    117,600 multiply-accumulates for one image
    6,904 activations (0.0 MiB in float32), input and pooling included
    """
    rows = [COLUMNS, *(row_entries(layer) for layer in layers)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    lines = []
    for row in rows:
        left = [f"{text:<{width}}" for text, width in zip(row[:3], widths[:3], strict=True)]
        right = [f"{text:>{width}}" for text, width in zip(row[3:], widths[3:], strict=True)]
        lines.append("  ".join(left + right).rstrip())
    lines.insert(1, "─" * max(map(len, lines)))
    return "\n".join([*lines, *_sums(layers)])


def as_markdown(layers: Sequence[Layer]) -> str:
    """The table with its sums, as Markdown.

    Args:
        layers: of `layer_table`.

    Returns:
        Lines that end with a break.

    >>> print("\\n".join(as_markdown(layer_table("lenet5")).splitlines()[:4]))
    | layer | kind | output | parameters | MACs | activations | field | stride |
    |---|---|---|--:|--:|--:|--:|--:|
    | input | input | 32×32×1 |  |  | 1,024 | 1 | 1 |
    | c1 | conv | 28×28×6 | 156 | 117,600 | 4,704 | 5 | 1 |
    """
    lines = ["| " + " | ".join(COLUMNS) + " |", "|---|---|---|--:|--:|--:|--:|--:|"]
    lines += ["| " + " | ".join(row_entries(layer)) + " |" for layer in layers]
    return "\n".join([*lines, "", *(line + "  " for line in _sums(layers))]) + "\n"


def _sums(layers: Sequence[Layer]) -> list[str]:
    sums = totals(layers)
    mib = 4 * sums.activations / 2**20
    return [
        f"{sums.parameters:,} parameters ({4 * sums.parameters / 2**20:,.1f} MiB in float32)",
        f"{sums.macs:,} multiply-accumulates for one image",
        f"{sums.activations:,} activations ({mib:,.1f} MiB in float32), input and pooling included",
    ]
