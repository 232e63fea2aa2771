"""Paths of rules on surfaces, and the choice among them."""

import jax
import numpy as np
import pytest

from jaxnets import optim
from jaxnets.study.optimization import landscapes
from jaxnets.study.optimization.landscapes import SURFACES, best_walk, settled, trajectories, walk


@pytest.mark.parametrize("name", [n for n, s in SURFACES.items() if s.minimum])
def test_minima_are_zero_and_flat(name):
    surface = SURFACES[name]
    at = np.array(surface.minimum)
    assert surface.value(at) == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(jax.grad(surface.value)(at), 0, atol=1e-6)


def test_a_walk_of_gradient_descent_follows_its_formula():
    surface = SURFACES["quadratic"]
    path = walk(surface.value, optim.sgd(0.01), surface.start, 5)
    t = np.arange(6)[:, None]
    np.testing.assert_allclose(path, [-4, 1] * np.array([0.99, 0.5]) ** t, rtol=1e-5)


def test_the_best_rate_is_lowest_on_average_and_stays_in_the_picture():
    surface = SURFACES["quadratic"]
    # 2/50 = 0.04 is the limit of stability: 0.05 leaves the picture, 0.001 is slow.
    rate, path = best_walk(surface, optim.sgd, (0.001, 0.03, 0.05), 30)
    assert rate == 0.03 and path.shape == (31, 2)
    assert best_walk(SURFACES["saddle"], optim.sgd, (0.05,), 3)[0] == 0.05


def test_trajectories_count_the_steps_to_the_minimum_for_good(monkeypatch):
    rules = {"sgd": landscapes.RULES["sgd"]}
    monkeypatch.setattr(landscapes, "RULES", rules)
    found = trajectories(("quadratic", "saddle"), (0.03,), 0.05, 300)
    entry = found["quadratic"]["sgd"]
    # |x| = 4·0.97^t falls below 0.01 at t = 197.
    assert entry["steps_to_0.01"] == 197
    assert entry["final_distance"] == entry["distance"][-1] < 1e-3
    # |y| = 0.001·1.1^t passes 1 at t = 73.
    assert found["saddle"]["sgd"]["steps_to_escape"] == 73


def test_settled_forgets_what_held_only_for_a_while():
    assert settled(np.array([True, True])) == 0
    assert settled(np.array([False, True, False])) is None
