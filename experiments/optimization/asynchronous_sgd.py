"""Asynchronous SGD: how much staleness costs, when it diverges, and what it buys on the clock.

Command:  python -m experiments.optimization.asynchronous_sgd
Time:     half a minute on two free CPU cores.
Result:   runs/asynchronous_sgd/: staleness.png and summary.json.

Four questions, one panel each: where x ← x − ηλx_stale stops converging, beside the exact limit
2 sin(π/(4τ+2)); the loss of a small network on digits after equally many updates, over staleness
and rate; the loss over the clock of a virtual cluster with a straggler, synchronous and with three
bounds; and how stale the gradients of real threads are, whose run a replay must repeat bit by bit.
Source: Dean et al., "Large scale distributed deep networks", NIPS 2012 (DistBelief, on which
GoogLeNet was trained asynchronously).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from jaxnets import command
from jaxnets.study.optimization import asynchronous_sgd as study
from jaxnets.study.optimization import asynchronous_sgd_figures as figures
from jaxnets.study.optimization.small_problems import network_digits
from jaxnets.study.summaries import write_settings
from jaxnets.train.run_directory import write_json


@dataclass(frozen=True)
class Config:
    """What runs.

    Attributes:
        updates: updates of the server in each run on digits.
        batch_size: examples a gradient.
        staleness: the values of constant staleness tried on digits.
        rates: the learning rates tried with each.
        workers: of the virtual cluster and of the threads.
        straggler: how many times slower than the others the last worker is.
        bounds: bounds on staleness tried on the virtual cluster.
        keys: runs of each, with other first parameters, batches and clocks.
        workdir: where results go.
    """

    updates: int = 600
    batch_size: int = 32
    staleness: tuple[int, ...] = (0, 1, 3, 7, 15, 31)
    rates: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0)
    workers: int = 8
    straggler: float = 5.0
    bounds: tuple[int, ...] = (7, 15, 63)
    keys: int = 3
    workdir: Path = Path("runs/asynchronous_sgd")


def smoke() -> Config:
    """A few updates."""
    return Config(
        updates=20,
        staleness=(0, 3),
        rates=(0.1,),
        workers=3,
        bounds=(2,),
        keys=1,
        workdir=Path("runs/smoke/asynchronous_sgd"),
    )


def main(config: Config) -> dict[str, Any]:
    """Run all four, draw, and return the contents of ``summary.json``."""
    write_settings(config)
    learner = study.Learner(network_digits(), config.batch_size)
    rate = config.rates[min(1, len(config.rates) - 1)]
    cluster = {"workers": config.workers, "straggler": config.straggler, "updates": config.updates}
    total = len(config.rates) * len(config.staleness) + len(config.bounds) + 1
    with tqdm(total=total * config.keys, desc="asynchronous", unit="run") as progress:
        repeats = {"keys": config.keys, "on_runs": progress.update}
        limit = study.stability()
        losses = study.over_staleness(
            learner,
            rates=config.rates,
            staleness=config.staleness,
            updates=config.updates,
            **repeats,
        )
        clock = study.over_time(learner, rate=rate, bounds=config.bounds, **cluster, **repeats)
    threads = study.with_threads(learner, rate=rate, bound=config.bounds[-1], **cluster)
    with figures.panels(config.workdir / "staleness.png") as (first, second, third, fourth):
        figures.draw_stability(first, limit)
        figures.draw_staleness(second, losses, config.rates, config.staleness, config.updates)
        figures.draw_clock(third, clock, rate, config.workers, config.straggler)
        figures.draw_threads(fourth, threads, config.workers)
    summary = {
        "stability_largest_error": limit["largest_error"],
        "stability_limit_times_1_plus_tau": limit["rule_of_thumb_share"],
        "loss_by_rate_and_staleness": {
            f"{r:g}": {str(t): _finite(losses[i, j].mean()) for j, t in enumerate(config.staleness)}
            for i, r in enumerate(config.rates)
        },
        "clock": {
            name: {
                "time_to_end": float(np.mean([c[-1] for c, _ in found])),
                "final_loss": float(np.mean([v[-1] for _, v in found])),
            }
            for name, found in clock.items()
        },
        "threads": {k: v for k, v in threads.items() if not isinstance(v, np.ndarray)},
    }
    write_json(config.workdir / "summary.json", summary)
    print(_report(summary, config))
    return summary


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _report(summary: dict[str, Any], config: Config) -> str:
    lines = [
        f"limit of stability: within {100 * summary['stability_largest_error']:.1f} % of "
        "2 sin(π/(4τ+2)) (the grid's step is 0.7 %)",
        f"training loss after {config.updates} updates (rows: rate; columns: staleness)",
        "        " + "".join(f"{t:>9}" for t in config.staleness),
    ]
    for rate, row in summary["loss_by_rate_and_staleness"].items():
        losses = "".join(f"{'diverged' if v is None else f'{v:.4f}':>9}" for v in row.values())
        lines.append(f"  {rate:>6}{losses}")
    for name, entry in summary["clock"].items():
        lines.append(
            f"  {name:<16} {config.updates} gradients in {entry['time_to_end']:7.1f} units of "
            f"time, loss {entry['final_loss']:.4f}"
        )
    t = summary["threads"]
    lines.append(
        f"{config.workers} threads: mean staleness {t['mean_staleness']:.1f}, at most "
        f"{t['max_staleness']}; replay bit-equal: {t['replay_is_bit_equal']}"
    )
    lines.append(f"{config.workdir}: staleness.png, summary.json")
    return "\n".join(lines)


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
