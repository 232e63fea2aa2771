"""How the claims' figures look: one size, one set of colors, bands over keys."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from experiments.claims.framework.statistics import log_interval, t_interval

HEIGHT, WIDTH = 3.4, 4.6
# Okabe and Ito's colors, which people with any color vision tell apart.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def new(columns: int = 1, *, width: float = WIDTH, height: float = HEIGHT) -> tuple[Figure, list]:
    """A figure of one row of axes: (figure, [axes, …]).

    No pyplot: nothing stays open behind the back of whoever calls a claim from a notebook.
    """
    figure = Figure(figsize=(width * columns, height), layout="constrained")
    axes = list(figure.subplots(1, columns, squeeze=False)[0])
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(alpha=0.25, lw=0.6)
        ax.set_axisbelow(True)
        ax.set_prop_cycle(color=COLORS)
    return figure, axes


def band(ax: Axes, x: np.ndarray, values: np.ndarray, label: str, color: str, **style) -> None:
    """Mean over keys (axis 0 of (keys, points)) as a line, its 95 % interval as a band.

    On an axis that is logarithmic already: the geometric mean of positive values.
    """
    mean, low, high = np.array([_interval(c, ax.get_yscale()) for c in np.asarray(values).T]).T
    ax.plot(x, mean, color=color, label=label, lw=1.8, **style)
    ax.fill_between(x, low, high, color=color, alpha=0.18, lw=0)


def _interval(x: np.ndarray, scale: str) -> tuple[float, float, float]:
    positive = np.isfinite(x).all() and (np.asarray(x) > 0).all()
    return log_interval(x) if scale == "log" and positive else t_interval(x)


def _decades(ax: Axes) -> int:
    """Powers of ten on the axis: where there is one, labels between them only run together."""
    low, high = np.log10(ax.get_xlim())
    return int(np.floor(high) - np.ceil(low)) + 1


def smooth(values: np.ndarray, window: int) -> np.ndarray:
    """Mean of non-overlapping windows along the last axis, for losses of single batches."""
    values = np.asarray(values)
    count = max(1, values.shape[-1] // window)
    window = values.shape[-1] // count
    return values[..., : count * window].reshape(*values.shape[:-1], count, window).mean(-1)


def dots(
    ax: Axes,
    labels: Sequence[str],
    values: Sequence[np.ndarray],
    colors: Sequence[str] | None = None,
) -> None:
    """One row a setting: every key as a dot, mean and 95 % interval over them.

    On an axis that is logarithmic already: the geometric mean of positive values.
    """
    colors = colors or [COLORS[i % len(COLORS)] for i in range(len(labels))]
    for place, (x, color) in enumerate(zip(values, colors, strict=True)):
        x = np.asarray(x, np.float64).ravel()
        ax.plot(x, np.full(x.size, place), "o", color=color, ms=3.5, alpha=0.35, mew=0)
        mean, low, high = _interval(x, ax.get_xscale())
        ax.errorbar(
            mean, place, xerr=[[mean - low], [high - mean]], fmt="D", color=color, ms=5, capsize=3
        )
    if ax.get_xscale() == "log" and _decades(ax) > 0:
        ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_yticks(range(len(labels)), labels)
    ax.set_ylim(len(labels) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
