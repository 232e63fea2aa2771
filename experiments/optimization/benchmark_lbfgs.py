"""L-BFGS against its peers, all brought to the same gradient norm.

Command:  python -m experiments.optimization.benchmark_lbfgs
          python -m experiments.optimization.benchmark_lbfgs --families network
Time:     47 problems; with all peers installed (SciPy, optax, jaxopt, optimistix, PyTorch) most of
          it is compilation, some twenty seconds a problem on two CPU cores. Each problem is kept in
          problems/NAME.json as soon as it is done; the same command goes on where it was, and
          ``--max-minutes 9`` ends a call after nine.
Result:   config.json, summary.json, table.md and ratios.png: who solves what, evaluations, seconds.

A peer that is not installed is named and left out (`pip install 'jaxnets[peers]'`). CPU only:
everything runs in float64.

Read the result with this in mind: each solver runs as its authors set it up, and jaxnets chooses
its number of pairs from the cost of an evaluation, up to 150, where the peers keep 10. That is
where most of its lead on networks comes from; ``--same-memory`` gives the JAX peers the same
number.
"""

import math
import time
from dataclasses import dataclass
from pathlib import Path

import jax
from tqdm import tqdm

from jaxnets import command
from jaxnets.study.optimization import benchmark_lbfgs_report as report
from jaxnets.study.optimization import benchmark_lbfgs_runs as runs
from jaxnets.study.optimization.benchmark_lbfgs_problems import FAMILIES, all_cases
from jaxnets.study.optimization.benchmark_lbfgs_solvers import Limits
from jaxnets.study.summaries import write_settings
from jaxnets.train.run_directory import write_json


@dataclass(frozen=True)
class Config:
    """Which problems and solvers to run, and when to stop.

    Args:
        families: any of published, large, hard, data, network.
        names: run only these problems; empty runs all.
        peers: run only these solvers beside jaxnets; empty runs all that are installed.
        tolerance: largest absolute entry of the gradient at the end.
        max_iterations: for every solver.
        rounds: timings of a run; the median is reported.
        same_memory: give every JAX peer as many pairs as jaxnets takes.
        max_minutes: begin no problem after so long; those done so far are reported.
        workdir: where results go.
    """

    families: tuple[str, ...] = FAMILIES
    names: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()
    tolerance: float = 1e-6
    max_iterations: int = 10_000
    rounds: int = 5
    same_memory: bool = False
    max_minutes: float = math.inf
    workdir: Path = Path("runs/benchmark_lbfgs")


def smoke() -> Config:
    """Two small problems, jaxnets and SciPy."""
    return Config(
        names=("beale_2", "robust_diabetes_10"),
        peers=("scipy",),
        rounds=1,
        workdir=Path("runs/benchmark_lbfgs_smoke"),
    )


def main(config: Config) -> dict:
    """Run the benchmark; return every run and the summary."""
    with jax.enable_x64(True):
        rows = run_all(config)
    summary = report.summarize(rows, config.same_memory)
    write_settings(config)
    write_json(config.workdir / "summary.json", summary)
    table = report.as_table(rows, summary["solvers"])
    (config.workdir / "table.md").write_text(table, encoding="utf-8")
    print(table)
    for line in summary["findings"]:
        print(line)
    report.draw(rows, config.workdir / "ratios.png")
    return summary


def run_all(config: Config) -> list[dict]:
    """One row a problem: {"case", "family", "size", "memory", "runs": {solver: Run}}."""
    names, missing = runs.choose_solvers(config.peers)
    for name in missing:
        print(f"{name} is not installed here: left out")
    limits = Limits(config.tolerance, config.max_iterations, config.rounds, patience_seconds=2.0)
    settings = [config.tolerance, config.max_iterations, config.rounds, config.same_memory, names]
    cases = [
        case
        for case in all_cases()
        if case.family in config.families and (not config.names or case.name in config.names)
    ]
    rows, begin = [], time.monotonic()
    for case in tqdm(cases, desc="problems"):
        path = config.workdir / "problems" / f"{case.name}.json"
        row = runs.load_row(path, settings)
        if row is None:
            if time.monotonic() - begin > 60 * config.max_minutes:
                print(f"{case.name}: left for the next call")
                continue
            row = runs.run_case(case, names, limits, same_memory=config.same_memory)
            runs.save_row(path, row, settings)
        rows.append(row)
    return rows


if __name__ == "__main__":
    command.run(main, Config, description=__doc__)
