"""Rounds by turns, busy machines, patience, spreads; on a clock of the test's own."""

import os

import jax.numpy as jnp
import pytest

from jaxnets.errors import JaxnetsError
from jaxnets.study import timing
from jaxnets.study.timing import (
    Timing,
    UnsteadyTimingWarning,
    check_spread,
    time_calls,
    time_stream,
)


class Clock:
    """Seconds pass only where the test says so."""

    def __init__(self, monkeypatch):
        self.now = self.busy = 0.0
        monkeypatch.setattr(timing.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(timing.time, "process_time", lambda: 0.0)
        monkeypatch.setattr(timing, "_busy_seconds", lambda: self.busy)

    def spend(self, seconds, others=0.0):
        self.now += seconds
        self.busy += others * seconds * os.cpu_count()


def test_every_candidate_once_a_round(monkeypatch):
    clock, order = Clock(monkeypatch), []

    def call(name, seconds):
        order.append(name)
        clock.spend(seconds)

    found = time_calls({"a": lambda: call("a", 1.0), "b": lambda: call("b", 3.0)}, rounds=3)
    assert order == ["a", "b"] * 4  # a first call of each, then the rounds
    assert found["a"].seconds == (1.0, 1.0, 1.0) and found["b"].median == 3.0
    assert found["b"].first_seconds == 3.0 and found["b"].milliseconds == 3000


def test_blocks_repeat_short_calls_and_count_their_mean(monkeypatch):
    clock, calls = Clock(monkeypatch), []

    def call():
        calls.append(None)
        clock.spend(0.25)

    found = time_calls({"short": call}, rounds=2, block_seconds=1.0)["short"]
    assert found.seconds == (0.25, 0.25) and len(calls) == 1 + 2 * 4


def test_rounds_on_a_busy_machine_do_not_count(monkeypatch):
    clock, calls = Clock(monkeypatch), []

    def call():
        calls.append(None)
        odd = len(calls) % 2
        clock.spend(1.0 if odd else 3.0, others=0.0 if odd else 1.0)

    found = time_calls({"ours": call}, rounds=3, seconds=2.0)["ours"]
    # The call before them took the first second; then bad and good ones take turns.
    assert found.others[:4] == (1, 0, 1, 0)
    assert found.median == found.fastest == 1.0 and len(found.kept) >= 2
    assert len(found.kept) < len(found.seconds)
    summary = found.summary()
    assert summary["seconds"] == 1.0 and summary["rounds"] == len(found.kept)
    # Where the machine was never at rest, all rounds are what there is.
    busy = Timing((2.0, 4.0), (0.6, 0.8))
    assert (busy.median, busy.fastest, len(busy.kept)) == (3, 2, 2)
    assert busy.summary()["others"] == pytest.approx(0.7)


def test_it_stops_at_five_times_the_seconds_on_a_machine_that_never_rests(monkeypatch):
    clock = Clock(monkeypatch)
    found = time_calls({"x": lambda: clock.spend(1.0, others=1.0)}, rounds=2, seconds=3.0)["x"]
    assert len(found.seconds) == 15


def test_patience(monkeypatch):
    clock, order = Clock(monkeypatch), []

    def call(name, seconds):
        order.append(name)
        clock.spend(seconds)

    found = time_calls(
        {"slow": lambda: call("slow", 9.0), "fast": lambda: call("fast", 1.0)},
        rounds=5,
        patience_seconds=2.5,
    )
    assert order.count("slow") == 1 and found["slow"].seconds == (9.0,)
    assert found["fast"].seconds == (1.0, 1.0, 1.0)


def test_short_rounds_say_nothing_of_others(monkeypatch):
    clock = Clock(monkeypatch)
    found = time_calls({"x": lambda: clock.spend(0.01, others=1.0)}, rounds=3)["x"]
    assert found.others == (0.0, 0.0, 0.0)


def test_a_wide_spread_is_warned_of_or_refused(monkeypatch):
    steady, wide = Timing((1.0, 1.01, 1.0, 0.99)), Timing((1.0, 2.0, 1.0, 2.0))
    assert steady.spread < 0.02 and wide.spread == pytest.approx(1 / 1.5)
    check_spread({"steady": steady}, 0.1)
    with pytest.warns(UnsteadyTimingWarning, match="wide 67%"):
        check_spread({"steady": steady, "wide": wide}, 0.1)
    with pytest.raises(JaxnetsError, match="Time again with more rounds"):
        check_spread({"wide": wide}, 0.1, if_wide="raise")
    clock, seconds = Clock(monkeypatch), iter([1.0, 1.0, 5.0, 9.0])
    with pytest.raises(JaxnetsError, match="x "):
        time_calls(
            {"x": lambda: clock.spend(next(seconds))}, rounds=3, max_spread=0.2, if_wide="raise"
        )


def test_no_rounds_are_refused():
    with pytest.raises(ValueError, match="rounds: got 0"):
        time_calls({}, rounds=0)


def test_results_are_waited_for_and_a_real_clock_counts():
    x = jnp.ones((300, 300))
    found = time_calls({"product": lambda: x @ x}, rounds=3)["product"]
    assert found.fastest > 0 and len(found.seconds) == 3


def test_a_stream_is_one_step_ahead(monkeypatch):
    clock, seen = Clock(monkeypatch), []

    def batches():
        for i in range(10):
            clock.spend(0.5)
            yield i

    def step(state, batch):
        clock.spend(1.0)
        seen.append(batch)
        return state + batch, {"loss": batch}

    state, found, waited = time_stream(step, 0, batches(), steps=4, warmup=2)
    assert seen == list(range(6)) and state == 15
    # Of the steps that count alone: a share of their time is never above one.
    assert found.seconds == (1.5,) * 4 and waited == pytest.approx(2.0)
