"""The rewriting of convolutions changes their speed and nothing else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.optim import minimize
from jaxnets.optim.second_order._xla import convolutions_for_cpu
from jaxnets.optim.second_order.memory_size import count_operations

LAYOUTS = [("NHWC", "HWIO", "NHWC"), ("NCHW", "OIHW", "NCHW"), ("HWNC", "IHWO", "CNHW")]


@pytest.mark.parametrize("layouts", LAYOUTS)
@pytest.mark.parametrize("groups", [1, 2])
def test_values_and_gradients_stay_the_same(x64, layouts, groups):
    rng = np.random.default_rng(0)
    sizes = {"N": 3, "H": 7, "W": 6, "C": 4}
    image = jnp.asarray(rng.normal(size=[sizes[a] for a in layouts[0]]))
    sizes = {"H": 3, "W": 2, "I": 4 // groups, "O": 6}
    kernel = jnp.asarray(rng.normal(size=[sizes[a] for a in layouts[1]]))

    def fun(image, kernel):
        out = jax.lax.conv_general_dilated(
            image,
            kernel,
            (2, 1),
            ((1, 2), (0, 1)),
            rhs_dilation=(1, 2),
            dimension_numbers=layouts,
            feature_group_count=groups,
        )
        return jnp.sum(jax.jit(jnp.sin)(out) * jnp.arange(out.size).reshape(out.shape))

    both = jax.value_and_grad(fun, (0, 1))
    program = jax.make_jaxpr(both)(image, kernel)
    run = convolutions_for_cpu(program.jaxpr)
    value, *gradients = run(program.consts, [image, kernel])
    expected, wanted = both(image, kernel)
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    for got, want in zip(gradients, wanted, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-10)


def test_programs_without_convolutions_are_left_alone():
    program = jax.make_jaxpr(lambda a: jnp.sin(a @ a))(jnp.ones((3, 3)))
    assert convolutions_for_cpu(program.jaxpr) is None


def test_minimize_trains_a_convolution(x64):
    rng = np.random.default_rng(1)
    images = jnp.asarray(rng.normal(size=(8, 6, 6, 2)))
    true = jnp.asarray(rng.normal(size=(3, 3, 2, 2)))

    def apply(kernel):
        return jax.lax.conv_general_dilated(
            images, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    target = apply(true)
    result = minimize(lambda k: jnp.mean((apply(k) - target) ** 2), jnp.zeros((3, 3, 2, 2)))
    assert bool(result.converged)
    np.testing.assert_allclose(result.x, true, atol=1e-4)


def test_operations_are_counted_through_loops_branches_and_convolutions():
    def fun(a, image, kernel):
        def body(carry, _):
            return carry @ a, None

        out, _ = jax.lax.scan(body, a, None, length=5)
        out = jax.lax.cond(out[0, 0] > 0, lambda x: x @ a @ a, lambda x: x @ a, out)
        conv = jax.lax.conv_general_dilated(
            image, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return out, conv

    shapes = jnp.ones((10, 10)), jnp.ones((2, 8, 8, 3)), jnp.ones((3, 3, 3, 4))
    total = count_operations(jax.make_jaxpr(fun)(*shapes).jaxpr)
    expected = 7 * 2 * 10**3 + 2 * (2 * 6 * 6 * 4) * (3 * 3 * 3)
    assert expected <= total <= 1.05 * expected
