"""Batch normalization as pure functions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets import ops


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape))


def reference(x, scale=1.0, bias=0.0, epsilon=1e-5):
    x = np.asarray(x, np.float64)
    axes = tuple(range(x.ndim - 1))
    mean, var = x.mean(axes), x.var(axes)
    return scale * (x - mean) / np.sqrt(var + epsilon) + bias, mean, var


@pytest.mark.parametrize("shape", [(16, 5), (4, 3, 5), (2, 3, 2, 4, 5)])
def test_formula(shape, x64):
    random = np.random.default_rng(0)
    x, scale, bias = 3 * random.standard_normal(shape) + 2, random.random(5), random.random(5)
    results = ops.batch_norm(jnp.asarray(x), jnp.asarray(scale), jnp.asarray(bias))
    for computed, expected in zip(results, reference(x, scale, bias), strict=True):
        np.testing.assert_allclose(computed, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("offset", [0.0, 1e2, 1e4])
def test_a_mean_that_is_large_beside_the_spread(offset):
    """E[x²] − E[x]² in float32 has no digit left at 1e4."""
    x = jnp.asarray(np.random.default_rng(0).standard_normal((64, 7, 3)) + offset, jnp.float32)
    y, _, var = jax.jit(ops.batch_norm)(x)
    expected, _, expected_var = reference(x)
    # The mean is rounded to 2^-24 of itself, and each y is as far off in units of the spread.
    rounding = max(offset, 1.0) * 2**-23
    np.testing.assert_allclose(var, expected_var, rtol=max(4 * rounding**2, 1e-5))
    np.testing.assert_allclose(y, expected, atol=4 * rounding + 1e-5)


def test_a_constant_channel_gives_the_bias_and_a_finite_gradient():
    x = jnp.full((8, 2), 3.0)
    g = np.random.default_rng(0).standard_normal((8, 2)).astype(np.float32)

    @jax.jit
    def both(x):
        y, vjp = jax.vjp(lambda x: ops.batch_norm(x, None, jnp.array([1.0, -1.0]))[0], x)
        return y, vjp(g)[0]

    y, gradient = both(x)
    np.testing.assert_array_equal(y, np.broadcast_to([1.0, -1.0], (8, 2)))
    assert jnp.isfinite(gradient).all()


def test_the_scale_of_the_weights_in_front_does_not_matter(x64):
    """BN(aWx) = BN(Wx), and ∂loss/∂(aW) = (1/a)·∂loss/∂W: exact but for ε."""
    x, kernel, g = normal(32, 6), normal(6, 4, seed=1), normal(32, 4, seed=2)

    def loss(kernel):
        return (g * ops.batch_norm(x @ kernel, epsilon=0.0)[0]).sum()

    both = jax.jit(jax.value_and_grad(loss))
    value, gradient = both(kernel)
    scaled_value, scaled_gradient = both(7.0 * kernel)
    np.testing.assert_allclose(scaled_value, value, rtol=1e-12)
    np.testing.assert_allclose(7.0 * scaled_gradient, gradient, rtol=1e-9, atol=1e-11)


def test_gradient_is_automatic_differentiation_of_the_formula(x64):
    x, g = normal(3, 4, 5, 6), normal(3, 4, 5, 6, seed=1)
    scale, bias = normal(6, seed=2), normal(6, seed=3)

    def plain(x, scale, bias):
        mean = x.mean((0, 1, 2), keepdims=True)
        var = ((x - mean) ** 2).mean((0, 1, 2), keepdims=True)
        to_x = lambda v: v.reshape(1, 1, 1, -1)  # noqa: E731
        return to_x(scale) * (x - mean) / jnp.sqrt(var + 1e-5) + to_x(bias)

    def gradients(function):
        return jax.jit(jax.grad(lambda *a: (g * function(*a)).sum(), (0, 1, 2)))(x, scale, bias)

    ours = gradients(lambda *a: ops.batch_norm(*a)[0])
    for computed, expected in zip(ours, gradients(plain), strict=True):
        np.testing.assert_allclose(computed, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kernel_shape", [(3, 3, 4, 6), (3, 3, 2, 6), (4, 6)])
@pytest.mark.parametrize("with_bias", [True, False])
def test_folding_changes_nothing(kernel_shape, with_bias):
    """A convolution, one in two groups, and a dense layer."""
    random = np.random.default_rng(0)
    normal = lambda *shape: jnp.asarray(random.standard_normal(shape), jnp.float32)  # noqa: E731
    x, kernel = normal(2, 8, 8, 4), normal(*kernel_shape)
    own_bias, mean, bias = normal(6), normal(6), normal(6)
    var, scale = (jnp.asarray(random.uniform(0.3, 2.0, 6), jnp.float32) for _ in range(2))

    @jax.jit
    def linear(kernel, bias):
        if kernel.ndim == 2:
            return ops.dense(x, kernel, bias)
        y = ops.conv(x, kernel, padding=1, groups=4 // kernel_shape[2])
        return y if bias is None else y + bias.reshape(1, 1, 1, -1)

    own = own_bias if with_bias else None
    expected = jax.jit(ops.batch_norm_inference)(linear(kernel, own), mean, var, scale, bias)
    folded = linear(*jax.jit(ops.fold_batch_norm)(kernel, own, mean, var, scale, bias))
    # Activations of size 10, each a sum of up to 36 float32 products.
    np.testing.assert_allclose(folded, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: ops.batch_norm(x, jnp.ones(4)), r"scale: got shape \(4,\); expected \(3,\)"),
        (lambda x: ops.batch_norm(x[0]), r"x: got shape \(3,\); expected \(batch, …, channels\)"),
        (
            lambda x: ops.batch_norm_inference(x, jnp.ones(3), jnp.ones(2)),
            r"var: got shape \(2,\); expected \(3,\)",
        ),
        (
            lambda x: ops.fold_batch_norm(x, None, jnp.ones(2), jnp.ones(3)),
            r"mean: got shape \(2,\); expected \(3,\)",
        ),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(jnp.ones((5, 3)))
