"""Found networks and cells as pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxnets.nas.conv_child import IMAGE, ConvPlan
from jaxnets.nas.rnn_cell import TreeCell
from jaxnets.study.figures import COLORS, band, new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_conv(plan: ConvPlan, path: str | Path) -> Path:
    """Draw a convolutional network from the image below to the classifier above.

    Args:
        plan: of `jaxnets.nas.decode_conv`.
        path: of the picture.

    Returns:
        The path.

    Raises:
        JaxnetsError: the file cannot be written.

    >>> import tempfile
    >>> from jaxnets.nas.conv_child import ConvLayer
    >>> plan = ConvPlan((ConvLayer(3, 3, (1, 1), 24, (IMAGE,)),), (0,))
    >>> draw_conv(plan, Path(tempfile.mkdtemp()) / "net.png").name
    'net.png'
    """
    count = len(plan.layers)
    texts = ["image"]
    for layer in plan.layers:
        text = f"{layer.height}×{layer.width}, {layer.filters} filters"
        if layer.strides != (1, 1):
            text += f", stride {layer.strides[0]}×{layer.strides[1]}"
        texts.append(text)
    texts.append("classifier")
    figure, (axes,) = new_figure(width=4.2, height=0.75 * (count + 2) + 0.4, frame=True)
    for place, text in enumerate(texts):
        color = COLORS[6] if place == 0 else COLORS[2] if place == count + 1 else COLORS[0]
        _box(axes, 0, place, text, color)
    arrows = [(s, n) for n, layer in enumerate(plan.layers) for s in layer.inputs]
    arrows = [(0 if s == IMAGE else s + 1, n + 1) for s, n in arrows]
    for low, high in [*arrows, *((number + 1, count + 1) for number in plan.outputs)]:
        _arrow(axes, low, high, texts[low], texts[high])
    axes.set_xlim(-1.6, 1.9)
    axes.set_ylim(-0.5, count + 1.5)
    axes.axis("off")
    return save_figure(figure, path)


def _box(axes: "Axes", x: float, y: float, text: str, color: str) -> None:
    style = {"boxstyle": "round,pad=0.35", "fc": "white", "ec": color, "lw": 1.4}
    axes.text(x, y, text, ha="center", va="center", fontsize=8, bbox=style, zorder=3)


def _arrow(axes: "Axes", low: int, high: int, below: str, above: str) -> None:
    """Straight up to the next box, or in a bow from side to side of boxes of these texts."""
    ends = ((0, low + 0.22), (0, high - 0.22))
    bend = 0.0
    if high - low > 1:
        sides = (0.1 + 0.021 * len(text) for text in (below, above))
        ends = tuple(zip(sides, (low, high), strict=True))
        bend = 0.35 + 0.02 * (high - low)
    style = {"arrowstyle": "-|>", "color": "#555555", "lw": 1.1}
    style["connectionstyle"] = f"arc3,rad={bend}"
    axes.annotate("", xy=ends[1], xytext=ends[0], arrowprops=style, zorder=2)


def draw_tree(cell: TreeCell, path: str | Path) -> Path:
    """Draw a recurrent cell: leaves below, h above, the memory's way in and out.

    Args:
        cell: of `jaxnets.nas.decode_cell`.
        path: of the picture.

    Returns:
        The path.

    Raises:
        JaxnetsError: the file cannot be written.

    >>> import tempfile
    >>> cell = TreeCell((("add", "tanh"),) * 3, ("add", "relu"), 0, 1)
    >>> draw_tree(cell, Path(tempfile.mkdtemp()) / "cell.png").name
    'cell.png'
    """
    base = cell.base
    places, level, y, number = {}, np.arange(base, dtype=float), 0.0, 0
    while len(level):
        for x in level:
            places[number] = (x, y)
            number += 1
        level, y = (level[0::2] + level[1::2]) / 2 if len(level) > 1 else np.zeros(0), y + 1
    figure, (axes,) = new_figure(width=1.15 * base + 1.2, height=1.0 * y + 1.2, frame=True)
    first, below = base, 0
    while first < len(cell.nodes):
        width = (first - below) // 2
        for node in range(width):
            for child in (below + 2 * node, below + 2 * node + 1):
                start, end = places[child], places[first + node]
                axes.plot(*zip(start, end, strict=True), color="#999999", lw=1, zorder=1)
        below, first = first, first + width
    for node, (combine, activate) in enumerate(cell.nodes):
        text = f"{'+' if combine == 'add' else '×'}, {activate}"
        color = COLORS[1] if node in (cell.out, cell.into) else COLORS[0]
        _box(axes, *places[node], text, color)
    sign = "+" if cell.inject[0] == "add" else "×"
    x, y_in = places[cell.into]
    axes.text(x, y_in - 0.33, f"in: {sign} c, {cell.inject[1]}", ha="center", fontsize=7)
    x, y_out = places[cell.out]
    axes.text(x, y_out + 0.27, "out: c' before φ", ha="center", fontsize=7)
    axes.text(*np.add(places[len(cell.nodes) - 1], (0, 0.5)), "h'", ha="center", fontsize=9)
    axes.text((base - 1) / 2, -0.7, "x and h at each leaf", ha="center", fontsize=8)
    axes.set_xlim(-0.8, base - 0.2)
    axes.set_ylim(-0.9, y)
    axes.axis("off")
    return save_figure(figure, path)


def draw_search(
    rewards: Mapping[str, Sequence[Any]],
    path: str | Path,
    *,
    window: int = 25,
    unit: str = "reward",
) -> Path:
    """Draw what searches tried, as means of windows over runs with their intervals.

    Args:
        rewards: strategy → (runs, N).
        path: of the picture.
        window: trials of a mean.
        unit: of the rewards.

    Returns:
        The path.

    Raises:
        JaxnetsError: the file cannot be written.

    >>> import tempfile
    >>> rewards = {"random": np.random.default_rng(0).random((3, 100))}
    >>> draw_search(rewards, Path(tempfile.mkdtemp()) / "search.png").name
    'search.png'
    """
    figure, (axes,) = new_figure(width=5.6, height=3.8)
    for (name, runs), color in zip(rewards.items(), COLORS, strict=False):
        values = np.atleast_2d(np.asarray(runs, float))
        size = min(window, values.shape[1])
        count = values.shape[1] // size
        means = values[:, : count * size].reshape(len(values), count, size).mean(-1)
        band(axes, (np.arange(count) + 0.5) * size, means, name, color)
    axes.set_xlabel("architectures tried")
    axes.set_ylabel(f"{unit}, mean of {window}")
    axes.legend(frameon=False)
    return save_figure(figure, path)
