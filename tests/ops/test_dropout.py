"""Dropout: two forms of one thing, and the ensemble that it stands for."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets import ops

RATE = 0.3


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape))


def test_share_and_size_of_what_is_kept():
    n = 100_000
    y = np.asarray(ops.dropout(jax.random.key(0), jnp.ones(n), RATE))
    kept = (y != 0).mean()
    # Four standard deviations of a binomial share.
    assert abs(kept - (1 - RATE)) < 4 * np.sqrt(RATE * (1 - RATE) / n)
    np.testing.assert_allclose(y[y != 0], 1 / (1 - RATE), rtol=1e-6)


def test_vanilla_and_inverted_are_the_same_after_scaling():
    x, key = normal(50), jax.random.key(2)
    inverted = ops.dropout(key, x, RATE)
    vanilla = ops.dropout(key, x, RATE, scale_in_training=False)
    np.testing.assert_allclose(vanilla / (1 - RATE), inverted, rtol=1e-6)
    assert 0 < (vanilla == 0).sum() < 50
    # At test time: all units, times 1 − rate; the inverted form leaves them alone.
    np.testing.assert_allclose(ops.dropout_at_test(x, RATE), (1 - RATE) * x, rtol=1e-6)


def test_rates_at_the_ends():
    x, key = jnp.ones(5), jax.random.key(0)
    np.testing.assert_array_equal(ops.dropout(key, x, 0.0), x)
    np.testing.assert_array_equal(ops.dropout(key, x, 1.0), jnp.zeros(5))
    traced = jax.jit(lambda rate: ops.dropout(key, x, rate))
    np.testing.assert_array_equal(traced(0.0), x)
    np.testing.assert_array_equal(traced(1.0), jnp.zeros(5))
    assert jnp.isfinite(jax.grad(lambda x: ops.dropout(key, x, jnp.float32(1.0)).sum())(x)).all()


@pytest.mark.parametrize("rate", [-0.1, 1.5])
def test_mistakes_are_named(rate):
    with pytest.raises(ValueError, match=r"rate: got .*in \[0, 1\]"):
        ops.dropout(jax.random.key(0), jnp.ones(3), rate)


def all_sub_models(units, rate):
    """Every mask of 0 and 1, and its probability under dropout."""
    masks = np.array(list(itertools.product([0.0, 1.0], repeat=units)))
    probabilities = np.prod(np.where(masks == 1, 1 - rate, rate), axis=1)
    return jnp.asarray(masks), jnp.asarray(probabilities)


def test_training_runs_one_of_the_sub_models(x64):
    masks, _ = all_sub_models(4, RATE)
    x = jnp.arange(1.0, 5.0, dtype=jnp.float64)
    outputs = {tuple(row) for row in np.asarray(masks) * np.asarray(x)}
    keys = jax.random.split(jax.random.key(0), 300)
    drawn = jax.vmap(lambda key: ops.dropout(key, x, RATE, scale_in_training=False))(keys)
    # Each of the 16 has a probability of at least 0.3⁴ = 0.8 %; all 300 tries miss it with 9 %,
    # which this key does not.
    assert {tuple(row) for row in np.asarray(drawn)} == outputs


def test_a_linear_model_at_test_time_is_the_mean_of_all_sub_models(x64):
    """Exact: the output is linear in the mask, and the mask's mean is 1 − rate."""
    x, kernel, bias = normal(10), normal(10, 3, seed=1), normal(3, seed=2)
    masks, probabilities = all_sub_models(10, RATE)
    outputs = ops.dense(masks * x.reshape(1, 10), kernel, bias)
    assert outputs.shape == (2**10, 3)
    at_test = ops.dense(ops.dropout_at_test(x, RATE), kernel, bias)
    np.testing.assert_allclose(probabilities @ outputs, at_test, rtol=1e-12)


def test_a_softmax_layer_at_test_time_is_the_geometric_mean_of_all_sub_models(x64):
    """Exact, with the mean normalized to sum 1 (Hinton et al. 2012)."""
    x, kernel, bias = 2 * normal(10), normal(10, 4, seed=1), normal(4, seed=2)
    masks, probabilities = all_sub_models(10, RATE)
    predictions = jax.nn.softmax(ops.dense(masks * x.reshape(1, 10), kernel, bias))
    geometric = jnp.exp(probabilities @ jnp.log(predictions))
    geometric = geometric / geometric.sum()
    at_test = jax.nn.softmax(ops.dense(ops.dropout_at_test(x, RATE), kernel, bias))
    np.testing.assert_allclose(geometric, at_test, rtol=1e-12)
    # The arithmetic mean is another thing: the equality above is not for free.
    assert jnp.abs(probabilities @ predictions - at_test).max() > 1e-3
