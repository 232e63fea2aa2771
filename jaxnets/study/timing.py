"""Timing by turns: every candidate once a round, so that a noisy moment of the machine hits all.

A measured time is a median over rounds, with its spread and the share of the machine that other
programs used meanwhile. What is too noisy to compare is warned of, or refused.
"""

import math
import os
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import jax
import numpy as np

from jaxnets.errors import JaxnetsError

# Rounds in which other programs used less than this share of the cores are those that count.
AT_REST = 0.1
# The system counts busy time in hundredths of a second: shorter rounds say nothing about others.
SHORTEST_TELLING = 0.1


class UnsteadyTimingWarning(UserWarning):
    """A measured time varies more from round to round than its reader allowed."""


@dataclass(frozen=True)
class Timing:
    """What one candidate took.

    Attributes:
        seconds: of one call, an entry a round.
        others: share of the machine's cores that other programs used during each round; 0 where
            that is not known (not on Linux, or a round shorter than 0.1 s).
        first_seconds: of the call that came before the rounds, which compiles and warms up.

    Example: during the last round another program took 60 % of the machine, so it does not count.

        >>> timing = Timing((0.010, 0.012, 0.011, 0.050), others=(0.0, 0.0, 0.01, 0.6))
        >>> timing.milliseconds, timing.summary()["rounds"]
        (11.0, 3)
    """

    seconds: tuple[float, ...]
    others: tuple[float, ...] = ()
    first_seconds: float = math.nan

    @property
    def kept(self) -> tuple[float, ...]:
        """Rounds in which the rest of the machine was at rest; all of them if none was."""
        pairs = zip(self.seconds, self.others or (0.0,) * len(self.seconds), strict=True)
        return tuple(s for s, other in pairs if other < AT_REST) or self.seconds

    @property
    def median(self) -> float:
        """Seconds of one call, the median of `kept`.

        >>> Timing((3.0, 1.0, 9.0), (0.5, 0.0, 0.9)).median
        1.0
        """
        return statistics.median(self.kept)

    @property
    def milliseconds(self) -> float:
        """The median in milliseconds."""
        return 1e3 * self.median

    @property
    def fastest(self) -> float:
        """Seconds of the fastest round in `kept`: whatever else a machine does only adds time."""
        return min(self.kept)

    @property
    def spread(self) -> float:
        """Interquartile range over median: 0.1 says that half of the rounds lie within 10 %.

        >>> Timing((1.0, 1.1, 0.9, 1.0)).spread <= 0.1
        True
        """
        low, high = np.percentile(self.kept, [25, 75])
        return float((high - low) / self.median) if self.median else 0.0

    def summary(self) -> dict[str, float | int]:
        """JSON values: ``seconds`` (median), ``fastest``, ``spread``, ``rounds``, ``others``."""
        return {
            "seconds": self.median,
            "fastest": self.fastest,
            "spread": self.spread,
            "rounds": len(self.kept),
            "others": statistics.median(self.others) if self.others else 0.0,
        }


def time_calls(
    calls: Mapping[str, Callable[[], Any]],
    *,
    rounds: int = 5,
    seconds: float = 0.0,
    block_seconds: float = 0.0,
    patience_seconds: float = math.inf,
    max_spread: float | None = None,
    if_wide: Literal["warn", "raise"] = "warn",
) -> dict[str, Timing]:
    """Time calls in turn: after one call of each to warm up, rounds of one block of every call.

    Args:
        calls: name → what to call, without arguments; what it returns is waited for.
        rounds: at least so many.
        seconds: go on until each call has run that long in ``rounds`` rounds in which the rest of
            the machine was at rest, or until five times that long. With 0 ``rounds`` is exact.
        block_seconds: a round repeats each call for at least that long and counts the mean; for
            calls so short that the clock or the system's interruptions would be measured.
        patience_seconds: a call that has run longer than this in all is not run again. Where its
            first call alone did, that is its only round.
        max_spread: the largest `Timing.spread` to accept; None to accept all.
        if_wide: "warn" (`UnsteadyTimingWarning`) or "raise" where a spread is larger.

    Returns:
        Name → `Timing`.

    Raises:
        ValueError: ``rounds`` below 1.
        JaxnetsError: a spread is too wide and ``if_wide`` is "raise".

    >>> times = time_calls({"small": lambda: sum(range(9)), "large": lambda: sum(range(9999))})
    >>> len(times["small"].seconds), times["small"].median < times["large"].median
    (5, True)
    """
    if rounds < 1:
        raise ValueError(f"rounds: got {rounds}; expected at least 1")
    first = {}
    taken: dict[str, list[tuple[float, float]]] = {}
    walls: dict[str, list[tuple[float, bool]]] = {}
    for name, call in calls.items():
        clock = time.perf_counter()
        jax.block_until_ready(call())
        first[name] = time.perf_counter() - clock
        impatient = first[name] > patience_seconds
        taken[name] = [(first[name], 0.0)] if impatient else []
        walls[name] = [(first[name], True)] if impatient else []

    def enough(name: str) -> bool:
        at_rest = [wall for wall, rest in walls[name] if rest]
        return len(at_rest) >= rounds and sum(at_rest) >= seconds

    spent, limit, done = 0.0, 5 * seconds * len(calls), 0
    while done < rounds or (spent < limit and not all(map(enough, calls))):
        for name, call in calls.items():
            if sum(wall for wall, _ in walls[name]) > patience_seconds:
                continue
            one, others, wall = _block(call, block_seconds)
            taken[name].append((one, others))
            walls[name].append((wall, others < AT_REST))
            spent += wall
        done += 1
        if all(sum(wall for wall, _ in found) > patience_seconds for found in walls.values()):
            break
    timings = {
        name: Timing(tuple(own for own, _ in found), tuple(rest for _, rest in found), first[name])
        for name, found in taken.items()
    }
    if max_spread is not None:
        check_spread(timings, max_spread, if_wide=if_wide)
    return timings


def check_spread(
    timings: Mapping[str, Timing],
    max_spread: float,
    *,
    if_wide: Literal["warn", "raise"] = "warn",
) -> None:
    """Warn of, or refuse, times that vary too much from round to round to be compared.

    Args:
        timings: of `time_calls`.
        max_spread: the largest `Timing.spread` to accept.
        if_wide: "warn" or "raise".

    Raises:
        JaxnetsError: a spread is too wide and ``if_wide`` is "raise".

    >>> check_spread({"steady": Timing((1.0, 1.0, 1.1))}, max_spread=0.1)
    >>> check_spread({"restless": Timing((1.0, 1.0, 5.0, 9.0))}, 0.1, if_wide="raise")
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: half of the rounds lie further apart than 10% of their median:
    restless 167%. Time again ...
    """
    wide = {name: t.spread for name, t in timings.items() if t.spread > max_spread}
    if not wide:
        return
    listed = ", ".join(f"{name} {spread:.0%}" for name, spread in wide.items())
    message = (
        f"half of the rounds lie further apart than {max_spread:.0%} of their median: {listed}. "
        "Time again with more rounds, or while nothing else runs on this machine"
    )
    if if_wide == "raise":
        raise JaxnetsError(message)
    warnings.warn(message, UnsteadyTimingWarning, stacklevel=3)


def time_stream(
    step: Callable[[Any, Any], tuple[Any, Any]],
    state: Any,
    batches: Iterator[Any],
    steps: int,
    *,
    warmup: int = 2,
) -> tuple[Any, Timing, float]:
    """Time successive steps as a training loop makes them: the device is always one step ahead.

    Args:
        step: (state, batch) → (state, metrics).
        state: the first one.
        batches: at least ``warmup + steps`` of them.
        steps: how many count.
        warmup: steps before, which fill the pipeline.

    Returns:
        The last state, the `Timing` of a step (each from one step's end to the next one's), and the
        seconds of these steps together that went into waiting for ``batches``.

    >>> def step(state, batch):
    ...     return state + batch, {"loss": batch}
    >>> state, timing, waited = time_stream(step, 0, iter(range(5)), steps=3)
    >>> state, len(timing.seconds), waited < sum(timing.seconds)
    (10, 3, True)
    """
    seconds, waited, previous = [], 0.0, None
    clock = time.perf_counter()
    for i in range(warmup + steps):
        waiting_since = time.perf_counter()
        batch = next(batches)
        if i >= warmup:
            waited += time.perf_counter() - waiting_since
        state, metrics = step(state, batch)
        # As in training: the host looks at the metrics of an earlier step and never at the last.
        if previous is not None:
            jax.block_until_ready(previous)
        previous = metrics
        now = time.perf_counter()
        seconds.append(now - clock)
        clock = now
    jax.block_until_ready(previous)
    return state, Timing(tuple(seconds[warmup:]), first_seconds=seconds[0]), waited


def _block(call: Callable[[], Any], seconds: float) -> tuple[float, float, float]:
    """Seconds of one call, the share of the cores that others used, and how long it took in all."""
    busy, own, clock, count = _busy_seconds(), time.process_time(), time.perf_counter(), 0
    while count == 0 or time.perf_counter() - clock < seconds:
        jax.block_until_ready(call())
        count += 1
    wall = time.perf_counter() - clock
    if wall < SHORTEST_TELLING:
        return wall / count, 0.0, wall
    others = _busy_seconds() - busy - (time.process_time() - own)
    return wall / count, max(0.0, others) / (wall * (os.cpu_count() or 1)), wall


def _busy_seconds() -> float:
    """CPU seconds that all processes of a Linux machine have used; 0 on others."""
    try:
        with open("/proc/stat", encoding="ascii") as file:
            user, nice, system, _, _, irq, softirq = map(int, file.readline().split()[1:8])
    except (OSError, ValueError):
        return 0.0
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
