"""Verdicts from intervals, effects from values."""

import numpy as np
import pytest
from scipy import stats

from jaxnets.study import effects
from jaxnets.study.effects import (
    above,
    at_least,
    at_most,
    below,
    effect,
    points,
    ratio,
    within,
)


@pytest.mark.parametrize(
    ("region", "low", "high", "verdict"),
    [
        (above(0), 0.1, 0.2, "holds"),
        (above(0), -0.2, -0.1, "fails"),
        (above(0), -0.1, 0.1, "depends"),
        # Borders: "more than 0" excludes 0, "at least 0" includes it.
        (above(0), 0.0, 0.1, "depends"),
        (above(0), -0.1, 0.0, "fails"),
        (above(0), 0.0, 0.0, "fails"),
        (at_least(0), 0.0, 0.1, "holds"),
        (at_least(0), -0.1, 0.0, "depends"),
        (at_least(0), 0.0, 0.0, "holds"),
        (below(1), 0.5, 0.9, "holds"),
        (below(1), 0.5, 1.0, "depends"),
        (below(1), 1.0, 1.5, "fails"),
        (at_most(1), 0.5, 1.0, "holds"),
        (at_most(1), 1.1, 1.5, "fails"),
        (within(0.9, 1.1), 0.9, 1.1, "holds"),
        (within(0.9, 1.1), 0.8, 1.0, "depends"),
        (within(0.9, 1.1), 0.5, 1.5, "depends"),
        (within(0.9, 1.1), 1.2, 1.5, "fails"),
        (within(0.9, 1.1), 0.1, 0.8, "fails"),
    ],
)
def test_verdict_of_an_interval(region, low, high, verdict):
    assert region.judge(low, high) == verdict


def test_verdict_of_several_effects():
    holds = effect("a", 1.0, above(0), method="exact")
    fails = effect("b", -1.0, above(0), method="exact")
    open_ = effect("c", [-1.0, 1.2], above(0))
    only = effect("d", [-1.0, 1.2])
    assert effects.combine([holds, only])[0] == "holds"
    assert effects.combine([holds, holds])[0] == "holds"
    assert effects.combine([fails, fails])[0] == "fails"
    verdict, reason = effects.combine([holds, fails, open_])
    assert verdict == "depends"
    assert "holds for a; fails for b; not decided by these keys for c" in reason
    assert effects.combine([holds, open_])[0] == "depends"
    with pytest.raises(ValueError, match="claimed region"):
        effects.combine([only])


def test_a_claim_that_straddles_says_that_the_keys_do_not_decide():
    verdict, reason = effects.combine([effect("a", [-1.0, 1.2], above(0))])
    assert verdict == "depends" and "do not decide" in reason


X = np.array([1.2, 0.7, 3.1, 2.2, 1.9])


def test_t_is_scipys():
    e = effect("", X)
    low, high = stats.t.interval(0.95, len(X) - 1, loc=X.mean(), scale=stats.sem(X))
    np.testing.assert_allclose((e.estimate, e.low, e.high), (X.mean(), low, high))
    assert e.keys == 5 and e.verdict is None


def test_log_is_t_of_the_logarithms():
    e, inner = effect("", X, method="log"), effect("", np.log(X))
    expected = np.exp((inner.estimate, inner.low, inner.high))
    np.testing.assert_allclose((e.estimate, e.low, e.high), expected)
    np.testing.assert_allclose(e.estimate, stats.gmean(X))


def test_share_is_clopper_pearson():
    # Ten of ten: the lower end is 0.025^(1/10).
    e = effect("", np.ones(10), method="share")
    np.testing.assert_allclose((e.estimate, e.low, e.high), (1, 0.025**0.1, 1))


def test_bootstrap_is_of_the_median():
    e = effect("", [*X, 100.0], method="bootstrap")
    assert e.estimate == np.median([*X, 100.0]) and e.low < e.estimate < e.high


def test_points_and_ratios_are_effects_with_their_units():
    assert points("a", X, above(0)) == effect("a", X, above(0), unit="points")
    assert ratio("a", X, above(1)) == effect("a", X, above(1), unit="×", method="log")


@pytest.mark.parametrize(
    ("values", "method", "message"),
    [
        ([1.0, np.nan], "t", "finite"),
        ([1.0], "t", "at least 2"),
        ([1.0, 2.0], "exact", "one number"),
        ([1.0, 0.0], "log", "positive"),
        ([1.0, 0.5], "share", "0 and 1"),
        ([1.0, 0.5], "guess", "expected one of"),
    ],
)
def test_refused_values(values, method, message):
    with pytest.raises(ValueError, match=message):
        effect("name", values, method=method)


def test_an_interval_ends_where_what_it_measures_ends():
    found = effect("rank correlation", [0.9, 1.0], above(0), bounds=(-1.0, 1.0))
    assert found.low < 0.9 and found.high == 1.0
    with pytest.raises(ValueError, match="expected -1 to 1"):
        effect("rank correlation", [0.9, 1.1], above(0), bounds=(-1.0, 1.0))
