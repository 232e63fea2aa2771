"""The training step against NumPy, and its promises: accumulation, randomness, exact sums."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxnets.models import create_model
from jaxnets.tasks import classification
from jaxnets.train import create_state, eval_step
from jaxnets.train import train_step as step_of_any_task

TASK = classification(3)
train_step = partial(step_of_any_task, task=TASK)


def linear_state(tx=None, features=(), seed=0):
    """Softmax regression on 4×4 images (an MLP without hidden layers)."""
    model = create_model("mlp", num_classes=3, hidden=features)
    tx = tx or optax.sgd(0.5)
    return create_state(model, tx, batch_of(1), jax.random.key(seed), task=TASK)


def batch_of(size, seed=0, classes=3):
    rng = np.random.default_rng(seed)
    return {
        "image": rng.normal(size=(size, 4, 4, 1)).astype(np.float32),
        "label": rng.integers(0, classes, size).astype(np.int32),
    }


def numpy_softmax_regression_step(kernel, bias, batch, rate):
    x = batch["image"].reshape(len(batch["label"]), -1).astype(np.float64)
    logits = x @ kernel + bias
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    loss = -np.log(p[np.arange(len(x)), batch["label"]]).mean()
    error = (p - np.eye(3)[batch["label"]]) / len(x)
    return kernel - rate * x.T @ error, bias - rate * error.sum(0), loss


def only_layer(params):
    (layer,) = params.values()
    return np.asarray(layer["kernel"], np.float64), np.asarray(layer["bias"], np.float64)


class Forgetful(nn.Module):
    """A layer whose activation makes 0 of NaN, as XLA's compiler for CPUs may in a ReLU."""

    @nn.compact
    def __call__(self, x, *, train=False):
        x = nn.Dense(4, name="hidden")(x.reshape(len(x), -1))
        x = jnp.where(x > 0, x, 0).mean(-1, keepdims=True)
        return nn.Dense(3, name="head")(x)


@pytest.mark.parametrize("where", ["hidden", "head"])
def test_a_network_of_nan_has_no_finite_loss(where):
    batch = batch_of(6)
    state = create_state(Forgetful(), optax.sgd(0.1), batch, jax.random.key(0), task=TASK)
    logits = state.apply_fn(state.variables, batch["image"])
    broken = jax.tree.map(lambda leaf: jnp.full_like(leaf, jnp.nan), state.params[where])
    state = state.replace(params={**state.params, where: broken})
    if where == "hidden":  # what the network puts out is finite, and so is its loss
        assert np.isfinite(state.apply_fn(state.variables, batch["image"])).all()
    assert np.isfinite(logits).all()
    state, metrics = jax.jit(train_step)(state, batch)
    assert np.isnan(metrics["loss"]) and not np.isfinite(metrics["parameter_norm"])


def test_a_gradient_that_is_not_finite_is_seen_at_its_step():
    """log(0) in the gradient alone: value 0, slope infinite."""

    def loss(outputs, updates, batch):
        return jnp.sqrt(jnp.abs(outputs)).mean() + jnp.float32(1), {}

    batch = batch_of(2) | {"image": np.zeros((2, 4, 4, 1), np.float32)}
    _, metrics = train_step(linear_state(), batch)
    assert np.isfinite(metrics["loss"])
    task = TASK._replace(loss=loss)
    _, metrics = step_of_any_task(linear_state(), batch, task=task)
    assert not np.isfinite(metrics["gradient_norm"]) and np.isnan(metrics["loss"])


def test_step_is_softmax_regression():
    state, batch = linear_state(), batch_of(12)
    kernel, bias = only_layer(state.params)
    for _ in range(3):
        kernel, bias, loss = numpy_softmax_regression_step(kernel, bias, batch, 0.5)
        state, metrics = train_step(state, batch)
        # float32 against float64
        np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-5)
    got_kernel, got_bias = only_layer(state.params)
    np.testing.assert_allclose(got_kernel, kernel, atol=1e-6)
    np.testing.assert_allclose(got_bias, bias, atol=1e-6)
    assert int(state.step) == 3


def test_accumulation_equals_the_whole_batch():
    batch = batch_of(24)
    whole, metrics = train_step(linear_state(features=(8,)), batch)
    parts, parts_metrics = train_step(linear_state(features=(8,)), batch, microbatches=4)
    jax.tree.map(
        partial(np.testing.assert_allclose, atol=1e-6), whole.params, parts.params
    )  # sums in another order
    for name in metrics:
        np.testing.assert_allclose(metrics[name], parts_metrics[name], rtol=1e-5)


def test_accumulation_needs_equal_parts():
    with pytest.raises(ValueError, match="microbatches=5 does not divide"):
        train_step(linear_state(), batch_of(12), microbatches=5)


def test_randomness_comes_from_key_and_step():
    seen = []

    def prepare(key, batch, ids):
        seen.append(np.asarray(jax.random.key_data(key)))
        np.testing.assert_array_equal(ids, np.arange(4))
        return batch

    state = linear_state()
    after, _ = train_step(state, batch_of(4), prepare=prepare)
    train_step(state, batch_of(4), prepare=prepare)
    train_step(after, batch_of(4), prepare=prepare)
    assert np.array_equal(seen[0], seen[1])
    assert not np.array_equal(seen[0], seen[2])


def test_example_ids_are_global_under_pmap():
    def prepare(key, batch, ids):
        images = batch["image"]
        return {**batch, "image": images + ids[:, None, None, None].astype(images.dtype)}

    def step(state, batch, *, axis_name=None):
        return train_step(state, batch, axis_name=axis_name, prepare=prepare)

    batch = batch_of(16)
    one, _ = step(linear_state(), batch)
    eight = jax.pmap(partial(step, axis_name="batch"), axis_name="batch")(
        jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (8, *leaf.shape)), linear_state()),
        {name: leaf.reshape(8, 2, *leaf.shape[1:]) for name, leaf in batch.items()},
    )[0]
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b[0], atol=1e-5), one.params, eight.params
    )


def test_no_recompilation():
    traces = []

    @jax.jit
    def step(state, batch):
        traces.append(1)
        return train_step(state, batch)

    state, batch = linear_state(optax.adam(1e-3)), batch_of(8)
    for _ in range(3):
        state, _ = step(state, batch)
    assert len(traces) == 1


def test_eval_sums_leave_padding_out():
    state, batch = linear_state(), batch_of(10)
    logits = np.asarray(state.apply_fn(state.variables, batch["image"], train=False), np.float64)
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    mask = np.array([1] * 7 + [0] * 3, np.float32)
    sums, collected = eval_step(
        state.variables, {**batch, "example_mask": mask}, apply_fn=state.apply_fn, task=TASK
    )
    assert collected == {}
    (loss, count), (counted, _) = sums["loss"], sums["confusion"]
    assert float(count) == 7
    labels = batch["label"][:7]
    np.testing.assert_allclose(loss, -log_p[np.arange(7), labels].sum(), rtol=1e-5)
    confusion = np.zeros((3, 3), int)
    np.add.at(confusion, (labels, logits[:7].argmax(1)), 1)
    np.testing.assert_array_equal(counted, confusion)
