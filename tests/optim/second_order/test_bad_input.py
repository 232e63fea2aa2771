"""Mistakes of a caller, and what they are told."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.errors import UnknownNameError
from jaxnets.optim import minimize


def square(x):
    return jnp.sum(x**2)


@pytest.mark.parametrize(
    ("fun", "start", "options", "message"),
    [
        (lambda x: x**2, np.ones(3), {}, r"one real number, got float\d+\[3\].*jnp.mean"),
        (lambda x: (square(x), 1.0), np.ones(3), {}, "has_aux=True"),
        (square, np.ones(3), {"has_aux": True}, r"\(value, aux\)"),
        (lambda x: jnp.sum(x > 0), np.ones(3), {}, "one real number"),
        (lambda x: jnp.sum(jnp.log(x)), -np.ones(3), {}, "not finite at x0.*nan"),
        (lambda x: jnp.sum(1 / x), np.zeros(3), {}, "not finite at x0.*inf"),
        (lambda x: jnp.sum(jnp.sqrt(x)), np.zeros(3), {}, "gradient entry inf"),
        (square, np.arange(3), {}, "dtype int.*real floating-point"),
        (square, {"a": np.ones(2, complex)}, {}, r"x0\['a'\].*complex"),
        (square, {}, {}, "holds no numbers"),
        (square, np.zeros(0), {}, "holds no numbers"),
        (square, np.ones(3), {"tol": -1e-3}, "tol must be at least 0"),
        (square, np.ones(3), {"tol": np.nan}, "tol must be a finite number"),
        (square, np.ones(3), {"tol": np.inf}, "tol must be a finite number"),
        (square, np.ones(3), {"max_iterations": -1}, "max_iterations"),
        (square, np.ones(3), {"memory_size": 0}, "memory_size must be at least 1"),
    ],
)
def test_mistakes_raise_with_what_came_and_what_to_do(fun, start, options, message):
    with pytest.raises(ValueError, match=message):
        minimize(fun, start, **options)


def test_a_gradient_of_another_shape_is_refused():
    def short(x):
        return square(x), x[:2]

    def wrapped(x):
        return square(x), {"g": x}

    with pytest.raises(ValueError, match=r"shape \(2,\).*parameter \(3,\)"):
        minimize(short, jnp.ones(3), value_and_grad=True)
    with pytest.raises(ValueError, match="structure"):
        minimize(wrapped, jnp.ones(3), value_and_grad=True)
    with pytest.raises(ValueError, match=r"\(value, gradient\)"):
        minimize(square, jnp.ones(3), value_and_grad=True)


def test_an_unknown_method_names_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'lbfgs'"):
        minimize(square, jnp.ones(3), method="l-bfgs")
