"""`materialize` is the identity for every transformation, and a value that CPU computes once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.ops import materialize


@pytest.mark.parametrize("shape", [(), (5,), (2, 3, 4), (0, 3)])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.int32, jnp.bool_])
def test_it_is_the_identity_bit_by_bit(shape, dtype):
    x = jnp.asarray(np.random.default_rng(0).standard_normal(shape), dtype)
    got = jax.jit(materialize)(x)
    assert got.dtype == x.dtype
    np.testing.assert_array_equal(got, x)
    np.testing.assert_array_equal(materialize(x), x)


def test_infinities_and_nan_pass():
    x = jnp.array([[jnp.nan, -jnp.inf], [jnp.inf, 1.0]])
    np.testing.assert_array_equal(jax.jit(materialize)(x), x)


def test_derivatives_of_any_order_and_mode_and_vmap_are_those_of_the_identity():
    x = jnp.arange(1.0, 4.0)

    def f(x):
        return (materialize(x) ** 3).sum()

    np.testing.assert_allclose(jax.grad(f)(x), 3 * x**2, rtol=1e-6)
    np.testing.assert_allclose(jax.hessian(f)(x), jnp.diag(6 * x), rtol=1e-6)
    np.testing.assert_allclose(jax.jvp(f, (x,), (x,))[1], 3 * (x**3).sum(), rtol=1e-6)
    np.testing.assert_array_equal(jax.vmap(materialize)(x), x)
    np.testing.assert_allclose(jax.grad(jax.checkpoint(f))(x), 3 * x**2, rtol=1e-6)


def test_on_cpu_readers_do_not_compute_it_again():
    """Without it XLA puts the sums of two residual blocks into the loops of all readers."""

    def f(written, a, b):
        first = written(jnp.maximum(a + b, 0))
        second = written(jnp.maximum(first + 2 * a, 0))
        # A matrix product, and one that transposes its operand, as a kernel gradient does.
        return first @ b, second @ b, second.T @ b[:, :8]

    a = jnp.ones((64, 64))

    def rectifications(written):
        text = jax.jit(f, static_argnums=0).lower(written, a, a).compile().as_text()
        return text.count(" maximum(")

    assert rectifications(materialize) == 2
    assert rectifications(lambda x: x) > 2
