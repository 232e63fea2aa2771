"""Newton's method: one step on a quadratic, quadratic convergence, and scikit-learn's answer."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.optim import minimize
from jaxnets.optim.second_order import newton


def logistic(x, features, signs, strength):
    margins = signs * (features @ x[:-1] + x[-1])
    return jnp.sum(jnp.logaddexp(0, -margins)) + 0.5 * strength * jnp.sum(x[:-1] ** 2)


def test_one_step_on_a_quadratic(x64):
    rng = np.random.default_rng(0)
    root = rng.normal(size=(6, 6))
    a, b = jnp.asarray(root @ root.T + np.eye(6)), jnp.asarray(rng.normal(size=6))
    result = minimize(lambda x: 0.5 * x @ a @ x - b @ x, jnp.zeros(6), method="newton")
    assert int(result.iterations) == 1 and bool(result.converged)
    np.testing.assert_allclose(result.x, np.linalg.solve(a, b), rtol=1e-10)


def test_newton_converges_quadratically(x64):
    def fun(x):
        return jnp.sum(jnp.exp(x) - 2 * x) + 0.1 * jnp.sum(x[1:] * x[:-1]) ** 2

    result = minimize(fun, jnp.zeros(4), method="newton", tol=1e-13, record=True)
    norms = np.asarray(result.trace.gradient_norm)[: int(result.iterations) + 1]
    near = [(a, b) for a, b in itertools.pairwise(norms) if 1e-7 < a < 0.1]
    assert len(near) >= 2
    for before, after in near:
        assert after <= 5 * before**2 + 1e-14


@pytest.mark.parametrize("method", ["newton", "newton-cg", "lbfgs"])
def test_logistic_regression_equals_scikit_learn(x64, method):
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(1)
    features = rng.normal(size=(200, 5))
    signs = np.where(features @ rng.normal(size=5) + rng.normal(size=200) > 0, 1.0, -1.0)
    model = LogisticRegression(C=0.5, solver="newton-cg", tol=1e-12, max_iter=1000)
    model.fit(features, signs)
    expected = np.concatenate([model.coef_[0], model.intercept_])
    result = minimize(logistic, jnp.zeros(6), method=method, args=(features, signs, 2.0), tol=1e-10)
    assert bool(result.converged)
    assert np.abs(np.asarray(result.x) - expected).max() <= 1e-8


def test_an_indefinite_hessian_gives_descent_away_from_the_saddle(x64):
    result = minimize(
        lambda x: x[0] ** 2 - x[1] ** 2 + 0.25 * x[1] ** 4,
        jnp.asarray([1.0, 1e-3]),
        method="newton",
    )
    assert bool(result.converged)
    assert float(result.value) == pytest.approx(-1.0)
    matrix = jnp.diag(jnp.asarray([2.0, -3.0]))
    direction = newton.newton_direction(matrix, jnp.asarray([2.0, 3.0]))
    np.testing.assert_allclose(direction, [-1.0, -1.0], rtol=1e-12)


def test_truncated_cg_solves_a_system_and_stops_at_negative_curvature(x64):
    rng = np.random.default_rng(2)
    root = rng.normal(size=(8, 8))
    a = jnp.asarray(root @ root.T + np.eye(8))
    gradient = 1e-9 * jnp.asarray(rng.normal(size=8))  # small, so that the solve is sharp
    direction, products = newton.truncated_cg(lambda v: a @ v, gradient, 8)
    assert int(products) <= 8
    assert jnp.linalg.norm(a @ direction + gradient) <= 1e-3 * jnp.linalg.norm(gradient)
    direction, _ = newton.truncated_cg(lambda v: -v, gradient, 8)
    np.testing.assert_array_equal(direction, -gradient)


def test_newton_cg_counts_its_products_and_solves_a_large_problem(x64):
    def fun(x):
        return jnp.sum(100 * (x[1::2] - x[::2] ** 2) ** 2 + (1 - x[::2]) ** 2)

    result = minimize(fun, jnp.tile(jnp.asarray([-1.2, 1.0]), 1000), method="newton-cg")
    assert bool(result.converged)
    assert 0 < int(result.hessian_products) < 2000
    assert jax.numpy.abs(result.x - 1).max() < 1e-4
