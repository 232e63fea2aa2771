"""Every shape that the benchmark of convolutions measures can be done as `auto` chooses."""

import jax
import jax.numpy as jnp
import pytest

from jaxnets.ops.convolution.algorithms import ALGORITHMS
from jaxnets.ops.convolution.choose import choose
from jaxnets.ops.convolution.plan import DIRECT
from jaxnets.ops.convolution.problem import make_problem
from jaxnets.study.convolution.shapes import all_cases


@pytest.mark.parametrize("case", all_cases(), ids=lambda c: f"{c.family} {c.name}")
def test_what_auto_chooses_can_be_done(case):
    shapes = [jax.ShapeDtypeStruct(s, "float32") for s in (case.x, case.kernel)]
    problem = make_problem(*shapes, **case.arguments)
    plan = choose(problem, jnp.float32, "cpu")
    for name in (plan.forward, plan.input_gradient, plan.kernel_gradient):
        assert ALGORITHMS[name].unsupported(problem) is None
    assert plan == choose(problem, jnp.float32, "cpu")
    assert choose(problem, jnp.float64, "cpu") == DIRECT
    assert choose(problem, jnp.float32, "gpu") == choose(problem, jnp.float32, "tpu") == DIRECT
