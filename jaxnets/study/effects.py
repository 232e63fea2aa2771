"""From an interval to a verdict on what was claimed of it.

A verdict is computed from a 95 % confidence interval and the region in which the claim wants the
effect to lie, never from text: the interval lies inside → "holds"; outside → "fails"; else the
keys do not decide. A claim of several effects holds if all of them do, fails if all fail, and
otherwise depends.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from jaxnets.study.statistics import log_interval, mean_interval, median_interval, share_interval

HOLDS, FAILS, DEPENDS = "holds", "fails", "depends"
Method = Literal["t", "log", "bootstrap", "share", "exact"]
INTERVALS = {
    "t": mean_interval,
    "log": log_interval,
    "bootstrap": median_interval,
    "share": share_interval,
}


@dataclass(frozen=True)
class Region:
    """Where a claim wants an effect to lie; made by `above`, `at_least`, … .

    Attributes:
        low: lower limit.
        high: upper limit.
        low_belongs: whether ``low`` itself lies in the region.
        high_belongs: whether ``high`` itself lies in the region.
    """

    low: float = -math.inf
    high: float = math.inf
    low_belongs: bool = True
    high_belongs: bool = True

    def contains(self, x: float) -> bool:
        """Whether one value lies in the region."""
        over = x > self.low or (self.low_belongs and x == self.low)
        under = x < self.high or (self.high_belongs and x == self.high)
        return over and under

    def judge(self, low: float, high: float) -> str:
        """`HOLDS`, `FAILS` or `DEPENDS` for an interval [low, high].

        >>> above(0.0).judge(0.1, 0.4), above(0.0).judge(-0.1, 0.4), above(0.0).judge(-0.1, 0.0)
        ('holds', 'depends', 'fails')
        """
        if self.contains(low) and self.contains(high):
            return HOLDS
        below = high < self.low or (high == self.low and not self.low_belongs)
        beyond = low > self.high or (low == self.high and not self.high_belongs)
        return FAILS if below or beyond else DEPENDS

    def __str__(self) -> str:
        if math.isfinite(self.low) and math.isfinite(self.high):
            return f"{self.low:g} to {self.high:g}"
        if math.isfinite(self.low):
            return f"{'≥' if self.low_belongs else '>'} {self.low:g}"
        return f"{'≤' if self.high_belongs else '<'} {self.high:g}"


def above(threshold: float) -> Region:
    """Greater than ``threshold``."""
    return Region(low=threshold, low_belongs=False)


def below(threshold: float) -> Region:
    """Less than ``threshold``."""
    return Region(high=threshold, high_belongs=False)


def at_least(threshold: float) -> Region:
    """``threshold`` or more, such as "not worse by more than half a point": at_least(-0.5)."""
    return Region(low=threshold)


def at_most(threshold: float) -> Region:
    """``threshold`` or less."""
    return Region(high=threshold)


def within(low: float, high: float) -> Region:
    """From ``low`` to ``high``, such as "the same but for 10 %": within(0.9, 1.1)."""
    return Region(low=low, high=high)


@dataclass(frozen=True)
class Effect:
    """One measured quantity with its interval, and what the claim says of it.

    Attributes:
        name: what is measured and in which setting, short: it is a row of the page's table.
        estimate: mean, geometric mean, median or share.
        low: lower end of the 95 % interval.
        high: upper end of the 95 % interval.
        keys: random keys behind it; 0 for an exact figure.
        claimed: the region in which the claim puts it, or None for a figure that is only reported.
        unit: printed behind the numbers: "points", "×", "steps" …
        method: how the interval was made.
    """

    name: str
    estimate: float
    low: float
    high: float
    keys: int
    claimed: Region | None = None
    unit: str = ""
    method: Method = "t"

    @property
    def verdict(self) -> str | None:
        """`HOLDS`, `FAILS`, `DEPENDS`, or None where nothing is claimed."""
        return None if self.claimed is None else self.claimed.judge(self.low, self.high)


def effect(
    name: str,
    values: ArrayLike | float,
    claimed: Region | None = None,
    *,
    unit: str = "",
    method: Method = "t",
    bounds: tuple[float, float] | None = None,
) -> Effect:
    """An effect from one value a key; for a comparison give the paired differences or ratios.

    Args:
        name: what is measured and in which setting, short.
        values: (keys,), finite; a single number for ``method="exact"``.
        claimed: `above`, `below`, `at_least`, `at_most` or `within`; None to report only.
        unit: printed behind the numbers.
        method: "t": mean with Student's t interval. "log": geometric mean of positive values
            (ratios, numbers of steps), t on the logarithms. "bootstrap": median with its percentile
            interval of 10,000 resamples, for values with outliers. "share": values are 0 or 1;
            their mean with the exact (Clopper-Pearson) interval. "exact": a figure without chance.
        bounds: what is measured cannot lie outside, such as a correlation outside of (−1, 1); an
            interval of few keys is cut off there.

    Returns:
        The `Effect`.

    Raises:
        ValueError: values that the method cannot take; fewer than 2 keys.

    >>> e = effect("gain", [1.0, 2.0, 3.0], above(0.0), unit="points")
    >>> f"{e.estimate:.1f} [{e.low:.2f}, {e.high:.2f}] {e.verdict}"
    '2.0 [-0.48, 4.48] depends'
    """
    x = np.asarray(values, np.float64).ravel()
    if not np.isfinite(x).all():
        raise ValueError(
            f"values of {name!r}: got {x}; expected finite numbers. Count runs that diverged with "
            "method='share', or give them the worst possible value"
        )
    if method == "exact":
        if x.size != 1:
            raise ValueError(f"values of {name!r}: an exact figure is one number, got {x.size}")
        return Effect(name, float(x[0]), float(x[0]), float(x[0]), 0, claimed, unit, method)
    if x.size < 2:
        raise ValueError(f"values of {name!r}: got {x.size} key(s); expected at least 2")
    if method == "log" and (x <= 0).any():
        raise ValueError(f"values of {name!r}: got {x}; a geometric mean needs positive ones")
    if method == "share" and not np.isin(x, (0, 1)).all():
        raise ValueError(f"values of {name!r}: got {x}; a share is made of 0 and 1")
    if method not in INTERVALS:
        raise ValueError(f"method: got {method!r}; expected one of {(*INTERVALS, 'exact')}")
    estimate, low, high = INTERVALS[method](x)
    if bounds is not None:
        if x.min() < bounds[0] or x.max() > bounds[1]:
            raise ValueError(
                f"values of {name!r}: got {x}; expected {bounds[0]:g} to {bounds[1]:g}"
            )
        low, high = max(low, bounds[0]), min(high, bounds[1])
    return Effect(name, estimate, low, high, x.size, claimed, unit, method)


def points(name: str, values: ArrayLike, claimed: Region | None = None) -> Effect:
    """An `effect` in percentage points: a paired difference of accuracies given in per cent.

    No accuracy changes by more than 100 points, whatever two keys differ by:

    >>> e = points("gain", [0.0, 30.0], above(0.0))
    >>> e.unit, e.low, e.high
    ('points', -100.0, 100.0)
    """
    return effect(name, values, claimed, unit="points", bounds=(-100.0, 100.0))


def ratio(name: str, values: ArrayLike, claimed: Region | None = None) -> Effect:
    """An `effect` of paired ratios: their geometric mean, with an interval on the log scale.

    >>> ratio("speed-up", [2.0, 8.0], above(1.0)).estimate
    4.0
    """
    return effect(name, values, claimed, unit="×", method="log")


def combine(effects: Sequence[Effect]) -> tuple[str, str]:
    """The verdict of a claim from those of its effects, and a sentence that says why.

    Args:
        effects: those without a claimed region do not count.

    Returns:
        `HOLDS`, `FAILS` or `DEPENDS`, and the reason.

    Raises:
        ValueError: no effect is claimed to lie anywhere.
    """
    judged = [(e.name, e.verdict) for e in effects if e.verdict is not None]
    if not judged:
        raise ValueError("effects: got none with a claimed region; expected at least one")
    by = {v: [name for name, verdict in judged if verdict == v] for v in (HOLDS, FAILS, DEPENDS)}
    if len(judged) == 1:
        reasons = {
            HOLDS: "the whole interval lies where the claim says",
            FAILS: "the whole interval lies where the claim says it does not",
            DEPENDS: "the interval reaches over the limit: these keys do not decide",
        }
        return judged[0][1], reasons[judged[0][1]]
    count = "both" if len(judged) == 2 else f"all {len(judged)}"
    if not by[FAILS] and not by[DEPENDS]:
        return HOLDS, f"{count} effects lie where the claim says"
    if not by[HOLDS] and not by[DEPENDS]:
        return FAILS, f"{count} effects lie where the claim says they do not"
    words = {HOLDS: "holds for", FAILS: "fails for", DEPENDS: "not decided by these keys for"}
    return DEPENDS, "; ".join(f"{words[v]} {', '.join(names)}" for v, names in by.items() if names)
