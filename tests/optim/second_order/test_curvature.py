"""Curvature against the dense Hessian of a small network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from jaxnets.optim import (
    gradient_curvature,
    hutchinson_trace,
    hvp,
    lanczos,
    trajectory_curvature,
)


@pytest.fixture
def small(x64):
    """A network of 98 parameters, its tree, and its dense Hessian."""
    rng = np.random.default_rng(0)
    features, target = jnp.asarray(rng.normal(size=(30, 6))), jnp.asarray(rng.normal(size=(30, 2)))
    tree = {
        "w": jnp.asarray(rng.normal(size=(6, 10))),
        "b": jnp.zeros(10),
        "v": jnp.asarray(rng.normal(size=(10, 2))),
        "c": jnp.ones(2) * 0.1,
    }

    def fun(tree):
        hidden = jnp.tanh(features @ tree["w"] + tree["b"])
        return jnp.mean((hidden @ tree["v"] + tree["c"] - target) ** 2)

    flat, restore = ravel_pytree(tree)
    return fun, tree, np.asarray(jax.jit(jax.hessian(lambda x: fun(restore(x))))(flat))


def test_products_and_eigenvalues_equal_the_dense_hessian(small):
    fun, tree, dense = small
    vector = jax.tree.map(lambda leaf: jnp.cos(jnp.arange(leaf.size)).reshape(leaf.shape), tree)
    got, _ = ravel_pytree(jax.jit(lambda v: hvp(fun, tree, v))(vector))
    np.testing.assert_allclose(got, dense @ ravel_pytree(vector)[0], atol=1e-10)

    values = np.linalg.eigvalsh(dense)
    expected = values[np.argsort(-np.abs(values))][:5]
    found = jax.jit(lambda key: lanczos(key, fun, tree, top=5))(jax.random.key(1))
    np.testing.assert_allclose(found, expected, rtol=1e-6)

    gradient, _ = ravel_pytree(jax.grad(fun)(tree))
    quotient = gradient @ dense @ gradient / (gradient @ gradient)
    found = jax.jit(lambda tree: gradient_curvature(fun, tree))(tree)
    np.testing.assert_allclose(found, quotient, rtol=1e-10)


def test_the_trace_is_within_its_own_error_bars(small):
    fun, tree, dense = small
    trace = jax.jit(lambda key: hutchinson_trace(key, fun, tree, samples=400))
    estimate, error = trace(jax.random.key(0))
    assert 0 < float(error) < 0.1 * abs(np.trace(dense))
    assert abs(float(estimate) - np.trace(dense)) <= 4 * float(error)


def test_lanczos_survives_an_invariant_subspace(x64):
    """Two distinct eigenvalues: the Krylov space ends after two steps."""
    scales = jnp.asarray([2.0] * 5 + [-3.0] * 5)
    found = lanczos(
        jax.random.key(0), lambda x: 0.5 * jnp.sum(scales * x**2), jnp.ones(10), steps=8, top=2
    )
    np.testing.assert_allclose(jnp.abs(found), [3.0, 3.0], rtol=1e-6)


def test_a_circle_has_curvature_one_over_its_radius_and_a_line_none(x64):
    angle = np.cumsum(np.random.default_rng(0).uniform(0.01, 0.3, size=40))
    for radius in (0.1, 1.0, 50.0):
        circle = radius * np.stack([np.cos(angle), np.sin(angle), 0 * angle], 1) + 7.0
        np.testing.assert_allclose(trajectory_curvature(circle), 1 / radius, rtol=1e-6)
    line = np.outer(np.arange(5.0), [1.0, 2.0])
    np.testing.assert_allclose(trajectory_curvature(line), 0.0, atol=1e-7)
    np.testing.assert_array_equal(trajectory_curvature(np.ones((4, 2))), 0.0)


def test_bad_arguments_are_refused():
    x = jnp.ones(3)

    def fun(x):
        return jnp.sum(x**2)

    with pytest.raises(ValueError, match="shapes"):
        hvp(fun, x, jnp.ones(2))
    with pytest.raises(ValueError, match="top <= steps"):
        lanczos(jax.random.key(0), fun, x, steps=9)
    with pytest.raises(ValueError, match="samples"):
        hutchinson_trace(jax.random.key(0), fun, x, samples=1)
    with pytest.raises(ValueError, match="T >= 3"):
        trajectory_curvature(jnp.ones((2, 2)))
