"""Residuals of the least-squares and equation sets of Moré, Garbow and Hillstrom.

Each function takes x of shape (n,) and returns a vector, the sum of whose squares is minimized.
Numbers are those of the paper's list of functions.

Source: Moré, Garbow, Hillstrom, "Testing unconstrained optimization software", ACM TOMS 7 (1981),
section 3.
"""

import jax.numpy as jnp

from jaxnets.optim.second_order.problems.unconstrained import index, times


def freudenstein_roth(x):
    """Freudenstein and Roth's function, problem 2; n = 2."""
    return jnp.stack(
        [
            -13 + x[0] + ((5 - x[1]) * x[1] - 2) * x[1],
            -29 + x[0] + ((x[1] + 1) * x[1] - 14) * x[1],
        ]
    )


def jennrich_sampson(x):
    """Jennrich and Sampson's function with m = 10, problem 6; n = 2."""
    i = times(x, 10, 1.0)
    return 2 + 2 * i - (jnp.exp(i * x[0]) + jnp.exp(i * x[1]))


BARD = [0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.1, 4.39]


def bard(x):
    """Bard's function of fifteen values, problem 8; n = 3."""
    u = times(x, 15, 1.0)
    v = 16 - u
    return jnp.asarray(BARD, x.dtype) - (x[0] + u / (v * x[1] + jnp.minimum(u, v) * x[2]))


KOWALIK = [
    [0.1957, 0.1947, 0.1735, 0.16, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246],
    [4, 2, 1, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625],
]


def kowalik_osborne(x):
    """Kowalik and Osborne's function of eleven values, problem 15; n = 4."""
    y, u = jnp.asarray(KOWALIK, x.dtype)
    return y - x[0] * (u**2 + u * x[1]) / (u**2 + u * x[2] + x[3])


MEYER = [34780, 28610, 23650, 19630, 16370, 13720, 11540, 9744]
MEYER += [8261, 7030, 6005, 5147, 4427, 3820, 3307, 2872]


def meyer(x):
    """Meyer's function of sixteen values, problem 10; n = 3."""
    t = 45 + times(x, 16, 5.0)
    return x[0] * jnp.exp(x[1] / (t + x[2])) - jnp.asarray(MEYER, x.dtype)


def brown_almost_linear(x):
    """Brown's almost linear function, problem 27; any n."""
    return jnp.concatenate([x[:-1] + jnp.sum(x) - (x.shape[0] + 1), (jnp.prod(x) - 1)[None]])


def discrete_boundary_value(x):
    """A discretized boundary value problem, problem 28; any n."""
    h = 1 / (x.shape[0] + 1)
    padded = jnp.pad(x, 1)
    bend = 2 * x - padded[:-2] - padded[2:]
    return bend + h**2 * (x + h * index(x) + 1) ** 3 / 2


def discrete_integral(x):
    """A discretized integral equation, problem 29; any n."""
    h = 1 / (x.shape[0] + 1)
    t = h * index(x)
    cubes = (x + t + 1) ** 3
    kernel = jnp.where(
        t[:, None] >= t[None, :], (1 - t)[:, None] * t[None, :], t[:, None] * (1 - t)[None, :]
    )
    return x + h * (kernel @ cubes) / 2


def broyden_tridiagonal(x):
    """Broyden's tridiagonal function, problem 30; any n."""
    padded = jnp.pad(x, 1)
    return (3 - 2 * x) * x - padded[:-2] - 2 * padded[2:] + 1


def broyden_banded(x):
    """Broyden's banded function, problem 31; any n."""
    term = x * (1 + x)
    wide = jnp.pad(term, (5, 1))
    n = x.shape[0]
    near = sum(wide[k : k + n] for k in (0, 1, 2, 3, 4, 6))
    return x * (2 + 5 * x**2) + 1 - near
