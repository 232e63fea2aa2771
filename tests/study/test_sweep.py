"""Keys, orders of batches, and sweeps side by side and one after the other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.study.sweep import Sweep, make_keys, orders


def _begin(seed, value, first):
    return {"x": first * jnp.ones(()), "noise": jax.random.key(seed)}


def _step(carry, value, batch, target):
    x = carry["x"] - value["rate"] * (carry["x"] - target) * batch.mean()
    return {**carry, "x": x}, {"x": x, "draw": jax.random.uniform(carry["noise"])}


def _measure(carry, value, target):
    return (carry["x"] - target) ** 2


SWEEP = Sweep(_begin, _step, _measure, finish=lambda carry: carry["x"])
SEEDS, FIRST, TARGET = jnp.arange(3), jnp.array([1.0, 2.0, 3.0]), jnp.float32(0.5)
BATCHES = np.random.default_rng(0).uniform(size=(3, 2, 4, 5)).astype(np.float32)


def plain(rate, key):
    """The same run in a plain loop."""
    x, errors, seen = float(FIRST[key]), [], []
    errors.append((x - 0.5) ** 2)
    for block in BATCHES[key]:
        for batch in block:
            x -= rate * (x - 0.5) * batch.mean()
            seen.append(x)
        errors.append((x - 0.5) ** 2)
    return errors, seen, x


@pytest.mark.parametrize("loop", [False, True])
def test_equals_plain_runs(loop):
    rates = np.float32([0.1, 0.5])
    errors, outputs, last = SWEEP(SEEDS, {"rate": rates}, BATCHES, FIRST, TARGET, loop=loop)
    assert errors.shape == (2, 3, 3) and outputs["x"].shape == (2, 3, 8) and last.shape == (2, 3)
    for v, rate in enumerate(rates):
        for k in range(3):
            expected = plain(rate, k)
            np.testing.assert_allclose(errors[v, k], expected[0], rtol=1e-4, atol=1e-7)
            np.testing.assert_allclose(outputs["x"][v, k], expected[1], rtol=1e-4)
            np.testing.assert_allclose(last[v, k], expected[2], rtol=1e-4)
    # A key's randomness is the same at every value of the setting.
    np.testing.assert_array_equal(outputs["draw"][0], outputs["draw"][1])
    assert len(np.unique(outputs["draw"][0, :, 0])) == 3


@pytest.mark.parametrize("loop", [False, True])
def test_a_scalar_value_has_no_axis(loop):
    found = SWEEP(SEEDS, {"rate": 0.1}, BATCHES, FIRST, TARGET, loop=loop)
    assert [x.shape for x in jax.tree.leaves(found)] == [(3, 3), (3, 8), (3, 8), (3,)]


def test_values_of_different_lengths_are_refused():
    values = {"rate": jnp.ones(2), "other": jnp.ones(3)}
    with pytest.raises(ValueError, match="first axes"):
        SWEEP(SEEDS, values, BATCHES, FIRST, TARGET)


def test_orders_are_shuffled_passes_by_key_alone():
    one, two = orders([3, 4], 10, 7, 5)
    assert sorted(one[:2].ravel()) == sorted(two[2:4].ravel()) == list(range(10))
    assert (one != two).any()
    np.testing.assert_array_equal(orders([4], 10, 7, 5)[0], two)
    with pytest.raises(ValueError, match="batch_size"):
        orders([0], 10, 5, 11)


def test_keys_of_other_seeds_do_not_overlap():
    assert not set(make_keys(1000)) & set(make_keys(1000, seed=1))


def test_a_run_that_is_done_stops_and_repeats_its_last_block():
    """The first key is there after one block, the second after two, the third never."""
    rates = {"rate": np.float32([0.5])}
    whole, outputs, _ = SWEEP(SEEDS, rates, BATCHES, FIRST, TARGET, loop=True)
    limits = iter([whole[0, 0, 1], whole[0, 1, 2], -1.0])
    for key in range(3):
        limit = float(next(limits))
        part = slice(key, key + 1)
        found, seen, last = SWEEP(
            SEEDS[part],
            rates,
            BATCHES[part],
            FIRST[part],
            TARGET,
            loop=True,
            until=lambda error, limit=limit: bool(error <= limit),
        )
        blocks = (1, 2, 2)[key]
        expected = [*whole[0, key, : blocks + 1], *[whole[0, key, blocks]] * (2 - blocks)]
        np.testing.assert_array_equal(found[0, 0], expected)
        np.testing.assert_array_equal(last[0, 0], outputs["x"][0, key, 4 * blocks - 1])
        repeated = np.asarray(outputs["x"][0, key]).reshape(2, 4)[[0, blocks - 1]]
        np.testing.assert_array_equal(seen["x"][0, 0], repeated.ravel())
