"""Intervals against SciPy's, closed forms, and their coverage of a known truth."""

import math

import numpy as np
import pytest
from scipy import stats

from jaxnets.study.statistics import (
    Interval,
    difference_interval,
    log_interval,
    mean_interval,
    median_interval,
    ratio_interval,
    share_interval,
)

X = np.array([1.2, 0.7, 3.1, 2.2, 1.9])
Y = np.array([1.0, 0.9, 2.5, 2.0, 1.1])


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.99])
def test_t_is_scipys(confidence):
    low, high = stats.t.interval(confidence, len(X) - 1, loc=X.mean(), scale=stats.sem(X))
    found = mean_interval(X, confidence=confidence)
    np.testing.assert_allclose(found, (X.mean(), low, high), rtol=1e-12)


def test_t_of_two_values_is_a_closed_form():
    # With one degree of freedom Student's t is Cauchy: its 97.5 % point is tan(0.475 π), and the
    # standard error of two values is half their distance.
    found = mean_interval([1.0, 3.0])
    np.testing.assert_allclose(found.half, math.tan(0.475 * math.pi), rtol=1e-12)
    np.testing.assert_allclose(found.estimate, 2.0)


def test_equal_values_have_an_interval_of_no_width_and_one_value_an_unbounded_one():
    assert mean_interval([2.0, 2.0, 2.0]) == (2.0, 2.0, 2.0)
    assert mean_interval([2.0]) == (2.0, -math.inf, math.inf)


def test_differences_are_paired():
    np.testing.assert_array_equal(difference_interval(X, Y), mean_interval(X - Y))
    # What both sides share cancels exactly, however large it is.
    shared = np.array([0.0, 1e3, -1e3, 5e2, 7.0])
    found = difference_interval(shared + 1.0, shared)
    np.testing.assert_allclose(found, (1.0, 1.0, 1.0))
    test = stats.ttest_rel(X, Y).confidence_interval(0.95)
    np.testing.assert_allclose(difference_interval(X, Y)[1:], (test.low, test.high))


def test_ratios_are_compared_on_the_log_scale():
    found, inner = ratio_interval(X, Y), mean_interval(np.log(X) - np.log(Y))
    np.testing.assert_allclose(found, np.exp(inner), rtol=1e-12)
    np.testing.assert_allclose(found.estimate, stats.gmean(X / Y))
    turned = ratio_interval(Y, X)
    np.testing.assert_allclose(
        (turned.estimate, turned.low, turned.high),
        (1 / found.estimate, 1 / found.high, 1 / found.low),
    )


def test_log_is_t_of_the_logarithms():
    np.testing.assert_allclose(log_interval(X), np.exp(mean_interval(np.log(X))))
    np.testing.assert_allclose(log_interval(X).estimate, stats.gmean(X))


@pytest.mark.parametrize("hits", [0, 3, 10])
def test_share_is_clopper_pearson(hits):
    x = np.arange(10) < hits
    found = share_interval(x)
    assert found.estimate == hits / 10
    # Closed forms at the ends: 1 − 0.025^(1/n) and its mirror image.
    low = stats.beta.ppf(0.025, hits, 11 - hits) if hits else 0.0
    high = stats.beta.ppf(0.975, hits + 1, 10 - hits) if hits < 10 else 1.0
    np.testing.assert_allclose(found[1:], (low, high), rtol=1e-6)
    if hits == 10:
        np.testing.assert_allclose(found.low, 0.025**0.1)


def test_bootstrap_of_the_median():
    x = np.random.default_rng(0).normal(3, 1, 200)
    found = median_interval(x)
    assert found.estimate == np.median(x) and found == median_interval(x)
    # The median of 200 normal values has a deviation of √(π/2)/√200 = 0.089.
    assert 0.2 < found.high - found.low < 0.5 and found.low < found.estimate < found.high


def test_the_interval_covers_the_truth_in_95_percent():
    rng = np.random.default_rng(1)
    found = [mean_interval(rng.normal(2, 1, 6)) for _ in range(2000)]
    covered = np.mean([low < 2 < high for _, low, high in found])
    assert abs(covered - 0.95) < 0.02  # 4 standard errors


def test_excludes():
    assert Interval(1, 0.5, 1.5).excludes() and Interval(-1, -1.5, -0.5).excludes()
    assert not Interval(0, -1, 1).excludes() and not Interval(1, 0.0, 2.0).excludes()
    assert Interval(1, 0.5, 1.5).excludes(2.0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean_interval([]), "at least one"),
        (lambda: mean_interval([1.0, 2.0], confidence=95), "confidence: got 95"),
        (lambda: log_interval([1.0, 0.0]), "positive"),
        (lambda: ratio_interval([1.0, 2.0], [1.0, -2.0]), "baseline: got"),
        (lambda: share_interval([0.5, 1.0]), "0 and 1"),
        (lambda: difference_interval([1.0, 2.0], [1.0]), "pairs need equal ones"),
    ],
)
def test_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
