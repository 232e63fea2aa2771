"""Shared weights: few values, trained by the sums of their members' gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnets.compress import SharedWeights, TieState, magnitude_mask, share_weights, tie
from jaxnets.compress.masks import apply_mask
from jaxnets.errors import JaxnetsError


def network(seed=0):
    random = np.random.default_rng(seed)
    params = {
        name: {"kernel": random.standard_normal(shape), "bias": random.standard_normal(shape[-1])}
        for name, shape in (("conv", (3, 3, 4, 6)), ("fc", (9, 7)))
    }
    return jax.tree.map(lambda x: x.astype(np.float32), params)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("bits", [1, 3, 5])
def test_as_few_values_as_the_bits_say(bits, sparse):
    params = network()
    if sparse:
        params = jax.device_get(apply_mask(params, magnitude_mask(params, 0.5)))
    shared = share_weights(params, bits)
    assert isinstance(shared, SharedWeights)
    for layer in ("conv", "fc"):
        before, after = params[layer]["kernel"], shared.params[layer]["kernel"]
        assert len(np.unique(after)) <= 2**bits
        np.testing.assert_array_equal(before == 0, after == 0)
        codes, book = shared.codes[f"{layer}/kernel"], shared.codebooks[f"{layer}/kernel"]
        np.testing.assert_array_equal(book[codes], after)
        assert shared.has_zero[f"{layer}/kernel"] == sparse and (not sparse or book[0] == 0)
    np.testing.assert_array_equal(shared.params["fc"]["bias"], params["fc"]["bias"])


def test_single_layers_and_few_values():
    params = network()
    shared = share_weights(params, {"fc": 2}, start="random", key=jax.random.key(0))
    np.testing.assert_array_equal(shared.params["conv"]["kernel"], params["conv"]["kernel"])
    assert list(shared.codebooks) == ["fc/kernel"]
    exact = share_weights({"fc": {"kernel": np.float32([[1, 0, 2, 2]])}}, 8)
    assert exact.params["fc"]["kernel"].tolist() == [[1, 0, 2, 2]]
    empty = share_weights({"fc": {"kernel": np.zeros((1, 2), np.float32)}}, 8)
    assert empty.codebooks["fc/kernel"].tolist() == [0.0]


def test_a_values_gradient_is_the_sum_of_its_members():
    params = network()
    params = jax.device_get(apply_mask(params, magnitude_mask(params, 0.4)))
    shared = share_weights(params, 3)
    random = np.random.default_rng(1)
    gradients = jax.tree.map(lambda p: random.standard_normal(p.shape).astype(np.float32), params)
    rule = tie(optax.sgd(1.0), shared)
    updates, _ = rule.update(gradients, rule.init(shared.params), shared.params)
    for layer in ("conv", "fc"):
        codes, gradient = shared.codes[f"{layer}/kernel"], gradients[layer]["kernel"]
        moved = np.asarray(updates[layer]["kernel"])
        for code in range(len(shared.codebooks[f"{layer}/kernel"])):
            total = 0.0 if code == 0 else gradient[codes == code].astype(np.float64).sum()
            # float32 sums of up to 100 numbers.
            np.testing.assert_allclose(moved[codes == code], -total, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(updates["fc"]["bias"], -gradients["fc"]["bias"])


def test_it_is_the_gradient_of_the_codebook(x64):
    """Beside JAX's derivative of the loss as a function of the table."""
    params = {"fc": {"kernel": np.random.default_rng(0).standard_normal((6, 5))}}
    shared = share_weights(params, 2)
    codes = jnp.asarray(shared.codes["fc/kernel"])
    book = jnp.asarray(shared.codebooks["fc/kernel"], jnp.float64)
    x = jnp.asarray(np.random.default_rng(1).standard_normal((3, 6)))

    def loss(kernel):
        return jnp.sum(jnp.sin(x @ kernel))

    expected = jax.grad(lambda book: loss(book[codes]))(book)
    at = {"fc": {"kernel": book[codes]}}
    rule = tie(optax.sgd(1.0), shared)
    updates, _ = rule.update({"fc": {"kernel": jax.grad(loss)(book[codes])}}, rule.init(at), at)
    np.testing.assert_allclose(updates["fc"]["kernel"], -expected[codes], rtol=1e-12)


def test_members_stay_equal_bit_for_bit():
    params = network()
    params = jax.device_get(apply_mask(params, magnitude_mask(params, 0.5)))
    shared = share_weights(params, 4)
    rule = tie(optax.adam(0.01), shared)
    params, state = shared.params, rule.init(shared.params)
    assert isinstance(state, TieState)
    random = np.random.default_rng(2)

    @jax.jit
    def step(params, state, gradients):
        updates, state = rule.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    for _ in range(5):
        gradients = jax.tree.map(lambda p: random.standard_normal(p.shape), params)
        params, state = step(params, state, gradients)
    for layer in ("conv", "fc"):
        after, codes = np.asarray(params[layer]["kernel"]), shared.codes[f"{layer}/kernel"]
        assert not (after == shared.params[layer]["kernel"])[codes > 0].any()
        for code in np.unique(codes):
            assert len(np.unique(after[codes == code])) == 1
        np.testing.assert_array_equal(after[codes == 0], 0)


def test_wrong_arguments_are_refused():
    with pytest.raises(JaxnetsError, match="from 1 to 16, got 17"):
        share_weights(network(), 17)
    shared = share_weights(network(), 2)
    with pytest.raises(JaxnetsError, match="of another network: conv/kernel has shape"):
        tie(optax.sgd(0.1), shared).init({"conv": {"kernel": jnp.ones((1, 1))}})
    with pytest.raises(ValueError, match="needs the parameters"):
        tie(optax.sgd(0.1), shared).update(network(), None)
