"""The registry: names, fields, what is known, and messages for mistakes."""

import json
import re
from pathlib import Path

import pytest

from jaxnets.errors import JaxnetsError, UnknownNameError
from jaxnets.models import (
    count_macs,
    count_parameters,
    create_model,
    list_models,
    model_info,
    registry,
)
from jaxnets.models.resnet import resnet50

EXPECTED = json.loads((Path(__file__).resolve().parents[1] / "golden" / "models.json").read_text())


def test_every_network_has_an_expected_count():
    assert sorted(EXPECTED) == sorted(list_models())


# Hundreds of layers take seconds to trace; a shallower one of each family stays in a plain run.
HEAVY = re.compile(
    r"resnet(101|152|110)|resnext101|_resnet101|_resnet152|senet154|densenet(1[69]|2|100_k(12$|24))"
    r"|fractalnet_c[56]|nasnet_a_(large|cifar)"
)


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.slow if HEAVY.search(n) else ()) for n in list_models()],
)
def test_counts_are_the_published_ones(name):
    """Exact parameters and multiply-accumulates, of the network and of its registry entry."""
    entry, info = EXPECTED[name], model_info(name)
    expected = (entry["parameters"], entry["macs"])
    assert (count_parameters(name), count_macs(name)) == expected, entry["source"]
    assert (info.parameters, info.macs) == expected


def test_nasnet_s_other_count_is_a_map_larger_by_one_in_its_reductions():
    """568,234,858 and 23,809,955,634 of the PyTorch ports, to the product.

    They pad even maps in front and cut the result: the first half of all five separable
    convolutions of such a reduction cell, of f channels, runs on a map of (n + 1)² for n².
    """

    def cut(f, n):
        return ((n + 1) ** 2 - n**2) * sum(k * k * f + f * f for k in (5, 7, 7, 5, 3))

    mobile = model_info("nasnet_a_mobile").macs + cut(22, 28) + cut(88, 14) + cut(176, 7)
    assert mobile == 568_234_858
    assert model_info("nasnet_a_large").macs + cut(336, 21) == 23_809_955_634


def test_an_unknown_name_offers_the_nearest():
    with pytest.raises(UnknownNameError, match=r"unknown network 'resnet5'.*resnet50"):
        create_model("resnet5")
    with pytest.raises(UnknownNameError, match="lenet5"):
        model_info("LeNet-5")


def test_an_unknown_field_offers_the_nearest():
    with pytest.raises(JaxnetsError, match=r"lenet5 has no field 'num_class'.*num_classes"):
        create_model("lenet5", num_class=3)
    # `name` and `parent` are Flax's own.
    with pytest.raises(JaxnetsError, match="no field 'parent'"):
        create_model("lenet5", parent=None)


def test_fields_override_those_of_the_published_network():
    assert create_model("resnet50").stages == (3, 4, 6, 3)
    small = resnet50(stages=(1, 1), num_classes=7)
    assert (small.stages, small.num_classes, small.bottleneck) == ((1, 1), 7, True)
    assert resnet50.__name__ == "resnet50" and "ResNet" in resnet50.__doc__


def test_list_models_filters_and_names_what_there_is():
    cifar = ["resnet20", "resnet32", "resnet44", "resnet56", "resnet110", "resnet1202"]
    assert list_models(family="resnet_cifar") == cifar
    assert set(cifar) < set(list_models(task="classification")) <= set(list_models())
    with pytest.raises(UnknownNameError, match=r"unknown model family 'resnets'.*resnet"):
        list_models(family="resnets")
    with pytest.raises(UnknownNameError, match="unknown model task 'clasification'"):
        list_models(task="clasification")


def test_every_entry_is_complete():
    for name in list_models():
        info = model_info(name)
        assert info.name == name and info.paper and 1980 < info.year < 2030
        assert len(info.mean) == len(info.std) and len(info.mean) in (0, info.channels)
        assert info.input_shape == (info.input_size, info.input_size, info.channels)
        assert hash(info.name) and info.task
        strides = list(info.feature_strides.values())
        assert strides == sorted(strides), name


def test_register_refuses_a_taken_name_and_a_field_that_is_not_there():
    entry = registry._REGISTRY["mlp"]
    with pytest.raises(ValueError, match="'mlp' is taken"):
        registry.register(entry.info, entry.network)
    import dataclasses

    other = dataclasses.replace(entry.info, name="another_mlp")
    with pytest.raises(ValueError, match="no field \\['depth'\\]"):
        registry.register(other, entry.network, {"depth": 3})
    assert "another_mlp" not in list_models()
