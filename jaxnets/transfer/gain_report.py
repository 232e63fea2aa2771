"""What several ways of training came to over keys, beside the one they are held against."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxnets.study.figures import new_figure, save_figure
from jaxnets.study.summaries import judge, means_and_spreads, percent, summarize_keys


def summarize_gains(found: Mapping[str, Sequence[float]], base: str) -> dict[str, Any]:
    """Accuracies with intervals over keys, and paired gains over one way.

    Args:
        found: way → accuracy from each key, in the same order.
        base: the way that the others are held against.

    Returns:
        Way → ``{"accuracy", "gain", "gain_is_above_0"}``; the base has its accuracy alone.

    >>> rows = summarize_gains({"scratch": [0.5, 0.6], "tuned": [0.7, 0.8]}, "scratch")
    >>> round(rows["tuned"]["gain"]["mean"], 3), rows["tuned"]["gain_is_above_0"]
    (0.2, 'holds')
    """
    rows: dict[str, Any] = {way: {"accuracy": summarize_keys(v)} for way, v in found.items()}
    for way, values in found.items():
        if way != base:
            gain = summarize_keys((np.array(values) - np.array(found[base])).tolist())
            rows[way] |= {"gain": gain, "gain_is_above_0": judge(gain)}
    return rows


def gains_as_text(rows: Mapping[str, Any]) -> str:
    """A line for each way.

    Args:
        rows: of `summarize_gains`.

    Returns:
        Lines.

    >>> rows = summarize_gains({"scratch": [0.5, 0.5], "tuned": [0.7, 0.7]}, "scratch")
    >>> print(gains_as_text(rows))
    scratch  50.0 ± 0.0 %
    tuned    70.0 ± 0.0 %, gain 20.0 ± 0.0 points
    """
    width = max(map(len, rows))
    lines = []
    for way, row in rows.items():
        gain = f", gain {percent(row['gain'])} points" if "gain" in row else ""
        lines.append(f"{way:<{width}}  {percent(row['accuracy'])} %{gain}")
    return "\n".join(lines)


def save_gains(rows: Mapping[str, Any], title: str, path: Path) -> Path:
    """Bars of the accuracies with their intervals.

    Args:
        rows: of `summarize_gains`.
        title: what stands above them.
        path: the picture.

    Returns:
        The path.

    >>> import tempfile
    >>> rows = summarize_gains({"scratch": [0.5, 0.6], "tuned": [0.7, 0.8]}, "scratch")
    >>> save_gains(rows, "2 keys", Path(tempfile.mkdtemp(), "gains.png")).name
    'gains.png'
    """
    figure, (axes,) = new_figure(width=5.2, height=2.6, frame=True)
    means, spreads = means_and_spreads([row["accuracy"] for row in rows.values()])
    shades = np.linspace(0.7, 0.25, len(rows))
    axes.barh(list(rows), means, xerr=spreads, color=[(s * 0.6, s, 1 - s / 3) for s in shades])
    axes.set(xlim=(0, 100), xlabel="test accuracy, %", title=title)
    axes.invert_yaxis()
    return save_figure(figure, path)
