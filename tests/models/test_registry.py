"""The registry: names, fields, what is known, and messages for mistakes."""

import importlib
import inspect
import json
import re
from pathlib import Path

import jax.numpy as jnp
import pytest

from jaxnets.errors import JaxnetsError, UnknownNameError
from jaxnets.models import (
    count_macs,
    count_parameters,
    create_model,
    list_models,
    model_info,
    papers,
    registry,
)
from jaxnets.models.mlp import MLP
from jaxnets.models.resnet import Bottleneck, resnet50

EXPECTED = json.loads((Path(__file__).resolve().parents[1] / "golden" / "models.json").read_text())


def test_every_network_has_an_expected_count():
    assert sorted(EXPECTED) == sorted(list_models())


# Hundreds of layers take seconds to trace; a shallower one of each family stays in a plain run.
HEAVY = re.compile(
    r"resnet(101|152|110)|resnext101|_resnet101|_resnet152|senet154|densenet(1[69]|2|100_k(12$|24))"
    r"|fractalnet_c[56]|nasnet_a_(large|cifar)|slow(fast)?_(8|16|nln)|slowfast_4|i3d_|c2d_|s3d"
    r"|(fcn|deeplabv3)_resnet101"
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
    assert (small.stages, small.num_classes, small.block) == ((1, 1), 7, Bottleneck)
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
        assert info.name == name and info.paper and 1980 < info.year == info.paper.year < 2030
        assert len(info.mean) == len(info.std) and len(info.mean) in (0, info.channels)
        clip = () if info.frames is None else (info.frames,)
        assert info.input_shape == (*clip, info.input_size, info.input_size, info.channels)
        spec = (info.input_shape, jnp.float32, (0.0, 1.0), info.mean, info.std)
        assert info.input_spec == spec
        assert hash(info.name) and info.task
        strides = list(info.feature_strides.values())
        assert strides == sorted(strides), name


@pytest.mark.parametrize(
    "family", sorted({model_info(name).family for name in list_models(task="classification")})
)
def test_builders_work_alone_and_by_name(family):
    """Explicit keywords, a docstring and a name; the same network as through `create_model`."""
    for name in list_models(family=family):
        build = getattr(importlib.import_module(f"jaxnets.models.{family}"), name)
        assert build.__name__ == name and len(build.__doc__) > 20
        parameters = inspect.signature(build).parameters
        assert [*parameters] == ["num_classes", "name", "fields"]
        assert all(p.kind in (p.KEYWORD_ONLY, p.VAR_KEYWORD) for p in parameters.values())
        assert build() == create_model(name)
        assert build().num_classes == parameters["num_classes"].default
        classes = 10 if family == "lenet" else 7
        alone = build(num_classes=classes, name="net", dtype=jnp.bfloat16)
        assert alone == create_model(name, num_classes=classes, name="net", dtype=jnp.bfloat16)
        assert (alone.num_classes, alone.name, alone.dtype) == (classes, "net", jnp.bfloat16)
        with pytest.raises(JaxnetsError, match=f"{name} has no field 'num_clases'.*'num_classes'"):
            build(num_clases=3)


def test_register_refuses_a_taken_name_and_a_builder_without_a_class():
    def mlp(*, num_classes: int | None = 10, name: str | None = None) -> MLP:
        return MLP(num_classes=num_classes, name=name)

    known = registry.list_models()
    enter = registry.register(paper=papers.MLP, parameters=1, macs=1)
    with pytest.raises(ValueError, match="'mlp' is taken"):
        enter(mlp)

    def another_mlp(*, num_classes: int | None = 10, name: str | None = None):
        return MLP(num_classes=num_classes, name=name)

    with pytest.raises(ValueError, match="another_mlp needs the class of its network as return"):
        enter(another_mlp)
    assert registry.list_models() == known


def test_a_network_of_the_user_s_own_is_registered_alike():
    @registry.register(paper=papers.MLP, parameters=1, macs=1, family="mine", published="nothing")
    def my_mlp(*, num_classes: int | None = 3, name: str | None = None, **fields) -> MLP:
        """A narrow perceptron."""
        return MLP(num_classes=num_classes, name=name, **{"hidden": (4,), **fields})

    try:
        assert list_models(family="mine") == ["my_mlp"]
        assert create_model("my_mlp", hidden=(5,)) == my_mlp(hidden=(5,)) == MLP(3, (5,))
        assert model_info("my_mlp").published == "nothing"
        with pytest.raises(JaxnetsError, match=r"my_mlp has no field 'hiden'.*'hidden'"):
            my_mlp(hiden=())
    finally:
        del registry._REGISTRY["my_mlp"]


def test_papers_are_shared_and_complete():
    infos = [model_info(name) for name in list_models()]
    # Two networks of one paper have one value.
    assert len({info.paper.title for info in infos}) == len({id(info.paper) for info in infos})
    assert str(model_info("resnet50").paper) == (
        "He, Zhang, Ren, Sun, Deep Residual Learning for Image Recognition"
    )
