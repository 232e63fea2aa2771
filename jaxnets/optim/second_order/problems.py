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


class Problem(NamedTuple):
    """A function, where to start, and what to find.

    Args:
        name: a short name.
        fun: ``x -> value`` on shape (n,).
        start: the standard start, a NumPy array of shape (n,).
        minima: values at the minima that the paper lists; runs may end in any of them.
    """

    name: str
    fun: Callable[[jax.Array], jax.Array]
    start: np.ndarray
    minima: tuple[float, ...]


def _index(x):
    return jnp.arange(1, x.shape[0] + 1, dtype=x.dtype)


def _times(x, count, scale):
    return scale * jnp.arange(1, count + 1, dtype=x.dtype)


# --- the unconstrained set, in the paper's order -------------------------------------------------


def helical_valley(x):
    turn = jnp.arctan2(x[1], x[0]) / (2 * jnp.pi)
    # The paper's angle runs over (-1/4, 3/4) turns, cut along x₁ = 0, x₂ < 0.
    turn = jnp.where((x[0] < 0) & (x[1] < 0), turn + 1, turn)
    return jnp.stack([10 * (x[2] - 10 * turn), 10 * (jnp.hypot(x[0], x[1]) - 1), x[2]])


def biggs_exp6(x):
    t = _times(x, 13, 0.1)
    y = jnp.exp(-t) - 5 * jnp.exp(-10 * t) + 3 * jnp.exp(-4 * t)
    model = x[2] * jnp.exp(-t * x[0]) - x[3] * jnp.exp(-t * x[1]) + x[5] * jnp.exp(-t * x[4])
    return model - y


GAUSSIAN = np.array(
    [9, 44, 175, 540, 1295, 2420, 3521, 3989, 3521, 2420, 1295, 540, 175, 44, 9]
) / np.array(1e4)


def gaussian(x):
    t = (8 - _times(x, 15, 1.0)) / 2
    return x[0] * jnp.exp(-x[1] * (t - x[2]) ** 2 / 2) - jnp.asarray(GAUSSIAN, x.dtype)


def powell_badly_scaled(x):
    return jnp.stack([1e4 * x[0] * x[1] - 1, jnp.exp(-x[0]) + jnp.exp(-x[1]) - 1.0001])


def box_three_dimensional(x):
    t = _times(x, 10, 0.1)
    return jnp.exp(-t * x[0]) - jnp.exp(-t * x[1]) - x[2] * (jnp.exp(-t) - jnp.exp(-10 * t))


def variably_dimensioned(x):
    total = jnp.sum(_index(x) * (x - 1))
    return jnp.concatenate([x - 1, jnp.stack([total, total**2])])


def watson(x):
    t = _times(x, 29, 1 / 29)
    powers = t[:, None] ** jnp.arange(x.shape[0])
    derivative = powers[:, :-1] @ (_index(x)[:-1] * x[1:])
    return jnp.concatenate(
        [derivative - (powers @ x) ** 2 - 1, jnp.stack([x[0], x[1] - x[0] ** 2 - 1])]
    )


def penalty_one(x):
    return jnp.concatenate([1e-5**0.5 * (x - 1), (jnp.sum(x**2) - 0.25)[None]])


def penalty_two(x):
    n = x.shape[0]
    i = _index(x)[1:]
    root = 1e-5**0.5
    y = jnp.exp(i / 10) + jnp.exp((i - 1) / 10)
    return jnp.concatenate(
        [
            (x[0] - 0.2)[None],
            root * (jnp.exp(x[1:] / 10) + jnp.exp(x[:-1] / 10) - y),
            root * (jnp.exp(x[1:] / 10) - np.exp(-0.1)),
            (jnp.sum((n - jnp.arange(n)) * x**2) - 1)[None],
        ]
    )


def brown_badly_scaled(x):
    return jnp.stack([x[0] - 1e6, x[1] - 2e-6, x[0] * x[1] - 2])


def brown_dennis(x):
    t = _times(x, 20, 0.2)
    left = x[0] + t * x[1] - jnp.exp(t)
    right = x[2] + x[3] * jnp.sin(t) - jnp.cos(t)
    return left**2 + right**2


def gulf(x):
    t = _times(x, 99, 0.01)
    y = 25 + (-50 * jnp.log(t)) ** (2 / 3)
    return jnp.exp(-(jnp.abs(y - x[1]) ** x[2]) / x[0]) - t


def trigonometric(x):
    n = x.shape[0]
    return n - jnp.sum(jnp.cos(x)) + _index(x) * (1 - jnp.cos(x)) - jnp.sin(x)


def extended_rosenbrock(x):
    return jnp.concatenate([10 * (x[1::2] - x[::2] ** 2), 1 - x[::2]])


def extended_powell_singular(x):
    a, b, c, d = x[::4], x[1::4], x[2::4], x[3::4]
    return jnp.concatenate([a + 10 * b, 5**0.5 * (c - d), (b - 2 * c) ** 2, 10**0.5 * (a - d) ** 2])


def beale(x):
    i = _times(x, 3, 1.0)
    return jnp.asarray([1.5, 2.25, 2.625], x.dtype) - x[0] * (1 - x[1] ** i)


def wood(x):
    return jnp.stack(
        [
            10 * (x[1] - x[0] ** 2),
            1 - x[0],
            90**0.5 * (x[3] - x[2] ** 2),
            1 - x[2],
            10**0.5 * (x[1] + x[3] - 2),
            (x[1] - x[3]) / 10**0.5,
        ]
    )


def chebyquad(x):
    n = x.shape[0]
    before, now = jnp.ones_like(x), 2 * x - 1
    rows = []
    for i in range(1, n + 1):
        integral = -1 / (i**2 - 1) if i % 2 == 0 else 0.0
        rows.append(jnp.mean(now) - integral)
        before, now = now, 2 * (2 * x - 1) * now - before
    return jnp.stack(rows)


# --- from the least-squares and equation sets ----------------------------------------------------


def freudenstein_roth(x):
    return jnp.stack(
        [
            -13 + x[0] + ((5 - x[1]) * x[1] - 2) * x[1],
            -29 + x[0] + ((x[1] + 1) * x[1] - 14) * x[1],
        ]
    )


def jennrich_sampson(x):
    i = _times(x, 10, 1.0)
    return 2 + 2 * i - (jnp.exp(i * x[0]) + jnp.exp(i * x[1]))


BARD = [0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.1, 4.39]


def bard(x):
    u = _times(x, 15, 1.0)
    v = 16 - u
    return jnp.asarray(BARD, x.dtype) - (x[0] + u / (v * x[1] + jnp.minimum(u, v) * x[2]))


KOWALIK = [
    [0.1957, 0.1947, 0.1735, 0.16, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246],
    [4, 2, 1, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625],
]


def kowalik_osborne(x):
    y, u = jnp.asarray(KOWALIK, x.dtype)
    return y - x[0] * (u**2 + u * x[1]) / (u**2 + u * x[2] + x[3])


MEYER = [34780, 28610, 23650, 19630, 16370, 13720, 11540, 9744]
MEYER += [8261, 7030, 6005, 5147, 4427, 3820, 3307, 2872]


def meyer(x):
    t = 45 + _times(x, 16, 5.0)
    return x[0] * jnp.exp(x[1] / (t + x[2])) - jnp.asarray(MEYER, x.dtype)


def brown_almost_linear(x):
    return jnp.concatenate([x[:-1] + jnp.sum(x) - (x.shape[0] + 1), (jnp.prod(x) - 1)[None]])


def discrete_boundary_value(x):
    h = 1 / (x.shape[0] + 1)
    padded = jnp.pad(x, 1)
    bend = 2 * x - padded[:-2] - padded[2:]
    return bend + h**2 * (x + h * _index(x) + 1) ** 3 / 2


def discrete_integral(x):
    h = 1 / (x.shape[0] + 1)
    t = h * _index(x)
    cubes = (x + t + 1) ** 3
    kernel = jnp.where(
        t[:, None] >= t[None, :], (1 - t)[:, None] * t[None, :], t[:, None] * (1 - t)[None, :]
    )
    return x + h * (kernel @ cubes) / 2


def broyden_tridiagonal(x):
    padded = jnp.pad(x, 1)
    return (3 - 2 * x) * x - padded[:-2] - 2 * padded[2:] + 1


def broyden_banded(x):
    term = x * (1 + x)
    wide = jnp.pad(term, (5, 1))
    n = x.shape[0]
    near = sum(wide[k : k + n] for k in (0, 1, 2, 3, 4, 6))
    return x * (2 + 5 * x**2) + 1 - near


def _squares(residuals: Callable) -> Callable:
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
    _problem(helical_valley, [-1, 0, 0], 0.0),
    _problem(biggs_exp6, [1, 2, 1, 1, 1, 1], 0.0, 5.65565e-3, 0.306366),
    _problem(gaussian, [0.4, 1, 0], 1.12793e-8),
    _problem(powell_badly_scaled, [0, 1], 0.0),
    _problem(box_three_dimensional, [0, 10, 20], 0.0),
    _problem(variably_dimensioned, 1 - np.arange(1, 11) / 10, 0.0),
    _problem(watson, np.zeros(6), 2.28767e-3),
    _problem(penalty_one, np.arange(1, 11), 7.08765e-5),
    _problem(penalty_two, np.full(10, 0.5), 2.93660e-4),
    _problem(brown_badly_scaled, [1, 1], 0.0),
    _problem(brown_dennis, [25, 5, -5, -1], 85822.2),
    _problem(gulf, [5, 2.5, 0.15], 0.0),
    _problem(trigonometric, np.full(10, 0.1), 0.0, 2.79506e-5),
    _problem(extended_rosenbrock, np.tile([-1.2, 1], 50), 0.0),
    _problem(extended_powell_singular, np.tile([3, -1, 0, 1], 25), 0.0),
    _problem(beale, [1, 1], 0.0),
    _problem(wood, [-3, -1, -3, -1], 0.0),
    _problem(chebyquad, _ramp(8), 3.51687e-3),
)

LEAST_SQUARES = (
    _problem(freudenstein_roth, [0.5, -2], 0.0, 48.9842),
    _problem(jennrich_sampson, [0.3, 0.4], 124.362),
    _problem(bard, [1, 1, 1], 8.21487e-3, 17.4286),
    _problem(kowalik_osborne, [0.25, 0.39, 0.415, 0.39], 3.07505e-4, 1.02734e-3),
    _problem(meyer, [0.02, 4000, 250], 87.9458),
    _problem(brown_almost_linear, np.full(10, 0.5), 0.0, 1.0),
    _problem(discrete_boundary_value, _trapezoid(10), 0.0),
    _problem(discrete_integral, _trapezoid(10), 0.0),
    _problem(broyden_tridiagonal, np.full(10, -1.0), 0.0),
    _problem(broyden_banded, np.full(10, -1.0), 0.0),
    _problem(watson, np.zeros(9), 1.39976e-6),
)
