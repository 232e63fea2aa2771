"""Derivatives of minima against closed forms and against differences of minima."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.optim import minimize
from jaxnets.optim.second_order import METHODS, implicit

RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(8, 4)), RNG.normal(size=8)


def ridge(penalty, data=A, method="lbfgs", **options):
    """The weights of ridge regression; ``penalty`` and ``data`` are closed over or passed."""

    def fun(w, data):
        return 0.5 * jnp.sum((data @ w - B) ** 2) + 0.5 * penalty * jnp.sum(w**2)

    return minimize(fun, jnp.zeros(4), args=(data,), method=method, tol=1e-10, **options)


def ridge_formula(penalty, data=A):
    return jnp.linalg.solve(data.T @ data + penalty * jnp.eye(4), data.T @ B)


@pytest.mark.parametrize("method", METHODS)
def test_both_modes_give_the_derivatives_of_the_formula(x64, method):
    def solution(penalty, data):
        return ridge(penalty, data, method).x

    for jacobian in (jax.jacfwd, jax.jacrev):
        got = jax.jit(jacobian(solution, (0, 1)))(0.7, A)
        expected = jacobian(ridge_formula, (0, 1))(0.7, jnp.asarray(A))
        for one, other in zip(got, expected, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-9)


def test_second_derivatives_and_batches(x64):
    penalties = jnp.array([0.5, 2.0])

    def squared(penalty):
        return jnp.sum(ridge(penalty).x ** 2)

    got = jax.vmap(jax.hessian(squared))(penalties)
    expected = jax.vmap(jax.hessian(lambda p: jnp.sum(ridge_formula(p) ** 2)))(penalties)
    np.testing.assert_allclose(got, expected, rtol=1e-7)


def test_value_gradient_and_counts(x64):
    def result(penalty):
        out = ridge(penalty)
        return out.value, out.gradient, out.gradient_norm, out.iterations

    def value(penalty):
        w = ridge_formula(penalty)
        return 0.5 * jnp.sum((A @ w - B) ** 2) + 0.5 * penalty * jnp.sum(w**2)

    got = jax.jvp(result, (0.7,), (1.0,))[1]
    assert float(got[0]) == pytest.approx(float(jax.grad(value)(0.7)), rel=1e-9)
    np.testing.assert_allclose(got[1], 0, atol=1e-9)
    assert float(got[2]) == 0.0


def test_variables_on_their_bounds_move_with_them(x64):
    curvature = jnp.array([[2.0, 0.5, 0.0], [0.5, 1.0, 0.3], [0.0, 0.3, 3.0]])

    def solution(target, upper):
        def fun(x):
            return 0.5 * (x - target) @ curvature @ (x - target)

        return minimize(fun, jnp.zeros(3), bounds=(-10.0, upper), tol=1e-11).x

    target, upper = jnp.array([1.0, 2.0, 0.5]), jnp.array([9.0, 1.5, 9.0])
    assert solution(target, upper)[1] == 1.5
    for jacobian in (jax.jacfwd, jax.jacrev):
        got = jacobian(solution, (0, 1))(target, upper)
        for argument, derivative in enumerate(got):
            for i in range(3):
                ends = [[target, upper], [target, upper]]
                for sign, end in zip((1, -1), ends, strict=True):
                    end[argument] = end[argument].at[i].add(sign * 1e-4)
                difference = (solution(*ends[0]) - solution(*ends[1])) / 2e-4
                np.testing.assert_allclose(derivative[:, i], difference, atol=1e-6)


def test_large_systems_are_solved_by_products_alone(x64, monkeypatch):
    monkeypatch.setattr(implicit, "MAX_DENSE", 2)
    got = jax.grad(lambda p: jnp.sum(ridge(p).x))(0.7)
    assert float(got) == pytest.approx(float(jax.grad(lambda p: ridge_formula(p).sum())(0.7)))


def test_where_there_is_no_minimum_there_is_no_derivative(x64):
    for jacobian in (jax.jacfwd, jax.jacrev):
        unfinished = jacobian(lambda p: ridge(p, max_iterations=1).x)(0.7)
        assert np.isnan(unfinished).all()
        # A valley of minima: none of them is a function of the slope.
        flat = jacobian(lambda p: minimize(lambda x: (x[0] - p) ** 2, jnp.zeros(2)).x)(0.7)
        assert not np.isfinite(flat).all()


def test_trees_integers_and_auxiliary_data(x64):
    powers = jnp.array([1, 2])

    def solution(scale):
        def fun(x, powers):
            miss = x["a"] - scale**powers
            return jnp.sum(miss**2), {"scaled": x["a"] * scale, "powers": powers}

        result = minimize(
            fun, {"a": jnp.zeros(2)}, args=(powers,), has_aux=True, method="bfgs", tol=1e-10
        )
        return result.x["a"], result.aux["scaled"]

    (_, _), (x, scaled) = jax.jvp(solution, (3.0,), (1.0,))
    np.testing.assert_allclose(x, [1.0, 6.0], rtol=1e-9)  # d(s, s²)
    np.testing.assert_allclose(scaled, [6.0, 27.0], rtol=1e-9)  # d(s², s³)
