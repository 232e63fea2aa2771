"""Pictures of the procedure: curves with their diagnosis, range tests, searches."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np

from jaxnets.study.figures import COLORS, GOOD, TEST, TRAIN, new_figure, save_figure
from jaxnets.tune.curves import smooth
from jaxnets.tune.diagnose import Diagnosis
from jaxnets.tune.learning_rate_range import RangeTest
from jaxnets.tune.rate_grid import RateGrid
from jaxnets.tune.space import Range
from jaxnets.tune.study import Study


def draw_curves(
    axes: Any,
    train_loss: Sequence[float],
    valid_loss: Sequence[float] | None,
    found: Diagnosis,
    *,
    unit: str = "share of the run",
    length: float = 1.0,
    valid_name: str = "validation",
) -> None:
    """Training and validation loss, raw and smoothed, with the finding written above.

    Args:
        axes: of Matplotlib.
        train_loss, valid_loss, found: what `diagnose` got and gave.
        unit, length: what the x axis counts, and how far the run went in it.
        valid_name: "validation" or "test".

    >>> from jaxnets.tune.diagnose import diagnose
    >>> losses = np.exp(-np.arange(20.0))
    >>> figure, (axes,) = new_figure()
    >>> draw_curves(axes, losses, None, diagnose(losses))
    >>> axes.get_ylabel()
    'loss'
    """
    for values, color, name in ((train_loss, TRAIN, "training"), (valid_loss, TEST, valid_name)):
        if values is None:
            continue
        values = np.asarray(values, np.float64)
        x = length * (np.arange(len(values)) + 1) / len(values)
        axes.plot(x, values, color=color, alpha=0.3, lw=1)
        width = max(len(values) / 25, 1.0 if name == "training" else 0.5)
        axes.plot(x, smooth(values, width), color=color, lw=2, label=name)
    axes.set(xlabel=unit, ylabel="loss")
    axes.set_title(
        found.kind.replace("_", " ") + "\n" + fill(found.finding, 62), fontsize=9, loc="left"
    )
    axes.legend(fontsize=8, loc="upper right")
    axes.set_ylim(0, None)


def save_curves(
    train_loss: Sequence[float],
    valid_loss: Sequence[float] | None,
    found: Diagnosis,
    path: Path | str,
    **options: Any,
) -> None:
    """`draw_curves` as a PNG.

    Args:
        train_loss, valid_loss, found: what `diagnose` got and gave.
        path: the picture.
        options: of `draw_curves`.

    >>> import tempfile
    >>> from jaxnets.tune.diagnose import diagnose
    >>> losses = np.exp(-np.arange(20.0))
    >>> save_curves(losses, None, diagnose(losses), Path(tempfile.mkdtemp()) / "curves.png")
    """
    figure, (axes,) = new_figure(width=6.4, height=4.2)
    draw_curves(axes, train_loss, valid_loss, found, **options)
    save_figure(figure, path, dpi=120)


def save_rates(test: RangeTest, grid: RateGrid | None, path: Path | str) -> None:
    """The range test's loss over the rate, and the grid's losses over the steps.

    Args:
        test: of `range_test`.
        grid: of `rate_grid`, or None.
        path: the picture.

    >>> import tempfile
    >>> from jaxnets.tune.learning_rate_range import range_test
    >>> test = range_test(lambda w, _: w**2, np.float32(1.0), steps=20)
    >>> save_rates(test, None, Path(tempfile.mkdtemp()) / "rates.png")
    """
    figure, (left, right) = new_figure(2, width=5.5, height=4)
    # Behind the divergence there is nothing to see.
    shown = slice(None)
    if test.diverged_at:
        shown = slice(0, int(np.searchsorted(test.rates, test.diverged_at)) + 1)
    left.plot(test.rates[shown], test.losses[shown], color=TRAIN, alpha=0.3, lw=1)
    left.plot(test.rates[shown], test.smoothed[shown], color=TRAIN, lw=2)
    left.axvline(
        test.suggestion, color=GOOD, lw=1.5, ls="--", label=f"suggestion {test.suggestion:.2g}"
    )
    if test.diverged_at:
        left.axvline(
            test.diverged_at, color=TEST, lw=1.5, ls=":", label=f"diverges {test.diverged_at:.2g}"
        )
    start = test.smoothed[0]
    seen = test.smoothed[shown]
    lowest = np.min(seen[np.isfinite(seen)])
    room = 0.15 * (start - lowest) + 1e-9
    left.set(
        xscale="log",
        xlim=(test.rates[0], test.rates[-1]),
        xlabel="learning rate",
        ylabel="loss",
        ylim=(lowest - room, start + 4 * room),
        title="range test: the rate rises with every step",
    )
    left.legend(fontsize=9, loc="lower left")
    if grid is not None:
        positions = np.linspace(0.1, 0.9, len(grid.rates))
        from matplotlib import colormaps

        for rate, losses, verdict, position in zip(
            grid.rates, grid.losses, grid.verdicts, positions, strict=True
        ):
            right.plot(
                smooth(losses, max(len(losses) / 40, 0.5)),
                color=colormaps["viridis"](position),
                lw=2,
                label=f"{rate:g}: {verdict}",
            )
        right.set(
            xlabel="step", ylabel="loss", title=f"a grid of rates, {grid.losses.shape[1]} steps"
        )
        top = np.nanmax(np.where(np.isfinite(grid.losses[:, 0]), grid.losses[:, 0], np.nan))
        right.set_ylim(0, 1.6 * top)
        right.legend(fontsize=9)
    save_figure(figure, path, dpi=120)


def save_search(studies: Sequence[Study], path: Path | str) -> None:
    """Every trial's value over each hyper-parameter that has a range, one color a round.

    Args:
        studies: the rounds of a search.
        path: the picture.

    >>> import tempfile
    >>> from jaxnets.tune import Study, run_trials
    >>> study = Study(None, "demo", {"x": Range(1.0, 100.0)}, {}, pruner="none")
    >>> score = lambda settings, device: iter([[one["x"] for one in settings]])
    >>> save_search([run_trials(study, score, trials=3)], Path(tempfile.mkdtemp()) / "search.png")
    """
    names = [name for name, part in studies[0].space.items() if isinstance(part, Range)]
    figure, axes = new_figure(max(len(names), 1), width=4.2, height=4)
    for one, name in zip(axes, names, strict=False):
        for number, study in enumerate(studies):
            rows = [row for row in study.table() if row["value"] is not None]
            for state, marker, filled in (("complete", "o", True), ("stopped", "x", False)):
                points = [row for row in rows if row["state"] == state]
                color = COLORS[number % len(COLORS)]
                one.scatter(
                    [row["params"][name] for row in points],
                    [row["value"] for row in points],
                    s=28,
                    marker=marker,
                    color=color,
                    alpha=0.8 if filled else 0.5,
                    label=f"{study.name}, {state}" if points else None,
                )
        one.set(xlabel=name.replace("_", " "), ylabel="held-out accuracy")
        part = studies[0].space[name]
        if part.log:
            one.set_xscale("log")
        one.set_xlim(part.at(-0.03), part.at(1.03))
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=8, loc="outside upper center", ncols=6)
    save_figure(figure, path, dpi=120)
