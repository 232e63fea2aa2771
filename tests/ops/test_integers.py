"""Noise that scales its input takes floating numbers only: integers would be cut to zero."""

import jax
import jax.numpy as jnp
import pytest

from jaxnets import ops

KEY = jax.random.key(0)
X = jnp.arange(1, 9).reshape(4, 2)


@pytest.mark.parametrize(
    "call",
    [
        lambda: ops.dropout(KEY, X, 0.25),
        lambda: ops.dropout_at_test(X, 0.25),
        lambda: ops.stochastic_depth(KEY, X, 0.25),
        lambda: ops.stochastic_depth_at_test(X, 0.25),
        lambda: ops.gaussian_noise(KEY, X),
        lambda: ops.join_paths([X, X], jnp.ones((4, 2))),
        lambda: ops.dropout(KEY, X > 3, 0.25),
    ],
)
def test_integers_are_refused(call):
    with pytest.raises(ValueError, match="expected floating numbers"):
        call()
