"""What a comparison of minimizers says of its runs: counts, medians, a table and a figure.

A row is one problem, as `jaxnets.study.optimization.benchmark_lbfgs_runs.run_case` returns it.
"""

from pathlib import Path

import numpy as np

from jaxnets.study.figures import new_figure, save_figure
from jaxnets.study.optimization.benchmark_lbfgs_runs import as_json
from jaxnets.study.optimization.benchmark_lbfgs_solvers import JAX_SOLVERS
from jaxnets.study.tables import markdown_table


def fastest_peer(row: dict) -> tuple[str, float] | None:
    """The fastest other JAX solver that solved the problem, and its seconds.

    Args:
        row: one problem.

    Returns:
        Its name and seconds; None where no peer solved the problem.
    """
    solved = {
        name: run.seconds
        for name, run in row["runs"].items()
        if name in JAX_SOLVERS and name != "jaxnets" and run.solved
    }
    if not solved:
        return None
    name = min(solved, key=solved.get)
    return name, solved[name]


def summarize(rows: list[dict], same_memory: bool) -> dict:
    """Counts, medians and the sentences that state them.

    Args:
        rows: see above.
        same_memory: whether all JAX solvers kept as many pairs as jaxnets; stored beside.

    Returns:
        {"solvers", "solved", "problems", "evaluations", "speed_up", "findings", "same_memory",
        "runs"}.
    """
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
        "same_memory": same_memory,
        "runs": [as_json(row) for row in rows],
    }


def as_table(rows: list[dict], names: list[str]) -> str:
    """A Markdown table: evaluations and milliseconds a solver, a dash where it did not solve.

    Args:
        rows: one a problem.
        names: of the solvers, one a column.

    Returns:
        The table.
    """
    header = ["problem", "n", "pairs", *names, "compile jaxnets", "× fastest JAX peer"]
    lines = []
    for row in rows:
        entries = []
        for name in names:
            run = row["runs"].get(name)
            if run is None:
                entries.append("")
            elif run.solved:
                entries.append(f"{run.evaluations} / {run.seconds * 1e3:.3g} ms")
            else:
                entries.append("—")
        peer, ours = fastest_peer(row), row["runs"]["jaxnets"]
        ratio = f"{peer[1] / ours.seconds:.1f}" if peer and ours.solved else ""
        compiling = f"{ours.compile_seconds:.2f} s"
        start = [row["case"], str(row["size"]), str(row["memory"])]
        lines.append([*start, *entries, compiling, ratio])
    return markdown_table(header, lines, align=["left"] + ["right"] * (len(header) - 1))


def draw(rows: list[dict], path: Path) -> None:
    """How many times longer the fastest JAX peer takes than jaxnets, one bar a problem.

    Args:
        rows: one a problem; those that jaxnets and a JAX peer solved are shown.
        path: a PNG file.
    """
    known = [(row, fastest_peer(row)) for row in rows if row["runs"]["jaxnets"].solved]
    known = [(row, peer) for row, peer in known if peer]
    if not known:
        return
    known.sort(key=lambda item: (item[0]["family"], item[0]["case"]))
    ratios = [peer[1] / row["runs"]["jaxnets"].seconds for row, peer in known]
    colors = {"data": "#1b6ca8", "network": "#b8420f"}
    figure, (ax,) = new_figure(width=8, height=1.2 + 0.22 * len(known))
    positions = np.arange(len(known))
    fill = [colors.get(row["family"], "#999999") for row, _ in known]
    ax.barh(positions, ratios, color=fill, height=0.7)
    ax.set_yticks(positions, [f"{row['case']} ({peer[0]})" for row, peer in known], fontsize=7)
    ax.axvline(1, color="black", linewidth=0.8)
    ax.axvline(2, color="black", linewidth=0.8, linestyle=":")
    ax.invert_yaxis()
    ax.set_xlabel("wall time of the fastest other JAX solver (named) / jaxnets")
    ax.set_title("blue: data sets, red: networks, gray: formulas", fontsize=9)
    save_figure(figure, path)
