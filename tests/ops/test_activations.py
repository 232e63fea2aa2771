"""Closed forms of the activations, and the properties that speak for and against them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets import ops
from jaxnets.errors import UnknownNameError


def normal(*shape, seed=0, dtype=np.float64):
    """Random numbers from NumPy, which compiles nothing."""
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), dtype)


def test_sigmoid_at_zero_and_far_out():
    assert ops.sigmoid(jnp.float32(0)) == 0.5
    assert jax.grad(ops.sigmoid)(jnp.float32(0)) == 0.25
    far = jnp.array([-1e3, -80.0, 80.0, 1e3], jnp.float32)
    with jax.debug_nans(True):
        assert jnp.isfinite(ops.sigmoid(far)).all()
        slopes = jax.vmap(jax.grad(ops.sigmoid))(far)
    # e^−80, which σ(1 − σ) would lose: 1 − σ(80) is 0.
    np.testing.assert_allclose(slopes, [0, np.exp(-80.0), np.exp(-80.0), 0], rtol=1e-5)


def test_sigmoid_has_all_higher_derivatives_at_zero(x64):
    expected = [0.5, 0.25, 0.0, -0.125, 0.0, 0.25]
    derivatives = [ops.sigmoid]
    while len(derivatives) < len(expected):
        derivatives.append(jax.grad(derivatives[-1]))
    got = jax.jit(lambda x: [derivative(x) for derivative in derivatives])(0.0)  # one compilation
    np.testing.assert_allclose(got, expected, atol=1e-15)


def test_tanh_is_a_sigmoid_twice_as_steep():
    x = jnp.linspace(-9, 9, 181)
    np.testing.assert_allclose(ops.tanh(x), 2 * ops.sigmoid(2 * x) - 1, atol=2e-7)  # 3 roundings


def test_scaled_tanh_keeps_one_and_bends_most_there(x64):
    ends = jnp.array([-1.0, 1.0])
    np.testing.assert_allclose(ops.scaled_tanh(ends), ends, atol=1e-4)
    second = jax.jit(jax.vmap(jax.grad(jax.grad(ops.scaled_tanh))))
    x = jnp.linspace(0, 3, 3001)
    assert abs(x[jnp.abs(second(x)).argmax()] - 1) < 0.02


@pytest.mark.parametrize("name", sorted(ops.ACTIVATIONS))
def test_no_gradient_is_nan_far_out(name):
    x = jnp.array([-1e4, -100.0, 100.0, 1e4])
    assert jnp.isfinite(jax.jit(jax.vmap(jax.grad(ops.get_activation(name))))(x)).all()


def test_gradient_through_sigmoids_is_bounded_by_quarters(x64):
    """Twenty layers, and a bound that a random network respects."""
    kernels = [normal(8, 8, seed=i) for i in range(20)]

    def network(h):
        for kernel in kernels:
            h = ops.sigmoid(h @ kernel)
        return h

    x = normal(8)
    gradient = jax.jit(jax.grad(lambda h: network(h).sum()))(x)
    bound = ops.sigmoid_gradient_bound(kernels)
    expected = 0.25**20 * np.prod([np.linalg.norm(k, 2) for k in kernels])
    np.testing.assert_allclose(bound, expected, rtol=1e-12)
    assert 0 < jnp.linalg.norm(gradient) <= bound * np.sqrt(8)
    # The bound is reached where it can be: at 0, by orthogonal kernels, without a bias.
    slope = jax.jit(jax.jacobian(ops.sigmoid))(jnp.zeros(3))
    np.testing.assert_allclose(
        jnp.linalg.norm(slope, 2), ops.sigmoid_gradient_bound([jnp.eye(3)]), rtol=1e-15
    )


@pytest.mark.parametrize(("activation", "share"), [("sigmoid", 1.0), ("relu", 1.0), ("tanh", 0.0)])
def test_positive_inputs_make_all_weights_of_a_unit_move_alike(activation, share):
    """Exactly every unit behind a sigmoid, and none behind a tanh."""
    shapes = [(10, 30), (30, 20), (20, 6), (10, 6)]
    x, first, second, target = (
        normal(*shape, seed=i, dtype=jnp.float32) for i, shape in enumerate(shapes)
    )

    def loss(kernel, x, target):
        hidden = ops.get_activation(activation)(x @ first)
        return ((hidden @ kernel - target) ** 2).sum()

    gradients = jax.jit(jax.vmap(jax.grad(loss), (None, 0, 0)))(second, x, target)
    shares = jax.vmap(ops.one_sided_share)(gradients)
    assert shares.shape == (10,)
    assert (shares == share).all()


def test_cost_is_counted_in_exponentials():
    x = jax.ShapeDtypeStruct((50,), jnp.float32)
    counts = {
        name: ops.transcendentals(ops.get_activation(name), x)
        for name in ("relu", "leaky_relu", "sigmoid", "tanh", "elu")
    }
    assert counts == {"relu": 0, "leaky_relu": 0, "sigmoid": 50, "tanh": 50, "elu": 50}


def test_maxout_of_a_map_and_zero_is_relu_and_of_a_map_and_its_negative_is_abs():
    z = normal(4, 3, dtype=jnp.float32)
    both = lambda other: ops.maxout(jnp.concatenate([z, other], -1), 2)  # noqa: E731
    np.testing.assert_array_equal(both(jnp.zeros_like(z)), ops.relu(z))
    np.testing.assert_array_equal(both(-z), jnp.abs(z))


def test_maxout_is_convex(x64):
    kernel, a, b = normal(5, 12), normal(200, 5, seed=1), normal(200, 5, seed=2)
    function = jax.jit(lambda x: ops.maxout(x @ kernel, 3))
    for t in (0.1, 0.5, 0.8):
        between = function(t * a + (1 - t) * b)
        assert (between <= t * function(a) + (1 - t) * function(b) + 1e-12).all()


def test_prelu_slopes_belong_to_channels():
    x = -jnp.ones((2, 2, 3))
    y = ops.prelu(x, jnp.array([0.0, 0.5, 2.0]))
    np.testing.assert_array_equal(y, np.broadcast_to([-0.0, -0.5, -2.0], (2, 2, 3)))


def test_lookup():
    assert ops.get_activation("elu") is ops.elu
    assert ops.get_activation(jnp.sin) is jnp.sin
    with pytest.raises(UnknownNameError, match=r"unknown activation 'sigmod'.*'sigmoid'"):
        ops.get_activation("sigmod")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ops.maxout(jnp.ones((2, 5)), 2), r"pieces: got 2; .*divisor of the 5 channels"),
        (lambda: ops.maxout(jnp.ones((2, 5)), 0), r"pieces: got 0"),
        (lambda: ops.prelu(jnp.ones((2, 5)), jnp.ones(4)), r"slope: got shape \(4,\).*\(5,\)"),
        (lambda: ops.dense(jnp.ones((2, 5)), jnp.ones((4, 3))), r"kernel: .*\(5, C_out\)"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
