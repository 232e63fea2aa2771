"""Staleness: the limit of stability, a replay without staleness, synchronous rounds."""

import jax
import numpy as np
import optax
import pytest

from jaxnets.models.mlp import MLP
from jaxnets.optim import asynchronous
from jaxnets.study.data import Part
from jaxnets.study.optimization import asynchronous_sgd as study
from jaxnets.study.optimization.small_problems import Problem


@pytest.fixture(scope="module")
def learner():
    rng = np.random.default_rng(0)
    images = rng.normal(size=(40, 2, 2, 1)).astype(np.float32)
    part = Part(images, (images.sum((1, 2, 3)) > 0).astype(np.int32))
    problem = Problem("tiny", "tiny", MLP(2, hidden=()), 1e-3, part, part, part, dense=True)
    return study.Learner(problem, batch_size=8)


def test_the_exact_limit_without_staleness_and_with_one():
    found = study.stability(most=1)
    # x ← (1 − ηλ)x converges below 2; with staleness one the roots leave the unit disc at 1.
    np.testing.assert_allclose(found["exact"], [2, 1])
    assert found["largest_error"] < 0.01
    assert found["growth"].shape == (2, len(found["products"]))


def test_without_staleness_a_replay_is_gradient_descent(learner):
    losses = learner.replay(0.5, asynchronous.round_robin(1, 3), every=1, seed=0)
    params, take = learner.problem.init(0), learner.batch(0)
    for i in range(3):
        assert losses[i] == pytest.approx(float(learner.loss(params)), rel=1e-5)
        gradient = learner.gradient(params, take(i))
        params = optax.apply_updates(params, jax.tree.map(lambda g: -0.5 * g, gradient))
    assert losses[3] == pytest.approx(float(learner.loss(params)), rel=1e-5)


def test_a_synchronous_round_averages_the_batches_of_all_workers(learner):
    losses = learner.synchronous(0.5, rounds=1, workers=3, seed=0)
    params, take = learner.problem.init(0), learner.batch(0)
    gradients = [learner.gradient(params, take(w)) for w in range(3)]
    mean = jax.tree.map(lambda *g: sum(g) / 3, *gradients)
    params = optax.apply_updates(params, jax.tree.map(lambda g: -0.5 * g, mean))
    assert losses[1] == pytest.approx(float(learner.loss(params)), rel=1e-5)


def test_a_rate_far_too_high_is_infinite_and_never_nan(learner):
    table = study.over_staleness(learner, rates=(0.1, 1e30), staleness=(0, 2), updates=6, keys=1)
    assert table.shape == (2, 2, 1) and np.isfinite(table[0]).all()
    assert np.isinf(table[1]).all()


def test_the_clock_runs_as_slow_as_the_straggler(learner):
    counted = []
    runs = study.over_time(
        learner,
        rate=0.1,
        workers=2,
        straggler=5.0,
        bounds=(1,),
        updates=8,
        keys=1,
        on_runs=counted.append,
    )
    assert list(runs) == ["τ ≤ 1", "synchronous", "synchronous, 2η"]
    (clock, losses), *_ = runs["synchronous"]
    # Every round waits for the worker that takes about five units.
    assert len(clock) == len(losses) == 5 and np.diff(clock).mean() > 3
    assert sum(counted) == 2
