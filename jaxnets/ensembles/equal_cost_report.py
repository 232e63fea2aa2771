"""What ensembles at one cost are worth: intervals over keys, gains, the picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxnets.ensembles.equal_cost import KINDS
from jaxnets.ensembles.measure import measure_ensemble, pairwise_disagreement
from jaxnets.study.figures import new_figure, save_figure
from jaxnets.study.summaries import judge, means_and_spreads, percent, summarize_keys


def measure_key(
    found: dict[str, np.ndarray], labels: np.ndarray
) -> tuple[dict[str, dict[str, Any]], list[float]]:
    """What one key's ensembles are worth.

    Args:
        found: kind → (k, N, K), of `EnsembleStudy.one_key`.
        labels: (N,).

    Returns:
        Kind → `measure_ensemble`; and the accuracy of the first 1, 2, … k independent networks.

    >>> found = {"networks": np.array([[[0.9, 0.1]], [[0.3, 0.7]]])}
    >>> measure_key(found, np.array([0]))[1]
    [1.0, 1.0]
    """
    networks = found["networks"]
    growth = [
        measure_ensemble(networks[:i], labels)["accuracy"] for i in range(1, len(networks) + 1)
    ]
    return {kind: measure_ensemble(p, labels) for kind, p in found.items()}, growth


def disagreements(found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Kind → (k, k) shares of the examples on which two members disagree.

    Args:
        found: kind → (k, N, K), of `EnsembleStudy.one_key`.

    Returns:
        Four kinds of ensembles that have k members.

    >>> one = np.eye(2)[None]
    >>> kinds = ("networks", "short", "checkpoints", "snapshots")
    >>> disagreements(dict.fromkeys(kinds, one))["short"].tolist()
    [[0.0]]
    """
    kinds = ("networks", "short", "checkpoints", "snapshots")
    return {kind: np.asarray(pairwise_disagreement(found[kind])) for kind in kinds}


def summarize(
    measured: Sequence[dict[str, dict[str, Any]]], growth: Sequence[Sequence[float]]
) -> dict[str, Any]:
    """Means with intervals over keys.

    Args:
        measured, growth: one entry a key, of `measure_key`.

    Returns:
        ``table``: kind → accuracy, loss, …; ``gains`` with verdicts; ``accuracy_by_members``;
        ``loss_is_at_most_the_members_mean`` (Jensen); ``members``; ``keys``.

    >>> one = measure_key(dict.fromkeys(KINDS, np.full((2, 1, 2), 0.5)), np.array([0]))
    >>> summary = summarize(*zip(one, one, strict=True))
    >>> summary["members"], summary["keys"], summary["loss_is_at_most_the_members_mean"]
    (2, 2, True)
    """

    def over_keys(kind: str, name: str) -> dict[str, float]:
        return summarize_keys([m[kind][name] for m in measured])

    def gain(kind: str, name: str, other: str, other_name: str) -> dict[str, float]:
        return summarize_keys([m[kind][name] - m[other][other_name] for m in measured])

    table = {
        kind: {
            name: over_keys(kind, name)
            for name in ("accuracy", "loss", "mean_accuracy", "best_accuracy", "disagreement")
        }
        for kind in KINDS
    }
    gains = {
        "k networks over their mean": gain("networks", "accuracy", "networks", "mean_accuracy"),
        "k short networks over one network": gain("short", "accuracy", "one", "accuracy"),
        "checkpoints over the last one": gain("checkpoints", "accuracy", "one", "accuracy"),
        "snapshots over the best snapshot": gain(
            "snapshots", "accuracy", "snapshots", "best_accuracy"
        ),
        "snapshots over one network": gain("snapshots", "accuracy", "one", "accuracy"),
        "SWA over the same run's last network": gain("swa", "accuracy", "swa_last", "accuracy"),
        "SWA over one network": gain("swa", "accuracy", "one", "accuracy"),
    }
    jensen = all(m[kind]["loss"] <= m[kind]["mean_loss"] + 1e-6 for m in measured for kind in KINDS)
    return {
        "table": table,
        "gains": {name: {**entry, "above_0": judge(entry)} for name, entry in gains.items()},
        "accuracy_by_members": [summarize_keys(column) for column in zip(*growth, strict=True)],
        "loss_is_at_most_the_members_mean": jensen,
        "members": len(growth[0]),
        "keys": len(measured),
    }


def save_picture(
    summary: dict[str, Any], pairs: dict[str, np.ndarray], dataset: str, path: Path
) -> Path:
    """Ensembles beside their members, growth with k, and how often pairs disagree.

    Args:
        summary: of `summarize`.
        pairs: kind → (k, k), of `pairwise_disagreement`.
        dataset: its name.
        path: the picture.

    Returns:
        The path.

    >>> import tempfile
    >>> one = measure_key(dict.fromkeys(KINDS, np.full((2, 1, 2), 0.5)), np.array([0]))
    >>> summary = summarize(*zip(one, one, strict=True))
    >>> pairs = dict.fromkeys(("networks", "short"), np.zeros((2, 2)))
    >>> save_picture(summary, pairs, "digits", Path(tempfile.mkdtemp()) / "ensemble.png").name
    'ensemble.png'
    """
    figure, axes = new_figure(3, width=17 / 3, height=5, frame=True)
    left, middle, right = axes
    kinds = list(KINDS)
    places = np.arange(len(kinds))
    for offset, name, label, color in (
        (-0.2, "mean_accuracy", "mean of the members", "#9ecae1"),
        (0.2, "accuracy", "ensemble", "#08519c"),
    ):
        means, bars = means_and_spreads([summary["table"][kind][name] for kind in kinds])
        left.barh(places + offset, means, 0.38, xerr=bars, label=label, color=color)
    lows = [summary["table"][kind]["mean_accuracy"]["mean"] for kind in kinds]
    highs = [summary["table"][kind]["accuracy"]["mean"] for kind in kinds]
    left.set_xlim(100 * min(lows) - 3, 100 * max(highs) + 3)
    left.set_yticks(places, [KINDS[kind].replace(" (", "\n(") for kind in kinds])
    left.invert_yaxis()
    left.set(title=f"{dataset}, k = {summary['members']}", xlabel="test accuracy, %")
    left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12), ncols=2, fontsize=9)
    growth = summary["accuracy_by_members"]
    numbers = np.arange(1, len(growth) + 1)
    means, spread = means_and_spreads(growth)
    middle.errorbar(numbers, means, spread, marker="o", capsize=3)
    middle.set_xticks(numbers)
    middle.set(title="independent networks", xlabel="members", ylabel="test accuracy, %")
    names = list(pairs)
    size = summary["members"]
    grid = np.full((2 * size + 1, 2 * size + 1), np.nan)
    for i, name in enumerate(names):
        top, side = (i // 2) * (size + 1), (i % 2) * (size + 1)
        grid[top : top + size, side : side + size] = 100 * pairs[name][:size, :size]
        right.text(side + (size - 1) / 2, top - 0.7, name, ha="center", va="bottom", fontsize=9)
    picture = right.imshow(grid, cmap="viridis")
    right.set_ylim(2 * size + 0.5, -1.6)
    right.set_xticks([])
    right.set_yticks([])
    right.set_title("pairs of members that disagree, % of the test images\n(first key)")
    right.set_frame_on(False)
    figure.colorbar(picture, ax=right, shrink=0.8)
    return save_figure(figure, path)


def as_text(summary: dict[str, Any], dataset: str) -> str:
    """The table and the gains, for the terminal.

    Args:
        summary: of `summarize`.
        dataset: its name.

    Returns:
        Lines.

    >>> one = measure_key(dict.fromkeys(KINDS, np.full((2, 1, 2), 0.5)), np.array([0]))
    >>> as_text(summarize(*zip(one, one, strict=True)), "digits").splitlines()[0]
    'digits, k = 2, 2 keys; mean ± half of the 95 % interval, %'
    """
    lines = [
        f"{dataset}, k = {summary['members']}, {summary['keys']} keys; mean ± half of the 95 % "
        "interval, %",
        f"  {'':<30}{'ensemble':>14}{'members':>14}{'best member':>14}{'disagree':>14}{'loss':>9}",
    ]
    for kind, label in KINDS.items():
        entry = summary["table"][kind]
        lines.append(
            f"  {label:<30}{percent(entry['accuracy']):>14}{percent(entry['mean_accuracy']):>14}"
            f"{percent(entry['best_accuracy']):>14}{percent(entry['disagreement']):>14}"
            f"{entry['loss']['mean']:>9.3f}"
        )
    for name, entry in summary["gains"].items():
        lines.append(f"  {name}: {percent(entry)} points; above 0: {entry['above_0']}")
    return "\n".join(lines)
