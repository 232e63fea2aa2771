"""Runs of mini-batch methods and of L-BFGS: paired by key, right in their numbers of passes."""

import jax
import numpy as np
import optax
import pytest

from jaxnets import optim
from jaxnets.data import Split
from jaxnets.models.mlp import MLP
from jaxnets.study.data import Part
from jaxnets.study.optimization import shootout_runs as runs
from jaxnets.study.optimization.small_problems import (
    PROBLEMS,
    Problem,
    split_off_validation,
)
from jaxnets.study.sweep import orders


@pytest.fixture(scope="module")
def problem():
    rng = np.random.default_rng(0)
    images = rng.normal(size=(40, 2, 2, 1)).astype(np.float32)
    labels = (images.sum((1, 2, 3)) > 0).astype(np.int32)
    parts = [Part(images[a:b], labels[a:b]) for a, b in ((0, 20), (20, 30), (30, 40))]
    return Problem("tiny", "tiny", MLP(2, hidden=()), 1e-3, *parts, dense=True)


@pytest.mark.parametrize("method", ["adam", "momentum_cosine"])
def test_minibatch_runs_follow_the_rule(problem, method):
    found = runs.minibatch(problem, method, (0.01, 0.1), keys=2, epochs=2, batch_size=8)
    assert found.train_loss.shape == (2, 2, 3)
    # By hand, for the second rate and key: two passes of two batches.
    rate, total = 0.1, 4
    rule = {
        "adam": optim.adam(rate),
        "momentum_cosine": optim.momentum(optim.schedules.cosine(rate, total)),
    }[method]
    params = problem.init(1)
    state = rule.init(params)
    losses = [problem.objective(params, problem.train)]
    for i, rows in enumerate(orders([1], 20, total, 8)[0]):
        batch = Part(*(leaf[rows] for leaf in problem.train))
        updates, state = rule.update(jax.grad(problem.objective)(params, batch), state, params)
        params = optax.apply_updates(params, updates)
        if i % 2:
            losses.append(problem.objective(params, problem.train))
    np.testing.assert_allclose(found.train_loss[1, 1], losses, rtol=1e-5)


def test_one_after_the_other_gives_what_side_by_side_gives(problem):
    counted = []
    settings = {"keys": 2, "epochs": 1, "batch_size": 8, "on_runs": counted.append}
    beside = runs.minibatch(problem, "momentum", (0.01, 0.1), **settings)
    after = runs.minibatch(problem._replace(dense=False), "momentum", (0.01, 0.1), **settings)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), beside, after)
    assert counted == [4, 2, 2]


def test_the_full_batch_counts_its_passes(problem):
    curves, passes = runs.full_batch(problem, (1, 3), keys=2)
    assert curves.train_loss.shape == passes.shape == (2, 2)
    assert (passes >= [1, 3]).all() and (curves.train_loss[:, 1] < curves.train_loss[:, 0]).all()


def test_validation_is_a_share_of_each_class_and_disjoint():
    # Each image is its own number, so that a part says what it holds.
    numbers = np.arange(100, dtype=np.float32).reshape(100, 1, 1, 1)
    split = Split(numbers, (np.arange(100) % 2).astype(np.int32))
    train, valid, test = split_off_validation(split, split, 0.2)
    assert len(train.labels) == 80 and np.bincount(valid.labels).tolist() == [10, 10]
    assert train.images.mean() == pytest.approx(0, abs=1e-6)
    assert train.images.std() == pytest.approx(1, abs=1e-6)
    everything = np.concatenate([train.images, valid.images]).ravel()
    np.testing.assert_allclose(np.sort(everything), np.sort(test.images.ravel()))


def test_problems_are_as_large_as_they_say():
    sizes = {"softmax": 650, "network": 2410}
    for name, size in sizes.items():
        problem = PROBLEMS[name](data_dir=None, examples=0)
        params = jax.eval_shape(problem.init, 0)
        assert sum(leaf.size for leaf in jax.tree.leaves(params)) == size
