"""The line search alone, on functions of one variable in plain Python."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.optim.second_order import line_search
from jaxnets.optim.second_order.line_search import DECREASE, FAILED, SEARCHING, WOLFE
from jaxnets.optim.second_order.wolfe import StrongWolfe


def run(phi, slope, step=1.0, max_step=np.inf, rule=StrongWolfe()):  # noqa: B008
    """Drive the machine; return (outcome, step, the steps it tried)."""
    search = line_search.init_search(jnp.asarray(phi(0.0)), jnp.asarray(slope(0.0)), step, max_step)
    tried = []
    while int(search.outcome) == SEARCHING:
        tried.append(float(search.step))
        here = float(search.step)
        search = line_search.advance(search, phi(here), slope(here), rule)
        assert len(tried) <= rule.max_linesearch_steps
    assert int(search.trials) == len(tried)
    return int(search.outcome), float(search.step), tried


# Moré and Thuente's test functions 1 to 3, and an oscillating one.
def first(t):
    return -t / (t**2 + 2), (t**2 - 2) / (t**2 + 2) ** 2


def second(t):
    return (t + 0.004) ** 5 - 2 * (t + 0.004) ** 4, 5 * (t + 0.004) ** 4 - 8 * (t + 0.004) ** 3


def wavy(t):
    return 0.5 * (t - 3) ** 2 + 0.3 * np.cos(5 * t), t - 3 - 1.5 * np.sin(5 * t)


def steep(t):
    return np.exp(-20 * t) + t**2, -20 * np.exp(-20 * t) + 2 * t


@pytest.mark.parametrize("pair", [first, second, wavy, steep])
@pytest.mark.parametrize("step", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("curvature", [0.9, 0.1])
def test_the_step_meets_both_strong_wolfe_conditions(x64, pair, step, curvature):
    rule = StrongWolfe(curv_rtol=curvature)
    outcome, t, tried = run(lambda t: pair(t)[0], lambda t: pair(t)[1], step, rule=rule)
    (value0, slope0), (value, slope) = pair(0.0), pair(t)
    assert outcome == WOLFE
    assert value <= value0 + rule.slope_rtol * t * slope0
    assert abs(slope) <= curvature * abs(slope0)
    assert tried[0] == step
    assert len(tried) <= 15


def test_a_good_first_step_costs_one_trial(x64):
    outcome, t, tried = run(lambda t: (t - 1.2) ** 2, lambda t: 2 * (t - 1.2))
    assert (outcome, t, tried) == (WOLFE, 1.0, [1.0])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_it_steps_back_from_what_is_not_finite_and_goes_on(x64, bad):
    def phi(t):
        return (t - 0.1) ** 2 if t < 0.2 else bad

    outcome, t, tried = run(phi, lambda t: 2 * (t - 0.1) if t < 0.2 else bad, 50.0)
    assert outcome == WOLFE and 0 < t < 0.2
    # Nothing beyond a wall is tried again.
    walls = np.minimum.accumulate([s if s >= 0.2 else np.inf for s in tried])
    assert all(later < wall for later, wall in zip(tried[1:], walls[:-1], strict=True))


def test_a_longest_step_is_kept_and_taken_when_the_function_still_falls(x64):
    outcome, t, _ = run(lambda t: -t, lambda t: -1.0, 0.5, max_step=2.0)
    assert outcome == DECREASE and t == 2.0


def test_a_wrong_slope_fails_and_a_kink_gives_the_best_decrease(x64):
    outcome, _, _ = run(lambda t: t, lambda t: -1.0)
    assert outcome == FAILED
    kink = 0.3
    outcome, t, _ = run(lambda t: abs(t - kink), lambda t: -1.0 if t < kink else 1.0)
    assert outcome == DECREASE and abs(t - kink) < 1e-3


def test_values_equal_up_to_rounding_are_judged_by_their_slopes():
    """float32, φ = 1000 + tiny parabola: values carry no digit of it, slopes do."""
    outcome, t, tried = run(
        lambda t: np.float32(1000 + 1e-6 * (t - 1) ** 2), lambda t: np.float32(2e-6 * (t - 1)), 1.0
    )
    assert outcome == WOLFE and t == 1.0 and len(tried) == 1


def test_impossible_constants_are_refused():
    with pytest.raises(ValueError, match="slope_rtol < curv_rtol"):
        StrongWolfe(slope_rtol=0.9, curv_rtol=0.1).check()
    with pytest.raises(ValueError, match="max_linesearch_steps"):
        StrongWolfe(max_linesearch_steps=1).check()
