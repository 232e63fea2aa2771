"""The contract of a task: carried state, weights, collected rows, foreign modules, mistakes."""

import re
from functools import partial
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnets
from jaxnets.data import ArraySource, Batches
from jaxnets.errors import JaxnetsError
from jaxnets.train import (
    DataParallel,
    Evaluator,
    RunOptions,
    Task,
    TaskError,
    create_state,
    eval_step,
    fit,
    restore_state,
    state_arrays,
    train_step,
)
from jaxnets.train.task import means

WAYS = [("jit", 1, 1), ("jit", 1, 2), ("jit", 8, 1), ("pmap", 8, 1), ("pmap", 8, 2), ("jit", 8, 2)]


def numbers(size=32, length=6, seed=0):
    """Sequences of numbers with masks of different lengths, and what is to be said of each."""
    random = np.random.default_rng(seed)
    mask = np.arange(length) < random.integers(1, length + 1, (size, 1))
    return {
        "audio": random.normal(size=(size, length, 3)).astype(np.float32),
        "targets": random.normal(size=(size, length)).astype(np.float32),
        "target_mask": mask.astype(np.float32),
    }


class PerPosition(nn.Module):
    """A dense layer on every position; knows no ``train``."""

    @nn.compact
    def __call__(self, sounds):
        return nn.Dense(1, name="out")(sounds)[..., 0]


def masked_error(outputs, updates, batch):
    del updates
    mask = batch["target_mask"]
    loss = jnp.sum(mask * (outputs - batch["targets"]) ** 2) / jnp.maximum(mask.sum(), 1)
    return loss, {"error": loss}


def measure(outputs, batch):
    mask = batch["target_mask"] * batch["example_mask"][:, None]
    return {"loss": (jnp.sum(mask * (outputs - batch["targets"]) ** 2), mask.sum())}


POSITIONS = Task(
    inputs=lambda batch: {"sounds": batch["audio"]},
    loss=masked_error,
    measure=measure,
    weight=lambda batch: batch["target_mask"].sum(),
)


def start(task, model, batch, **options):
    return create_state(model, optax.sgd(0.1), batch, jax.random.key(0), task=task, **options)


def run(way, task, model, steps=3, size=32):
    mode, devices, microbatches = way
    parallel = DataParallel(mode, jax.devices()[:devices])
    state = parallel.replicate(start(task, model, numbers(size)))
    step = parallel.parallelize(
        partial(train_step, task=task, microbatches=microbatches), carried=bool(task.carried)
    )
    for index in range(steps):
        state, metrics = step(state, parallel.shard(numbers(size, seed=index)))
        jax.block_until_ready(metrics)
    return parallel, state, parallel.fetch(metrics)


@pytest.mark.parametrize("way", WAYS[1:], ids=lambda way: "-".join(map(str, way)))
def test_weights_make_any_number_of_parts_one_mean(way):
    """Parts with few and many targets: the mean is over targets, not over parts."""
    _, one, expected = run(WAYS[0], POSITIONS, PerPosition())
    parallel, found, metrics = run(way, POSITIONS, PerPosition())
    jax.tree.map(
        partial(np.testing.assert_allclose, atol=1e-6), parallel.fetch(found.params), one.params
    )
    for name, value in expected.items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-5, err_msg=name)


def test_without_weights_parts_weigh_the_same():
    """The test above can fail: without weights the means over parts differ from the whole's."""
    task = POSITIONS._replace(weight=None)
    _, one, _ = run(WAYS[0], task, PerPosition())
    _, parts, _ = run(WAYS[1], task, PerPosition())
    assert np.abs(one.params["out"]["kernel"] - parts.params["out"]["kernel"]).max() > 1e-4


class Recurrent(nn.Module):
    """h ← tanh(W[x, h]) over a window; its last h is where the next window begins."""

    features: int = 4

    @nn.compact
    def __call__(self, sounds, *, train=False):
        size = sounds.shape[0]
        last = self.variable("carry", "h", jnp.zeros, (size, self.features))
        cell, out = nn.Dense(self.features, name="cell"), nn.Dense(1, name="out")
        h, outputs = last.value, []
        for t in range(sounds.shape[1]):
            h = jnp.tanh(cell(jnp.concatenate([sounds[:, t], h], -1)))
            outputs.append(out(h)[..., 0])
        if not self.is_initializing():
            last.value = h
        return jnp.stack(outputs, 1)


WINDOWS = POSITIONS._replace(carried=("carry",))


def test_state_is_carried_and_gradients_end_at_the_step():
    """Two windows in a row by hand: the second begins with the first's last state, a constant."""
    model, batches = Recurrent(), [numbers(8, seed=s) for s in (0, 1)]
    state = start(WINDOWS, model, batches[0])
    np.testing.assert_array_equal(state.carry["carry"]["h"], np.zeros((8, 4)))
    params, h = state.params, jnp.zeros((8, 4))
    for batch in batches:

        def loss(params, h=h, batch=batch):
            outputs, new = model.apply(
                {"params": params, "carry": {"h": h}}, batch["audio"], mutable=["carry"]
            )
            return masked_error(outputs, {}, batch)[0], new["carry"]["h"]

        gradients, h = jax.grad(loss, has_aux=True)(params)
        params = jax.tree.map(lambda p, g: p - 0.1 * g, params, gradients)
        state, _ = train_step(state, batch, task=WINDOWS)
        np.testing.assert_allclose(state.carry["carry"]["h"], h, atol=1e-6)
        jax.tree.map(partial(np.testing.assert_allclose, atol=1e-6), state.params, params)
    assert np.abs(h).max() > 0.05


@pytest.mark.parametrize("way", WAYS[1:], ids=lambda way: "-".join(map(str, way)))
def test_carried_state_on_any_number_of_devices(way):
    _, one, _ = run(WAYS[0], WINDOWS, Recurrent())
    parallel, found, _ = run(way, WINDOWS, Recurrent())
    whole = parallel.gather(found.carry)["carry"]["h"]
    np.testing.assert_allclose(whole, one.carry["carry"]["h"], atol=1e-5)
    # Saved as one array of all examples, whatever the devices.
    arrays = state_arrays(found, parallel.fetch, parallel.gather)
    assert arrays["carry/carry/h"].shape == (32, 4)
    restored = restore_state(start(WINDOWS, Recurrent(), numbers()), arrays)
    np.testing.assert_array_equal(restored.carry["carry"]["h"], whole)


def test_a_resumed_run_goes_on_with_its_carry(tmp_path):
    source = ArraySource(numbers(64))

    def train(workdir, epochs, **options):
        return fit(
            Recurrent(),
            source,
            task=WINDOWS,
            optimizer=optax.sgd(0.1),
            epochs=epochs,
            batch_size=16,
            workdir=workdir,
            test=source,
            options=RunOptions(devices=2, quiet=True, **options),
        )

    whole = train(tmp_path / "whole", 4)
    train(tmp_path / "parts", 2)
    (tmp_path / "parts" / "summary.json").unlink()
    parts = train(tmp_path / "parts", 4, accept_changes=True)
    assert parts.summary["params_sha256"] == whole.summary["params_sha256"]
    assert np.isfinite(whole.measured["loss"]) and parts.measured == whole.measured


@pytest.mark.parametrize(("mode", "devices"), [("jit", 1), ("jit", 8), ("pmap", 8)])
def test_sums_and_collected_rows_are_those_of_the_source(mode, devices):
    """Neither padding at the end nor devices change a mean, or the order of rows."""
    source = ArraySource(numbers(27))
    task = POSITIONS._replace(
        collect=lambda outputs, batch: {"said": outputs, "asked": batch["targets"]},
        score=lambda rows: {"rows": rows},
    )
    parallel = DataParallel(mode, jax.devices()[:devices])
    state = start(task, PerPosition(), source.take(np.arange(1)))
    evaluate = Evaluator(task, state.apply_fn, source, parallel, batch_size=8)
    found = evaluate(parallel.replicate(state.variables))
    outputs = np.asarray(state.apply_fn(state.variables, source.arrays["audio"], train=False))
    mask, targets = source.arrays["target_mask"], source.arrays["targets"]
    error = (mask * (outputs.astype(np.float64) - targets) ** 2).sum() / mask.sum()
    np.testing.assert_allclose(found["loss"], error, rtol=1e-6)
    np.testing.assert_array_equal(found["rows"]["asked"], targets)
    np.testing.assert_allclose(found["rows"]["said"], outputs, atol=1e-6)


def test_given_variables_are_where_training_begins():
    batch = numbers(2)
    own = start(POSITIONS, PerPosition(), batch)
    kernel = np.full((3, 1), 0.25, np.float16)
    state = start(
        POSITIONS, PerPosition(), batch, variables={"params": {"out": {"kernel": kernel}}}
    )
    np.testing.assert_array_equal(state.params["out"]["kernel"], kernel.astype(np.float32))
    # What was not given is drawn as usual.
    np.testing.assert_array_equal(state.params["out"]["bias"], own.params["out"]["bias"])
    for wrong, message in (
        ({"out": {"kernel": np.zeros((2, 1))}}, r"out/kernel has shape \(2, 1\), .* \(3, 1\)"),
        ({"in": {"kernel": kernel}}, "the network has no params/in/kernel"),
    ):
        with pytest.raises(JaxnetsError, match=message):
            start(POSITIONS, PerPosition(), batch, variables={"params": wrong})


def test_a_module_without_train_shares_one_compiled_step():
    traces = []

    @jax.jit
    def step(state, batch):
        traces.append(1)
        return train_step(state, batch, task=POSITIONS)[0]

    model, rule = PerPosition(), optax.sgd(0.1)
    for seed in range(2):
        key = jax.random.key(seed)
        step(create_state(model, rule, numbers(2), key, task=POSITIONS), numbers(2))
    assert len(traces) == 1


def test_several_random_streams_differ():
    class Streams(nn.Module):
        @nn.compact
        def __call__(self, sounds, *, train=False):
            nn.Dense(1, name="out")(sounds)
            keys = [self.make_rng(name) for name in ("dropout", "noise")] if train else []
            self.sow("seen", "keys", [jax.random.key_data(key) for key in keys])
            return nn.Dense(1, name="out2")(sounds)[..., 0]

    seen = []

    def loss(outputs, updates, batch):
        seen.append(updates["seen"]["keys"])
        return masked_error(outputs, {}, batch)

    task = POSITIONS._replace(loss=loss, mutable=("seen",), rngs=("dropout", "noise"))
    state = start(task, Streams(), numbers(2))
    assert state.model_state == {}  # what is sown is not kept
    train_step(state, numbers(2), task=task)
    ((first, second),) = seen[0]
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"inputs": lambda b: b["sound"]},
            "inputs asks for 'sound'; the batch has audio, target_m",
        ),
        ({"loss": lambda o, u, b: (o - b["target"], {})}, "loss asks for 'target'; the batch has"),
        ({"loss": lambda o, u, b: (o, {})}, r"loss must be one number.*shape \(4, 6\)"),
        ({"loss": lambda o, u, b: o.mean()}, r"must return \(scalar, metrics\)"),
        ({"loss": lambda o, u, b: (o.mean(), {"e": o})}, "metric 'e' must be one number"),
    ],
)
def test_mistakes_in_training_are_explained(change, message):
    state = start(POSITIONS, PerPosition(), numbers(4))
    with pytest.raises(TaskError, match=message):
        jax.jit(partial(train_step, task=POSITIONS._replace(**change)))(state, numbers(4))


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        (lambda o, b: {"loss": o.sum()}, r"gives 'loss' without a count: expected \(sum, count\)"),
        (lambda o, b: o.sum(), r"must return \{name: \(sum, count\)\}"),
        (lambda o, b: {"loss": (o.sum(), b["mask"])}, "measure asks for 'mask'; the batch has"),
    ],
)
def test_mistakes_in_evaluation_are_explained(measure, message):
    state = start(POSITIONS, PerPosition(), numbers(4))
    task = POSITIONS._replace(measure=measure)
    with pytest.raises(TaskError, match=message):
        eval_step(state.variables, numbers(4), task=task, apply_fn=state.apply_fn)


def test_batches_without_examples_and_with_slips_are_refused():
    empty = {name: array[:0] for name, array in numbers(4).items()}
    state = start(POSITIONS, PerPosition(), numbers(4))
    with pytest.raises(TaskError, match="the batch has no examples"):
        train_step(state, empty, task=POSITIONS)
    for batch, message in (
        (empty, "the batch has no examples"),
        ({}, "the batch is empty"),
        ({"target": np.zeros(3)}, "unknown key 'target'. Did you mean 'targets'"),
        ({"audio": np.zeros(3), "targets": np.zeros(2)}, "different lengths: audio 3, targets 2"),
        ({"audio": np.float32(1)}, "one number as 'audio'"),
        ([1, 2], "is a list; expected a dict"),
    ):
        with pytest.raises(JaxnetsError, match=message):
            start(POSITIONS, PerPosition(), batch)
    with pytest.raises(JaxnetsError, match="carries 'memory' from step to step, but the network"):
        start(POSITIONS._replace(carried=("memory",)), PerPosition(), numbers(4))
    with pytest.raises(JaxnetsError, match="the source has no examples"):
        Batches(ArraySource(empty), 2, seed=0)


def test_means_are_exact_and_of_nothing_nan():
    assert means({"a": (3, 4), "b": (np.int64(10), np.int64(4))}) == {"a": 0.75, "b": 2.5}
    assert np.isnan(means({"a": (0.0, 0.0)})["a"])


def test_train_knows_no_task():
    """A new task needs no change here: no file speaks of one."""
    wrong = {}
    for path in (Path(jaxnets.__file__).parent / "train").glob("*.py"):
        # Anywhere but in Matplotlib's own names (xlabel).
        found = re.findall(r"(?i)(?<![a-z])(?:label|accurac|image)\w*", path.read_text())
        if found:
            wrong[path.name] = sorted(set(found))
    assert wrong == {}
