"""A training step on either convolution: the same parameters, the same arithmetic."""

import jax
import numpy as np
import pytest

from jaxnets.nn import Conv
from jaxnets.study.convolution import networks


@pytest.mark.parametrize(
    "arguments",
    [
        {"kernel_size": (3, 3), "strides": 2, "padding": 1},
        {"kernel_size": (3, 3), "padding": ((0, 1), (2, 0)), "groups": 2, "use_bias": False},
        {"kernel_size": (3, 3), "padding": "VALID", "dilation": 2},
    ],
)
def test_flax_conv_reads_the_fields_of_conv(arguments):
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 4)).astype(np.float32)
    ours, flax = Conv(6, **arguments), networks.flax_conv(6, **arguments)
    variables = ours.init(jax.random.key(0), x)
    np.testing.assert_allclose(ours.apply(variables, x), flax.apply(variables, x), atol=1e-5)


def test_both_steps_have_the_same_variables():
    structures = []
    for conv in (Conv, networks.flax_conv):
        step, arguments = networks.training_step("resnet20", conv, 2, 16)
        variables, momentum, loss = jax.eval_shape(step, *arguments)
        assert jax.tree.map(np.shape, (variables, momentum)) == jax.tree.map(
            np.shape, arguments[:2]
        )
        assert loss.shape == ()
        structures.append(jax.tree.map(np.shape, variables))
    assert structures[0] == structures[1]
