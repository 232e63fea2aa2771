"""Residuals of the unconstrained set of Moré, Garbow and Hillstrom, in its order.

Each function takes x of shape (n,) and returns a vector, the sum of whose squares is minimized.
Numbers are those of the paper's list of functions.

Source: Moré, Garbow, Hillstrom, "Testing unconstrained optimization software", ACM TOMS 7 (1981),
section 3.
"""

import jax.numpy as jnp
import numpy as np


def index(x):
    """1, 2, …, n in the dtype of x."""
    return jnp.arange(1, x.shape[0] + 1, dtype=x.dtype)


def times(x, count, scale):
    """scale, 2 scale, …, count · scale in the dtype of x."""
    return scale * jnp.arange(1, count + 1, dtype=x.dtype)


def helical_valley(x):
    """Fletcher and Powell's helical valley, problem 7; n = 3."""
    turn = jnp.arctan2(x[1], x[0]) / (2 * jnp.pi)
    # The paper's angle runs over (-1/4, 3/4) turns, cut along x₁ = 0, x₂ < 0.
    turn = jnp.where((x[0] < 0) & (x[1] < 0), turn + 1, turn)
    return jnp.stack([10 * (x[2] - 10 * turn), 10 * (jnp.hypot(x[0], x[1]) - 1), x[2]])


def biggs_exp6(x):
    """Biggs's sum of three exponentials, problem 18; n = 6."""
    t = times(x, 13, 0.1)
    y = jnp.exp(-t) - 5 * jnp.exp(-10 * t) + 3 * jnp.exp(-4 * t)
    model = x[2] * jnp.exp(-t * x[0]) - x[3] * jnp.exp(-t * x[1]) + x[5] * jnp.exp(-t * x[4])
    return model - y


GAUSSIAN = np.array(
    [9, 44, 175, 540, 1295, 2420, 3521, 3989, 3521, 2420, 1295, 540, 175, 44, 9]
) / np.array(1e4)


def gaussian(x):
    """A Gaussian fitted to fifteen values, problem 9; n = 3."""
    t = (8 - times(x, 15, 1.0)) / 2
    return x[0] * jnp.exp(-x[1] * (t - x[2]) ** 2 / 2) - jnp.asarray(GAUSSIAN, x.dtype)


def powell_badly_scaled(x):
    """Powell's badly scaled function, problem 3; n = 2."""
    return jnp.stack([1e4 * x[0] * x[1] - 1, jnp.exp(-x[0]) + jnp.exp(-x[1]) - 1.0001])


def box_three_dimensional(x):
    """Box's function of three variables, problem 12; n = 3."""
    t = times(x, 10, 0.1)
    return jnp.exp(-t * x[0]) - jnp.exp(-t * x[1]) - x[2] * (jnp.exp(-t) - jnp.exp(-10 * t))


def variably_dimensioned(x):
    """The variably dimensioned function, problem 25; any n."""
    total = jnp.sum(index(x) * (x - 1))
    return jnp.concatenate([x - 1, jnp.stack([total, total**2])])


def watson(x):
    """Watson's polynomial for a differential equation, problem 20; n from 2 to 31."""
    t = times(x, 29, 1 / 29)
    powers = t[:, None] ** jnp.arange(x.shape[0])
    derivative = powers[:, :-1] @ (index(x)[:-1] * x[1:])
    return jnp.concatenate(
        [derivative - (powers @ x) ** 2 - 1, jnp.stack([x[0], x[1] - x[0] ** 2 - 1])]
    )


def penalty_one(x):
    """Penalty function I, problem 23; any n."""
    return jnp.concatenate([1e-5**0.5 * (x - 1), (jnp.sum(x**2) - 0.25)[None]])


def penalty_two(x):
    """Penalty function II, problem 24; any n."""
    n = x.shape[0]
    i = index(x)[1:]
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
    """Brown's badly scaled function, problem 4; n = 2."""
    return jnp.stack([x[0] - 1e6, x[1] - 2e-6, x[0] * x[1] - 2])


def brown_dennis(x):
    """Brown and Dennis's function with m = 20, problem 16; n = 4."""
    t = times(x, 20, 0.2)
    left = x[0] + t * x[1] - jnp.exp(t)
    right = x[2] + x[3] * jnp.sin(t) - jnp.cos(t)
    return left**2 + right**2


def gulf(x):
    """The Gulf research and development function with m = 99, problem 11; n = 3."""
    t = times(x, 99, 0.01)
    y = 25 + (-50 * jnp.log(t)) ** (2 / 3)
    return jnp.exp(-(jnp.abs(y - x[1]) ** x[2]) / x[0]) - t


def trigonometric(x):
    """The trigonometric function, problem 26; any n."""
    n = x.shape[0]
    return n - jnp.sum(jnp.cos(x)) + index(x) * (1 - jnp.cos(x)) - jnp.sin(x)


def extended_rosenbrock(x):
    """Rosenbrock's valley, n / 2 times side by side, problem 21; n even."""
    return jnp.concatenate([10 * (x[1::2] - x[::2] ** 2), 1 - x[::2]])


def extended_powell_singular(x):
    """Powell's function with a singular Hessian, problem 22; n a multiple of 4."""
    a, b, c, d = x[::4], x[1::4], x[2::4], x[3::4]
    return jnp.concatenate([a + 10 * b, 5**0.5 * (c - d), (b - 2 * c) ** 2, 10**0.5 * (a - d) ** 2])


def beale(x):
    """Beale's function, problem 5; n = 2."""
    i = times(x, 3, 1.0)
    return jnp.asarray([1.5, 2.25, 2.625], x.dtype) - x[0] * (1 - x[1] ** i)


def wood(x):
    """Wood's function, problem 14; n = 4."""
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
    """Equal-weight quadrature by Chebyshev polynomials, problem 35; any n."""
    n = x.shape[0]
    before, now = jnp.ones_like(x), 2 * x - 1
    rows = []
    for i in range(1, n + 1):
        integral = -1 / (i**2 - 1) if i % 2 == 0 else 0.0
        rows.append(jnp.mean(now) - integral)
        before, now = now, 2 * (2 * x - 1) * now - before
    return jnp.stack(rows)
