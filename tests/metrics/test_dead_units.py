"""Dead units: exact where they are put, and more of them at larger learning rates."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.metrics import DeadUnitMonitor, alive_units, dead_ratio
from jaxnets.ops import dense, he_normal, relu


def batches(count=4, size=64, width=20):
    random = np.random.default_rng(0)
    return [jnp.asarray(random.standard_normal((size, width)), jnp.float32) for _ in range(count)]


def layers(params, x):
    h1 = relu(dense(x, params["w1"], params["b1"]))
    h2 = relu(dense(h1, params["w2"], params["b2"]))
    return {"fc1": h1, "fc2": h2}


# One for all tests: its function is compiled once.
MONITOR = DeadUnitMonitor(layers)


@jax.jit
def he_network(bias=0.0):
    keys = jax.random.split(jax.random.key(0))
    return {
        "w1": he_normal(keys[0], (20, 100)),
        "b1": jnp.full(100, bias),
        "w2": he_normal(keys[1], (100, 50)),
        "b2": jnp.zeros(50),
    }


def test_a_bias_far_below_zero_kills_every_unit():
    assert MONITOR(he_network(-1e3), batches()) == {
        "fc1": 1.0,
        "fc2": 1.0,  # all of its inputs are 0
        "all": 1.0,
    }


def test_he_initialization_on_centered_data_kills_almost_none():
    assert MONITOR(he_network(), batches())["all"] < 0.01


def test_a_unit_lives_if_one_batch_wakes_it():
    params = he_network()
    params["b1"] = params["b1"].at[:10].set(-1e3)
    np.testing.assert_allclose(MONITOR(params, batches())["fc1"], 0.1, rtol=1e-6)
    np.testing.assert_array_equal(MONITOR.alive["fc1"], np.arange(100) >= 10)
    # One example in the last batch, far out, wakes some of the ten.
    woken = [*batches(), 1e5 * batches(1)[0][:1]]
    assert MONITOR(params, woken)["fc1"] < 0.1


def test_streaming_equals_one_large_batch():
    params, parts = he_network(-2.0), batches()
    first = jax.jit(lambda batch: alive_units(layers(params, batch)))
    alive = first(parts[0])
    following = jax.jit(lambda batch, alive: alive_units(layers(params, batch), alive))
    for batch in parts[1:]:
        alive = following(batch, alive)
    whole = first(jnp.concatenate(parts))
    jax.tree.map(np.testing.assert_array_equal, alive, whole)
    ratio = dead_ratio(whole)
    assert 0 < ratio["fc1"] < 1, "a test of streaming needs some of each"
    np.testing.assert_allclose(
        ratio["all"], (100 * ratio["fc1"] + 50 * ratio["fc2"]) / 150, rtol=1e-6
    )


def test_channels_or_places():
    x = jnp.zeros((2, 3, 3, 2)).at[1, 0, 2, 0].set(5.0)
    np.testing.assert_array_equal(alive_units({"c": x})["c"], [True, False])
    places = alive_units({"c": x}, per_position=True)
    assert places["c"].shape == (3, 3, 2)
    assert places["c"].sum() == 1
    np.testing.assert_allclose(dead_ratio(places)["all"], 17 / 18, rtol=1e-6)


def test_threshold_and_nan():
    x = {"fc": jnp.array([[0.5, 2.0, jnp.nan]])}
    np.testing.assert_array_equal(alive_units(x, threshold=1.0)["fc"], [False, True, False])


def test_larger_learning_rates_kill_more_units():
    """Gradient descent on a regression: the share of dead units against the rate."""
    data = jnp.concatenate(batches())
    target = jnp.sin(data.sum(-1, keepdims=True)) + 5

    def loss(params):
        return ((layers(params, data)["fc2"].mean(-1, keepdims=True) - target) ** 2).mean()

    @jax.jit
    def train(rate):
        def step(_, params):
            return jax.tree.map(lambda p, g: p - rate * g, params, jax.grad(loss)(params))

        return jax.lax.fori_loop(0, 30, step, he_network())

    rates = [0.1, 1.0, 3.0, 30.0]
    dead = [MONITOR(train(jnp.float32(rate)), batches())["fc2"] for rate in rates]
    assert dead[0] < 0.02
    assert dead[-1] > 0.9
    assert all(b >= a - 0.05 for a, b in pairwise(dead)), dead


def test_mistakes_are_named():
    x = {"fc": jnp.ones((2, 3))}
    with pytest.raises(ValueError, match=r"before: got .*\(4,\).*expected .*\(3,\)"):
        alive_units(x, {"fc": jnp.ones(4, bool)})
    with pytest.raises(ValueError, match=r"activations\['fc'\]: got shape \(3,\)"):
        alive_units({"fc": jnp.ones(3)})
    with pytest.raises(ValueError, match="batches: expected at least one"):
        DeadUnitMonitor(layers)(he_network(), [])
