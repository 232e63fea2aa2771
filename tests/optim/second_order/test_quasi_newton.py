"""BFGS and L-BFGS: the update, the ring of pairs, and the two against each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.optim import Status, minimize
from jaxnets.optim.second_order import bfgs
from jaxnets.optim.second_order import lbfgs as pairs
from jaxnets.optim.second_order.descent import descend
from jaxnets.optim.second_order.direction import Direction
from jaxnets.optim.second_order.objective import flat_objective, flatten
from jaxnets.optim.second_order.problems import UNCONSTRAINED
from jaxnets.optim.second_order.wolfe import StrongWolfe

# One compilation for each shape instead of one for each small operation.
push = jax.jit(pairs.push, static_argnames="rescale")


def spd(rng, size, condition=100.0):
    basis, _ = np.linalg.qr(rng.normal(size=(size, size)))
    matrix = basis @ np.diag(np.geomspace(1, condition, size)) @ basis.T
    return (matrix + matrix.T) / 2


def test_bfgs_update_is_the_textbook_formula_and_meets_the_secant_equation(x64):
    rng = np.random.default_rng(0)
    size = 8
    h = spd(rng, size)
    for _ in range(20):
        s, y = rng.normal(size=size), rng.normal(size=size)
        if s @ y < 0:
            y = -y
        new = np.asarray(bfgs.update_inverse(jnp.asarray(h), jnp.asarray(s), jnp.asarray(y)))
        rho = 1 / (s @ y)
        left = np.eye(size) - rho * np.outer(s, y)
        expected = left @ h @ left.T + rho * np.outer(s, s)
        scale = np.abs(expected).max()
        assert np.abs(new - expected).max() <= 1e-12 * scale  # rounding of n-term sums
        assert np.abs(new @ y - s).max() <= 1e-12 * scale * np.abs(y).max()
        assert (new == new.T).all()
        assert np.linalg.eigvalsh(new).min() > 0
        # A random pair may be ill-conditioned; start afresh so that errors do not add up.
        h = spd(rng, size)


def test_bfgs_ends_a_quadratic_in_n_exact_steps_with_the_inverse_hessian(x64):
    rng = np.random.default_rng(1)
    size = 7
    a, target = spd(rng, size, 50.0), rng.normal(size=size)
    x, h = np.zeros(size), np.eye(size)
    for _ in range(size):
        gradient = a @ (x - target)
        d = -h @ gradient
        t = -(gradient @ d) / (d @ a @ d)  # the exact line search
        h = np.asarray(
            bfgs.update_inverse(jnp.asarray(h), jnp.asarray(t * d), jnp.asarray(t * a @ d))
        )
        x = x + t * d
    assert np.abs(x - target).max() <= 1e-9  # rounding times the condition number 50, n times
    assert np.abs(h - np.linalg.inv(a)).max() <= 1e-8


@pytest.mark.parametrize("count", [1, 4, 5, 13])
def test_matrix_form_equals_two_loops_and_a_dense_reference_through_the_ring(x64, count):
    rng = np.random.default_rng(2)
    size, memory_size = 12, 5
    a = spd(rng, size)
    history = pairs.init_history(size, memory_size, jnp.float64)
    kept = []
    for _ in range(count):
        s = rng.normal(size=size)
        history = push(history, jnp.asarray(s), jnp.asarray(a @ s))
        kept.append((s, a @ s))
    s, y = kept[-1]
    h = (s @ y) / (y @ y) * np.eye(size)
    for s, y in kept[-memory_size:]:
        rho = 1 / (s @ y)
        left = np.eye(size) - rho * np.outer(s, y)
        h = left @ h @ left.T + rho * np.outer(s, s)
    vector = rng.normal(size=size)
    expected = h @ vector
    for form in (pairs.times_inverse_hessian, pairs.two_loop):
        got = np.asarray(form(history, jnp.asarray(vector)))
        assert np.abs(got - expected).max() <= 1e-12 * np.abs(expected).max() * 100


def test_a_pair_without_positive_curvature_is_left_out_and_forgetting_is_steepest_descent(x64):
    history = push(pairs.init_history(3, 2, jnp.float64), jnp.ones(3), 2 * jnp.ones(3))
    bent = push(history, jnp.ones(3), -jnp.ones(3))
    same = push(history, jnp.ones(3), jnp.zeros(3))
    vector = jnp.asarray([1.0, 2.0, -1.0])
    for other in (bent, same):
        assert int(other.count) == 1
        np.testing.assert_array_equal(
            pairs.times_inverse_hessian(other, vector), pairs.times_inverse_hessian(history, vector)
        )
    empty = pairs.reset_history(history, jnp.asarray(True))
    np.testing.assert_array_equal(pairs.times_inverse_hessian(empty, vector), vector)


def test_lbfgs_with_full_memory_has_the_directions_of_bfgs(x64):
    # The same pairs and γ from the first pair in both.
    rng = np.random.default_rng(3)
    size, count = 10, 25
    a = spd(rng, size)
    history = pairs.init_history(size, count, jnp.float64)
    method = bfgs.BFGS()
    state = method.init(jnp.zeros(size))
    update, times = jax.jit(method.update), jax.jit(pairs.times_inverse_hessian)
    for i in range(count):
        s = jnp.asarray(rng.normal(size=size))
        y = jnp.asarray(a) @ s
        gradient = jnp.asarray(rng.normal(size=size))
        history = push(history, s, y, rescale=i == 0)
        state, direction = update(state, s, y, None, gradient)
        limited = -times(history, gradient)
        assert jnp.abs(limited - direction.vector).max() <= 1e-10 * jnp.abs(direction.vector).max()


def _iterates(fun, start, method, count):
    """x after 0, 1, …, count accepted steps of `descend`, shape (count + 1, n)."""
    flat = flatten(jnp.asarray(start))
    evaluate = flat_objective(fun, flat)

    @jax.jit
    def after(steps):
        return descend(
            evaluate,
            flat.vector,
            method,
            tol=1e-6,
            max_iterations=steps,
            line_search=StrongWolfe(),
        )

    outcomes = [after(steps) for steps in range(count + 1)]
    return np.stack([out.x for out in outcomes]), int(outcomes[-1].status)


class ScaledOnce(pairs.LBFGS):
    """L-BFGS whose γ stays the first pair's, as BFGS's does."""

    def update(self, state, step, change, x, gradient):
        first = state.count == 0
        scaled, plain = (push(state, step, change, rescale) for rescale in (True, False))
        history = jax.tree.map(lambda a, b: jnp.where(first, a, b), scaled, plain)
        direction = -pairs.times_inverse_hessian(history, gradient)
        return history, Direction(direction, history.count == 0, 0)


def _quadratic_20(x):
    return 0.5 * jnp.sum(jnp.geomspace(1.0, 100.0, 20) * (x - 1) ** 2) + jnp.sum(x) ** 2


def _logistic_6(x):
    rng = np.random.default_rng(5)
    features = rng.normal(size=(40, 6))
    signs = np.where(features[:, 0] + rng.normal(size=40) > 0, 1.0, -1.0)
    return jnp.mean(jnp.logaddexp(0, -signs * (features @ x))) + 1e-2 * jnp.sum(x**2)


WHOLE_RUNS = [
    (p.fun, p.start) for p in UNCONSTRAINED if p.name in ("beale_2", "wood_4", "gaussian_3")
] + [(_quadratic_20, np.zeros(20)), (_logistic_6, np.zeros(6))]


@pytest.mark.parametrize(("fun", "start"), WHOLE_RUNS, ids=lambda v: getattr(v, "__name__", ""))
def test_a_whole_run_of_lbfgs_with_full_memory_is_the_run_of_bfgs(x64, fun, start):
    count = 120
    dense, status = _iterates(fun, start, bfgs.BFGS(), count)
    limited, same = _iterates(fun, start, ScaledOnce(count), count)
    assert status == same == Status.CONVERGED  # within `count` steps: these are whole runs
    scale = np.maximum(1, np.abs(dense).max(axis=1, keepdims=True))
    assert (np.abs(limited - dense) / scale).max() <= 1e-10


def test_two_dimensional_rosenbrock_takes_about_as_many_iterations_as_elsewhere(x64):
    def fun(x):
        return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2

    for method in ("bfgs", "lbfgs"):
        result = minimize(fun, jnp.asarray([-1.2, 1.0]), method=method)
        assert float(result.value) < 1e-10
        assert int(result.iterations) <= 45  # SciPy: 32 (BFGS), 36 (L-BFGS-B)


def test_float32_pairs_keep_the_matrix_form_near_the_exact_product():
    """Nearly parallel steps in float32: the form must not lose more digits than the recursion."""
    rng = np.random.default_rng(4)
    size, memory_size = 30, 8
    a = spd(rng, size, 1e3)
    single = pairs.init_history(size, memory_size)
    base = rng.normal(size=size)
    s_all = [base + 0.05 * rng.normal(size=size) for _ in range(memory_size)]
    for s in s_all:
        single = push(single, jnp.float32(s), jnp.float32(a @ s))
    vector = rng.normal(size=size)
    with jax.enable_x64(True):
        double = pairs.init_history(size, memory_size, jnp.float64)
        for s in s_all:
            double = push(double, jnp.asarray(s), jnp.asarray(a @ s))
        exact = np.asarray(pairs.two_loop(double, jnp.asarray(vector)))
    errors = [
        np.abs(np.asarray(form(single, jnp.float32(vector))) - exact).max() / np.abs(exact).max()
        for form in (pairs.times_inverse_hessian, pairs.two_loop)
    ]
    assert errors[0] <= 10 * errors[1] + 1e-5
