"""Tables, verdicts and the picture of transfer.py."""

from pathlib import Path
from typing import Any

import numpy as np

from experiments.transfer_study.statistics import interval, percent, verdict

CELLS = ("small similar", "small different", "large similar", "large different")
WAYS = ("probe", "stage probe", "top", "full", "scratch")
WAY_OF = {
    "linear_probe": "probe",
    "probe_stages": "stage probe",
    "fine_tune_top": "top",
    "fine_tune_most": "full",
}


def summarize(measured: list[dict[str, Any]], advice: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Means with intervals over keys, and the verdicts.

    Args:
        measured: one entry a key: accuracies by cell and way, similarities, stages.
        advice: cell → the way that the notes advise, and the one that follows from the similarity.
    """

    def difference(cell: str, way: str, other: str) -> dict[str, float]:
        return interval([m[cell][way] - m[cell][other] for m in measured])

    def judged(entry: dict[str, float]) -> dict[str, Any]:
        return {**entry, "verdict": verdict(entry)}

    cells = {}
    for cell in CELLS:
        table = {way: interval([m[cell][way] for m in measured]) for way in WAYS}
        advised = advice[cell]["way"]
        others = [way for way in WAYS if way != advised]
        rival = max(others, key=lambda way: table[way]["mean"])
        cells[cell] = {
            "accuracy": table,
            "best": max(WAYS, key=lambda way: table[way]["mean"]),
            "advice": advice[cell],
            "advised_minus_best_other": {**difference(cell, advised, rival), "other": rival},
            "stages": {
                stage: interval([m["stages"][cell][stage] for m in measured])
                for stage in measured[0]["stages"][cell]
            },
        }
    help_gap = [
        (m["small similar"]["probe"] - m["small similar"]["scratch"])
        - (m["small different"]["probe"] - m["small different"]["scratch"])
        for m in measured
    ]
    claims = {
        "small, similar: the linear classifier is better than full fine-tuning": judged(
            difference("small similar", "probe", "full")
        ),
        "large, similar: training the last layers is better than the linear classifier": judged(
            difference("large similar", "top", "probe")
        ),
        "large, different: training all layers is better than the last ones": judged(
            difference("large different", "full", "top")
        ),
        "small, different: the last features help less than in small, similar": judged(
            interval(help_gap)
        ),
        "small, different: an earlier stage is better than the last features": judged(
            difference("small different", "stage probe", "probe")
        ),
        "small, different: full fine-tuning is better than scratch": judged(
            difference("small different", "full", "scratch")
        ),
    }
    similarity = {
        kind: {
            name: interval([m["similarity"][kind][name] for m in measured])
            for name in ("similarity", "pretrained", "random", "pixels")
        }
        for kind in ("similar", "different")
    }
    return {
        "cells": cells,
        "claims": claims,
        "similarity": similarity,
        "donor_accuracy": (
            None
            if measured[0]["donor_accuracy"] is None
            else interval([m["donor_accuracy"] for m in measured])
        ),
        "keys": len(measured),
    }


def as_text(summary: dict[str, Any], config: Any) -> str:
    """The table on the terminal."""
    lines = [
        f"{config.dataset} halves and {config.different}, {summary['keys']} keys: test accuracy, % "
        "± half of the 95 % interval; * is the notes' advice",
        " " * 18 + "".join(f"{way:>16}" for way in WAYS),
    ]
    for cell, entry in summary["cells"].items():
        row = f"  {cell:<16}"
        for way in WAYS:
            mark = "*" if way == entry["advice"]["way"] else " "
            row += f"{percent(entry['accuracy'][way]) + mark:>16}"
        lines.append(row + f"   best: {entry['best']}")
    for kind, entry in summary["similarity"].items():
        lines.append(
            f"  similarity of the {kind} data: {entry['similarity']['mean']:.2f} (probes: "
            "pretrained "
            f"{percent(entry['pretrained'])}, pixels {percent(entry['pixels'])}, random network "
            f"{percent(entry['random'])})"
        )
    for name, entry in summary["claims"].items():
        lines.append(f"  {name}: {percent(entry)} points: {entry['verdict']}")
    lines.append(f"{config.workdir}: transfer.png, summary.json")
    return "\n".join(lines)


def save_figure(summary: dict[str, Any], config: Any, target: Path) -> None:
    """Bars for the four cells, placed as in the notes' table, and the stages' probes."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 3, figsize=(16, 8.5), layout="constrained")
    colors = {
        "probe": "#6baed6",
        "stage probe": "#9ecae1",
        "top": "#3182bd",
        "full": "#08519c",
        "scratch": "#969696",
    }
    for i, size in enumerate(("small", "large")):
        for j, kind in enumerate(("similar", "different")):
            axis, entry = axes[i, j], summary["cells"][f"{size} {kind}"]
            rows = [entry["accuracy"][way] for way in WAYS]
            means = 100 * np.array([r["mean"] for r in rows])
            half = 100 * np.array([r["high"] - r["mean"] for r in rows])
            half = np.where(np.isfinite(half), half, 0)
            axis.bar(WAYS, means, yerr=half, color=[colors[w] for w in WAYS], capsize=3)
            place = WAYS.index(entry["advice"]["way"])
            axis.annotate(
                "advised",
                (place, means[place] + half[place]),
                (0, 4),
                textcoords="offset points",
                ha="center",
                fontsize=9,
                color="#a50f15",
            )
            low = max(0, (means - half).min() - 6)
            axis.set_ylim(low, (means + half).max() + 0.18 * ((means + half).max() - low))
            count = getattr(config, size)
            axis.set_title(f"{size} ({count} a class), {kind}")
            axis.set_ylabel("test accuracy, %")
            axis.tick_params(axis="x", labelsize=9)
        right = axes[i, 2]
        for kind, marker in (("similar", "o-"), ("different", "s--")):
            stages = summary["cells"][f"{size} {kind}"]["stages"]
            means = 100 * np.array([e["mean"] for e in stages.values()])
            half = 100 * np.array([e["high"] - e["mean"] for e in stages.values()])
            half = np.where(np.isfinite(half), half, 0)
            right.errorbar(list(stages), means, half, fmt=marker, capsize=3, label=kind)
        right.set_title(f"linear classifiers by stage, {size}")
        right.set_ylabel("test accuracy, %")
        right.legend(fontsize=9)
    figure.savefig(target, dpi=110)
    plt.close(figure)
