"""What the layer-by-layer study of transferability found: intervals, verdicts and the picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxnets.study.figures import new_figure, save_figure
from jaxnets.study.summaries import judge, means_and_spreads, percent, summarize_keys
from jaxnets.transfer.transferability import KINDS


def summarize(measured: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means with intervals over keys, and verdicts on the paper's findings.

    Args:
        measured: one entry a key, of `TransferabilityStudy.one_key`.

    Returns:
        ``baseB``; ``accuracy_minus_baseB``: kind → a list over n; ``claims`` with verdicts;
        ``bit_checks``; ``keys``.

    >>> one = {"baseB": 0.5, "baseB again": 0.5, "bits": True}
    >>> one |= {"BnB": [0.5], "AnB": [0.4], "BnB+": [0.5], "AnB+": [0.6]}
    >>> round(summarize([one, one])["accuracy_minus_baseB"]["AnB"][0]["mean"], 3)
    -0.1
    """
    layers = range(len(measured[0]["AnB"]))

    def differences(measured, base, kind, i):
        return [m[kind][i] - b for m, b in zip(measured, base, strict=True)]

    base = [(m["baseB"] + m["baseB again"]) / 2 for m in measured]
    # Accuracies of different halves differ by more than anything of interest: everything is
    # counted from the same key's network for B.
    off = {
        kind: [summarize_keys(differences(measured, base, kind, i)) for i in layers]
        for kind in KINDS
    }
    last = layers[-1]
    claims = {
        "AnB drops from the first layer to the last": summarize_keys(
            [m["AnB"][0] - m["AnB"][last] for m in measured]
        ),
        "at the last layer AnB is below BnB": summarize_keys(
            [m["BnB"][last] - m["AnB"][last] for m in measured]
        ),
        "AnB+ is above baseB (mean over n)": summarize_keys(
            [float(np.mean(m["AnB+"])) - b for m, b in zip(measured, base, strict=True)]
        ),
        "BnB+ is below baseB (mean over n)": summarize_keys(
            [b - float(np.mean(m["BnB+"])) for m, b in zip(measured, base, strict=True)]
        ),
        "BnB dips below baseB in the middle (least over n)": summarize_keys(
            [b - float(np.min(m["BnB"])) for m, b in zip(measured, base, strict=True)]
        ),
    }
    return {
        "baseB": summarize_keys(base),
        "accuracy_minus_baseB": off,
        "claims": {name: {**entry, "verdict": judge(entry)} for name, entry in claims.items()},
        "bit_checks": all(m["bits"] for m in measured),
        "keys": len(measured),
    }


def save_picture(summary: dict[str, Any], titles: dict[str, str], path: Path) -> Path:
    """Accuracy on B against the number of copied layers, as figure 2 of the paper.

    Args:
        summary: split → `summarize`.
        titles: split → words.
        path: the picture.

    Returns:
        The path.

    >>> import tempfile
    >>> one = {"baseB": 0.5, "baseB again": 0.5, "bits": True, **dict.fromkeys(KINDS, [0.5])}
    >>> summary, path = {"random": summarize([one, one])}, Path(tempfile.mkdtemp()) / "t.png"
    >>> save_picture(summary, {"random": "random halves"}, path).name
    't.png'
    """
    figure, axes = new_figure(len(summary), width=6.5, height=5, frame=True)
    for axis in axes[1:]:
        axis.sharey(axes[0])
        axis.tick_params(labelleft=False)
    styles = {
        "BnB": ("#6baed6", "o--"),
        "BnB+": ("#08519c", "o-"),
        "AnB": ("#fc9272", "s--"),
        "AnB+": ("#a50f15", "s-"),
    }
    for axis, (split, entry) in zip(axes, summary.items(), strict=True):
        n = np.arange(1, len(entry["accuracy_minus_baseB"]["AnB"]) + 1)
        axis.axhline(0, color="0.5", lw=1)
        for j, (kind, (color, style)) in enumerate(styles.items()):
            means, half = means_and_spreads(entry["accuracy_minus_baseB"][kind])
            axis.errorbar(
                n + 0.05 * (j - 1.5),
                means,
                half,
                fmt=style,
                color=color,
                capsize=2,
                lw=1.8,
                elinewidth=0.8,
                label=kind,
            )
        axis.set_xticks(n)
        base = 100 * entry["baseB"]["mean"]
        axis.set(title=f"{titles[split]}; baseB = {base:.1f} %", xlabel="layers copied, n")
    axes[0].set_ylabel("test accuracy on B minus that of baseB, points")
    axes[-1].legend(title="+: trained, else frozen", fontsize=9)
    return save_figure(figure, path)


def as_text(summary: dict[str, Any], dataset: str) -> str:
    """The numbers and the verdicts, for the terminal.

    Args:
        summary: split → `summarize`.
        dataset: whose classes were split.

    Returns:
        Lines.

    >>> one = {"baseB": 0.5, "baseB again": 0.5, "bits": True, **dict.fromkeys(KINDS, [0.5])}
    >>> as_text({"random": summarize([one, one])}, "digits").splitlines()[0]
    'digits, random halves, 2 keys: baseB 50.0 ± 0.0 %; points above baseB, n = 1 … 1'
    """
    lines = []
    for split, entry in summary.items():
        count = len(entry["accuracy_minus_baseB"]["AnB"])
        lines.append(
            f"{dataset}, {split} halves, {entry['keys']} keys: baseB "
            f"{percent(entry['baseB'])} %; points above baseB, n = 1 … {count}"
        )
        for kind, rows in entry["accuracy_minus_baseB"].items():
            lines.append(f"  {kind:<5}" + "".join(f"{percent(row):>14}" for row in rows))
        for name, claim in entry["claims"].items():
            lines.append(f"  {name}: {percent(claim)} points: {claim['verdict']}")
        lines.append(f"  bits of the copied layers as they must be: {entry['bit_checks']}")
    return "\n".join(lines)
