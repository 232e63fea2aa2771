"""Multiply-accumulates counted by hand, and independent of the algorithm that runs."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxnets.models import count_macs, count_parameters, create_model
from jaxnets.models.counting import jaxpr_macs
from jaxnets.nn import Conv


def macs(function, *shapes):
    inputs = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    return jaxpr_macs(jax.make_jaxpr(function)(*inputs).jaxpr)


def conv2d(x, kernel, **more):
    numbers = ("NHWC", "HWIO", "NHWC")
    more = {"window_strides": (1, 1), "padding": "VALID", **more}
    return lax.conv_general_dilated(x, kernel, dimension_numbers=numbers, **more)


def test_a_convolution_counts_every_tap_of_every_output():
    assert macs(conv2d, (1, 8, 8, 3), (3, 3, 3, 5)) == 6 * 6 * 5 * 27
    strided = lambda x, k: conv2d(x, k, window_strides=(2, 2), padding=[(1, 1)] * 2)  # noqa: E731
    assert macs(strided, (2, 8, 8, 3), (3, 3, 3, 5)) == 2 * 4 * 4 * 5 * 27


def test_groups_divide_and_dilation_does_not_change_the_taps():
    grouped = lambda x, k: conv2d(x, k, feature_group_count=2)  # noqa: E731
    assert macs(grouped, (1, 8, 8, 4), (3, 3, 2, 6)) == 36 * 6 * 9 * 2
    dilated = lambda x, k: conv2d(x, k, rhs_dilation=(2, 2))  # noqa: E731
    assert macs(dilated, (1, 8, 8, 4), (3, 3, 4, 6)) == 16 * 6 * 9 * 4


def test_a_transposed_convolution_counts_every_tap_of_every_input():
    up = lambda x, k: conv2d(x, k, lhs_dilation=(2, 2), padding=[(3, 3)] * 2)  # noqa: E731
    assert macs(up, (1, 5, 5, 4), (4, 4, 4, 6)) == 25 * 16 * 4 * 6


def test_products_batches_loops_and_branches():
    product = lambda a, b: jnp.einsum("bij,bjk->bik", a, b)  # noqa: E731
    assert macs(product, (2, 3, 4), (2, 4, 5)) == 2 * 3 * 4 * 5
    loop = lambda a, b: lax.scan(lambda c, _: (c @ b, None), a, None, length=7)[0]  # noqa: E731
    assert macs(loop, (3, 4), (4, 4)) == 7 * 3 * 4 * 4
    branch = lambda a, b: lax.cond(a[0, 0] > 0, lambda: a @ b, lambda: a @ (b @ b))  # noqa: E731
    assert macs(branch, (3, 4), (4, 4)) == 3 * 16 + 64
    inside = jax.jit(lambda a, b: jax.checkpoint(lambda a: a @ b)(a))
    assert macs(inside, (3, 4), (4, 4)) == 48


class Elsewhere(nn.Module):
    """A layer whose algorithm is not a convolution at all."""

    algorithm: str = "fancy"

    @nn.compact
    def __call__(self, x):
        kernel = self.param("kernel", nn.initializers.ones_init(), (3, 3, x.shape[-1], 2))
        if self.algorithm == "direct":
            return conv2d(x, kernel)
        return x[:, 1:-1, 1:-1, :2] * kernel.sum()


class Around(nn.Module):
    num_classes: int = 1

    @nn.compact
    def __call__(self, x, *, train=False):
        return Elsewhere(name="a")(x)


def test_counts_do_not_depend_on_the_algorithm():
    assert count_macs(Around(), (8, 8, 3)) == 36 * 2 * 27
    # Counting leaves the network as it was.
    model = Around()
    count_macs(model, (8, 8, 3))
    assert model.bind({"params": {"a": {"kernel": np.ones((3, 3, 3, 2))}}})(
        jnp.ones((1, 4, 4, 3))
    ).shape == (1, 2, 2, 2)
    assert Conv(3, (3, 3)).algorithm == "auto"


def test_counts_of_networks_and_variables():
    model = create_model("lenet5", num_classes=3)
    assert count_parameters(model, (28, 28, 1)) == 61_706 - 7 * 85
    assert count_parameters({"params": {"a": np.ones((2, 3))}, "batch_stats": np.ones(9)}) == 6
    assert count_parameters({"a": np.ones((2, 3)), "b": np.ones(4)}) == 10
    assert count_macs("resnet18", (448, 448, 3)) == 4 * (count_macs("resnet18") - 512_000) + 512_000
    with pytest.raises(ValueError, match="needs input_shape"):
        count_parameters(model)
