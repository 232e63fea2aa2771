"""Asynchronous SGD: how much staleness costs, when it diverges, and what it buys on the clock.

Command:  python -m experiments.asynchronous_sgd
Time:     half a minute on two free CPU cores.
Result:   runs/asynchronous_sgd/: staleness.png and summary.json.

Four questions, one panel each: where x ← x − ηλx_stale stops converging, beside the exact limit
2 sin(π/(4τ+2)); the loss of a small network on digits after equally many updates, over staleness
and rate; the loss over the clock of a virtual cluster with a straggler, synchronous and with three
bounds; and how stale the gradients of real threads are, whose run a replay must repeat bit by bit.
Source: notes L264 (GoogLeNet was trained asynchronously on DistBelief).
"""

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from experiments.shootout import problems
from experiments.shootout.problems import Part, Problem
from jaxnets import command, optim
from jaxnets.optim import asynchronous
from jaxnets.optim.staleness import Events
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


class Learner:
    """The network on digits, with its batches and gradient."""

    def __init__(self, problem: Problem, batch_size: int):
        self.problem, self.batch_size = problem, batch_size
        self.images, self.labels = (np.asarray(leaf) for leaf in problem.train)
        self.gradient = jax.grad(problem.objective)
        self.loss = jax.jit(lambda params: problem.objective(params, problem.train))

    def batch(self, key: int):
        """A function from a batch's number to the batch."""

        def take(number: int) -> Part:
            chosen = np.random.default_rng([key, number]).choice(
                len(self.labels), self.batch_size, replace=False
            )
            return Part(self.images[chosen], self.labels[chosen])

        return take

    def replay(self, rate: float, events: Events, key: int, every: int) -> np.ndarray:
        """Training loss at the start and after each `every` updates."""
        params = self.problem.init(key)
        losses = [float(self.loss(params))]

        def observe(k, params):
            if k % every == 0:
                losses.append(float(self.loss(params)))

        asynchronous.replay(
            self.gradient, params, optim.sgd(rate), self.batch(key), events, observe=observe
        )
        return np.array(losses)

    def synchronous(self, rate: float, rounds: int, workers: int, key: int) -> np.ndarray:
        """Training loss at the start and after each round of `workers` batches averaged."""
        take = self.batch(key)

        def together(i: int) -> Part:
            parts = [take(i * workers + w) for w in range(workers)]
            return Part(*(np.concatenate(leaves) for leaves in zip(*parts, strict=True)))

        params = self.problem.init(key)
        losses = [float(self.loss(params))]
        asynchronous.replay(
            self.gradient,
            params,
            optim.sgd(rate),
            together,
            asynchronous.round_robin(1, rounds),
            observe=lambda _, p: losses.append(float(self.loss(p))),
        )
        return np.array(losses)


def stability(most: int = 16, steps: int = 2000) -> dict[str, Any]:
    """Which ηλ converge at each staleness: growth a step of x ← x − ηλ x_stale, and two limits."""
    products, taus = np.geomspace(0.04, 3, 600), np.arange(most + 1)

    def step(history, _):
        # history[s, τ]: the value s updates ago of the run whose staleness is τ.
        x = history[0] - products.astype(np.float32) * history[taus, taus]
        history = jnp.concatenate([x[None], history[:-1]])
        size = jnp.maximum(jnp.max(jnp.abs(history), axis=0), 1e-30)
        # Scaled back each step, so that neither growth nor decay leaves float32.
        return history / size, jnp.log(size)

    start = jnp.ones((most + 1, most + 1, len(products)))
    _, logs = jax.jit(lambda: jax.lax.scan(step, start, length=steps))()
    grown = np.asarray(logs[steps // 2 :].mean(0))
    # The first product of the grid that does not converge.
    measured = np.array([products[np.argmax(row > 0)] for row in grown])
    exact = 2 * np.sin(np.pi / (4 * taus + 2))
    return {
        "taus": taus,
        "products": products,
        "growth": grown,
        "measured": measured,
        "exact": exact,
        "largest_error": float(np.max(np.abs(measured / exact - 1))),
        "rule_of_thumb_share": [float(v) for v in exact * (1 + taus)],
    }


def over_staleness(learner: Learner, config: Config, progress: tqdm) -> dict[str, Any]:
    """Final training loss [rates, staleness, keys]; a run that left the numbers counts as inf."""
    table = np.zeros((len(config.rates), len(config.staleness), config.keys))
    for i, rate in enumerate(config.rates):
        for j, tau in enumerate(config.staleness):
            events = asynchronous.round_robin(tau + 1, config.updates)
            for key in range(config.keys):
                losses = learner.replay(rate, events, key, config.updates)
                table[i, j, key] = losses[-1] if np.isfinite(losses[-1]) else np.inf
                progress.update(1)
    return {"losses": table}


def over_time(learner: Learner, config: Config, rate: float, progress: tqdm) -> dict[str, Any]:
    """Training loss over the virtual clock, with each bound and synchronous.

    A synchronous round averages a batch from each worker, so that it takes fewer and surer steps;
    it is shown at the same rate and at a rate as many times as large.
    """
    slow = [1.0] * (config.workers - 1) + [config.straggler]
    every = max(config.updates // 60, 1)
    runs: dict[str, list] = {}
    for key in range(config.keys):
        for bound in config.bounds:
            events = asynchronous.virtual_cluster(
                config.workers, config.updates, bound, seed=key, slowdown=slow
            )
            losses = learner.replay(rate, events, key, every)
            clock = np.concatenate([[0.0], events.time[every - 1 :: every]])
            runs.setdefault(f"τ ≤ {bound}", []).append((clock[: len(losses)], losses))
            progress.update(1)
        rounds = config.updates // config.workers
        random = np.random.default_rng(key)
        durations = np.array(slow) * np.exp(0.3 * random.standard_normal((rounds, config.workers)))
        clock = np.concatenate([[0.0], np.cumsum(durations.max(1))])
        for factor in (1, config.workers):
            losses = learner.synchronous(rate * factor, rounds, config.workers, key)
            name = f"synchronous, {factor}η" if factor > 1 else "synchronous"
            runs.setdefault(name, []).append((clock, losses))
        progress.update(1)
    return runs


def with_threads(learner: Learner, config: Config, rate: float) -> dict[str, Any]:
    """Real threads with a straggler: staleness seen, and whether a replay gives the same bits."""
    bound = config.bounds[-1]
    params, take = learner.problem.init(0), learner.batch(0)

    def before(worker: int, _: int) -> None:
        # A thread asleep stands for one that computes on a machine of its own.
        time.sleep(2e-3 * (config.straggler if worker == config.workers - 1 else 1.0))

    start = time.monotonic()
    found, events = asynchronous.train_threads(
        learner.gradient,
        params,
        optim.sgd(rate),
        take,
        steps=config.updates,
        workers=config.workers,
        max_staleness=bound,
        before=before,
    )
    seconds = time.monotonic() - start
    again = asynchronous.replay(learner.gradient, params, optim.sgd(rate), take, events)
    same = jax.tree.map(lambda a, b: bool((a == b).all()), found, again)
    return {
        "staleness": events.staleness,
        "of_straggler": events.staleness[events.worker == config.workers - 1],
        "bound": bound,
        "mean_staleness": float(events.staleness.mean()),
        "max_staleness": int(events.staleness.max()),
        "seconds": seconds,
        "loss": float(learner.loss(found)),
        "replay_is_bit_equal": all(jax.tree.leaves(same)),
    }


def main(config: Config) -> dict[str, Any]:
    """Run all four, draw, and return the contents of ``summary.json``."""
    from experiments import asynchronous_sgd_figures as figures

    config.workdir.mkdir(parents=True, exist_ok=True)
    write_json(config.workdir / "config.json", asdict(config) | {"workdir": str(config.workdir)})
    learner = Learner(problems.network(), config.batch_size)
    rate = config.rates[min(1, len(config.rates) - 1)]
    total = len(config.rates) * len(config.staleness) + len(config.bounds) + 1
    with tqdm(total=total * config.keys, desc="asynchronous", unit="run") as progress:
        limit = stability()
        stale = over_staleness(learner, config, progress)
        clock = over_time(learner, config, rate, progress)
    threads = with_threads(learner, config, rate)
    figures.save(config, rate, limit, stale, clock, threads, config.workdir / "staleness.png")
    summary = {
        "stability_largest_error": limit["largest_error"],
        "stability_limit_times_1_plus_tau": limit["rule_of_thumb_share"],
        "loss_by_rate_and_staleness": {
            f"{r:g}": {
                str(t): _finite(stale["losses"][i, j].mean())
                for j, t in enumerate(config.staleness)
            }
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
        cells = "".join(f"{'diverged' if v is None else f'{v:.4f}':>9}" for v in row.values())
        lines.append(f"  {rate:>6}{cells}")
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
