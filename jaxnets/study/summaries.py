"""Settings and results as JSON values: means over random keys with intervals, verdicts, text."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jaxnets.study.statistics import Interval, mean_interval
from jaxnets.study.tables import plus_minus
from jaxnets.train.run_directory import read_json, to_json, write_json


def summarize_keys(values: Sequence[float]) -> dict[str, float]:
    """Mean and 95 % t interval over independent repetitions, as JSON values.

    Args:
        values: (n,), one entry a key.

    Returns:
        ``{"mean", "low", "high", "n"}``; with one value the interval is unbounded.

    >>> summarize_keys([1.0, 3.0])["mean"], summarize_keys([1.0])["high"]
    (2.0, inf)
    """
    found = mean_interval(values)
    return {"mean": found.estimate, "low": found.low, "high": found.high, "n": len(values)}


def judge(difference: dict[str, float], border: float = 0.0) -> str:
    """What an interval says of a claim that a difference is above a border.

    Args:
        difference: of `summarize_keys`.
        border: what the difference is claimed to exceed.

    Returns:
        "holds" where the whole interval is above the border, "fails" where it is below, else
        "undecided".

    >>> judge({"low": 0.1, "high": 0.3}), judge({"low": -0.1, "high": 0.3})
    ('holds', 'undecided')
    """
    if difference["low"] > border:
        return "holds"
    if difference["high"] < border:
        return "fails"
    return "undecided"


def json_values(value: Any) -> Any:
    """The same nested lists and dicts with None for numbers that JSON cannot hold.

    Args:
        value: nested dicts, lists and tuples.

    Returns:
        A copy.

    >>> json_values({"high": math.inf, "low": (1.0, -math.inf)})
    {'high': None, 'low': [1.0, None]}
    """
    if isinstance(value, dict):
        return {k: json_values(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [json_values(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def percent(entry: dict[str, float]) -> str:
    """A share with its interval, in per cent.

    Args:
        entry: of `summarize_keys`.

    Returns:
        The text.

    >>> percent({"mean": 0.612, "low": 0.604, "high": 0.62})
    '61.2 ± 0.8'
    """
    return plus_minus(Interval(entry["mean"], entry["low"], entry["high"]), scale=100)


def means_and_spreads(entries: Sequence[dict[str, float]]) -> tuple[list[float], list[float]]:
    """Means and half widths in per cent, for error bars; 0 where an interval is unbounded.

    Args:
        entries: of `summarize_keys`, of shares.

    Returns:
        Two lists.

    >>> means_and_spreads([{"mean": 0.5, "low": 0.25, "high": 0.75}, summarize_keys([0.5])])
    ([50.0, 50.0], [25.0, 0.0])
    """
    spreads = [100 * (entry["high"] - entry["mean"]) for entry in entries]
    means = [100 * entry["mean"] for entry in entries]
    return means, [spread if math.isfinite(spread) else 0.0 for spread in spreads]


def write_settings(config: Any, place: Path | None = None) -> Path:
    """Make the directory of an experiment's results and write its settings to config.json.

    Args:
        config: a dataclass; its paths are written as text.
        place: the directory (default: the config's ``workdir``).

    Returns:
        The directory.

    >>> import tempfile
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Config:
    ...     workdir: Path
    >>> workdir = write_settings(Config(Path(tempfile.mkdtemp()) / "new"))
    >>> [path.name for path in workdir.iterdir()]
    ['config.json']
    """
    workdir = Path(config.workdir if place is None else place)
    workdir.mkdir(parents=True, exist_ok=True)
    settings = {k: _as_text(v) for k, v in asdict(config).items()}
    write_json(workdir / "config.json", settings)
    return workdir


def measured_once(
    path: Path,
    config: Any,
    measure: Callable[[], dict[str, Any]],
    *,
    without: Sequence[str] = ("keys", "data_dir", "workdir"),
) -> dict[str, Any]:
    """What was measured before with these settings, else what ``measure`` finds now.

    For experiments of many minutes: each of their parts is kept as soon as it is done, so that a
    killed run goes on with the next one. Delete the files where the code has changed.

    Args:
        path: a JSON file, which is read, or written.
        config: a dataclass: the settings. A file of other ones is written anew.
        measure: () → JSON values.
        without: settings that do not decide the result.

    Returns:
        What the file holds then.

    Raises:
        JaxnetsError: the file cannot be read, or is none of these.

    >>> import tempfile
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Config:
    ...     steps: int
    ...     keys: int = 2
    >>> path = Path(tempfile.mkdtemp()) / "keys" / "1.json"
    >>> measured_once(path, Config(steps=5), lambda: {"accuracy": 0.5})
    {'accuracy': 0.5}
    >>> measured_once(path, Config(steps=5, keys=3), lambda: {"accuracy": 0.9})
    {'accuracy': 0.5}
    >>> measured_once(path, Config(steps=6), lambda: {"accuracy": 0.9})
    {'accuracy': 0.9}
    """
    settings = to_json({k: v for k, v in asdict(config).items() if k not in without})
    found = read_json(path) or {}
    if found.get("settings") != settings or "measured" not in found:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"settings": settings, "measured": measure()})
        found = read_json(path)
    return found["measured"]


def _as_text(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_as_text(v) for v in value]
    return str(value) if isinstance(value, Path) else value
