"""Eight bits: the rounding that is announced, gradients through it, and whole numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from jaxnets.compress import (
    Int8,
    calibrate,
    integer_dense,
    quantize_activations,
    quantize_weights,
    quantized_apply,
    scale_and_zero,
    to_int8,
)
from jaxnets.errors import JaxnetsError
from jaxnets.nn import Conv, Dense


class Net(nn.Module):
    @nn.compact
    def __call__(self, x, *, train=False):
        x = nn.relu(Conv(3, (2, 2), name="conv")(x))
        return Dense(4, name="head")(x.reshape(x.shape[0], -1))


NET = Net()
X = np.random.default_rng(0).standard_normal((5, 3, 3, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def variables():
    return jax.device_get(NET.init(jax.random.key(0), X))


@pytest.mark.parametrize("granularity", ["tensor", "channel"])
def test_weights_are_off_by_half_a_step_at_most(granularity):
    weight = np.random.default_rng(0).standard_normal((3, 3, 4, 6)) * np.logspace(-2, 1, 6)
    found = to_int8(weight, granularity)
    assert isinstance(found, Int8) and found.values.dtype == jnp.int8
    assert found.scale.shape == (() if granularity == "tensor" else (6,))
    error = np.abs(np.asarray(found.dequantize()) - weight)
    # float32 beside float64.
    assert (error <= np.asarray(found.scale) / 2 * (1 + 1e-4)).all()
    assert np.abs(found.values).max() == 127
    if granularity == "channel":
        assert error[..., 0].max() < 1e-3 < 0.01 < np.abs(weight[..., 0]).max()


def test_zero_weights_and_wrong_words():
    assert not np.asarray(to_int8(np.zeros((2, 2))).values).any()
    with pytest.raises(JaxnetsError, match="'tensor' or 'channel'"):
        to_int8(np.ones((2, 2)), "row")


@pytest.mark.parametrize("low_high", [(-1.0, 3.0), (0.0, 2.0), (-4.0, 0.0), (1.0, 2.0), (0.0, 0.0)])
def test_activations_take_256_steps_and_zero_is_exact(low_high):
    scale, zero = scale_and_zero(*low_high)
    x = np.linspace(-6, 6, 4001).astype(np.float32)
    found = np.asarray(quantize_activations(x, *low_high))
    expected = (np.clip(np.rint(x / scale) + zero, 0, 255) - zero) * scale
    # Where x / s is half way, float32 and float64 may part.
    assert (np.abs(found - expected) > scale * 1e-3).mean() < 1e-2
    assert len(np.unique(found)) <= 256
    assert float(quantize_activations(jnp.zeros(()), *low_high)) == 0


def test_gradients_pass_through_the_rounding(variables):
    slope = jax.grad(lambda x: quantize_activations(x, -1.0, 1.0).sum())(
        jnp.array([0.3, 5.0, -9.0])
    )
    assert slope.tolist() == [1.0, 0.0, 0.0]
    gradient = jax.grad(lambda p: quantize_weights(p)["head"]["kernel"].sum())(variables["params"])
    np.testing.assert_array_equal(gradient["head"]["kernel"], 1)


@pytest.mark.parametrize("method", ["minmax", "percentile", "mse"])
def test_calibration_sees_each_layers_inputs(variables, method):
    ranges = calibrate(NET.apply, variables, [X[:3], X[3:]], method=method, percentile=90)
    assert sorted(ranges) == ["conv", "head"]
    low, high = ranges["conv"]
    if method == "minmax":
        assert (low, high) == (X.min(), X.max())
    else:
        assert X.min() < low < 0 < high < X.max() or method == "mse"
    assert ranges["head"][0] == 0  # behind a ReLU

    def error(r):
        return float(np.square(np.asarray(quantize_activations(X, *r)) - X).sum())

    if method == "mse":
        assert error(ranges["conv"]) <= error((X.min(), X.max()))


def test_calibration_needs_something(variables):
    with pytest.raises(JaxnetsError, match="no batches"):
        calibrate(NET.apply, variables, [])
    with pytest.raises(JaxnetsError, match="'minmax', 'percentile' or 'mse'"):
        calibrate(NET.apply, variables, [X], method="max")


def test_a_quantized_network_is_that_of_rounded_weights_and_inputs(variables):
    ranges = calibrate(NET.apply, variables, [X])
    apply = quantized_apply(NET.apply, ranges)
    found = apply(variables, X)
    params = quantize_weights(variables["params"])
    conv = Conv(3, (2, 2)).apply(
        {"params": params["conv"]}, quantize_activations(X, *ranges["conv"])
    )
    hidden = nn.relu(conv).reshape(5, -1)
    low, high = ranges["head"]
    head = Dense(4).apply({"params": params["head"]}, quantize_activations(hidden, low, high))
    np.testing.assert_allclose(found, head, rtol=1e-5, atol=1e-5)
    # In whole numbers: the same sums, exact in int32.
    weight = to_int8(variables["params"]["head"]["kernel"])
    whole = integer_dense(hidden, weight, variables["params"]["head"]["bias"], low, high)
    np.testing.assert_allclose(whole, found, rtol=1e-5, atol=1e-5)
    exact = np.asarray(NET.apply(variables, X))
    assert 0 < np.abs(exact - found).max() < 0.05 * np.abs(exact).max()


def test_training_with_the_rounding_moves_what_is_rounded(variables):
    apply = quantized_apply(NET.apply, calibrate(NET.apply, variables, [X]))
    target = np.random.default_rng(1).standard_normal((5, 4)).astype(np.float32)

    @jax.jit
    def step(params):
        def loss(p):
            return jnp.mean((apply({"params": p}, X, train=True) - target) ** 2)

        value, gradient = jax.value_and_grad(loss)(params)
        return jax.tree.map(lambda p, g: p - 0.05 * g, params, gradient), value

    params, losses = variables["params"], []
    for _ in range(30):
        params, value = step(params)
        losses.append(float(value))
    assert losses[-1] < 0.5 * losses[0]
