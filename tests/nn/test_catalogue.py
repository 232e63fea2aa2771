"""What must hold for every module of the catalogue."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from catalogue import MODULES


@pytest.fixture(autouse=True)
def no_axis_is_added_silently():
    with jax.numpy_rank_promotion("raise"):
        yield


every_module = pytest.mark.parametrize("case", MODULES, ids=lambda case: case.name)


def start(case, **fields):
    """The module, its variables, and a pure function (variables, x) → (y, updates)."""
    module = case.build(**fields)
    rngs = {name: jax.random.PRNGKey(1) for name in case.rngs}

    def apply(variables, x):
        y, updates = module.apply(variables, x, mutable=["batch_stats"], rngs=rngs, **case.call)
        return y, {**variables, **updates}

    x = jnp.asarray(case.input())
    variables = jax.jit(lambda key: module.init({"params": key, **rngs}, x, **case.call))(
        jax.random.PRNGKey(0)
    )
    return module, variables, apply, x


@every_module
def test_every_parameter_gets_a_gradient(case):
    _, variables, apply, x = start(case)
    params = variables.get("params", {})
    weights = np.random.default_rng(1).standard_normal(99).astype(np.float32)

    def loss(params, x):
        y, _ = apply({**variables, "params": params}, x)
        return (jnp.sin(y).ravel() * jnp.resize(weights, y.size)).sum()

    gradients = jax.jit(jax.grad(loss, (0, 1)))(params, x)
    for path, gradient in jax.tree_util.tree_leaves_with_path(gradients):
        assert jnp.isfinite(gradient).all(), path
        assert jnp.abs(gradient).max() > 1e-5, path


@every_module
def test_second_call_compiles_nothing(case):
    """Updated state and parameters have the shapes, dtypes and weak types of the first ones."""
    _, variables, apply, x = start(case)
    traces = []

    @jax.jit
    def step(variables, x):
        traces.append(1)
        y, variables = apply(variables, x)
        return y, {**variables, **jax.tree.map(lambda p: p - 0.1, {**variables})}

    for _ in range(3):
        _, variables = step(variables, x)
    assert len(traces) == 1


@every_module
def test_parameters_are_float32_and_dtype_is_the_computes(case):
    _, variables, apply, x = start(case, dtype=jnp.bfloat16)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} <= {jnp.dtype(jnp.float32)}
    narrow, updates = jax.jit(apply)(variables, x.astype(jnp.bfloat16))
    assert narrow.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(updates)} <= {jnp.dtype(jnp.float32)}
    _, _, wide_apply, _ = start(case)
    wide, _ = jax.jit(wide_apply)(variables, x.astype(jnp.bfloat16).astype(jnp.float32))
    # A bfloat16 has 8 bits; sums of 36 products round once more at the end.
    np.testing.assert_allclose(narrow.astype(jnp.float32), wide, rtol=2**-5, atol=2**-5)
