"""How jaxnets' figures are made: without pyplot, one set of colors, intervals over runs.

Figures made here leave no global state behind and need no display: in a notebook, on a server and
under a test they behave alike.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxnets.errors import writing
from jaxnets.study.statistics import log_interval, mean_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Inches of one panel.
WIDTH, HEIGHT = 4.6, 3.4
# Okabe and Ito's colors, which people with any color vision tell apart.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
TRAIN, TEST, GOOD = COLORS[:3]


def new_figure(
    columns: int = 1,
    rows: int = 1,
    *,
    width: float = WIDTH,
    height: float = HEIGHT,
    frame: bool = False,
) -> tuple["Figure", Any]:
    """A figure of rows × columns panels, not registered with pyplot.

    Args:
        columns: panels beside each other.
        rows: panels above each other.
        width: of one panel, in inches.
        height: of one panel, in inches.
        frame: leave the panels as Matplotlib makes them (for images); by default with a light grid
            and without the upper and right edge.

    Returns:
        The figure, and its axes: a list for one row, a list of such lists for several.

    >>> figure, (left, right) = new_figure(2)
    >>> figure.get_size_inches().tolist()
    [9.2, 3.4]
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).tolist()
    if not frame:
        for ax in (ax for row in axes for ax in row):
            ax.spines[["top", "right"]].set_visible(False)
            ax.grid(alpha=0.25, lw=0.6)
            ax.set_axisbelow(True)
            ax.set_prop_cycle(color=COLORS)
    return figure, axes[0] if rows == 1 else axes


def save_figure(figure: "Figure", path: str | Path, *, dpi: int = 110) -> Path:
    """Write a figure, and make the directories above it.

    Args:
        figure: of `new_figure`.
        path: its ending decides the format: .png, .svg, .pdf.
        dpi: dots per inch of a .png.

    Returns:
        The path.

    Raises:
        JaxnetsError: the file cannot be written.
        ValueError: an ending that Matplotlib has no format for.

    >>> import tempfile
    >>> figure, (axes,) = new_figure()
    >>> _ = axes.plot([0, 100, 200], [2.3, 0.7, 0.4])
    >>> path = save_figure(figure, Path(tempfile.mkdtemp()) / "figures" / "loss.svg")
    >>> path.name, path.stat().st_size > 1000
    ('loss.svg', True)
    """
    path = Path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=dpi)
    return path


def smooth(values: np.ndarray, window: int) -> np.ndarray:
    """Mean of non-overlapping windows along the last axis, for losses of single batches.

    Args:
        values: (…, n).
        window: entries that become one; the last ones that fill none are left out.

    Returns:
        (…, about n / window).

    >>> smooth(np.array([1.0, 3.0, 5.0, 7.0]), 2).tolist()
    [2.0, 6.0]
    """
    values = np.asarray(values)
    count = max(1, values.shape[-1] // window)
    window = values.shape[-1] // count
    return values[..., : count * window].reshape(*values.shape[:-1], count, window).mean(-1)


def band(ax: "Axes", x: np.ndarray, values: np.ndarray, label: str, color: str, **style) -> None:
    """Mean over runs as a line, its 95 % interval as a band.

    On an axis that is logarithmic already: the geometric mean of positive values.

    Args:
        ax: where to draw.
        x: (points,).
        values: (runs, points).
        label: of the line.
        color: of both.
        style: further keywords of the line.

    >>> figure, (axes,) = new_figure()
    >>> losses = np.array([[1.0, 0.5], [3.0, 0.7]])  # two runs, looked at twice
    >>> band(axes, np.array([0, 100]), losses, "sgd", COLORS[0])
    >>> axes.lines[0].get_ydata().round(3).tolist()
    [2.0, 0.6]
    """
    rows = [_interval(column, ax.get_yscale()) for column in np.asarray(values).T]
    mean, low, high = np.array(rows).T
    ax.plot(x, mean, **{"color": color, "label": label, "lw": 1.8, **style})
    if np.isfinite(low).any():
        ax.fill_between(x, low, high, color=color, alpha=0.18, lw=0)


def dots(
    ax: "Axes",
    labels: Sequence[str],
    values: Sequence[np.ndarray],
    colors: Sequence[str] | None = None,
) -> None:
    """One row a setting: every run as a dot, mean and 95 % interval over them.

    On an axis that is logarithmic already: the geometric mean of positive values.

    Args:
        ax: where to draw.
        labels: of the settings, from top to bottom.
        values: (runs,) of each setting.
        colors: one a setting; by default `COLORS` in turn.

    Raises:
        ValueError: not one color for each of the values.

    >>> figure, (axes,) = new_figure()
    >>> dots(axes, ["sgd", "adam"], [np.array([90.0, 92.0, 91.0]), np.array([94.0, 95.0, 93.0])])
    >>> [label.get_text() for label in axes.get_yticklabels()]
    ['sgd', 'adam']
    """
    from matplotlib.ticker import NullFormatter

    colors = colors or [COLORS[i % len(COLORS)] for i in range(len(labels))]
    for place, (x, color) in enumerate(zip(values, colors, strict=True)):
        x = np.asarray(x, np.float64).ravel()
        ax.plot(x, np.full(x.size, place), "o", color=color, ms=3.5, alpha=0.35, mew=0)
        mean, low, high = _interval(x, ax.get_xscale())
        # A single run has no interval to draw.
        spread = [[mean - low], [high - mean]] if np.isfinite([low, high]).all() else None
        ax.errorbar(mean, place, xerr=spread, fmt="D", color=color, ms=5, capsize=3)
    if ax.get_xscale() == "log" and _decades(ax) > 0:
        ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_yticks(range(len(labels)), labels)
    ax.set_ylim(len(labels) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)


def curves_and_dots(
    steps: np.ndarray,
    curves: Mapping[str, np.ndarray],
    values: Mapping[str, np.ndarray],
    *,
    left: Mapping[str, Any],
    right: Mapping[str, Any],
    legend: Mapping[str, Any] | None = None,
    line: float | None = None,
) -> "Figure":
    """Two panels that compare settings: curves with their bands, and one number a run as dots.

    Args:
        steps: (points,) of all curves.
        curves: label → (runs, points), drawn by `band`.
        values: label → (runs,), drawn by `dots` in the same colors.
        left: what `Axes.set` takes for the curves' panel: labels, scales, limits.
        right: the same for the dots' panel.
        legend: keywords of the curves' legend.
        line: a height at which the curves' panel gets a dashed line: a limit to reach.

    Returns:
        The figure.

    >>> losses = {
    ...     "sgd": np.array([[2.3, 1.1], [2.3, 0.9]]),
    ...     "adam": np.array([[2.3, 0.5], [2.3, 0.6]]),
    ... }
    >>> accuracies = {"sgd": np.array([90.0, 92.0]), "adam": np.array([94.0, 95.0])}
    >>> figure = curves_and_dots(
    ...     np.array([0, 100]),
    ...     losses,
    ...     accuracies,
    ...     left={"xlabel": "steps", "ylabel": "loss", "yscale": "log"},
    ...     right={"xlabel": "accuracy [%]"},
    ... )
    >>> [axes.get_xlabel() for axes in figure.axes]
    ['steps', 'accuracy [%]']
    """
    figure, (one, other) = new_figure(2)
    for ax, options in ((one, left), (other, right)):
        # Scales first: on a logarithmic axis bands and dots are of geometric means.
        ax.set(**{name: options[name] for name in ("xscale", "yscale") if name in options})
    for (label, curve), color in zip(curves.items(), COLORS, strict=False):
        band(one, steps, curve, label, color)
    if line is not None:
        one.axhline(line, color="0.5", lw=1, ls="--")
    one.set(**left)
    one.legend(**{"fontsize": 9, **(legend or {})})
    dots(other, list(values), list(values.values()))
    other.set(**right)
    return figure


def _interval(x: np.ndarray, scale: str) -> tuple[float, float, float]:
    positive = np.isfinite(x).all() and (np.asarray(x) > 0).all()
    return log_interval(x) if scale == "log" and positive else mean_interval(x)


def _decades(ax: "Axes") -> int:
    """Powers of ten on the axis: where there is one, labels between them only run together."""
    low, high = np.log10(ax.get_xlim())
    return int(np.floor(high) - np.ceil(low)) + 1
