"""L-BFGS against its peers, all brought to the same gradient norm.

Command:  python -m experiments.benchmark_lbfgs
          python -m experiments.benchmark_lbfgs --families network
Time:     47 problems; with all peers installed (SciPy, optax, jaxopt, optimistix, PyTorch) most of
          it is compilation, some twenty seconds a problem on two CPU cores. Each problem is kept in
          problems/NAME.json as soon as it is done; the same command goes on where it was, and
          ``--minutes 9`` ends a call after nine.
Result:   config.json, summary.json, table.md and ratios.png: who solves what, evaluations, seconds.

A peer that is not installed is named and left out (`pip install 'jaxnets[peers]'`). CPU only:
everything runs in float64.

Read the result with this in mind: each solver runs as its authors set it up, and jaxnets chooses
its number of pairs from the cost of an evaluation, up to 150, where the peers keep 10. That is
where most of its lead on networks comes from; ``--same-memory`` gives the JAX peers the same
number.
"""

import dataclasses
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import jax

from experiments.lbfgs_benchmark import problems, report, solvers
from jaxnets.optim.second_order import default_memory_size_for


@dataclass(frozen=True)
class Config:
    """Which problems and solvers to run, and when to stop.

    Args:
        families: any of published, large, hard, data, network.
        names: run only these problems; empty runs all.
        peers: run only these solvers beside jaxnets; empty runs all that are installed.
        tol: largest absolute entry of the gradient at the end.
        max_iterations: for every solver.
        repeats: timings of a run; the median is reported.
        same_memory: give every JAX peer as many pairs as jaxnets takes.
        minutes: begin no problem after so long; those done so far are reported.
        workdir: where results go.
    """

    families: tuple[str, ...] = ("published", "large", "hard", "data", "network")
    names: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()
    tol: float = 1e-6
    max_iterations: int = 10_000
    repeats: int = 5
    same_memory: bool = False
    minutes: float = math.inf
    workdir: Path = Path("runs/benchmark_lbfgs")


def smoke() -> Config:
    """Two small problems, jaxnets and SciPy."""
    return Config(
        names=("beale_2", "robust_diabetes_10"),
        peers=("scipy",),
        repeats=1,
        workdir=Path("runs/benchmark_lbfgs_smoke"),
    )


def main(config: Config) -> dict:
    """Run the benchmark; return every run and the summary."""
    with jax.enable_x64(True):
        rows = run_all(config)
    summary = report.summarize(rows, config.same_memory)
    config.workdir.mkdir(parents=True, exist_ok=True)
    settings = {k: str(v) if isinstance(v, Path) else v for k, v in vars(config).items()}
    (config.workdir / "config.json").write_text(json.dumps(settings, indent=1))
    (config.workdir / "summary.json").write_text(json.dumps(summary, indent=1))
    table = report.as_table(rows, summary["solvers"])
    (config.workdir / "table.md").write_text(table)
    print(table)
    for line in summary["findings"]:
        print(line)
    report.draw(rows, config.workdir / "ratios.png")
    return summary


def run_all(config: Config) -> list[dict]:
    """One row a problem: {"case", "family", "size", "memory", "runs": {solver: Run}}."""
    installed = solvers.present()
    wanted = [*solvers.JAX_SOLVERS, *solvers.HOST_SOLVERS]
    for name in wanted:
        if name not in installed and (not config.peers or name in config.peers):
            print(f"{name} is not installed here: left out")
    names = [n for n in installed if n == "jaxnets" or not config.peers or n in config.peers]
    limits = solvers.Limits(config.tol, config.max_iterations, config.repeats, 2.0)
    settings = [config.tol, config.max_iterations, config.repeats, config.same_memory, names]
    folder = config.workdir / "problems"
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    cases = [
        case
        for case in problems.all_cases()
        if case.family in config.families and (not config.names or case.name in config.names)
    ]
    begin = time.monotonic()
    for case in _with_bar(cases):
        path = folder / f"{case.name}.json"
        row = _stored(path, settings)
        if row is None:
            if time.monotonic() - begin > 60 * config.minutes:
                print(f"{case.name}: left for the next call")
                continue
            row = run_case(case, names, config.same_memory, limits)
            runs = {name: run._asdict() for name, run in row["runs"].items()}
            path.write_text(json.dumps({"settings": settings, "row": {**row, "runs": runs}}))
        rows.append(row)
    return rows


def _stored(path: Path, settings: list) -> dict | None:
    """The row of an earlier call with the same settings."""
    if not path.exists():
        return None
    stored = json.loads(path.read_text())
    if stored["settings"] != settings:
        return None
    runs = {name: solvers.Run(**run) for name, run in stored["row"]["runs"].items()}
    return {**stored["row"], "runs": runs}


def run_case(case, names: list[str], same_memory: bool, limits: solvers.Limits) -> dict:
    """One problem with every solver."""
    memory = default_memory_size_for(case.fun, case.start, case.args)
    runs = {}
    for name in names:
        if name == "optimistix BFGS" and case.start.size > 1000:
            continue  # a dense matrix of its size takes minutes
        given = memory if same_memory and name in solvers.JAX_SOLVERS else None
        runs[name] = solvers.run(name, case, given, limits)
    size = int(case.start.size)
    return {"case": case.name, "family": case.family, "size": size, "memory": memory, "runs": runs}


def _with_bar(cases):
    try:
        from tqdm import tqdm
    except ImportError:
        return cases
    return tqdm(cases, desc="problems")


if __name__ == "__main__":
    try:
        import tyro

        chosen = tyro.cli(Config, description=__doc__)
    except ImportError:  # an environment with the peers may lack it
        chosen = dataclasses.replace(Config())
    main(chosen)
