"""Backbones at given strides, and taps on whatever a network computes."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.errors import JaxnetsError, UnknownNameError
from jaxnets.models import backbone, create_model, features, list_models, model_info
from jaxnets.models.counting import abstract_variables

SMALL = {"stages": (2, 1), "width": 4}
X = np.random.RandomState(0).standard_normal((2, 32, 32, 3)).astype(np.float32)


def strides_of(name):
    return sorted(set(model_info(name).feature_strides.values()))


@pytest.mark.parametrize("name", [n for n in list_models() if strides_of(n)])
def test_a_backbone_takes_the_last_map_at_each_stride(name):
    strides = strides_of(name)
    found = backbone(name, strides=strides).strides
    assert [*found.values()] == strides
    order = [*model_info(name).feature_strides]
    for endpoint, stride in found.items():
        later = order[order.index(endpoint) + 1 :]
        assert all(model_info(name).feature_strides[n] != stride for n in later)


def test_a_backbone_has_the_variables_and_the_maps_of_its_network(filled_variables, quick_jit):
    network = create_model("resnet18", **SMALL)
    variables = filled_variables(network, (32, 32, 3))
    module = backbone("resnet18", strides=(8, 4), **SMALL)
    mine = abstract_variables(module, (32, 32, 3))
    params = {**variables["params"]}
    assert params.pop("head")
    assert jax.tree.map(jnp.shape, {**variables, "params": params}) == jax.tree.map(
        lambda a: a.shape, mine
    )
    # The weights of the network with its head fit as they are.
    got, want = quick_jit(lambda v, x: (module.apply(v, x), features(network, v, x)))(variables, X)
    assert list(got) == ["stage2", "stage1"]
    for name, value in got.items():
        np.testing.assert_array_equal(value, want[name])
    maps, state = quick_jit(partial(module.apply, train=True, mutable=["batch_stats"]))(
        variables, X
    )
    assert jax.tree.structure(state["batch_stats"]) == jax.tree.structure(variables["batch_stats"])
    assert maps["stage2"].shape == (2, 4, 4, 8)


def test_a_detector_takes_its_backbone_as_a_field():
    class Detector(nn.Module):
        backbone: nn.Module

        @nn.compact
        def __call__(self, x, *, train=False):
            maps = self.backbone(x, train=train)
            return [nn.Conv(1, (1, 1), name=f"score_{n}")(m) for n, m in maps.items()]

    detector = Detector(backbone("resnet18", strides=(4, 8), **SMALL))
    variables = abstract_variables(detector, (32, 32, 3))
    assert set(variables["params"]) == {"backbone", "score_stage1", "score_stage2"}
    assert set(variables["params"]["backbone"]) == {"stem", "stage1", "stage2"}


def test_missing_strides_and_endpoints_are_named():
    with pytest.raises(JaxnetsError, match=r"lenet5 has no feature map at stride 8, only at 1, 2"):
        backbone("lenet5")
    with pytest.raises(JaxnetsError, match="mlp has no feature map at stride 8, nor any other"):
        backbone("mlp")
    with pytest.raises(JaxnetsError, match=r"resnet18 has no field 'widht'.*width"):
        backbone("resnet18", widht=3)
    with pytest.raises(UnknownNameError, match="resnet18"):
        backbone("resnet_18")
    module = backbone("resnet18", strides=(8, 32), stages=(1, 1), width=4)
    with pytest.raises(ValueError, match=r"ResNet has no endpoint 'stage4', only stem, .*stage2"):
        abstract_variables(module, (32, 32, 3))


def test_taps_are_what_the_submodules_return(filled_variables, quick_jit):
    network = create_model("resnet18", **SMALL, num_classes=5)
    variables = filled_variables(network, (32, 32, 3))
    taps = ("head", "stage2/block0/conv2", "stage1", "stage1/block1", "stem/conv")
    seen = {}

    def watch(next_method, args, kwargs, context):
        result = next_method(*args, **kwargs)
        seen["/".join(context.module.path)] = result
        return result

    with nn.intercept_methods(watch):
        logits = network.apply(variables, X)
    tapped = partial(features, network, taps=taps)
    got = tapped(variables, X)
    assert list(got) == list(taps)
    for name, value in got.items():
        np.testing.assert_array_equal(value, seen[name], err_msg=name)
    np.testing.assert_array_equal(got["head"], logits)
    np.testing.assert_array_equal(got["stage1"], got["stage1/block1"])
    # Under jit the same but for rounding, in one compilation, and without what nobody asked for.
    run = quick_jit(tapped)
    for _ in range(2):
        for name, value in run(variables, X).items():
            np.testing.assert_allclose(value, got[name], rtol=1e-4, atol=1e-4, err_msg=name)
    assert run._cache_size() == 1
    with jax.checking_leaks():
        jax.eval_shape(tapped, variables, X)


def test_taps_without_the_head_do_not_need_it():
    network = create_model("resnet18", **SMALL)
    shapes = abstract_variables(network.clone(num_classes=None), (32, 32, 3))
    x = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
    got = jax.eval_shape(partial(features, network, taps=["stage1/block0"]), shapes, x)
    assert got["stage1/block0"].shape == (1, 8, 8, 4)


def test_taps_reach_into_loops_and_rematerialized_layers():
    looped = create_model("resnet20", scan=True, blocks=4, widths=(2, 2, 4))
    x = jax.ShapeDtypeStruct((1, 8, 8, 3), jnp.float32)
    run = partial(features, looped, taps=["stage3/rest/conv1", "stage3/block0/conv1"])
    got = jax.eval_shape(run, abstract_variables(looped, (8, 8, 3)), x)
    assert [a.shape for a in got.values()] == [(3, 1, 2, 2, 4), (1, 2, 2, 4)]
    forgets = create_model("densenet40_k12", stages=(2, 1), growth=3, remat=True)
    run = partial(features, forgets, taps=["stage1/block1/conv2", "stage1"])
    got = jax.eval_shape(run, abstract_variables(forgets, (8, 8, 3)), x)
    assert [a.shape for a in got.values()] == [(1, 8, 8, 3), (1, 8, 8, 22)]


class Twice(nn.Module):
    """A user's own network: no num_classes, no train, one layer that is called twice."""

    @nn.compact
    def __call__(self, x, scale=1.0):
        layer = nn.Dense(3, name="layer")
        return nn.Dense(2, name="out")(layer(layer(x * scale)))


def test_any_flax_module_can_be_tapped():
    x = jnp.ones((4, 3))
    variables = Twice().init(jax.random.key(0), x)
    got = jax.jit(partial(features, Twice(), taps=["out", "layer"]))(variables, x)
    first, second = got["layer"]
    kernel = variables["params"]["layer"]["kernel"]
    np.testing.assert_allclose(first, x @ kernel, rtol=1e-5)
    np.testing.assert_allclose(second, first @ kernel, rtol=1e-5)
    np.testing.assert_allclose(got["out"], Twice().apply(variables, x), rtol=1e-5)
    doubled = features(Twice(), variables, x, taps=["out"], scale=2.0)["out"]
    np.testing.assert_allclose(doubled, 2 * got["out"], rtol=1e-5)
    with pytest.raises(ValueError, match="Twice has no endpoints"):
        features(Twice(), variables, x)


def test_unknown_taps_offer_the_nearest():
    network = create_model("resnet18", **SMALL)
    variables = abstract_variables(network, (32, 32, 3))
    for tap, near in (("stage1/block9", "stage1/block1"), ("stage7", "stage2"), ("hed", "head")):
        with pytest.raises(UnknownNameError, match=f"unknown tap '{tap}'.*'{near}'"):
            jax.eval_shape(partial(features, network, taps=[tap]), variables, X)
    with pytest.raises(ValueError, match="expected a sequence of names, got the string 'stage1'"):
        features(network, variables, X, taps="stage1")
