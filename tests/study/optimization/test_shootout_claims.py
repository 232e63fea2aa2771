"""Verdicts on advice about optimizers follow the numbers, and are withheld within the noise."""

import numpy as np
import pytest

from jaxnets.study.optimization import shootout_claims as claims
from jaxnets.study.optimization.shootout_runs import Curves

RATES = (1e-4, 1e-3, 1e-2, 1e-1)


def made(accuracy, loss=None):
    """Three keys that differ by a thousandth, two measurements."""
    accuracy = np.asarray(accuracy)[:, None] + np.array([-1e-3, 0, 1e-3])
    table = np.stack([np.zeros_like(accuracy), accuracy], -1)
    losses = np.stack([np.ones_like(accuracy), 1 - accuracy], -1)
    if loss is not None:
        losses[..., -1] = np.asarray(loss)[:, None]
    return Curves(losses, table, table)


def judged(adam, momentum, lbfgs_loss=0.5, passes=1):
    found = {
        "adam": made(adam),
        "momentum": made(momentum),
        "momentum_cosine": made(momentum),
    }
    one = np.full((3, 1), lbfgs_loss)
    return claims.judge(found, (Curves(one, one, one), np.full((3, 1), passes)), RATES)


def test_verdicts_turn_with_the_numbers():
    good = judged([0.5, 0.90, 0.91, 0.89], [0.1, 0.2, 0.95, 0.3], lbfgs_loss=0.01)
    assert good["adam_default_within_2_points"]["verdict"] == "holds"
    assert good["momentum_against_default_adam"]["verdict"] == "holds"
    assert good["momentum_against_default_adam"]["difference"] == pytest.approx(0.05)
    assert good["momentum_needs_more_tuning"]["verdict"] == "holds"
    assert good["lbfgs_lower_per_pass"]["verdict"] == "holds"
    bad = judged([0.5, 0.8, 0.9, 0.5], [0.84, 0.85, 0.85, 0.84], lbfgs_loss=0.9)
    assert bad["adam_default_within_2_points"]["verdict"] == "fails"
    assert bad["momentum_against_tuned_adam"]["verdict"] == "fails"
    assert bad["momentum_needs_more_tuning"]["verdict"] == "fails"
    assert bad["lbfgs_lower_per_pass"]["verdict"] == "fails"


def test_as_many_rates_are_as_many_decades():
    """The widths of equal shares of the grid must not differ in a last bit."""
    rates = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
    low = claims.summarize(made([0.1, 0.5, 0.5, 0.1, 0.1, 0.1]), rates)
    high = claims.summarize(made([0.1, 0.1, 0.5, 0.5, 0.1, 0.1]), rates)
    assert low["decades_within_2_points"] == high["decades_within_2_points"] == 1.0


def test_no_verdict_within_the_noise():
    """A difference between keys of opposite signs decides nothing."""
    found = {m: made([0.8, 0.9, 0.9, 0.8]) for m in ("adam", "momentum")}
    test = found["momentum"].test_accuracy.copy()
    test[2, :, -1] = [0.88, 0.93, 0.9]
    found["momentum"] = found["momentum"]._replace(test_accuracy=test)
    found["momentum_cosine"] = found["momentum"]
    one = np.full((3, 1), 0.5)
    judged = claims.judge(found, (Curves(one, one, one), np.ones((3, 1))), RATES)
    assert judged["momentum_against_default_adam"]["verdict"] == "undecided"


def test_a_run_that_left_the_numbers_is_never_chosen():
    curves = made([0.5, 0.99, 0.6, 0.5], loss=[1, np.nan, 1, 1])
    assert claims.choose_rate(curves) == 2


def test_the_full_batch_is_summarized_at_its_largest_budget():
    loss = np.array([[3.0, 1.0], [3.0, 2.0], [3.0, 3.0]])
    found = claims.summarize_full_batch(Curves(loss, loss, loss / 10), np.array([[1, 4]] * 3))
    assert found["train_loss"] == 2.0 and found["test_accuracy"] == pytest.approx(0.2)
    assert found["passes"] == 4
    # t(0.975, 2) = 4.302653 and s/√3 = 0.577350.
    assert found["train_loss_half"] == pytest.approx(2.484138, abs=1e-5)
