"""L-BFGS against its peers, all brought to the same gradient norm.

Command:  python -m experiments.benchmark_lbfgs
          python -m experiments.benchmark_lbfgs --families network
Time:     47 problems; with all peers installed (SciPy, optax, jaxopt, optimistix, PyTorch) most of
          it is compilation, some twenty seconds a problem on two CPU cores.
Result:   config.json, summary.json, table.md and ratios.png: who solves what, evaluations, seconds.

A peer that is not installed is named and left out (`pip install 'jaxnets[peers]'`). CPU only:
everything runs in float64.

Read the result with this in mind: each solver runs as its authors set it up, and jaxnets chooses
its number of pairs from the cost of an evaluation, up to 100, where the peers keep 10. That is
where most of its lead on networks comes from; ``--same-memory`` gives the JAX peers the same
number.
"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

from experiments.lbfgs_benchmark import problems, solvers
from jaxnets.optim.second_order.minimizer import default_memory_for


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
        workdir: where results go.
    """

    families: tuple[str, ...] = ("published", "large", "hard", "data", "network")
    names: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()
    tol: float = 1e-6
    max_iterations: int = 10_000
    repeats: int = 5
    same_memory: bool = False
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
    summary = summarise(rows, config)
    config.workdir.mkdir(parents=True, exist_ok=True)
    settings = {k: str(v) if isinstance(v, Path) else v for k, v in vars(config).items()}
    (config.workdir / "config.json").write_text(json.dumps(settings, indent=1))
    (config.workdir / "summary.json").write_text(json.dumps(summary, indent=1))
    table = as_table(rows, summary["solvers"])
    (config.workdir / "table.md").write_text(table)
    print(table)
    for line in summary["findings"]:
        print(line)
    draw(rows, config.workdir / "ratios.png")
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
    rows = []
    cases = [
        case
        for case in problems.all_cases()
        if case.family in config.families and (not config.names or case.name in config.names)
    ]
    for case in _with_bar(cases):
        memory = default_memory_for(case.fun, case.start, case.args)
        runs = {}
        for name in names:
            if name == "optimistix BFGS" and case.start.size > 1000:
                continue  # a dense matrix of its size takes minutes
            given = memory if config.same_memory and name in solvers.JAX_SOLVERS else None
            runs[name] = solvers.run(name, case, given, limits)
        size = int(case.start.size)
        rows.append(
            {"case": case.name, "family": case.family, "size": size, "memory": memory, "runs": runs}
        )
    return rows


def _with_bar(cases):
    try:
        from tqdm import tqdm
    except ImportError:
        return cases
    return tqdm(cases, desc="problems")


def fastest_peer(row: dict) -> tuple[str, float] | None:
    """The fastest other JAX solver that solved the problem, and its seconds."""
    solved = {
        name: run.seconds
        for name, run in row["runs"].items()
        if name in solvers.JAX_SOLVERS and name != "jaxnets" and run.solved
    }
    if not solved:
        return None
    name = min(solved, key=solved.get)
    return name, solved[name]


def summarise(rows: list[dict], config: Config) -> dict:
    """Counts, medians and the sentences that state them."""
    names = list(dict.fromkeys(name for row in rows for name in row["runs"]))
    solved = {n: sum(r["runs"][n].solved for r in rows if n in r["runs"]) for n in names}
    findings = [f"solved, of {len(rows)}: " + ", ".join(f"{n} {solved[n]}" for n in names)]
    medians = {}
    for name in names:
        both = [r["runs"] for r in rows if name in r["runs"]]
        both = [runs for runs in both if runs[name].solved and runs["jaxnets"].solved]
        if name == "jaxnets" or not both:
            continue
        ours = float(np.median([runs["jaxnets"].evaluations for runs in both]))
        theirs = float(np.median([runs[name].evaluations for runs in both]))
        ratio = float(
            np.median([runs["jaxnets"].evaluations / runs[name].evaluations for runs in both])
        )
        medians[name] = {"problems": len(both), "jaxnets": ours, name: theirs, "ratio": ratio}
        findings.append(
            f"evaluations, median over the {len(both)} problems both solved: jaxnets {ours:g}, "
            f"{name} {theirs:g}; median ratio {ratio:.2f}"
        )
    speed = {}
    for row in rows:
        peer = fastest_peer(row)
        if row["family"] in ("data", "network") and peer and row["runs"]["jaxnets"].solved:
            speed[row["case"]] = peer[1] / row["runs"]["jaxnets"].seconds
    if speed:
        fast = sum(ratio >= 2 for ratio in speed.values())
        findings.append(
            f"data sets and networks: at least 2x faster than the fastest JAX peer on {fast} of "
            f"{len(speed)}; median {np.median(list(speed.values())):.1f}x, least "
            f"{min(speed.values()):.1f}x"
        )
    return {
        "solvers": names,
        "solved": solved,
        "problems": len(rows),
        "evaluations": medians,
        "speed_up": speed,
        "findings": findings,
        "same_memory": config.same_memory,
        "runs": [
            {**row, "runs": {name: run._asdict() for name, run in row["runs"].items()}}
            for row in rows
        ],
    }


def as_table(rows: list[dict], names: list[str]) -> str:
    """Markdown: evaluations and milliseconds a solver, a dash where it did not solve."""
    lines = [
        "| problem | n | pairs | "
        + " | ".join(names)
        + " | compile jaxnets | × fastest JAX peer |",
        "|---|--:|--:|" + "--:|" * (len(names) + 2),
    ]
    for row in rows:
        cells = []
        for name in names:
            run = row["runs"].get(name)
            if run is None:
                cells.append("")
            elif run.solved:
                cells.append(f"{run.evaluations} / {run.seconds * 1e3:.3g} ms")
            else:
                cells.append("—")
        peer, ours = fastest_peer(row), row["runs"]["jaxnets"]
        ratio = f"{peer[1] / ours.seconds:.1f}" if peer and ours.solved else ""
        lines.append(
            f"| {row['case']} | {row['size']} | {row['memory']} | "
            + " | ".join(cells)
            + f" | {ours.compile_seconds:.2f} s | {ratio} |"
        )
    return "\n".join(lines) + "\n"


def draw(rows: list[dict], path: Path) -> None:
    """How many times longer the fastest JAX peer takes than jaxnets, one bar a problem."""
    try:
        import matplotlib
    except ImportError:
        print("matplotlib is not installed here: no picture")
        return
    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    known = [(row, fastest_peer(row)) for row in rows if row["runs"]["jaxnets"].solved]
    known = [(row, peer) for row, peer in known if peer]
    if not known:
        return
    known.sort(key=lambda item: (item[0]["family"], item[0]["case"]))
    ratios = [peer[1] / row["runs"]["jaxnets"].seconds for row, peer in known]
    colours = {"data": "#1b6ca8", "network": "#b8420f"}
    figure, axes = plt.subplots(figsize=(8, 1.2 + 0.22 * len(known)), layout="constrained")
    places = np.arange(len(known))
    fill = [colours.get(row["family"], "#999999") for row, _ in known]
    axes.barh(places, ratios, color=fill, height=0.7)
    axes.set_yticks(places, [f"{row['case']} ({peer[0]})" for row, peer in known], fontsize=7)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.axvline(2, color="black", linewidth=0.8, linestyle=":")
    axes.invert_yaxis()
    axes.set_xlabel("wall time of the fastest other JAX solver (named) / jaxnets")
    axes.set_title("blue: data sets, red: networks, grey: formulas", fontsize=9)
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    try:
        import tyro

        chosen = tyro.cli(Config, description=__doc__)
    except ImportError:  # an environment with the peers may lack it
        chosen = dataclasses.replace(Config())
    main(chosen)
