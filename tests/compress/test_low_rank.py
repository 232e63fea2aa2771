"""Products of thin kernels: the best there are, and networks that compute with them."""

import jax
import numpy as np
import pytest
from flax import linen as nn

from jaxnets.compress import Factors, factorize, factorize_network, low_rank_apply
from jaxnets.errors import JaxnetsError
from jaxnets.nn import Conv, Dense


@pytest.mark.parametrize("shape", [(12, 7), (3, 3, 4, 9)])
@pytest.mark.parametrize("rank", [1, 4, 7])
def test_the_error_is_that_of_eckart_and_young(shape, rank):
    kernel = np.random.default_rng(0).standard_normal(shape)
    found = factorize(kernel, rank=rank)
    assert isinstance(found, Factors)
    assert found.first.shape == (*shape[:-1], rank) and found.second.shape == (rank, shape[-1])
    values = np.linalg.svd(kernel.reshape(-1, shape[-1]), compute_uv=False)
    error = np.square(found.product - kernel).sum()
    assert error == pytest.approx(np.square(values[rank:]).sum(), abs=1e-12)


def test_energy_chooses_the_least_rank():
    kernel = np.diag([3.0, 2.0, 1.0])
    assert factorize(kernel, energy=9 / 14).second.shape[0] == 1
    assert factorize(kernel, energy=0.65).second.shape[0] == 2
    assert factorize(kernel, energy=1.0).second.shape[0] == 3


def test_wrong_ranks_are_refused():
    kernel = np.ones((3, 2))
    for options, message in (
        ({}, "one of the two"),
        ({"rank": 3}, "from 1 to 2"),
        ({"rank": 0}, "from 1 to 2"),
        ({"energy": 1.5}, r"share in \(0, 1\]"),
    ):
        with pytest.raises(JaxnetsError, match=message):
            factorize(kernel, **options)


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = Conv(16, (3, 3), strides=2, padding=1, name="conv")(x)
        x = nn.Conv(12, (3, 3), padding="VALID", name="flax")(x)
        return Dense(20, name="head")(x.reshape(x.shape[0], -1))


def test_a_network_of_thin_kernels_is_that_of_their_products():
    random, net = np.random.default_rng(0), Net()
    x = random.standard_normal((2, 7, 7, 8)).astype(np.float32)
    params = jax.device_get(net.init(jax.random.key(0), x))["params"]
    factors = factorize_network(params, 0.5)
    assert sorted(factors) == ["conv", "flax", "head"]
    assert list(factorize_network(params, {"head": 0.3})) == ["head"]
    assert factorize_network(params, 1.0) == {}  # no fewer numbers
    for layer in params:
        params[layer]["bias"] = random.standard_normal(params[layer]["bias"].shape).astype(
            np.float32
        )
    dense = {k: {**v, "kernel": factors[k].product} for k, v in params.items()}
    found = low_rank_apply(net.apply, factors)({"params": params}, x)
    np.testing.assert_allclose(found, net.apply({"params": dense}, x), rtol=1e-4, atol=1e-4)


def test_groups_are_refused():
    layer = Conv(4, (1, 1), groups=2)
    variables = {
        "params": {"kernel": np.ones((1, 1, 2, 4), np.float32), "bias": np.ones(4, np.float32)}
    }
    apply = low_rank_apply(layer.apply, {"": factorize(np.ones((1, 1, 2, 4), np.float32), rank=1)})
    with pytest.raises(JaxnetsError, match="2 groups"):
        apply(variables, np.ones((1, 2, 2, 4), np.float32))
