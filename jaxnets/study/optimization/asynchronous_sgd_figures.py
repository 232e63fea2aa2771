"""Four panels on asynchronous SGD: stability, loss over staleness and clock, real threads."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxnets.study.figures import new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@contextmanager
def panels(target: Path) -> Iterator[list["Axes"]]:
    """Four axes to draw on, saved at the end.

    Args:
        target: a PNG file.

    Returns:
        The axes, from left to right and from top to bottom.
    """
    figure, _ = new_figure(2, 2, width=6.2, height=4.5)
    yield list(figure.axes)
    save_figure(figure, target)


def draw_stability(ax: "Axes", limit: dict[str, Any]) -> None:
    """Growth over staleness and ηλ; ``limit``: of `stability`.

    Args:
        ax: where to draw.
        limit: of `jaxnets.study.optimization.asynchronous_sgd.stability`.
    """
    ax.grid(visible=False)
    shown = np.clip(limit["growth"], -0.3, 0.3).T
    edges = np.concatenate([limit["taus"] - 0.5, limit["taus"][-1:] + 0.5])
    ratio = np.sqrt(limit["products"][1] / limit["products"][0])
    rows = np.concatenate([limit["products"] / ratio, limit["products"][-1:] * ratio])
    mesh = ax.pcolormesh(edges, rows, shown, cmap="RdBu_r", vmin=-0.3, vmax=0.3)
    ax.figure.colorbar(mesh, ax=ax, label="growth a step, log |x|")
    ax.plot(limit["taus"], limit["exact"], "k-", lw=1.6, label="2 sin(π/(4τ+2)), exact")
    ax.plot(limit["taus"], 1 / (1 + limit["taus"]), "k--", lw=1.2, label="1/(1+τ)")
    ax.set(
        yscale="log",
        xlabel="staleness τ",
        ylabel="ηλ",
        title="x ← x − ηλ·x[τ updates ago]: blue converges",
    )
    ax.legend(fontsize=8)


def draw_staleness(
    ax: "Axes",
    losses: np.ndarray,
    rates: Sequence[float],
    staleness: Sequence[int],
    updates: int,
) -> None:
    """Final loss over staleness, a line a rate; ``losses``: of `over_staleness`.

    Args:
        ax: where to draw.
        losses: of `over_staleness`, (rates, staleness, keys).
        rates: learning rates.
        staleness: values of τ.
        updates: of each run.
    """
    for i, rate in enumerate(rates):
        mean = losses[i].mean(1)
        ax.plot(staleness, mean, marker="o", ms=4, label=f"η = {rate:g}")
        ax.fill_between(staleness, losses[i].min(1), losses[i].max(1), alpha=0.2, lw=0)
    ax.set(
        xscale="symlog",
        yscale="log",
        xlabel="staleness τ (τ + 1 workers in turn)",
        ylabel="training objective",
        title=f"tanh network on digits after {updates} updates",
    )
    ax.set_xticks(staleness, [str(t) for t in staleness])
    ax.legend(fontsize=8)


def draw_clock(
    ax: "Axes", clock: dict[str, list], rate: float, workers: int, straggler: float
) -> None:
    """Loss over the clock, a line a run; ``clock``: of `over_time`.

    Args:
        ax: where to draw.
        clock: of `over_time`, name → (clock, losses) of each key.
        rate: the learning rate.
        workers: of the virtual cluster.
        straggler: how many times slower the last one is.
    """
    from matplotlib import colormaps

    colors = colormaps["tab10"].colors  # type: ignore[attr-defined]
    for (name, found), color in zip(clock.items(), colors, strict=False):
        for k, (when, losses) in enumerate(found):
            style = "--" if name.startswith("synchronous") else "-"
            label = name if k == 0 else None
            ax.plot(when, losses, style, color=color, lw=1.2, label=label)
    ax.set(
        yscale="log",
        xlabel="time (a fast worker's gradient takes 1)",
        ylabel="training objective",
        title=f"{workers} workers, one {straggler:g} times slower; η = {rate:g}",
    )
    ax.legend(fontsize=8)


def draw_threads(ax: "Axes", threads: dict[str, Any], workers: int) -> None:
    """How stale gradients were; ``threads``: of `with_threads`.

    Args:
        ax: where to draw.
        threads: of `with_threads`.
        workers: how many threads.
    """
    bins = np.arange(threads["max_staleness"] + 2) - 0.5
    ax.hist(threads["staleness"], bins, color="tab:blue", alpha=0.7, label="all gradients")
    ax.hist(threads["of_straggler"], bins, color="tab:red", alpha=0.9, label="the slow thread's")
    verdict = "equals" if threads["replay_is_bit_equal"] else "DIFFERS FROM"
    ax.set(
        xlabel="staleness",
        yscale="log",
        ylabel="gradients",
        title=f"{workers} real threads, τ ≤ {threads['bound']}; the replay {verdict} them",
    )
    ax.legend(fontsize=8)
