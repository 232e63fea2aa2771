"""Training over keys and values, against plain steps."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnets import optim, train
from jaxnets.models import create_model
from jaxnets.models.mlp import MLP
from jaxnets.study.data import Data, Part, load
from jaxnets.study.sweep import make_keys, orders
from jaxnets.study.training import best, has_convolutions, steps_to, train_many
from jaxnets.tasks import classification


def small(images=96, side=4):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(images, side, side, 1)).astype(np.float32)
    part = Part(jnp.asarray(x), jnp.asarray(rng.integers(0, 10, images)))
    return Data("small", part, part, 10)


def test_equals_plain_steps():
    data, model = small(), MLP(10, (8,))
    runs = train_many(
        model,
        optim.momentum,
        np.float32([0.01, 0.1]),
        data,
        make_keys(3),
        steps=6,
        batch_size=16,
        evaluations=3,
    )
    assert runs.batch_loss.shape == (2, 3, 6) and runs.test_loss.shape == (2, 3, 4)
    assert runs.steps.tolist() == [0, 2, 4, 6]
    key = jax.random.key(2, impl="rbg")
    task = classification(10)
    example = {"image": data.train.images[:1], "label": data.train.labels[:1]}
    state = train.create_state(model, optim.momentum(0.1), example, key, task=task)
    params = model.init({"params": key}, data.train.images[:2])["params"]
    state = state.replace(params=params)
    losses, step = [], jax.jit(partial(train.train_step, task=task))
    for rows in orders([2], 96, 6, 16)[0]:
        batch = {"image": data.train.images[rows], "label": data.train.labels[rows]}
        state, metrics = step(state, batch)
        losses.append(metrics["loss"])
    np.testing.assert_allclose(runs.batch_loss[1, 2], losses, rtol=1e-4)
    found = jax.tree.map(lambda v: v[1, 2], runs.variables["params"])
    for mine, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(state.params), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-5)


def _step_of(state, data):
    return state.step.astype(jnp.float32)


def _times(params, value):
    return jax.tree.map(lambda p: p * value, params)


def _still(value):
    del value
    return optax.sgd(0.0)


def test_the_loop_equals_the_vmap():
    options = {"steps": 4, "evaluations": 2, "batch_size": 16, "probe": _step_of}
    args = MLP(10, (8,)), optim.adam, np.float32([0.01, 0.1]), small(), make_keys(2)
    one, other = (train_many(*args, **options, loop=loop) for loop in (True, False))
    for name in ("batch_loss", "train_loss", "test_accuracy", "probe"):
        np.testing.assert_allclose(
            getattr(one, name), getattr(other, name), rtol=1e-4, err_msg=name
        )
    assert one.probe[0, 0].tolist() == [0, 2, 4]
    # One value of the setting, and its variables with it.
    at = one.take(1)
    assert at.accuracy.tolist() == one.accuracy[1].tolist() and at.steps is one.steps
    for a, b in zip(jax.tree.leaves(at.variables), jax.tree.leaves(one.variables), strict=True):
        np.testing.assert_array_equal(a, b[1])


def test_start_changes_the_first_weights():
    options = {"steps": 1, "evaluations": 1, "batch_size": 16, "start": _times}
    runs = train_many(MLP(10, ()), _still, np.float32([0, 1]), small(), [5], **options)
    np.testing.assert_allclose(runs.test_loss[0], np.log(10), rtol=1e-6)
    assert (runs.test_loss[1] > np.log(10)).all()


def test_a_scalar_value_has_no_axis():
    runs = train_many(MLP(10, ()), optim.sgd, 0.1, small(), [0, 1], steps=2, evaluations=1)
    assert runs.accuracy.shape == (2,)


def test_steps_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="multiple of evaluations"):
        train_many(MLP(10, ()), optim.sgd, 0.1, small(), [0], steps=5, evaluations=2)


def test_steps_to():
    curves = np.array([[4.0, 2.0, 1.0], [np.inf, 1.0, 0.5], [9.0, 9.0, np.nan], [0.1, 9, 9]])
    found = steps_to(np.array([0, 10, 20]), curves, 1.5)
    assert found.tolist() == [15.0, 10.0, 40.0, 0.0]


def test_best_and_convolutions():
    assert best(np.array([[np.nan, 0.1], [2.0, 2.0], [1.0, np.inf]])) == 1
    assert has_convolutions(create_model("lenet5", num_classes=10), (32, 32, 3))
    assert not has_convolutions(MLP(10, (4,)), (8, 8, 1))


def test_data_are_standardized_by_the_training_part():
    data = load("digits", train=200, test=100)
    np.testing.assert_allclose(data.train.images.mean(), 0, atol=1e-5)
    np.testing.assert_allclose(data.train.images.std(), 1, atol=1e-5)
    assert (np.bincount(data.train.labels) == 20).all() and data.num_classes == 10
    assert abs(float(data.test.images.std()) - 1) < 0.1


SHIFT = 0.0


def shifted_loss(logits, labels):
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean() + SHIFT


def test_what_a_loss_reads_is_read_anew(monkeypatch):
    def losses():
        options = {"steps": 1, "batch_size": 8, "evaluations": 1, "loss_fn": shifted_loss}
        return train_many(MLP(10, ()), optim.sgd, 0.1, small(), make_keys(1), **options).batch_loss

    before = losses()
    np.testing.assert_array_equal(losses(), before)
    monkeypatch.setitem(globals(), "SHIFT", 5.0)
    np.testing.assert_allclose(losses(), before + 5, rtol=1e-6)


def test_runs_stop_where_they_are_done():
    """One after the other they do, with the curves up to there of those that go on."""
    args = MLP(10, (8,)), optim.sgd, np.float32([0.0, 0.5]), small(), make_keys(1)
    options = {"steps": 6, "evaluations": 3, "batch_size": 16}
    whole = train_many(*args, **options, loop=True)
    target = float(whole.train_loss[1, 0, 1])
    done = lambda found: bool(found["train_loss"] <= target)  # noqa: E731
    runs = train_many(*args, **options, loop=True, until=done)
    np.testing.assert_array_equal(runs.train_loss[0], whole.train_loss[0])
    np.testing.assert_array_equal(runs.train_loss[1, 0, :2], whole.train_loss[1, 0, :2])
    assert (runs.train_loss[1, 0, 2:] == target).all() and (
        whole.train_loss[1, 0, 2:] < target
    ).all()
    beside = train_many(*args, **options, loop=False, until=done)
    np.testing.assert_allclose(beside.train_loss, whole.train_loss, rtol=1e-4)
