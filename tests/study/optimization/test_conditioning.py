"""The curvature of linear models, against derivatives by JAX and a minimum by SciPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.errors import JaxnetsError
from jaxnets.study.optimization import conditioning


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=(80, 4)) * [1, 3, 0.3, 1], np.ones((80, 1))], axis=1)
    sign = np.where(rng.random(80) < 1 / (1 + np.exp(-x @ [1, -0.3, 2, 0, 0.5])), 1.0, -1.0)
    return x, sign, rng.normal(size=5)


def test_gradient_and_hessian_are_the_derivatives(problem, x64):
    x, sign, w = problem

    def loss(w):
        return jnp.mean(jnp.log1p(jnp.exp(-sign * (x @ w))))

    assert conditioning.logistic_loss(x, sign, w) == pytest.approx(float(loss(w)), rel=1e-12)
    np.testing.assert_allclose(
        conditioning.logistic_gradient(x, sign, w), jax.grad(loss)(w), atol=1e-13
    )
    np.testing.assert_allclose(
        conditioning.logistic_hessian(x, w), jax.hessian(loss)(w), atol=1e-13
    )


def test_newton_finds_the_least_loss_of_scipy(problem):
    import scipy.optimize

    x, sign, _ = problem
    least, w = conditioning.least_loss(x, sign)
    found = scipy.optimize.minimize(
        lambda w: np.logaddexp(0, -sign * (x @ w)).mean(), np.zeros(5), method="BFGS", tol=1e-9
    )
    assert least == pytest.approx(found.fun, abs=1e-10)
    np.testing.assert_allclose(conditioning.logistic_gradient(x, sign, w), 0, atol=1e-8)


def test_descent_follows_the_update_rule(problem):
    x, sign, _ = problem
    losses, w = conditioning.descend(x, sign, rate=0.1, steps=3)
    expected = np.zeros(5)
    for step in range(3):
        assert losses[step] == pytest.approx(conditioning.logistic_loss(x, sign, expected))
        expected = expected - 0.1 * conditioning.logistic_gradient(x, sign, expected)
    np.testing.assert_allclose(w, expected, atol=1e-14)


def test_too_few_examples_are_named():
    images = np.random.default_rng(0).integers(0, 17, (30, 8, 8, 1), np.uint8)
    with pytest.raises(JaxnetsError, match="more training examples"):
        conditioning.design_matrices(images)
