"""Pruned weights are 0 after every update, through checkpoints, and on eight devices."""

import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxnets.compress import (
    PruneState,
    PruningSchedule,
    density,
    find_mask,
    gradual,
    magnitude_mask,
    one_shot,
    prune,
)
from jaxnets.data import ArraySource
from jaxnets.errors import JaxnetsError
from jaxnets.train import (
    DataParallel,
    RunOptions,
    Task,
    create_state,
    fit,
    restore_state,
    state_arrays,
    train_step,
)


class Net(nn.Module):
    @nn.compact
    def __call__(self, x, *, train=False):
        return nn.Dense(2, name="out")(nn.tanh(nn.Dense(8, name="in")(x)))


def loss(outputs, updates, batch):
    return jnp.mean((outputs - batch["targets"]) ** 2), {}


TASK = Task(lambda batch: batch["audio"], loss)
RANDOM = np.random.default_rng(0)
BATCH = {
    "audio": RANDOM.standard_normal((16, 5)).astype(np.float32),
    "targets": RANDOM.standard_normal((16, 2)).astype(np.float32),
}
SCHEDULE = gradual(1, 7, 2)


def rule():
    inner = optax.chain(optax.add_decayed_weights(0.1), optax.sgd(0.05, momentum=0.9))
    return prune(inner, 0.75, schedule=SCHEDULE)


STEP = jax.jit(lambda s, b: train_step(s, b, task=TASK))


def state():
    return create_state(Net(), rule(), BATCH, jax.random.key(0), task=TASK)


def kernels(params):
    return np.concatenate([np.asarray(params[k]["kernel"]).ravel() for k in ("in", "out")])


def test_zeros_stay_zeros_and_come_as_scheduled():
    now, before = state(), np.zeros(0)
    for count in range(12):
        now, _ = STEP(now, BATCH)
        mask = find_mask(now)
        zero = kernels(now.params) == 0
        np.testing.assert_array_equal(zero, ~kernels(mask))
        assert not len(before) or (zero | ~before).all()  # nothing comes back
        before = zero
        passed = [p for s, p in zip(SCHEDULE.steps, SCHEDULE.progress, strict=True) if s <= count]
        share = 0.75 * (passed[-1] if passed else 0)
        assert zero.sum() == round(share * 40) + round(share * 16)
    assert density(now.params)["all"] == 14 / 56


def test_a_saved_state_goes_on_with_its_mask_bit_for_bit():
    whole = state()
    for count in range(10):
        if count == 4:
            arrays = state_arrays(whole, jax.device_get)
        whole, _ = STEP(whole, BATCH)
    masks = {path: a for path, a in arrays.items() if "/mask/" in path}
    assert {a.dtype.name for a in masks.values()} == {"bool"} and len(masks) == 4
    resumed = restore_state(state(), arrays)
    for _ in range(6):
        resumed, _ = STEP(resumed, BATCH)
    for one, other in zip(
        jax.tree.leaves(whole.params), jax.tree.leaves(resumed.params), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_eight_devices_have_the_mask_of_one():
    one, eight = state(), state()
    parallel = DataParallel("pmap", jax.devices()[:8])
    step = parallel.parallelize(lambda s, b, **k: train_step(s, b, task=TASK, **k))
    eight = parallel.replicate(eight)
    for _ in range(9):
        one, _ = STEP(one, BATCH)
        eight, metrics = step(eight, parallel.shard(BATCH))
        jax.block_until_ready(metrics)
    params, mask = parallel.fetch(eight.params), parallel.fetch(find_mask(eight))
    np.testing.assert_array_equal(kernels(params) == 0, ~kernels(mask))
    np.testing.assert_array_equal(kernels(mask), kernels(find_mask(one)))
    np.testing.assert_allclose(kernels(params), kernels(one.params), atol=1e-6)


class Stopping(ArraySource):
    """Asks the process to stop when a batch is taken for the seventh time."""

    taken = 0

    def take(self, rows):
        self.taken += 1
        if self.taken == 7:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().take(rows)


def test_a_stopped_run_goes_on_with_its_mask(tmp_path):
    options = {"task": TASK, "batch_size": 8, "epochs": 6}
    options |= {"options": RunOptions(quiet=True, devices=1, evaluate_every=0), "optimizer": rule()}
    whole = fit(Net(), ArraySource(BATCH), workdir=tmp_path / "a", **options)
    stopped = fit(Net(), Stopping(BATCH), workdir=tmp_path / "b", **options)
    assert stopped.interrupted
    resumed = fit(Net(), ArraySource(BATCH), workdir=tmp_path / "b", **options)
    one, other = whole.variables["params"], resumed.variables["params"]
    assert (kernels(one) == 0).sum() == 42
    np.testing.assert_array_equal(kernels(one), kernels(other))


def test_a_given_mask_is_kept():
    params = state().params
    mask = magnitude_mask(params, 0.5)
    fixed = prune(optax.adam(0.1), mask=mask)
    opt_state = fixed.init(params)
    gradients = jax.tree.map(jnp.ones_like, params)
    updates, opt_state = fixed.update(gradients, opt_state, params)
    found = optax.apply_updates(params, updates)
    np.testing.assert_array_equal(kernels(found) == 0, ~kernels(mask))
    assert isinstance(opt_state, PruneState) and int(opt_state.count) == 1


def test_whole_filters_over_all_layers():
    params = state().params
    pruned = prune(optax.sgd(0.1), 0.5, structure="filters", scope="global")
    updates, _ = pruned.update(params, pruned.init(params), params)
    found = optax.apply_updates(params, updates)
    dead = [~np.asarray(found[k]["kernel"]).any(0) for k in ("in", "out")]
    assert np.concatenate(dead).sum() == 5
    np.testing.assert_array_equal(np.asarray(found["in"]["bias"])[dead[0]], 0)


def test_schedules():
    assert one_shot(3) == PruningSchedule((3,), (1.0,))
    cubic = gradual(10, 110, 50)
    assert cubic.steps == (10, 60, 110)
    np.testing.assert_allclose(cubic.progress, [0, 0.875, 1])
    for steps, progress in (((), ()), ((1, 1), (0.5, 1)), ((0,), (0.5,)), ((0, 1), (1, 0.5))):
        with pytest.raises(JaxnetsError, match=r"ascending|from 0"):
            PruningSchedule(steps, progress)
    with pytest.raises(JaxnetsError, match="begin < end"):
        gradual(5, 5, 1)


def test_wrong_arguments_are_refused():
    params = state().params
    with pytest.raises(JaxnetsError, match="one of the two"):
        prune(optax.sgd(0.1))
    with pytest.raises(JaxnetsError, match=r"must be in \[0, 1\), got 1"):
        prune(optax.sgd(0.1), 1.0)
    with pytest.raises(JaxnetsError, match="of another network"):
        prune(optax.sgd(0.1), mask={"a": jnp.ones((), bool)}).init(params)
    with pytest.raises(JaxnetsError, match="no weights 'inn'"):
        prune(optax.sgd(0.1), {"inn": 0.5}).init(params)
    with pytest.raises(ValueError, match="needs the parameters"):
        prune(optax.sgd(0.1), 0.5).update(params, prune(optax.sgd(0.1), 0.5).init(params))
    with pytest.raises(JaxnetsError, match="found 0"):
        find_mask(optax.sgd(0.1).init(params))
