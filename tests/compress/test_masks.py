"""Masks: exactly as many weights as were asked for, and only of the network that they are of."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.compress import apply_mask, check_mask, density, magnitude_mask, weight_paths
from jaxnets.errors import JaxnetsError


def network(seed=0):
    random = np.random.default_rng(seed)
    return {
        "conv": {"kernel": random.standard_normal((3, 3, 2, 5)), "bias": np.ones(5)},
        "fc": {"kernel": 0.1 * random.standard_normal((7, 11)), "bias": np.ones(11)},
        "bn": {"scale": np.ones(5), "bias": np.zeros(5)},
    }


@pytest.mark.parametrize("sparsity", [0.0, 0.1, 0.5, 0.97])
def test_by_layer_the_largest_stay_and_their_number_is_exact(sparsity):
    params = network()
    mask = magnitude_mask(params, sparsity)
    for layer in ("conv", "fc"):
        size, kept = np.abs(params[layer]["kernel"]), np.asarray(mask[layer]["kernel"])
        dropped = round(sparsity * size.size)
        assert (~kept).sum() == dropped
        assert not dropped or size[~kept].max() < size[kept].min()
        assert mask[layer]["bias"].shape == () and bool(mask[layer]["bias"])
    assert bool(mask["bn"]["scale"])


def test_over_all_small_layers_lose_more():
    params = network()
    mask = magnitude_mask(params, 0.5, scope="global")
    kept = np.concatenate([np.asarray(mask[k]["kernel"]).ravel() for k in ("conv", "fc")])
    size = np.concatenate([np.abs(params[k]["kernel"]).ravel() for k in ("conv", "fc")])
    assert (~kept).sum() == round(0.5 * 167) and size[~kept].max() < size[kept].min()
    found = density(mask)
    assert found["fc/kernel"] < 0.3 < 0.7 < found["conv/kernel"]
    assert found["all"] == kept.sum() / 167


def test_sparsity_of_single_layers():
    found = density(magnitude_mask(network(), {"fc": 0.9}))
    assert found["conv/kernel"] == 1.0 and found["fc/kernel"] == (77 - 69) / 77


@pytest.mark.parametrize(("structure", "axis"), [("filters", -1), ("channels", -2)])
def test_whole_filters_and_channels(structure, axis):
    params = network()
    mask = magnitude_mask(params, 0.5, structure=structure)
    kernel, kept = params["conv"]["kernel"], np.asarray(mask["conv"]["kernel"])
    others = tuple(i for i in range(4) if i != 4 + axis)
    assert (kept.any(others) == kept.all(others)).all()
    size, alive = np.abs(kernel).mean(others), kept.any(others)
    assert (~alive).sum() == round(0.5 * len(alive)) and size[~alive].max() < size[alive].min()
    if structure == "filters":  # a filter that is gone has no bias either
        np.testing.assert_array_equal(mask["conv"]["bias"], alive)


def test_ties_are_broken_and_zeros_go_first():
    params = {"fc": {"kernel": jnp.array([[1.0, 1.0, 0.0, 1.0]])}}
    assert magnitude_mask(params, 0.5)["fc"]["kernel"].tolist() == [[False, True, False, True]]


def test_applied():
    params = network()
    mask = magnitude_mask(params, 0.5)
    found = apply_mask(params, mask)
    np.testing.assert_array_equal(found["conv"]["bias"], params["conv"]["bias"])
    assert np.count_nonzero(found["fc"]["kernel"]) == 77 - round(0.5 * 77)
    assert weight_paths(params) == ["conv/kernel", "fc/kernel"]


@pytest.mark.parametrize("sparsity", [1.0, -0.1, float("nan"), {"fc": 1.0}])
def test_other_shares_are_refused(sparsity):
    with pytest.raises(JaxnetsError, match=r"must be in \[0, 1\)"):
        magnitude_mask(network(), sparsity)


def test_wrong_arguments_are_refused():
    with pytest.raises(JaxnetsError, match=r"no weights 'fcc'.*fc"):
        magnitude_mask(network(), {"fcc": 0.5})
    with pytest.raises(JaxnetsError, match="scope must be one of"):
        magnitude_mask(network(), 0.5, scope="net")
    with pytest.raises(JaxnetsError, match="one number"):
        magnitude_mask(network(), {"fc": 0.5}, scope="global")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.pop("fc"), "it has no fc/kernel"),
        (lambda m: m.update(head=m["fc"]), "which has head/"),
        (lambda m: m["fc"].update(kernel=np.ones((11, 7), bool)), r"shape \(11, 7\), expected \(7"),
        (lambda m: m["fc"].update(kernel=np.ones((7, 11))), "booleans, got float"),
    ],
)
def test_masks_of_other_networks_are_refused(change, message):
    mask = magnitude_mask(network(), 0.5)
    change(mask)
    with pytest.raises(JaxnetsError, match=message):
        check_mask(network(), mask)
