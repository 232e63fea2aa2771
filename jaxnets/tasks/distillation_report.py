"""What methods of distillation are worth: paired differences over keys, a table, a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxnets.study.figures import COLORS, new_figure, save_figure
from jaxnets.study.statistics import Interval
from jaxnets.study.summaries import judge, summarize_keys
from jaxnets.study.tables import markdown_table, plus_minus


def summarize(accuracies: Mapping[str, Sequence[float]], *, claim: float = 0.01) -> dict[str, Any]:
    """Means with intervals, and paired differences to the plain student.

    Args:
        accuracies: row → test accuracy of each key, keys in one order; "plain" among them. A row
            with fewer keys than "plain" is compared on those that it has.
        claim: how much "kd" is claimed to gain.

    Returns:
        ``rows``: name → ``accuracy``, ``over_plain``; ``keys``; ``claim``: what the interval of
        "kd" over "plain" says of the claimed gain, and ``gain_is_above_0``.

    >>> found = summarize({"plain": [0.5, 0.51], "kd": [0.54, 0.56]})
    >>> round(found["rows"]["kd"]["over_plain"]["mean"], 3), found["gain_is_above_0"]
    (0.045, 'undecided')
    """
    plain = accuracies["plain"]
    rows: dict[str, Any] = {}
    for name, values in accuracies.items():
        entry: dict[str, Any] = {"accuracy": summarize_keys(values)}
        if name != "plain":
            pairs = list(zip(values, plain, strict=False))
            entry["over_plain"] = summarize_keys([a - b for a, b in pairs])
        rows[name] = entry
    found = {"rows": rows, "keys": len(plain)}
    if "kd" in rows:
        gain = rows["kd"]["over_plain"]
        found |= {"claimed_gain": claim, "claim": judge(gain, claim)}
        found["gain_is_above_0"] = judge(gain)
    return found


def summarize_runs(runs: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """`summarize` of what runs came to.

    Args:
        runs: row → the ``summary.json`` of each key.

    Returns:
        The same with ``training_seconds`` of all runs together.

    >>> run = {"test_accuracy": 0.5, "training_seconds": 2.0}
    >>> summarize_runs({"plain": [run, run]})["training_seconds"]
    4.0
    """
    accuracies = {name: [run["test_accuracy"] for run in row] for name, row in runs.items()}
    seconds = sum(run["training_seconds"] for row in runs.values() for run in row)
    return {**summarize(accuracies), "training_seconds": seconds}


def as_table(summary: Mapping[str, Any]) -> str:
    """The rows as a Markdown table, in per cent and points with half of the 95 % interval.

    Args:
        summary: of `summarize`.

    Returns:
        The table.

    >>> print(as_table(summarize({"plain": [0.5], "kd": [0.54]})))
    | method | test accuracy, % | over plain, points | keys |
    |---|---|---|--:|
    | plain | 50.0 |  | 1 |
    | kd | 54.0 | 4.0 | 1 |
    <BLANKLINE>
    """
    lines = [
        [
            name,
            _text(entry["accuracy"]),
            _text(entry["over_plain"]) if "over_plain" in entry else None,
            entry["accuracy"]["n"],
        ]
        for name, entry in summary["rows"].items()
    ]
    return markdown_table(["method", "test accuracy, %", "over plain, points", "keys"], lines)


def _text(entry: Mapping[str, float]) -> str:
    interval = Interval(entry["mean"], entry["low"], entry["high"])
    return plus_minus(interval, scale=100).replace("-", "−")


def save_picture(summary: Mapping[str, Any], path: Path) -> Path:
    """Each method's difference to the plain student, with its interval.

    Args:
        summary: of `summarize`.
        path: of the picture.

    Returns:
        The path.

    >>> import tempfile
    >>> found = summarize({"plain": [0.5, 0.5], "kd": [0.54, 0.55]})
    >>> save_picture(found, Path(tempfile.mkdtemp()) / "distillation.png").name
    'distillation.png'
    """
    rows = {name: r["over_plain"] for name, r in summary["rows"].items() if "over_plain" in r}
    figure, (axis,) = new_figure(width=7.0, height=0.8 + 0.34 * len(rows))
    for place, entry in enumerate(rows.values()):
        mean, low, high = (100 * entry[end] for end in ("mean", "low", "high"))
        color = COLORS[2] if low > 0 else COLORS[1] if high < 0 else "0.45"
        if entry["n"] > 1:
            axis.plot([low, high], [place, place], color=color, lw=2)
        axis.plot(mean, place, "o", color=color)
    axis.axvline(0, color="0.3", lw=0.8)
    axis.set_yticks(range(len(rows)), [name.replace("_", " ") for name in rows])
    axis.invert_yaxis()
    plain = 100 * summary["rows"]["plain"]["accuracy"]["mean"]
    axis.set_xlabel(
        f"points over the plain student ({plain:.1f} %), mean of {summary['keys']} keys, 95 %"
    )
    return save_figure(figure, path)


def finish(summary: dict[str, Any], workdir: Path) -> dict[str, Any]:
    """Write ``table.md`` and ``distillation.png``, and print the table, if there is anything yet.

    Args:
        summary: of `summarize`, with ``teacher_accuracy``; empty where the first key was stopped.
        workdir: where the files go.

    Returns:
        The summary.
    """
    if summary:
        save_picture(summary, workdir / "distillation.png")
        table = as_table(summary)
        (workdir / "table.md").write_text(table, encoding="utf-8")
        print(f"teacher: {100 * summary['teacher_accuracy']:.1f} %\n{table}")
        print(f"{workdir}: distillation.png, summary.json, table.md")
    return summary
