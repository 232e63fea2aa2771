"""Figures without pyplot, intervals over runs in them."""

import subprocess
import sys

import numpy as np
import pytest

from jaxnets.study.figures import (
    COLORS,
    band,
    curves_and_dots,
    dots,
    new_figure,
    save_figure,
    smooth,
)
from jaxnets.study.statistics import log_interval, mean_interval


def test_no_pyplot_and_nothing_heavy_with_the_import(tmp_path):
    code = (
        "import sys, jaxnets.study as study\n"
        "print('matplotlib' in sys.modules, 'scipy.stats' in sys.modules)\n"
        "from jaxnets.study.figures import *; f, (ax,) = new_figure(); ax.plot([1, 2])\n"
        "save_figure(f, sys.argv[1]); print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "deep" / "x.png"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["False", "False", "False"]


def test_sizes_and_axes(tmp_path):
    figure, (left, right) = new_figure(2, width=3, height=2)
    assert figure.get_size_inches().tolist() == [6, 2] and left is not right
    figure, rows = new_figure(2, 3, frame=True)
    assert [len(row) for row in rows] == [2, 2, 2]
    assert rows[0][0].spines["top"].get_visible() and not left.spines["top"].get_visible()
    path = save_figure(figure, tmp_path / "new" / "figure.png", dpi=50)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_smooth_is_the_mean_of_windows():
    np.testing.assert_allclose(smooth(np.arange(10.0), 5), [2.0, 7.0])
    np.testing.assert_allclose(smooth(np.arange(6.0).reshape(2, 3), 9), [[1.0], [4.0]])
    assert smooth(np.arange(7.0), 3).tolist() == [1.0, 4.0]


@pytest.mark.parametrize(("scale", "interval"), [("linear", mean_interval), ("log", log_interval)])
def test_band_and_dots_show_the_interval(scale, interval):
    values = np.array([[1.0, 2.0], [2.0, 3.0], [4.0, 7.0]])
    _, (left, right) = new_figure(2)
    left.set_yscale(scale)
    band(left, np.arange(2), values, "line", COLORS[0])
    expected = np.array([interval(column) for column in values.T])
    np.testing.assert_allclose(left.lines[0].get_ydata(), expected[:, 0])
    corners = left.collections[0].get_paths()[0].vertices[:, 1]
    np.testing.assert_allclose(
        (corners.min(), corners.max()), (expected[:, 1:].min(), expected.max())
    )
    right.set_xscale(scale)
    dots(right, ["one", "two"], list(values.T))
    assert [t.get_text() for t in right.get_yticklabels()] == ["one", "two"]
    marks = [line.get_xdata()[0] for line in right.lines if line.get_marker() == "D"]
    np.testing.assert_allclose(marks, expected[:, 0])


def test_a_single_run_has_no_interval():
    figure, (ax, other) = new_figure(2)
    band(ax, np.arange(3), np.ones((1, 3)), "line", COLORS[0])
    assert len(ax.lines) == 1 and not ax.collections
    dots(other, ["one"], [np.array([2.0])])
    figure.canvas.draw()


def test_curves_and_dots_share_colors_and_scales():
    steps = np.array([0, 10])
    values = np.array([[1.0, 2.0], [2.0, 4.0], [4.0, 8.0]])
    figure = curves_and_dots(
        steps,
        {"a, rate 1": values, "b, rate 2": 10 * values},
        {"a": values[:, 1], "b": 10 * values[:, 1]},
        left={"xlabel": "step", "yscale": "log", "ylim": (0.1, 100)},
        right={"xlabel": "loss", "xscale": "log"},
        line=3.0,
    )
    left, right = figure.axes
    expected = log_interval(values[:, 1]).estimate
    first, second, limit = left.lines
    np.testing.assert_allclose(first.get_ydata()[1], expected)
    np.testing.assert_allclose(second.get_ydata()[1], 10 * expected)
    assert limit.get_ydata()[0] == 3.0 and left.get_ylim() == (0.1, 100)
    assert (first.get_color(), second.get_color()) == COLORS[:2]
    marks = [line for line in right.lines if line.get_marker() == "D"]
    assert [mark.get_color() for mark in marks] == list(COLORS[:2])
    np.testing.assert_allclose(marks[0].get_xdata()[0], expected)
    assert [t.get_text() for t in left.get_legend().get_texts()] == ["a, rate 1", "b, rate 2"]
