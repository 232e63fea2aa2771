"""Variances of initial weights, and what fifty layers make of a signal."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets import ops

SHAPES = {"dense": (1000, 1000), "conv": (3, 3, 100, 1000)}
VARIANCE = {  # of a weight, from fan_in and fan_out
    "xavier_normal": lambda fan_in, fan_out: 1 / fan_in,
    "glorot_normal": lambda fan_in, fan_out: 2 / (fan_in + fan_out),
    "glorot_uniform": lambda fan_in, fan_out: 2 / (fan_in + fan_out),
    "he_normal": lambda fan_in, fan_out: 2 / fan_in,
    "he_uniform": lambda fan_in, fan_out: 2 / fan_in,
}
FANS = {"dense": (1000, 1000), "conv": (900, 9000)}


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("name", VARIANCE)
def test_moments(name, kind):
    w = np.asarray(getattr(ops, name)(jax.random.key(3), SHAPES[kind]), np.float64)
    std = math.sqrt(VARIANCE[name](*FANS[kind]))
    # A million numbers or close to it: the variance errs by 0.15 %, the mean by 0.1 % of std.
    np.testing.assert_allclose(w.var(), std**2, rtol=0.01)
    assert abs(w.mean()) < 0.005 * std
    if name.endswith("uniform"):
        limit = math.sqrt(3) * std
        assert limit * 0.9999 < abs(w).max() <= limit * (1 + 1e-6)
    else:  # not cut off at two standard deviations: 4.6 % lie beyond, the largest near 4.9
        np.testing.assert_allclose((abs(w) > 2 * std).mean(), 0.0455, atol=0.002)
        assert abs(w).max() > 4 * std


def test_dtype_is_the_one_asked_for(x64):
    for dtype in (jnp.float32, jnp.float64, jnp.bfloat16):
        for name in VARIANCE:
            assert getattr(ops, name)(jax.random.key(0), (3, 4), dtype).dtype == dtype


def test_a_bias_has_no_fans():
    with pytest.raises(ValueError, match=r"shape: got \(5,\); expected a kernel"):
        ops.he_normal(jax.random.key(0), (5,))


@partial(jax.jit, static_argnums=(0, 1))
def fifty_layers(initializer, activation):
    x = jax.random.normal(jax.random.key(0), (64, 512))
    return ops.propagate(
        jax.random.key(1), x, depth=50, initializer=initializer, activation=activation
    )


def gaussian(std):
    return lambda key, shape, dtype: std * jax.random.normal(key, shape, dtype)


def test_tanh_lives_through_fifty_xavier_layers():
    std = fifty_layers(ops.xavier_normal, ops.tanh)["std"]
    # Infinitely wide layers: q ← E tanh²(√q z), z ~ N(0, 1), by Gauss-Hermite quadrature. The
    # spread falls slowly, as 1/√(2·depth), and is still 0.1011 behind the 50th layer.
    z, weight = np.polynomial.hermite_e.hermegauss(101)
    q, expected = 1.0, []
    for _ in range(50):
        q = (weight * np.tanh(np.sqrt(q) * z) ** 2).sum() / weight.sum()
        expected.append(np.sqrt(q))
    assert min(expected) > 0.1
    np.testing.assert_allclose(std, expected, rtol=0.1)  # 512 units scatter by a few percent


def test_small_weights_fade_out_and_large_ones_saturate():
    small = fifty_layers(gaussian(0.01), ops.tanh)
    # 0.01·√512 = 0.226 remains of the signal with each layer, as long as tanh is linear.
    np.testing.assert_allclose(small["std"][10:20] / small["std"][9:19], 0.226, rtol=0.05)
    large = fifty_layers(gaussian(1.0), ops.tanh)
    assert (large["saturated_share"] > 0.85).all()


def test_relu_halves_the_second_moment_behind_xavier_and_keeps_it_behind_he():
    """The rate over 50 layers. A layer's factor scatters by √(5/width), in all layers together by
    70 % at this width, so that the 50th layer itself says nothing, while the rate errs by 1.4 %."""
    signal = jax.random.normal(jax.random.key(0), (64, 512))
    before = (signal**2).mean()
    for initializer, factor in [
        (ops.xavier_normal, 0.5),
        (ops.he_normal, 1.0),
        (ops.he_uniform, 1.0),
    ]:
        after = fifty_layers(initializer, ops.relu)["second_moment"]
        rate = (after[-1] / before) ** (1 / 50)
        np.testing.assert_allclose(rate, factor, rtol=0.04)
        # After five layers the scatter is 22 %; here is where a wrong rule would be seen directly.
        np.testing.assert_allclose(after[4] / before, factor**5, rtol=0.6)


def test_statistics_by_layer_are_the_numbers_of_numpy():
    x = np.random.default_rng(0).standard_normal((20, 7)).clip(0).astype(np.float32)
    s = ops.statistics_by_layer({"conv1": jnp.asarray(x)}, saturation=1.5)["conv1"]
    expected = {
        "mean": x.mean(),
        "std": x.std(),
        "second_moment": (x**2).mean(),
        "zero_share": (x == 0).mean(),
        "saturated_share": (abs(x) > 1.5).mean(),
    }
    assert s.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(s[name], value, rtol=1e-5)
