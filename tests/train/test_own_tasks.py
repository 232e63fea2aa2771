"""Tasks, networks and sources as researchers bring them: odd dtypes, sown values, own rules."""

import json
from functools import partial
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnets.data import ArraySource
from jaxnets.errors import JaxnetsError
from jaxnets.tasks.classification import classification
from jaxnets.train import (
    Checkpoints,
    DataParallel,
    Evaluator,
    RunOptions,
    Task,
    TaskError,
    create_state,
    eval_step,
    fit,
    read_metrics,
    restore_state,
    state_arrays,
    train_step,
)
from jaxnets.train.task import means


def numbers(size=16):
    random = np.random.default_rng(0)
    return {
        "audio": random.normal(size=(size, 3)).astype(np.float32),
        "targets": random.normal(size=size).astype(np.float32),
    }


def squared_error(outputs, updates, batch):
    return jnp.mean((outputs - batch["targets"]) ** 2), {}


def measure(outputs, batch):
    mask = batch["example_mask"]
    return {"loss": (jnp.sum(mask * (outputs - batch["targets"]) ** 2), mask.sum())}


TASK = Task(lambda batch: batch["audio"], squared_error, measure)
LAST = nn.Sequential([nn.Dense(1), lambda x: x[..., 0]])


def step_once(way, task=TASK, model=LAST, optimizer=None, prepare=None):
    mode, devices, microbatches = way
    parallel = DataParallel(mode, jax.devices()[:devices])
    tx = optimizer or optax.sgd(0.1)
    start = create_state(model, tx, numbers(), jax.random.key(0), task=task)
    step = partial(train_step, task=task, microbatches=microbatches, prepare=prepare)
    state, metrics = parallel.parallelize(step)(
        parallel.replicate(start), parallel.shard(numbers())
    )
    jax.block_until_ready(metrics)
    return parallel, start, state, parallel.fetch(metrics)


@pytest.mark.parametrize("way", [("jit", 1, 2), ("pmap", 4, 1), ("pmap", 4, 2)])
@pytest.mark.parametrize("weighted", [False, True])
def test_metrics_of_any_dtype_are_means_over_parts(way, weighted):
    """Integers were cut to 0 by their weights or refused by scan; float16 overflowed."""

    def loss(outputs, updates, batch):
        error, _ = squared_error(outputs, updates, batch)
        metrics = {"rows": jnp.int32(4), "any": jnp.bool_(True), "half": jnp.float16(0.5), "n": 3}
        return error, metrics

    task = TASK._replace(loss=loss, weight=(lambda batch: 1e5) if weighted else None)
    *_, metrics = step_once(way, task)
    found = {name: float(metrics[name]) for name in ("rows", "any", "half", "n")}
    assert found == {"rows": 4, "any": 1, "half": 0.5, "n": 3}
    assert {str(value.dtype) for value in metrics.values()} == {"float32"}


class Counter(nn.Module):
    """Counts its steps in integers, and sows."""

    @nn.compact
    def __call__(self, x, train=False):
        steps = self.variable("counter", "steps", lambda: jnp.zeros((), jnp.int32))
        seen = self.variable("counter", "seen", lambda: jnp.zeros((), bool))
        if train:
            steps.value, seen.value = steps.value + 1, jnp.ones((), bool)
        self.sow("activations", "x", x)
        return nn.Dense(1)(x)[..., 0]


@pytest.mark.parametrize("way", [("pmap", 4, 1), ("pmap", 4, 2)])
def test_counters_keep_their_dtype_on_devices(way):
    task = TASK._replace(mutable=("activations",))
    parallel, start, state, _ = step_once(way, task, Counter())
    found = parallel.fetch(state.model_state)["counter"]
    assert found["steps"] == way[2] and found["steps"].dtype == np.int32
    assert found["seen"] and found["seen"].dtype == bool
    assert jax.tree.structure(state) == jax.tree.structure(start)


def test_sowing_without_saying_so_is_explained():
    with pytest.raises(TaskError, match=r"'activations' in every step.*mutable=\('activations',\)"):
        step_once(("jit", 1, 1), TASK, Counter())


def test_optimizers_are_told_the_loss():
    plateau = optax.chain(optax.sgd(0.1), optax.contrib.reduce_on_plateau())
    _, _, state, metrics = step_once(("jit", 1, 1), optimizer=plateau)
    assert float(state.opt_state[1].best_value) == float(metrics["loss"])


def test_prepare_may_change_the_number_of_examples():
    def first_seven(key, batch, example_ids):
        return {name: array[:7] for name, array in batch.items()}

    with pytest.raises(ValueError, match=r"microbatches=2 does not divide .* 7 examples"):
        step_once(("jit", 1, 2), prepare=first_seven)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda o, u, b: (jnp.sum(o > 0), {}), "loss is an integer"),
        (lambda o, u, b: (o.mean(), {"a": None}), "metric 'a' must be one number"),
        (lambda o, u, b: (o.mean(), {"a": {"b": 1.0}}), "metric 'a' must be one number"),
        (lambda o, u, b: (u["head"], {}), "asks for 'head'; the batch has .*wrote has nothing"),
    ],
)
def test_mistakes_in_training_are_explained(loss, message):
    state = create_state(LAST, optax.sgd(0.1), numbers(), jax.random.key(0), task=TASK)
    with pytest.raises(TaskError, match=message):
        train_step(state, numbers(), task=TASK._replace(loss=loss))


def test_text_and_objects_are_refused():
    for array in (np.array(["a"] * 16), np.array([{}] * 16, object)):
        with pytest.raises(JaxnetsError, match=r"holds .* as 'name'; devices hold numbers"):
            batch = {**numbers(), "name": array}
            create_state(LAST, optax.sgd(0.1), batch, jax.random.key(0), task=TASK)
    with pytest.raises(JaxnetsError, match="holds a dict as 'more'"):
        batch = {**numbers(), "more": {}}
        create_state(LAST, optax.sgd(0.1), batch, jax.random.key(0), task=TASK)


def evaluate(task, size=5):
    source, parallel = ArraySource(numbers(size)), DataParallel("jit", jax.devices()[:2])
    state = create_state(LAST, optax.sgd(0.1), numbers(), jax.random.key(0), task=task)
    found = Evaluator(task, state.apply_fn, source, parallel, batch_size=4)
    return found(parallel.replicate(state.variables))


def test_nested_rows_are_collected():
    collect = lambda outputs, batch: {"said": {"x": outputs}}  # noqa: E731
    task = TASK._replace(measure=None, collect=collect, score=lambda rows: rows)
    assert evaluate(task)["said"]["x"].shape == (5,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"measure": None}, "the task measures nothing"),
        ({"score": lambda rows: {}}, "score without collect"),
        ({"collect": lambda o, b: {"o": o}}, "collect without score"),
    ],
)
def test_incomplete_evaluations_are_refused(change, message):
    with pytest.raises(TaskError, match=message):
        evaluate(TASK._replace(**change))


@pytest.mark.parametrize("rows", [lambda o: o.mean(), lambda o: jnp.concatenate([o, o])])
def test_collected_rows_must_be_those_of_the_examples(rows):
    task = TASK._replace(collect=lambda outputs, batch: {"rows": rows(outputs)})
    state = create_state(LAST, optax.sgd(0.1), numbers(), jax.random.key(0), task=task)
    batch = {**numbers(), "example_mask": np.ones(16)}
    with pytest.raises(TaskError, match="one row for each of the 16 examples"):
        eval_step(state.variables, batch, task=task, apply_fn=state.apply_fn)


def test_means_with_a_count_for_each_entry():
    found = means({"recall": (np.array([1.0, 0.0]), np.array([2.0, 0.0]))})["recall"]
    np.testing.assert_array_equal(found, [0.5, np.nan])


def test_labels_of_one_byte():
    """3 · 100 overflows uint8, and the confusion matrix lost its rows."""
    logits = jax.nn.one_hot(jnp.array([3, 99]), 100)
    batch = {"label": jnp.array([3, 99], jnp.uint8), "example_mask": jnp.ones(2)}
    confusion, _ = classification(100).measure(logits, batch)["confusion"]
    assert confusion[3, 3] == confusion[99, 99] == 1


def test_infinite_records_of_the_optimizer_are_saved(tmp_path):
    """The best loss before the first evaluation; a plateau schedule begins with it."""
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, {"opt_state/best": np.array(np.inf, np.float32)}, {})
    with pytest.raises(JaxnetsError, match="opt_state/best holds NaN"):
        checkpoints.save(2, {"opt_state/best": np.array(np.nan, np.float32)}, {})
    with pytest.raises(JaxnetsError, match="opt_state/mean holds NaN or infinite"):
        checkpoints.save(2, {"opt_state/mean": np.array([np.inf], np.float32)}, {})
    checkpoints.wait()
    assert checkpoints.steps() == [1]
    checkpoints.close()


def test_keys_in_the_optimizer_are_saved():
    tx = optax.chain(optax.add_noise(0.1, 0.5, jax.random.key(3)), optax.sgd(0.1))
    parallel, start, state, _ = step_once(("jit", 1, 1), optimizer=tx)
    arrays = state_arrays(state, parallel.fetch)
    restored = restore_state(start, arrays)
    assert jax.tree.structure(restored) == jax.tree.structure(start)
    again = state_arrays(parallel.replicate(restored), parallel.fetch)
    assert arrays.keys() == again.keys()
    for path, array in arrays.items():
        np.testing.assert_array_equal(again[path], array)
    with pytest.raises(JaxnetsError, match=r"key: in the checkpoint uint32\[4\]"):
        restore_state(start, {**arrays, "key": np.zeros(4, np.uint32)})


def train(workdir, *, task=TASK, epochs=1, options=None, **more):
    options = RunOptions(**{"devices": 2, "quiet": True, "log_every": 1, **(options or {})})
    source = ArraySource(numbers())
    return fit(
        LAST,
        source,
        task=task,
        optimizer=optax.sgd(0.1),
        epochs=epochs,
        batch_size=8,
        workdir=workdir,
        test=source,
        options=options,
        **more,
    )


def test_numbers_of_numpy_are_logged_and_kept(tmp_path):
    def summarize(sums):
        return {"half": np.float32(0.5), "n": np.int64(3), "zero": np.array(0.0), "m": np.eye(2)}

    fitted = train(
        tmp_path,
        task=TASK._replace(summarize=summarize),
        meta={"rate": np.float32(0.5)},
        summarize=lambda fitted: {"m": fitted.measured["m"], "n": jnp.int32(3), "at": Path("x")},
    )
    (record,) = [line for line in read_metrics(tmp_path) if line["kind"] == "test"]
    assert record == {"step": 2, "kind": "test", "half": 0.5, "n": 3, "zero": 0.0}
    assert fitted.summary["m"] == [[1, 0], [0, 1]] and fitted.summary["at"] == "x"
    assert json.loads((tmp_path / "summary.json").read_text()) == fitted.summary


def test_a_finished_run_is_not_mistaken_for_another(tmp_path):
    train(tmp_path)
    assert train(tmp_path).finished_before
    for change, message in (
        ({"epochs": 2}, "epochs: the run has 1, asked for 2"),
        ({"seed": 1}, "seed: the run has 0, asked for 1"),
        ({"settings": {"width": 4}}, "width: the run has None, asked for 4"),
    ):
        with pytest.raises(JaxnetsError, match=message):
            train(tmp_path, **change)


def test_impossible_options_leave_nothing_behind(tmp_path):
    for change, message in (
        ({"epochs": 1.5}, "epochs must be a whole number"),
        ({"epochs": -1}, "epochs must be a whole number"),
        ({"options": {"log_every": 0}}, "--log-every must be at least 1"),
        ({"options": {"keep": 0}}, "--keep must be at least 1"),
        ({"options": {"evaluate_every": -1}}, "--evaluate-every must be at least 1"),
    ):
        with pytest.raises(JaxnetsError, match=message):
            train(tmp_path / "run", **change)
    assert not (tmp_path / "run").exists()
