"""What Flax and JAX users combine freely: rematerialized networks, rng names, sown values, keys."""

from functools import partial

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnets.data import ArraySource
from jaxnets.models import create_model
from jaxnets.nn import precise_batch_statistics
from jaxnets.optim import averaged_params, ema, minimize, track
from jaxnets.tasks import classification
from jaxnets.train import (
    RunOptions,
    Task,
    TrainState,
    create_state,
    fit,
    restore_state,
    state_arrays,
    train_step,
)

BATCH = {
    "image": np.random.default_rng(0).normal(size=(4, 8, 8, 1)).astype(np.float32),
    "label": np.array([0, 1, 2, 1], np.int32),
}
SMALL = {"blocks": 2, "widths": (4, 4, 8), "num_classes": 3}


def step_of(network, tx=None, variables=None):
    task, key = classification(3), jax.random.key(0)
    state = create_state(network, tx or optax.sgd(0.1), BATCH, key, task=task, variables=variables)
    return jax.jit(partial(train_step, task=task))(state, BATCH)


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_a_state_is_restored_into_shapes_alone(impl):
    params, tx = {"w": jnp.ones(3)}, optax.adam(0.1)
    key = jax.random.key(5, impl=impl)
    state = TrainState(jnp.int32(7), params, {}, tx.init(params), key, tx=tx)
    arrays = state_arrays(state, jax.device_get)
    restored = restore_state(jax.eval_shape(lambda: state), arrays)
    assert restored.key == key and int(restored.step) == 7
    np.testing.assert_array_equal(restored.params["w"], params["w"])


class Rematerialized(nn.Module):
    """A network of the registry as a user forgets its activations: around the whole of it."""

    network: nn.Module

    @nn.compact
    def __call__(self, x, train: bool = False):
        forget = nn.remat(lambda module, x: module(x, train=train))
        return forget(self.network, x)


def test_a_rematerialized_network_takes_the_same_step():
    network = create_model("resnet20", **SMALL)
    start = jax.jit(network.init)(jax.random.key(1), BATCH["image"])
    plain, metrics = step_of(network, variables=start)
    inside = {name: {"network": collection} for name, collection in start.items()}
    again, forgotten = step_of(Rematerialized(network), variables=inside)
    np.testing.assert_allclose(forgotten["loss"], metrics["loss"], rtol=1e-6)
    for name, collection in plain.variables.items():
        pairs = zip(
            jax.tree.leaves(collection),
            jax.tree.leaves(again.variables[name]["network"]),
            strict=True,
        )
        for expected, found in pairs:
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


class Noisy(nn.Module):
    """Draws from a stream of its own name, and writes down what it drew."""

    @nn.compact
    def __call__(self, x, train: bool = False):
        noise = jax.random.normal(self.make_rng("noise"), (3,)) if train else jnp.zeros(3)
        self.sow("drawn", "noise", noise)
        return nn.Dense(3)(x.reshape(len(x), -1)) + noise


def test_networks_draw_from_their_own_streams_and_sow_for_the_loss():
    plain = classification(3)

    def loss(outputs, updates, batch):
        (noise,) = updates["drawn"]["noise"]
        value, metrics = plain.loss(outputs, updates, batch)
        return value + (noise**2).sum(), {**metrics, "noise": (noise**2).sum()}

    task = plain._replace(loss=loss, mutable=("drawn",), rngs=("noise",))
    state = create_state(Noisy(), optax.sgd(0.1), BATCH, jax.random.key(0), task=task)
    step = jax.jit(partial(train_step, task=task))
    drawn = []
    for _ in range(2):
        state, metrics = step(state, BATCH)
        drawn.append(float(metrics["noise"]))
    assert drawn[0] != drawn[1] and min(drawn) > 0
    assert "drawn" not in state.variables


@pytest.mark.parametrize("impl", ["rbg", "unsafe_rbg"])
def test_other_kinds_of_keys_train_and_resume(impl, tmp_path):
    def loss(outputs, updates, batch):
        return jnp.mean((outputs - batch["y"]) ** 2), {}

    class Dropped(nn.Module):
        @nn.compact
        def __call__(self, x, train: bool = False):
            return nn.Dropout(0.5, deterministic=not train)(nn.Dense(8)(x)).sum(-1)

    data = ArraySource({"x": np.eye(8, dtype=np.float32), "y": np.arange(8, dtype=np.float32)})
    task = Task(lambda batch: batch["x"], loss)
    settings = {"task": task, "optimizer": optax.sgd(0.01), "batch_size": 8}

    def run(workdir, epochs):
        with jax.default_prng_impl(impl):
            options = RunOptions(quiet=True, devices=1, accept_changes=True)
            return fit(
                Dropped(), data, epochs=epochs, workdir=workdir, options=options, **settings
            ).variables

    whole = run(tmp_path / "a", 4)
    run(tmp_path / "b", 2)
    resumed = run(tmp_path / "b", 4)
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(resumed), strict=True):
        np.testing.assert_array_equal(a, b)


def test_scanned_networks_have_exact_statistics_and_averages():
    looped, plain = (create_model("resnet20", scan=scan, **SMALL) for scan in (True, False))
    tx = optax.chain(optax.sgd(0.1), track(ema(0.5)))
    state, _ = step_of(looped, tx=tx)
    images = [BATCH["image"], BATCH["image"][:2]]
    exact = precise_batch_statistics(looped.apply, state.variables, images)
    averaged = averaged_params(state.opt_state, state.params)

    def unrolled(tree):
        # A loop stacks its blocks; SMALL's loops have one each: stageI/rest is stageI/block1.
        return {
            stage: {
                **{k: v for k, v in part.items() if k != "rest"},
                "block1": jax.tree.map(lambda leaf: leaf[0], part["rest"]),
            }
            if isinstance(part, dict) and "rest" in part
            else part
            for stage, part in tree.items()
        }

    variables = {
        "params": unrolled(state.params),
        "batch_stats": unrolled(state.variables["batch_stats"]),
    }
    expected = precise_batch_statistics(plain.apply, variables, images)
    found = unrolled(exact)
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), found, expected)
    logits = looped.apply({"params": averaged, "batch_stats": exact}, BATCH["image"])
    same = plain.apply({"params": unrolled(averaged), "batch_stats": found}, BATCH["image"])
    np.testing.assert_allclose(logits, same, rtol=1e-4, atol=1e-5)
    moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), averaged, state.params)
    assert max(jax.tree.leaves(moved)) > 0


@flax.struct.dataclass
class Distance:
    """An objective that is a pytree: what it holds may be traced."""

    target: jax.Array

    def __call__(self, x):
        return jnp.sum((x - self.target) ** 2)


@pytest.mark.parametrize(
    "objective",
    [Distance, lambda target: jax.tree_util.Partial(Distance.__call__, Distance(target))],
)
def test_objectives_that_are_pytrees_are_minimized_and_vmapped(objective):
    def solve(target):
        return minimize(objective(target), jnp.zeros(3)).x

    targets = jnp.arange(6.0).reshape(2, 3)
    np.testing.assert_allclose(solve(targets[1]), targets[1], atol=1e-5)
    np.testing.assert_allclose(jax.vmap(solve)(targets), targets, atol=1e-5)
