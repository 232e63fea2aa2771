"""DropConnect: masks on weights, their exact moments, and the Gaussian that stands for them."""

import importlib
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from jaxnets import nn, ops
from jaxnets.ops.drop_connect import bernoulli_mask, normal_pieces

RATE = 0.3


def normal(*shape, seed=0, dtype=np.float32):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), dtype)


def all_outputs(x, kernel, bias, rate):
    """Outputs of one unit for every mask on weights and bias, with the masks' probabilities."""
    masks = np.array(list(itertools.product([0.0, 1.0], repeat=len(x) + 1)))
    terms = np.append(np.asarray(x) * np.asarray(kernel), bias)
    return masks @ terms, np.prod(np.where(masks == 1, 1 - rate, rate), axis=1)


@pytest.mark.parametrize("scaled", [False, True])
def test_moments_are_those_of_all_masks(scaled, x64):
    """Exact: 2^11 masks of a unit with 10 inputs and a bias, for each of 3 units."""
    x, kernel, bias = (
        normal(*s, seed=i, dtype=float) for i, s in enumerate([(10,), (10, 3), (3,)])
    )
    mean, variance = ops.drop_connect_moments(x, kernel, bias, RATE, scale_in_training=scaled)
    for unit in range(3):
        u, p = all_outputs(x, kernel[:, unit], bias[unit], RATE)
        u = u / (1 - RATE) if scaled else u
        np.testing.assert_allclose(mean[unit], p @ u, rtol=1e-12)
        np.testing.assert_allclose(variance[unit], p @ (u - p @ u) ** 2, rtol=1e-12)


@pytest.mark.parametrize("scaled", [False, True])
def test_moments_are_those_of_many_passes(scaled):
    n = 200_000
    x, kernel, bias = normal(4), 0.5 * normal(4, 2, seed=1), 0.3 * normal(2, seed=2)
    rows = jnp.broadcast_to(x, (n, 4))
    options = {"scale_in_training": scaled}
    drawn = jax.jit(lambda key: ops.drop_connect(key, rows, kernel, bias, RATE, **options))(
        jax.random.key(0)
    )
    mean, variance = ops.drop_connect_moments(x, kernel, bias, RATE, **options)
    # Standard errors here: at most 0.002 of the mean, √(2/n) = 0.3 % of the variance.
    np.testing.assert_allclose(drawn.mean(0), mean, atol=5e-3)
    np.testing.assert_allclose(drawn.var(0), variance, rtol=0.9e-2)
    # Each output has its own masks: outputs of an example are uncorrelated.
    correlation = np.corrcoef(np.asarray(drawn).T) - np.eye(2)
    assert np.abs(correlation).max() < 4 / np.sqrt(n)


def test_passes_have_the_outputs_of_single_masks_as_often_as_these(x64):
    """Every pass is one of the 16 sub-networks, with its probability (χ², 15 degrees)."""
    x, kernel, bias = normal(3, dtype=float), normal(3, 1, seed=1, dtype=float), jnp.ones(1)
    u, p = all_outputs(x, kernel[:, 0], 1.0, RATE)
    rows = jnp.broadcast_to(x, (20_000, 3))
    drawn = np.asarray(ops.drop_connect(jax.random.key(1), rows, kernel, bias, RATE))[:, 0]
    distance = np.abs(drawn[:, None] - u)
    assert distance.min(1).max() < 1e-12
    counts = np.bincount(distance.argmin(1), minlength=16)
    assert stats.chisquare(counts, p * len(drawn)).pvalue > 0.01


def test_chunks_change_neither_values_nor_gradients(monkeypatch):
    x, kernel, bias = normal(7, 5), normal(5, 4, seed=1), normal(4, seed=2)

    def loss(x, kernel, bias):
        return jnp.sin(ops.drop_connect(jax.random.key(3), x, kernel, bias, RATE)).sum()

    def both(*arrays):  # compiled anew for each number of examples at once
        return jax.jit(jax.value_and_grad(lambda *arrays: loss(*arrays), (0, 1, 2)))(*arrays)

    whole = both(x, kernel, bias)
    # Not `ops.drop_connect`, which is the function.
    module = importlib.import_module("jaxnets.ops.drop_connect")
    monkeypatch.setattr(module, "_WEIGHTS_AT_ONCE", 2 * 20)  # two examples at once, one left over
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
        both(x, kernel, bias),
        whole,
    )


def test_memory_does_not_grow_with_the_batch():
    kernel = jax.ShapeDtypeStruct((256, 256), jnp.float32)

    def memory(batch):
        x = jax.ShapeDtypeStruct((batch, 256), jnp.float32)
        f = jax.grad(lambda k, x: ops.drop_connect(jax.random.key(0), x, k, None, 0.3).sum())
        return jax.jit(f).lower(kernel, x).compile().memory_analysis().temp_size_in_bytes

    small, large = memory(128), memory(1024)
    assert large < small + 8 * 1024 * 256 * 4  # some copies of x, and no 268 MB of masks


@pytest.mark.parametrize("rate", [0.5, 0.25, 0.3, 0.9])
def test_masks_keep_their_share(rate):
    n = 400_000
    kept = float(bernoulli_mask(jax.random.key(0), 1.0 - rate, (n,)).mean())
    assert abs(kept - (1 - rate)) < 3.5 * np.sqrt(rate * (1 - rate) / n)


def test_normal_pieces_are_means_over_pieces():
    pieces = normal_pieces(5)
    edges = stats.norm.ppf(np.arange(6) / 5)
    for i, piece in enumerate(pieces):
        mean = integrate.quad(lambda z: z * stats.norm.pdf(z), edges[i], edges[i + 1])[0] * 5
        assert piece == pytest.approx(mean, abs=1e-9)


def test_the_test_pass_is_the_gaussian_mean_of_the_activation(x64):
    x, kernel, bias = (
        normal(*s, seed=i, dtype=float) for i, s in enumerate([(4, 6), (6, 3), (3,)])
    )
    mean, variance = (np.asarray(m) for m in ops.drop_connect_moments(x, kernel, bias, RATE))
    std = np.sqrt(variance)
    # E max(0, u) for u ~ N(μ, σ²), in closed form.
    relu = mean * stats.norm.cdf(mean / std) + std * stats.norm.pdf(mean / std)
    pieces = ops.drop_connect_at_test(x, kernel, bias, RATE, activation=ops.relu, samples=64)
    np.testing.assert_allclose(pieces, relu, atol=1e-3 * std.max())
    n = 20_000
    drawn = ops.drop_connect_at_test(
        x, kernel, bias, RATE, activation=ops.relu, key=jax.random.key(0), samples=n
    )
    np.testing.assert_allclose(drawn, relu, atol=4 * std.max() / np.sqrt(n))
    # The activation of the mean is another thing.
    assert np.abs(np.maximum(mean, 0) - relu).max() > 0.1
    linear = ops.drop_connect_at_test(x, kernel, bias, RATE)
    np.testing.assert_allclose(linear, mean, rtol=1e-12)


def test_the_gaussian_is_close_to_all_masks(x64):
    """What the approximation is good for: 16 inputs, mean of relu over all 2^17 masks."""
    x, kernel = normal(16, dtype=float), normal(16, 1, seed=5, dtype=float)
    u, p = all_outputs(x, kernel[:, 0], 0.4, 0.5)
    exact = p @ np.maximum(u, 0)
    got = ops.drop_connect_at_test(x, kernel, jnp.array([0.4]), 0.5, activation=ops.relu)[0]
    weights_mean = max(0.0, float(p @ u))
    assert abs(got - exact) < 0.05 * exact < abs(weights_mean - exact)


def test_rates_at_the_ends():
    x, kernel, bias, key = normal(2, 3), normal(3, 4), normal(4), jax.random.key(0)
    whole, nothing = ops.dense(x, kernel, bias), jnp.zeros((2, 4))
    for scaled in (False, True):
        f = lambda rate, s=scaled: ops.drop_connect(key, x, kernel, bias, rate, scale_in_training=s)  # noqa: E731
        m = lambda rate, s=scaled: ops.drop_connect_moments(  # noqa: E731
            x, kernel, bias, rate, scale_in_training=s
        )
        for rate, expected in ((0.0, whole), (1.0, nothing)):
            for got in (f(rate), jax.jit(f)(rate), m(rate)[0], jax.jit(m)(rate)[0]):
                np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
            for got in (m(rate)[1], jax.jit(m)(rate)[1]):
                np.testing.assert_array_equal(got, nothing)
    zeros = jnp.zeros((2, 3))
    gradient = jax.grad(
        lambda k: ops.drop_connect_at_test(zeros, k, None, 0.5, activation=ops.tanh).sum()
    )(kernel)
    assert jnp.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rate": 1.5}, r"rate: got 1.5; .*in \[0, 1\]"),
        ({"kernel": jnp.ones((4, 2))}, r"kernel: shape \(4, 2\) does not fit x of shape \(5, 3\)"),
        ({"bias": jnp.ones(3)}, r"bias: got shape \(3,\); expected \(2,\) or None"),
    ],
)
def test_mistakes_are_named(change, message):
    arguments = {"x": jnp.ones((5, 3)), "kernel": jnp.ones((3, 2)), "bias": jnp.ones(2), **change}
    for f in (ops.drop_connect_moments, ops.drop_connect_at_test):
        with pytest.raises(ValueError, match=message):
            f(**arguments)
    with pytest.raises(ValueError, match=message):
        ops.drop_connect(**arguments, key=jax.random.key(0))


def test_too_few_samples_are_named():
    with pytest.raises(ValueError, match="samples: got 0"):
        ops.drop_connect_at_test(jnp.ones(2), jnp.ones((2, 2)), None, samples=0)


def test_the_layer():
    """Parameters like Dense's; one pass in training, the Gaussian's mean in testing, no key."""
    layer, x = nn.DropConnect(5, 0.4, activation=ops.relu), normal(6, 4)
    variables = layer.init(jax.random.key(0), x, train=False)
    p = variables["params"]
    assert jax.tree.map(jnp.shape, p) == {"kernel": (4, 5), "bias": (5,)}
    passes = jax.vmap(lambda key: layer.apply(variables, x, train=True, rngs={"dropout": key}))(
        jax.random.split(jax.random.key(1), 4000)
    )
    assert len(np.unique(np.asarray(passes)[:, 0, 0].round(4))) <= 2**5
    # With few inputs the Gaussian is an approximation; the spread of 4000 passes is smaller.
    at_test = layer.apply(variables, x, train=False)
    scale = np.asarray(passes).std()
    np.testing.assert_allclose(at_test, passes.mean(0), atol=0.1 * scale)
    expected = ops.drop_connect_at_test(
        x, p["kernel"], p["bias"], 0.4, activation=ops.relu, samples=64
    )
    np.testing.assert_array_equal(at_test, expected)
    plain = nn.DropConnect(5, 0.0, use_bias=False)
    bare = plain.init(jax.random.key(0), x, train=True)
    np.testing.assert_allclose(
        plain.apply(bare, x, train=True), x @ bare["params"]["kernel"], rtol=1e-5, atol=1e-6
    )
    with pytest.raises(ValueError, match=r"rate: got -1"):
        nn.DropConnect(5, -1).init(jax.random.key(0), x, train=False)
