"""What became of the advice on transfer: tables, verdicts and the picture of a `StrategyStudy`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxnets.study.figures import new_figure, save_figure
from jaxnets.study.summaries import judge, means_and_spreads, percent, summarize_keys
from jaxnets.transfer.advice import advise
from jaxnets.transfer.strategies import StrategyStudy

CASES = ("small similar", "small different", "large similar", "large different")
WAYS = ("probe", "stage probe", "top", "full", "scratch")
WAY_OF = {
    "linear_probe": "probe",
    "probe_stages": "stage probe",
    "fine_tune_top": "top",
    "fine_tune_most": "full",
}
# What is said of the cases: (case, way, the other way).
COMPARISONS = {
    "small, similar: the linear classifier is better than full fine-tuning": (
        *("small similar", "probe", "full"),
    ),
    "large, similar: training the last layers is better than the linear classifier": (
        *("large similar", "top", "probe"),
    ),
    "large, different: training all layers is better than the last ones": (
        *("large different", "full", "top"),
    ),
    "small, different: an earlier stage is better than the last features": (
        *("small different", "stage probe", "probe"),
    ),
} | {
    f"{case.replace(' ', ', ')}: full fine-tuning is better than scratch": (case, "full", "scratch")
    for case in CASES
}


def advise_all(study: StrategyStudy, measured: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What `advise` says of each case, told what the data are and by the measured similarity.

    Args:
        study: whose cases.
        measured: one entry a key, of `StrategyStudy.one_key`.

    Returns:
        Case → ``{"way", "by_measured_similarity", "why"}``.

    >>> from types import SimpleNamespace
    >>> amounts = {"small": SimpleNamespace(per_class=5), "large": SimpleNamespace(per_class=500)}
    >>> similarity = {kind: {"similarity": 0.3} for kind in ("similar", "different")}
    >>> study = SimpleNamespace(amounts=amounts, classes=5)
    >>> advise_all(study, [{"similarity": similarity}])["large similar"]["way"]
    'top'
    """
    small, large = (study.amounts[size].per_class for size in ("small", "large"))
    border = int(np.sqrt(small * large) * study.classes)
    advice = {}
    for size, per_class in (("small", small), ("large", large)):
        for kind in ("similar", "different"):
            similarity = float(np.mean([m["similarity"][kind]["similarity"] for m in measured]))
            options = {"num_classes": study.classes, "small_below": border}
            said = advise(per_class * study.classes, kind, **options)
            by_number = advise(per_class * study.classes, similarity, **options)
            advice[f"{size} {kind}"] = {
                "way": WAY_OF[said.strategy],
                "by_measured_similarity": WAY_OF[by_number.strategy],
                "why": by_number.why,
            }
    return advice


def summarize(
    measured: Sequence[dict[str, Any]], advice: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """Means with intervals over keys, and verdicts on the advice.

    Args:
        measured: one entry a key, of `StrategyStudy.one_key`.
        advice: of `advise_all`.

    Returns:
        ``cells``: case → accuracies, the best way, the advised one and its lead; ``claims`` with
        verdicts; ``similarity``; ``pretrained_accuracy``; ``keys``.

    >>> one = {case: dict.fromkeys(WAYS, 0.5) for case in CASES} | {"pretrained_accuracy": None}
    >>> one["stages"] = {case: {"layer1": 0.4} for case in CASES}
    >>> names = ("similarity", "pretrained", "random", "pixels")
    >>> one["similarity"] = {kind: dict.fromkeys(names, 0) for kind in ("similar", "different")}
    >>> found = summarize([one, one], {case: {"way": "full"} for case in CASES})
    >>> found["cells"]["small similar"]["advised_minus_best_other"]["other"]
    'probe'
    """

    def difference(case: str, way: str, other: str) -> dict[str, float]:
        return summarize_keys([m[case][way] - m[case][other] for m in measured])

    def judged(entry: dict[str, float]) -> dict[str, Any]:
        return {**entry, "verdict": judge(entry)}

    cases = {}
    for case in CASES:
        table = {way: summarize_keys([m[case][way] for m in measured]) for way in WAYS}
        advised = advice[case]["way"]
        others = [way for way in WAYS if way != advised]
        rival = max(others, key=lambda way: table[way]["mean"])
        cases[case] = {
            "accuracy": table,
            "best": max(WAYS, key=lambda way: table[way]["mean"]),
            "advice": advice[case],
            "advised_minus_best_other": {**difference(case, advised, rival), "other": rival},
            "stages": {
                stage: summarize_keys([m["stages"][case][stage] for m in measured])
                for stage in measured[0]["stages"][case]
            },
        }
    help_gap = [
        (m["small similar"]["probe"] - m["small similar"]["scratch"])
        - (m["small different"]["probe"] - m["small different"]["scratch"])
        for m in measured
    ]
    claims = {sentence: judged(difference(*sides)) for sentence, sides in COMPARISONS.items()} | {
        "small, different: the last features help less than in small, similar": judged(
            summarize_keys(help_gap)
        )
    }
    similarity = {
        kind: {
            name: summarize_keys([m["similarity"][kind][name] for m in measured])
            for name in ("similarity", "pretrained", "random", "pixels")
        }
        for kind in ("similar", "different")
    }
    return {
        "cells": cases,
        "claims": claims,
        "similarity": similarity,
        "pretrained_accuracy": (
            None
            if measured[0]["pretrained_accuracy"] is None
            else summarize_keys([m["pretrained_accuracy"] for m in measured])
        ),
        "keys": len(measured),
    }


def as_text(summary: dict[str, Any], dataset: str, different: str) -> str:
    """The table, the similarities and the verdicts, for the terminal.

    Args:
        summary: of `summarize`.
        dataset: whose halves were used.
        different: the other data.

    Returns:
        Lines.

    >>> summary = {"keys": 2, "cells": {}, "similarity": {}, "claims": {}}
    >>> as_text(summary, "digits", "mnist").splitlines()[0]
    'digits halves and mnist, 2 keys: test accuracy, % ± half of the 95 % interval; * is the advice'
    """
    lines = [
        f"{dataset} halves and {different}, {summary['keys']} keys: test accuracy, % "
        "± half of the 95 % interval; * is the advice",
        " " * 18 + "".join(f"{way:>16}" for way in WAYS),
    ]
    for case, entry in summary["cells"].items():
        row = f"  {case:<16}"
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
    return "\n".join(lines)


def save_picture(summary: dict[str, Any], per_class: dict[str, int], path: Path) -> Path:
    """Bars for the four cases, placed as in the table of `advise`, and the stages' probes.

    Args:
        summary: of `summarize`.
        per_class: "small" and "large" → examples of each class.
        path: the picture.

    Returns:
        The path.

    >>> import tempfile
    >>> entry = {"mean": 0.5, "low": 0.4, "high": 0.6}
    >>> case = {"accuracy": dict.fromkeys(WAYS, entry), "advice": {"way": "full"}}
    >>> case["stages"] = {"layer1": entry}
    >>> summary, path = {"cells": dict.fromkeys(CASES, case)}, Path(tempfile.mkdtemp()) / "t.png"
    >>> save_picture(summary, {"small": 20, "large": 1000}, path).name
    't.png'
    """
    figure, axes = new_figure(3, 2, width=16 / 3, height=4.25, frame=True)
    colors = {
        "probe": "#6baed6",
        "stage probe": "#9ecae1",
        "top": "#3182bd",
        "full": "#08519c",
        "scratch": "#969696",
    }
    for i, size in enumerate(("small", "large")):
        for j, kind in enumerate(("similar", "different")):
            axis, entry = axes[i][j], summary["cells"][f"{size} {kind}"]
            rows = [entry["accuracy"][way] for way in WAYS]
            means, half = map(np.array, means_and_spreads(rows))
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
            high = (means + half).max()
            axis.set_ylim(low, high + 0.18 * (high - low))
            axis.axhline(100, color="#d0d0d0", linewidth=0.8, zorder=0)
            count = per_class[size]
            axis.set_title(f"{size} ({count} a class), {kind}")
            axis.set_ylabel("test accuracy, %")
            axis.tick_params(axis="x", labelsize=9)
        right = axes[i][2]
        for kind, marker in (("similar", "o-"), ("different", "s--")):
            stages = summary["cells"][f"{size} {kind}"]["stages"]
            means, half = means_and_spreads(list(stages.values()))
            right.errorbar(list(stages), means, half, fmt=marker, capsize=3, label=kind)
        right.set_title(f"linear classifiers by stage, {size}")
        right.set_ylabel("test accuracy, %")
        right.legend(fontsize=9)
    return save_figure(figure, path)
