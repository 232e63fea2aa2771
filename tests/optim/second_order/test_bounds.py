"""L-BFGS-B against SciPy's, and its parts against brute force."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from jaxnets.optim import minimize
from jaxnets.optim.second_order import lbfgsb
from jaxnets.optim.second_order.problems import LEAST_SQUARES, UNCONSTRAINED


def rosenbrock(x):
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


@pytest.mark.parametrize("bounds", [(-0.5, 0.8), (-np.inf, 0.5), (1.2, np.inf), (-3.0, 3.0)])
def test_it_finds_what_scipy_finds(x64, bounds):
    start = np.clip(np.tile([-1.2, 1.0], 4), *bounds)
    result = minimize(rosenbrock, start, bounds=bounds)
    reference = scipy.optimize.minimize(
        scipy.optimize.rosen,
        start,
        jac=scipy.optimize.rosen_der,
        method="L-BFGS-B",
        bounds=[bounds] * 8,
        options={"gtol": 1e-9, "ftol": 0},
    )
    assert bool(result.converged), result.message
    np.testing.assert_allclose(result.x, reference.x, atol=1e-5)
    x = np.asarray(result.x)
    assert (x >= bounds[0]).all() and (x <= bounds[1]).all()
    # The projected gradient is what is reported.
    gradient = scipy.optimize.rosen_der(x)
    expected = np.abs(np.clip(x - gradient, *bounds) - x).max()
    assert float(result.gradient_norm) == pytest.approx(expected, abs=1e-9)


# Published functions in boxes that cut off their minima, but keep one minimum only.
BOXES = {
    "helical_valley_3": (-np.inf, 0.8),
    "box_three_dimensional_3": (0.0, 8.0),
    "brown_dennis_4": (-10.0, 10.0),
    "kowalik_osborne_4": (0.15, 0.4),
    "broyden_tridiagonal_10": (-0.6, np.inf),
}
BOXED = [p for p in UNCONSTRAINED + LEAST_SQUARES if p.name in BOXES]


@pytest.mark.parametrize("problem", BOXED, ids=lambda p: p.name)
def test_published_functions_in_a_box_end_where_scipy_ends(x64, problem):
    low, high = BOXES[problem.name]
    start = np.clip(problem.start, low, high)
    both = jax.jit(jax.value_and_grad(problem.fun))
    result = minimize(problem.fun, start, bounds=(low, high), tol=1e-8)
    reference = scipy.optimize.minimize(
        lambda x: [np.asarray(part) for part in both(x)],
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=[(low, high)] * start.size,
        options={"gtol": 1e-10, "ftol": 0},
    )
    x = np.asarray(result.x)
    assert bool(result.converged), result.message
    np.testing.assert_allclose(x, reference.x, atol=1e-6)
    resting = (x == low) | (x == high)
    assert (resting == ((reference.x == low) | (reference.x == high))).all()
    assert resting.any() and not resting.all()
    gradient = np.asarray(both(x)[1])
    assert np.abs(np.clip(x - gradient, low, high) - x).max() <= 1.001e-8


def test_a_bounded_quadratic_meets_its_optimality_conditions_exactly(x64):
    rng = np.random.default_rng(0)
    root = rng.normal(size=(20, 20))
    a, b = root @ root.T + np.eye(20), 10 * rng.normal(size=20)
    low = {"x": jnp.full(20, -0.5)}
    result = minimize(
        lambda t: 0.5 * t["x"] @ a @ t["x"] - b @ t["x"],
        {"x": jnp.zeros(20)},
        bounds=(low, 0.25),
        tol=1e-9,
    )
    assert bool(result.converged)
    x = np.asarray(result.x["x"])
    gradient = a @ x - b
    at_low, at_high = x == -0.5, x == 0.25
    assert at_low.any() and at_high.any()
    assert (gradient[at_low] >= -1e-9).all() and (gradient[at_high] <= 1e-9).all()
    assert np.abs(gradient[~at_low & ~at_high]).max() <= 1e-8


def test_cauchy_point_is_the_first_minimizer_along_the_projected_path(x64):
    rng = np.random.default_rng(1)
    size = 6
    history = lbfgsb.LBFGSB(4, None, None).init(jnp.zeros(size))
    a = np.diag(np.geomspace(1, 20, size))
    push, cauchy_move = jax.jit(lbfgsb.push), jax.jit(lbfgsb.cauchy_move)
    for _ in range(6):  # more pairs than slots
        s = rng.normal(size=size)
        history = push(history, jnp.asarray(s), jnp.asarray(a @ s))
    rows, middle = lbfgsb.compact(history)
    theta = float(history.theta)
    b = theta * np.eye(size) - np.asarray(rows).T @ np.asarray(middle) @ np.asarray(rows)
    # B satisfies the secant equation of the newest pair.
    np.testing.assert_allclose(b @ s, a @ s, rtol=1e-8)
    low, high = -np.abs(rng.normal(size=size)) * 0.1, np.abs(rng.normal(size=size)) * 0.1
    for _ in range(5):
        g = 5 * rng.normal(size=size)
        x = np.clip(rng.normal(size=size), low, high)

        def model(t, g=g, x=x):
            move = np.clip(x - t * g, low, high) - x
            return g @ move + 0.5 * move @ b @ move

        grid = np.concatenate([np.linspace(0, 0.2, 20001), np.geomspace(0.2, 1e3, 20001)[1:]])
        values = np.array([model(t) for t in grid])
        rises = np.diff(values) > 1e-13
        first = np.argmax(rises) if rises.any() else -1  # -1: every variable ends at a bound
        expected = np.clip(x - grid[first] * g, low, high) - x
        box = lbfgsb.BoxModel(*map(jnp.asarray, (g, low - x, high - x, theta)), rows, middle)
        got, c = cauchy_move(box)
        np.testing.assert_allclose(got, expected, atol=1e-3)  # the grid's spacing times |g|
        np.testing.assert_allclose(c, np.asarray(rows) @ np.asarray(got), atol=1e-12)


@pytest.mark.parametrize(
    "bounds",
    [
        [(0.5, None), (None, 1.5), (0.0, 9.0)],
        scipy.optimize.Bounds([0.5, -np.inf, 0.0], [np.inf, 1.5, 9.0]),
        (np.array([0.5, -np.inf, 0.0]), np.array([np.inf, 1.5, 9.0])),
    ],
)
def test_bounds_as_scipy_has_them(bounds):
    def fun(x):
        return jnp.sum((x - jnp.array([-1.0, 2.0, 3.0])) ** 2)

    result = minimize(fun, jnp.ones(3), bounds=bounds)
    np.testing.assert_allclose(result.x, [0.5, 1.5, 3.0], atol=1e-4)
    one = minimize(lambda x: jnp.sum((x - 2) ** 2), jnp.ones(3), bounds=scipy.optimize.Bounds(0, 1))
    np.testing.assert_array_equal(one.x, 1.0)


def test_bounds_that_make_no_sense_are_refused():
    start = jnp.zeros(3)
    with pytest.raises(ValueError, match=r"bounds cross.*entry 1.*lower 2"):
        minimize(rosenbrock, start, bounds=(jnp.array([0.0, 2.0, 0.0]), 1.0))
    with pytest.raises(ValueError, match="bounds cross"):
        minimize(rosenbrock, start, bounds=(np.nan, 1.0))
    with pytest.raises(ValueError, match="bounds"):
        minimize(rosenbrock, start, bounds=(jnp.zeros(2), 1.0))
    with pytest.raises(ValueError, match="pair"):
        minimize(rosenbrock, start, bounds=1.0)
    with pytest.raises(ValueError, match="takes no bounds"):
        minimize(rosenbrock, start, method="bfgs", bounds=(0.0, 1.0))


@pytest.mark.parametrize("bounds", [None, (0.0, 1e9), (-np.inf, np.inf)])
@pytest.mark.parametrize(("scale", "start", "solution"), [(1e-8, 1e8, 3e8), (4e-8, 1e4, 2e4)])
def test_a_gradient_below_the_rounding_of_x_is_not_convergence(bounds, scale, start, solution):
    # At the start the gradient is 2 or 4e-4, and in float32 x - g is x.
    def fun(x):
        return jnp.sum(0.5 * scale * (x - solution) ** 2)

    result = minimize(fun, jnp.full(3, start), method="lbfgsb", bounds=bounds, tol=1e-6)
    assert bool(result.converged), result.message
    np.testing.assert_allclose(result.x, solution, rtol=1e-6)
    np.testing.assert_array_equal(result.gradient_norm, jnp.max(jnp.abs(jax.grad(fun)(result.x))))


def test_an_unbounded_function_has_no_minimum_to_converge_to(x64):
    result = minimize(jnp.sum, jnp.ones(3), method="lbfgsb", max_iterations=300)
    assert not bool(result.converged)
    assert float(result.gradient_norm) == 1.0


def test_resting_variables_lie_on_their_bounds_to_the_last_bit():
    # x + (upper - x) misses upper by rounding for most of these.
    upper = jnp.linspace(1.0, 3.0, 50) * 1.1
    start = jnp.linspace(-0.7, 0.9, 50)
    result = minimize(lambda x: jnp.sum((x - 100.0) ** 2), start, bounds=(-jnp.ones(50), upper))
    np.testing.assert_array_equal(result.x, upper)
