"""A network without its dead filters computes what it did with them."""

import jax
import numpy as np
import pytest
from flax import linen as nn

from jaxnets.compress import Smaller, apply_mask, magnitude_mask, remove_filters
from jaxnets.errors import JaxnetsError
from jaxnets.models import create_model
from jaxnets.models.counting import abstract_variables
from jaxnets.nn import BatchNorm, Conv, Dense

CHAIN = ("conv1", "conv2", "fc1", "fc2")


def filled(model, shape):
    random = np.random.default_rng(0)
    return jax.tree.map(
        lambda leaf: random.standard_normal(leaf.shape).astype(np.float32) / 4,
        abstract_variables(model, shape),
    )


def pruned(params):
    mask = magnitude_mask(params, {"conv1": 0.5, "conv2": 0.34, "fc1": 0.75}, structure="filters")
    return jax.device_get(apply_mask(params, mask))


def test_lenet_with_fewer_filters():
    model = create_model("lenet5_caffe", widths=(4, 6, 8))
    variables = {"params": pruned(filled(model, (16, 16, 1))["params"])}
    smaller = remove_filters(variables, CHAIN)
    assert isinstance(smaller, Smaller)
    assert smaller.widths == {"conv1": 2, "conv2": 4, "fc1": 2, "fc2": 10}
    x = np.random.default_rng(1).standard_normal((3, 16, 16, 1)).astype(np.float32)
    small = create_model("lenet5_caffe", widths=(2, 4, 2))
    expected = model.apply(variables, x)
    # The same products in another order.
    np.testing.assert_allclose(small.apply(smaller.variables, x), expected, rtol=1e-5, atol=1e-5)


class Normed(nn.Module):
    width: int = 6

    @nn.compact
    def __call__(self, x, *, train=False):
        x = Conv(self.width, (3, 3), use_bias=False, name="conv")(x)
        x = nn.relu(BatchNorm(name="bn")(x, train=train))
        return Dense(2, name="head")(x.reshape(x.shape[0], -1))


def test_normalization_goes_with_its_layer():
    model = Normed()
    variables = jax.tree.map(np.abs, filled(model, (5, 5, 2)))
    gone = np.array([1, 0, 0, 1, 0, 0], bool)
    params = variables["params"]
    for name in ("scale", "bias"):
        params["bn"][name] = np.where(gone, 0, params["bn"][name])
    mask = {"conv": {"kernel": np.broadcast_to(~gone, (3, 3, 2, 6))}}
    smaller = remove_filters(variables, [("conv", "bn"), "head"], mask=mask)
    assert smaller.variables["batch_stats"]["bn"]["mean"].shape == (4,)
    x = np.random.default_rng(1).standard_normal((3, 5, 5, 2)).astype(np.float32)
    found = Normed(4).apply(smaller.variables, x)
    np.testing.assert_allclose(found, model.apply(variables, x), rtol=1e-5, atol=1e-5)


def test_what_cannot_be_cut_is_refused():
    model = create_model("lenet5_caffe", widths=(4, 6, 8))
    params = pruned(filled(model, (16, 16, 1))["params"])
    with pytest.raises(JaxnetsError, match="no layer 'conv3'; there are conv1, conv2"):
        remove_filters({"params": params}, ("conv1", "conv3"))
    with pytest.raises(JaxnetsError, match="conv2 has 4 inputs, no multiple of the 6"):
        remove_filters({"params": params}, ("conv2", "conv2"))
    params["conv1"]["bias"] = np.ones(4, np.float32)
    with pytest.raises(JaxnetsError, match="conv1/bias is not 0"):
        remove_filters({"params": params}, CHAIN)
    params["conv1"]["kernel"] = np.zeros((5, 5, 1, 4), np.float32)
    with pytest.raises(JaxnetsError, match="conv1 has no filter left"):
        remove_filters({"params": params}, CHAIN)
