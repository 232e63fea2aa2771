"""The batch normalization layer: running averages, modes, precision, devices."""

import json

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from jaxnets.nn import BatchNorm

DEVICES = 8


def images(shape=(16, 3, 2, 4), seed=0, dtype=np.float32):
    """Numbers whose mean wanders from image to image, so that devices see different means."""
    random = np.random.default_rng(seed)
    x = random.standard_normal(shape) + np.arange(shape[0]).reshape(-1, *[1] * (len(shape) - 1))
    return jnp.asarray(x, dtype)


def some_variables(channels=4):
    random = np.random.default_rng(5)
    positive = lambda: jnp.asarray(random.uniform(0.5, 2, channels), jnp.float32)  # noqa: E731
    return {
        "params": {"scale": positive(), "bias": positive()},
        "batch_stats": {"mean": positive(), "var": positive()},
    }


def train(layer, variables, x):
    return layer.apply(variables, x, train=True, mutable=["batch_stats"])


@pytest.mark.parametrize("unbiased", [True, False])
def test_running_averages(unbiased):
    x, variables = images(), some_variables()
    _, updates = train(BatchNorm(momentum=0.75, unbiased=unbiased), variables, x)
    rows = np.asarray(x, np.float64).reshape(-1, 4)
    mean, var = rows.mean(0), rows.var(0, ddof=int(unbiased))
    old, new = variables["batch_stats"], updates["batch_stats"]
    np.testing.assert_allclose(new["mean"], 0.75 * old["mean"] + 0.25 * mean, rtol=1e-6)
    np.testing.assert_allclose(new["var"], 0.75 * old["var"] + 0.25 * var, rtol=1e-6)


def test_running_averages_are_pytorchs(golden, x64):
    stored = np.load(golden / "ops.npz")
    found = 0
    for i, case in enumerate(json.loads(str(stored["cases"]))):
        if case["op"] != "batch_norm" or not case["options"]["train"]:
            continue
        a = {n: jnp.asarray(stored[f"{i}/{n}"]) for n in ("x", "scale", "bias", "mean", "var")}
        variables = {
            "params": {"scale": a["scale"], "bias": a["bias"]},
            "batch_stats": {"mean": a["mean"], "var": a["var"]},
        }
        y, updates = train(BatchNorm(), variables, a["x"])
        np.testing.assert_allclose(y, stored[f"{i}/y"], rtol=1e-12, atol=1e-12)
        new = updates["batch_stats"]
        np.testing.assert_allclose(new["mean"], stored[f"{i}/new_mean"], rtol=1e-12)
        np.testing.assert_allclose(new["var"], stored[f"{i}/new_var"], rtol=1e-12)
        # With n = 16 the biased variance is 6 % smaller: this layer tells the two apart.
        biased = train(BatchNorm(unbiased=False), variables, a["x"])[1]["batch_stats"]["var"]
        assert jnp.abs(biased - new["var"]).max() > 1e-3
        found += 1
    assert found == 2


def test_flax_is_the_biased_form():
    x, variables = images(), some_variables()
    layer = flax.linen.BatchNorm(use_running_average=False, momentum=0.9)
    with jax.numpy_rank_promotion("allow"):
        expected = layer.apply(variables, x, mutable=["batch_stats"])
    computed = train(BatchNorm(unbiased=False), variables, x)
    # Flax's variance is E[x²] − E[x]²: a few units in the last place of a mean of squares of 64.
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-5), computed, expected
    )


def test_evaluation_uses_and_keeps_the_running_averages():
    x, variables = images(), some_variables()
    y, updates = BatchNorm().apply(variables, x, train=False, mutable=["batch_stats"])
    p, s = variables["params"], variables["batch_stats"]
    to_x = lambda v: np.asarray(v, np.float64).reshape(1, 1, 1, -1)  # noqa: E731
    standard = (np.asarray(x) - to_x(s["mean"])) / np.sqrt(to_x(s["var"]) + 1e-5)
    np.testing.assert_allclose(
        y, to_x(p["scale"]) * standard + to_x(p["bias"]), rtol=1e-5, atol=1e-6
    )
    assert updates.get("batch_stats", s) == s
    # One image gives the same as it does among others.
    np.testing.assert_allclose(BatchNorm().apply(variables, x[:1], train=False), y[:1], rtol=1e-6)


def test_initialization_starts_at_mean_0_and_variance_1_in_either_mode():
    for mode in (True, False):
        variables = BatchNorm(axis_name="unbound").init(jax.random.key(0), images(), train=mode)
        expected = {
            "params": {"scale": np.ones(4), "bias": np.zeros(4)},
            "batch_stats": {"mean": np.zeros(4), "var": np.ones(4)},
        }
        jax.tree.map(np.testing.assert_array_equal, variables, expected)


def test_parameters_can_be_left_out():
    bare = BatchNorm(use_scale=False, use_bias=False)
    variables = bare.init(jax.random.key(0), images(), train=False)
    assert set(variables) == {"batch_stats"}
    y, _ = train(bare, variables, images())
    np.testing.assert_allclose(y.mean((0, 1, 2)), jnp.zeros(4), atol=1e-6)
    np.testing.assert_allclose(y.std((0, 1, 2)), jnp.ones(4), rtol=1e-5)


def test_statistics_of_bfloat16_images_are_taken_in_float32():
    x = images(dtype=jnp.bfloat16)
    y, updates = train(BatchNorm(dtype=jnp.bfloat16), some_variables(), x)
    assert y.dtype == jnp.bfloat16
    wide = train(BatchNorm(), some_variables(), x.astype(jnp.float32))[1]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), updates, wide)


def test_float64_all_the_way(x64):
    x = images(dtype=np.float64)
    layer = BatchNorm(param_dtype=jnp.float64)
    variables = layer.init(jax.random.key(0), x, train=False)
    y, updates = train(layer, variables, x)
    assert {leaf.dtype for leaf in jax.tree.leaves((y, updates))} == {jnp.dtype(jnp.float64)}


def test_one_value_a_channel_cannot_be_trained_on():
    with pytest.raises(ValueError, match=r"x: training .* got shape \(1, 4\), one value a channel"):
        train(BatchNorm(), some_variables(), jnp.ones((1, 4)))
    BatchNorm().apply(some_variables(), jnp.ones((1, 4)), train=False)


# --- several devices -------------------------------------------------------------------------


def step(layer, axis_name=None):
    """Loss, gradients, and new statistics of one step, as a training step forms them."""
    weights = jnp.asarray(np.random.default_rng(9).standard_normal(4), jnp.float32)

    def loss(params, stats, x):
        y, updates = train(layer, {"params": params, "batch_stats": stats}, x)
        return (jnp.sin(y) * weights.reshape(1, 1, 1, 4)).mean(), updates["batch_stats"]

    def run(variables, x):
        (value, stats), (gradient, to_x) = jax.value_and_grad(loss, (0, 2), has_aux=True)(
            variables["params"], variables["batch_stats"], x
        )
        if axis_name is not None:
            value, gradient = jax.lax.pmean((value, gradient), axis_name)
            to_x = to_x / jax.lax.psum(1, axis_name)
        return value, gradient, stats, to_x

    return run


def assert_same(computed, expected):
    # Sums over 96 numbers around 8, in another order: 1e-6 of their size.
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), computed, expected
    )


def test_eight_devices_by_pmap_are_one():
    x, variables = images(), some_variables()
    expected = jax.jit(step(BatchNorm()))(variables, x)
    shards = x.reshape(DEVICES, -1, *x.shape[1:])
    mapped = jax.pmap(step(BatchNorm(axis_name="batch"), "batch"), "batch", in_axes=(None, 0))
    *replicated, to_x = mapped(variables, shards)
    for device in (0, 5):
        one = [jax.tree.map(lambda a, i=device: a[i], tree) for tree in replicated]
        assert_same(one, list(expected[:-1]))
    assert_same(to_x.reshape(x.shape), expected[-1])
    # Without a shared axis the statistics are a device's own, and far from those of all.
    alone = jax.pmap(step(BatchNorm()), in_axes=(None, 0))(variables, shards)
    assert jnp.abs(alone[2]["var"][0] - expected[2]["var"]).max() > 0.5


def test_eight_devices_by_shard_map_are_one():
    x, variables = images(), some_variables()
    expected = jax.jit(step(BatchNorm()))(variables, x)
    mesh = jax.make_mesh((DEVICES,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
    P = PartitionSpec
    mapped = jax.shard_map(
        step(BatchNorm(axis_name="batch"), "batch"),
        mesh=mesh,
        in_specs=(P(), P("batch")),
        out_specs=(P(), P(), P(), P("batch")),
        check_vma=False,
    )
    assert_same(jax.jit(mapped)(variables, x), expected)


def test_eight_devices_by_jit_are_one():
    x, variables = images(), some_variables()
    expected = jax.jit(step(BatchNorm()))(variables, x)
    mesh = jax.make_mesh((DEVICES,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
    sharded = jax.device_put(x, NamedSharding(mesh, PartitionSpec("batch")))
    assert_same(jax.jit(step(BatchNorm()))(variables, sharded), expected)


def test_evaluation_needs_no_axis():
    """The module of a mapped training step, used outside it."""
    y = BatchNorm(axis_name="batch").apply(some_variables(), images(), train=False)
    np.testing.assert_array_equal(y, BatchNorm().apply(some_variables(), images(), train=False))
