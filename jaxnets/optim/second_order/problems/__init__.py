"""Test problems for minimizers: Moré, Garbow and Hillstrom's unconstrained set, and relatives.

Every function is a sum of squares of residuals, written as the paper writes them, with its
standard start and the minimum that the paper prints. All eighteen problems of the paper's
unconstrained set are here (`UNCONSTRAINED`), and eleven of its nonlinear least-squares and
equation sets (`LEAST_SQUARES`).

Source: Moré, Garbow, Hillstrom, "Testing unconstrained optimization software", ACM TOMS 7 (1981).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.optim.second_order.problems import least_squares, unconstrained


class Problem(NamedTuple):
    """A function, where to start, and what to find.

    Attributes:
        name: a short name.
        fun: ``x -> value`` on shape (n,).
        start: the standard start, a NumPy array of shape (n,).
        minima: values at the minima that the paper lists; runs may end in any of them.

    >>> problem = UNCONSTRAINED[15]
    >>> problem.name, float(problem.fun(jnp.array([3.0, 0.5])))
    ('beale_2', 0.0)
    """

    name: str
    fun: Callable[[jax.Array], jax.Array]
    start: np.ndarray
    minima: tuple[float, ...]


def _squares(residuals: Callable) -> Callable:
    """The sum of squared residuals, under their name."""

    def fun(x):
        return jnp.sum(residuals(x) ** 2)

    fun.__name__ = residuals.__name__
    return fun


def _problem(residuals, start, *minima):
    start = np.asarray(start, np.float64)
    return Problem(f"{residuals.__name__}_{start.size}", _squares(residuals), start, minima)


def _ramp(n, shift=0.0):
    return np.arange(1, n + 1) / (n + 1) + shift


def _trapezoid(n):
    t = np.arange(1, n + 1) / (n + 1)
    return t * (t - 1)


UNCONSTRAINED = (
    _problem(unconstrained.helical_valley, [-1, 0, 0], 0.0),
    _problem(unconstrained.biggs_exp6, [1, 2, 1, 1, 1, 1], 0.0, 5.65565e-3, 0.306366),
    _problem(unconstrained.gaussian, [0.4, 1, 0], 1.12793e-8),
    _problem(unconstrained.powell_badly_scaled, [0, 1], 0.0),
    _problem(unconstrained.box_three_dimensional, [0, 10, 20], 0.0),
    _problem(unconstrained.variably_dimensioned, 1 - np.arange(1, 11) / 10, 0.0),
    _problem(unconstrained.watson, np.zeros(6), 2.28767e-3),
    _problem(unconstrained.penalty_one, np.arange(1, 11), 7.08765e-5),
    _problem(unconstrained.penalty_two, np.full(10, 0.5), 2.93660e-4),
    _problem(unconstrained.brown_badly_scaled, [1, 1], 0.0),
    _problem(unconstrained.brown_dennis, [25, 5, -5, -1], 85822.2),
    _problem(unconstrained.gulf, [5, 2.5, 0.15], 0.0),
    _problem(unconstrained.trigonometric, np.full(10, 0.1), 0.0, 2.79506e-5),
    _problem(unconstrained.extended_rosenbrock, np.tile([-1.2, 1], 50), 0.0),
    _problem(unconstrained.extended_powell_singular, np.tile([3, -1, 0, 1], 25), 0.0),
    _problem(unconstrained.beale, [1, 1], 0.0),
    _problem(unconstrained.wood, [-3, -1, -3, -1], 0.0),
    _problem(unconstrained.chebyquad, _ramp(8), 3.51687e-3),
)

LEAST_SQUARES = (
    _problem(least_squares.freudenstein_roth, [0.5, -2], 0.0, 48.9842),
    _problem(least_squares.jennrich_sampson, [0.3, 0.4], 124.362),
    _problem(least_squares.bard, [1, 1, 1], 8.21487e-3, 17.4286),
    _problem(least_squares.kowalik_osborne, [0.25, 0.39, 0.415, 0.39], 3.07505e-4, 1.02734e-3),
    _problem(least_squares.meyer, [0.02, 4000, 250], 87.9458),
    _problem(least_squares.brown_almost_linear, np.full(10, 0.5), 0.0, 1.0),
    _problem(least_squares.discrete_boundary_value, _trapezoid(10), 0.0),
    _problem(least_squares.discrete_integral, _trapezoid(10), 0.0),
    _problem(least_squares.broyden_tridiagonal, np.full(10, -1.0), 0.0),
    _problem(least_squares.broyden_banded, np.full(10, -1.0), 0.0),
    _problem(unconstrained.watson, np.zeros(9), 1.39976e-6),
)
