"""What must hold for every function of the catalogue: operations, losses, metrics, noise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from catalogue import FUNCTIONS
from jax.test_util import check_grads

# These say themselves what their derivatives are, so that also the second is theirs to get right.
OWN_DERIVATIVES = ("sigmoid", "max_pool", "local_response_norm", "batch_norm")

every_op = pytest.mark.parametrize("op", FUNCTIONS, ids=lambda op: op.name)


@every_op
def test_jit_does_not_change_the_result(op):
    x = [jnp.asarray(a) for a in op.inputs()]
    traces = []

    @jax.jit
    def compiled(*x):
        traces.append(1)
        return op.function(*x)

    y = compiled(*x)
    assert y.dtype == op.result_dtype(jnp.float32) and jnp.isfinite(y).all()
    # XLA may join multiplications and additions: a few units in the last place.
    np.testing.assert_allclose(y, op.function(*x), rtol=1e-5, atol=1e-6)
    compiled(*(a + 1 for a in x))
    assert len(traces) == 1


@every_op
def test_vmap_equals_a_loop(op):
    a = [jnp.asarray(x) for x in op.inputs()]
    b = [x[..., ::-1] * 1.5 for x in a]
    stacked = [jnp.stack(pair) for pair in zip(a, b, strict=True)]
    one = jax.jit(op.function)
    result = jax.jit(jax.vmap(op.function))(*stacked)
    np.testing.assert_allclose(result, jnp.stack([one(*a), one(*b)]), rtol=1e-5, atol=1e-6)


@every_op
def test_bfloat16_goes_in_and_comes_out(op):
    narrow = [jnp.asarray(a, jnp.bfloat16) for a in op.inputs()]
    y = jax.jit(op.function)(*narrow)
    assert y.dtype == op.result_dtype(jnp.bfloat16)
    expected = jax.jit(op.function)(*(a.astype(jnp.float32) for a in narrow))
    # A bfloat16 has 8 bits of mantissa; some operations round more than once.
    np.testing.assert_allclose(y.astype(jnp.float32), expected, rtol=2**-6, atol=2**-6)


@every_op
def test_float64_stays_float64(op, x64):
    y = jax.jit(op.function)(*(jnp.asarray(a) for a in op.inputs(np.float64)))
    assert y.dtype == op.result_dtype(jnp.float64)
    single = jax.jit(op.function)(*(jnp.asarray(a) for a in op.inputs(np.float32)))
    np.testing.assert_allclose(y, single, rtol=1e-5, atol=1e-5)  # float32's rounding, only


@pytest.mark.parametrize(
    "op", [op for op in FUNCTIONS if op.differentiable], ids=lambda op: op.name
)
def test_derivatives_are_those_of_the_function(op, x64):
    """Forward and reverse mode, against finite differences in float64."""
    x = [jnp.asarray(a) for a in op.inputs(np.float64)]
    order = 2 if op.name.startswith(OWN_DERIVATIVES) else 1
    # Central differences of step 1e-5: about 1e-10 from the step, 1e-11 from rounding.
    check_grads(jax.jit(op.function), x, order=order, atol=1e-5, rtol=1e-5, eps=1e-5)


@pytest.mark.parametrize(
    "op", [op for op in FUNCTIONS if not op.differentiable], ids=lambda op: op.name
)
def test_derivatives_are_finite_where_they_say_nothing(op):
    """A metric inside a loss must not turn gradients into NaN."""
    x = [jnp.asarray(a) for a in op.inputs()]
    gradients = jax.jit(jax.grad(lambda x: op.function(*x).astype(jnp.float32).sum()))(x)
    assert all(jnp.isfinite(gradient).all() for gradient in gradients)
