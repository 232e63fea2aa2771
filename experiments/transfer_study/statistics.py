"""Means with intervals, and verdicts that follow from them."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def interval(values: Sequence[float], confidence: float = 0.95) -> dict[str, float]:
    """Mean and Student's t interval over independent repetitions.

    Returns:
        ``{"mean", "low", "high", "n"}``; with one value the interval is unbounded.
    """
    from scipy import stats

    x = np.asarray(values, np.float64)
    mean, n = float(x.mean()), len(x)
    if n < 2:
        return {"mean": mean, "low": -np.inf, "high": np.inf, "n": n}
    half = float(stats.t.ppf(0.5 + confidence / 2, n - 1) * x.std(ddof=1) / np.sqrt(n))
    return {"mean": mean, "low": mean - half, "high": mean + half, "n": n}


def verdict(difference: dict[str, float], border: float = 0.0) -> str:
    """ "holds" where the whole interval is above the border, "fails" where it is below."""
    if difference["low"] > border:
        return "holds"
    if difference["high"] < border:
        return "fails"
    return "undecided"


def plain(value: Any) -> Any:
    """JSON values: unbounded ends become None."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def percent(entry: dict[str, float]) -> str:
    """ "61.2 ± 0.8" out of an interval of shares."""
    half = entry["high"] - entry["mean"]
    spread = f" ± {100 * half:.1f}" if np.isfinite(half) else ""
    return f"{100 * entry['mean']:.1f}{spread}"
