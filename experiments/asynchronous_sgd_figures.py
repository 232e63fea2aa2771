"""Pictures of `experiments.asynchronous_sgd`."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np


def save(
    config: Any,
    rate: float,
    limit: dict,
    stale: dict,
    clock: dict,
    threads: dict,
    target: Path,
) -> None:
    """Four panels: stability, loss over staleness, loss over the clock, staleness of threads."""
    figure, axes = plt.subplots(2, 2, figsize=(12.5, 9), layout="constrained")
    _stability(axes[0, 0], limit)
    _staleness(axes[0, 1], config, stale["losses"])
    _clock(axes[1, 0], config, rate, clock)
    _threads(axes[1, 1], config, threads)
    figure.savefig(target, dpi=110)
    plt.close(figure)


def _stability(ax, limit: dict) -> None:
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


def _staleness(ax, config: Any, losses: np.ndarray) -> None:
    for i, rate in enumerate(config.rates):
        mean = losses[i].mean(1)
        ax.plot(config.staleness, mean, marker="o", ms=4, label=f"η = {rate:g}")
        ax.fill_between(config.staleness, losses[i].min(1), losses[i].max(1), alpha=0.2, lw=0)
    ax.set(
        xscale="symlog",
        yscale="log",
        xlabel="staleness τ (τ + 1 workers in turn)",
        ylabel="training objective",
        title=f"tanh network on digits after {config.updates} updates",
    )
    ax.set_xticks(config.staleness, [str(t) for t in config.staleness])
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8)


def _clock(ax, config: Any, rate: float, clock: dict) -> None:
    for (name, found), color in zip(clock.items(), plt.get_cmap("tab10").colors, strict=False):
        for k, (when, losses) in enumerate(found):
            style = "--" if name.startswith("synchronous") else "-"
            label = name if k == 0 else None
            ax.plot(when, losses, style, color=color, lw=1.2, label=label)
    ax.set(
        yscale="log",
        xlabel="time (a fast worker's gradient takes 1)",
        ylabel="training objective",
        title=f"{config.workers} workers, one {config.straggler:g} times slower; η = {rate:g}",
    )
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8)


def _threads(ax, config: Any, threads: dict) -> None:
    bins = np.arange(threads["max_staleness"] + 2) - 0.5
    ax.hist(threads["staleness"], bins, color="tab:blue", alpha=0.7, label="all gradients")
    ax.hist(threads["of_straggler"], bins, color="tab:red", alpha=0.9, label="the slow thread's")
    verdict = "equals" if threads["replay_is_bit_equal"] else "DIFFERS FROM"
    ax.set(
        xlabel="staleness",
        yscale="log",
        ylabel="gradients",
        title=f"{config.workers} real threads, τ ≤ {threads['bound']}; the replay {verdict} them",
    )
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8)
