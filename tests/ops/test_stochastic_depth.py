"""Stochastic depth, paths that are joined, and Gaussian noise."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets import nn, ops


def normal(*shape, seed=0, dtype=np.float32):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), dtype)


@pytest.mark.parametrize("scaled", [True, False])
def test_branches_are_kept_whole_or_dropped_whole(scaled):
    n, rate = 20_000, 0.3
    x = normal(n, 2, 3) + 5
    y = np.asarray(
        ops.stochastic_depth(jax.random.key(0), x, rate, scale_in_training=scaled) / x
    ).reshape(n, -1)
    factors = y[:, 0]
    np.testing.assert_allclose(y, np.repeat(factors[:, None], 6, 1), rtol=1e-5)
    kept = factors > 0
    np.testing.assert_allclose(factors[kept], 1 / (1 - rate) if scaled else 1.0, rtol=1e-5)
    assert abs(kept.mean() - 0.7) < 4 * np.sqrt(0.21 / n)


def test_one_draw_for_the_batch():
    x = jnp.ones((9, 2))
    f = jax.vmap(lambda key: ops.stochastic_depth(key, x, 0.4, per_example=False))
    y = np.asarray(f(jax.random.split(jax.random.key(0), 1000))).reshape(1000, -1)
    assert (y == y[:, :1]).all()
    assert abs((y[:, 0] > 0).mean() - 0.6) < 4 * np.sqrt(0.24 / 1000)


def test_it_is_what_nasnet_did_bit_for_bit():
    y, key, kept = normal(4, 2, 2, 3), jax.random.key(5), 1.0 - 0.3
    mask = np.asarray(jax.random.bernoulli(key, kept, (4, 1, 1, 1)))
    before = np.asarray(y) * (mask / np.float32(kept)).astype(np.float32)
    np.testing.assert_array_equal(ops.stochastic_depth(key, y, 0.3), before)
    traced = jax.jit(lambda rate: ops.stochastic_depth(key, y, rate))
    np.testing.assert_allclose(traced(jnp.float32(0.3)), before, rtol=1e-6)


def test_a_linear_stack_at_test_time_is_the_mean_of_all_sub_networks(x64):
    """Exact for linear branches: 2^4 depths, h ← h + b · h W."""
    rates = ops.stochastic_depth_rates(4, 0.6)
    kernels = [0.5 * normal(3, 3, seed=i, dtype=float) for i in range(4)]
    x = normal(2, 3, seed=9, dtype=float)
    total = jnp.zeros_like(x)
    for kept in itertools.product([0, 1], repeat=4):
        h, probability = x, 1.0
        for keep, rate, kernel in zip(kept, rates, kernels, strict=True):
            h = h + keep * (h @ kernel)
            probability *= 1 - rate if keep else rate
        total += probability * h
    h = x
    for rate, kernel in zip(rates, kernels, strict=True):
        h = h + ops.stochastic_depth_at_test(h @ kernel, rate)
    np.testing.assert_allclose(h, total, rtol=1e-12)
    assert rates == pytest.approx([0.15, 0.3, 0.45, 0.6])


def test_rates_at_the_ends():
    x, key = jnp.ones((3, 2)), jax.random.key(0)
    for f in (
        lambda rate: ops.stochastic_depth(key, x, rate),
        jax.jit(lambda rate: ops.stochastic_depth(key, x, rate)),
    ):
        np.testing.assert_array_equal(f(0.0), x)
        np.testing.assert_array_equal(f(1.0), 0 * x)


def test_the_layer():
    x = normal(6, 2, 2, 3)
    rngs = {"dropout": jax.random.key(0)}
    for fields in ({}, {"per_example": False}, {"scale_in_training": False}):
        layer = nn.StochasticDepth(0.3, **fields)
        y = layer.apply({}, x, train=True, rngs=rngs)
        factors = np.asarray(y / x)[:, 0, 0, 0].round(4)
        kept = np.float32(1.0 if "scale_in_training" in fields else 1.4286)
        assert set(factors) <= {np.float32(0), kept}
        at_test = layer.apply({}, x, train=False)
        np.testing.assert_allclose(at_test, 0.7 * x if "scale_in_training" in fields else x)
    np.testing.assert_array_equal(nn.StochasticDepth(0.0).apply({}, x, train=True), x)


def test_joins_want_their_masks_in_shape():
    paths = [jnp.ones((2, 3)), jnp.ones((2, 3))]
    with pytest.raises(ValueError, match=r"keep: got shape \(2, 3\); expected \(2, 2\)"):
        ops.join_paths(paths, jnp.ones((2, 3)))
    with pytest.raises(ValueError, match="outputs: got no path"):
        ops.join_paths([])


@pytest.mark.parametrize("multiplicative", [False, True])
def test_gaussian_noise_has_its_moments(multiplicative):
    n, std, x = 100_000, 0.4, 3.0
    y = ops.gaussian_noise(jax.random.key(0), jnp.full(n, x), std, multiplicative=multiplicative)
    spread = std * (x if multiplicative else 1)
    assert abs(float(y.mean()) - x) < 4 * spread / np.sqrt(n)
    assert float(y.std()) == pytest.approx(spread, rel=4 / np.sqrt(2 * n))
    kurtosis = float((((y - x) / spread) ** 4).mean())
    assert kurtosis == pytest.approx(3, abs=4 * np.sqrt(96 / n))


def test_gaussian_dropout_has_the_variance_of_dropout(x64):
    x = normal(5, dtype=float)
    rate, keys = 0.2, jax.random.split(jax.random.key(0), 40_000)
    dropped = jax.vmap(lambda key: ops.dropout(key, x, rate))(keys)
    std = ops.dropout_std(rate)
    noisy = jax.vmap(lambda key: ops.gaussian_noise(key, x, std, multiplicative=True))(keys)
    expected = rate / (1 - rate) * np.asarray(x) ** 2
    for y in (dropped, noisy):  # standard error of a variance: at most √((κ − 1)/n) = 0.8 %
        np.testing.assert_allclose(y.var(0), expected, rtol=0.03)


def test_noise_layer():
    x, rngs = normal(1000) + 3, {"dropout": jax.random.key(0)}
    for multiplicative in (False, True):
        layer = nn.GaussianNoise(0.2, multiplicative)
        np.testing.assert_array_equal(layer.apply({}, x, train=False), x)
        change = layer.apply({}, x, train=True, rngs=rngs) - x
        change = change / x if multiplicative else change
        assert float(change.std()) == pytest.approx(0.2, rel=0.1)
    np.testing.assert_array_equal(nn.GaussianNoise(0.0).apply({}, x, train=True), x)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x, k: ops.stochastic_depth(k, x, 1.5), r"rate: got 1.5"),
        (lambda x, k: ops.stochastic_depth(k, x, float("nan")), r"rate: got nan"),
        (lambda x, k: ops.stochastic_depth(k, x[0, 0], 0.5), r"x: got a single number"),
        (lambda x, k: ops.stochastic_depth_at_test(x, -0.5), r"rate: got -0.5"),
        (lambda x, k: ops.stochastic_depth_rates(0), r"blocks: got 0"),
        (lambda x, k: ops.stochastic_depth_rates(3, 2.0), r"rate: got 2.0"),
        (lambda x, k: ops.keep_paths(k, 2, 0, 0.5), r"paths: got 0"),
        (lambda x, k: ops.keep_paths(k, 2, 2, 1.5), r"rate: got 1.5"),
        (lambda x, k: ops.gaussian_noise(k, x, -1.0), r"std: got -1.0"),
        (lambda x, k: ops.gaussian_noise(k, x.astype(int), 1.0), r"x: got int32"),
        (lambda x, k: ops.dropout_std(1.0), r"rate: got 1.0.*\[0, 1\)"),
        (lambda x, k: nn.GaussianNoise(-1.0).apply({}, x, train=False), r"std: got -1.0"),
        (lambda x, k: nn.StochasticDepth(2.0).apply({}, x, train=False), r"rate: got 2.0"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(jnp.ones((3, 2)), jax.random.key(0))
