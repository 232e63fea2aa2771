"""What the Inception networks say of themselves: shapes, auxiliary heads, the LRN of GoogLeNet."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.models import (
    count_macs,
    count_parameters,
    create_model,
    features,
    list_models,
    model_info,
)
from jaxnets.models.counting import abstract_variables, jaxpr_macs
from jaxnets.models.googlenet import MODULES as GOOGLENET_MODULES
from jaxnets.models.googlenet import Inception
from jaxnets.models.inception_v2 import MODULES as V2_MODULES
from jaxnets.models.inception_v3 import MODULES
from jaxnets.models.layers import ConvNorm
from jaxnets.nn import Conv


def shapes_of(name, size):
    model = create_model(name, num_classes=None)
    variables = abstract_variables(model, (size, size, 3))
    x = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    maps = jax.eval_shape(lambda v, x: features(model, v, x), variables, x)
    return {name: m.shape[2:] for name, m in maps.items()}


def test_googlenet_has_the_shapes_of_table_1():
    shapes = shapes_of("googlenet", 224)
    assert shapes["conv1"] == (112, 64) and shapes["conv2"] == (56, 192)
    want = {"3a": 256, "3b": 480, "4a": 512, "4b": 512, "4c": 512, "4d": 528, "4e": 832}
    for place, channels in want.items():
        assert shapes[f"inception{place}"] == (28 if place[0] == "3" else 14, channels)
    assert shapes["inception5a"] == (7, 832) and shapes["inception5b"] == (7, 1024)


def test_inception_v3_has_the_shapes_of_the_paper():
    shapes = shapes_of("inception_v3", 299)
    assert shapes["stem1"] == (147, 64) and shapes["stem2"] == (71, 192)
    sizes = {"5": 35, "6": 17, "7": 8}
    assert [shapes[m][0] for m in MODULES] == [sizes[m[5]] for m in MODULES]
    channels = [256, 288, 288, 768, 768, 768, 768, 768, 1280, 2048, 2048]
    assert [shapes[m][1] for m in MODULES] == channels


def test_inception_v2_has_the_shapes_of_table_1():
    """147×147×64, 71×71×80, 35×35×288, 17×17×768, 8×8×1280, 8×8×2048."""
    shapes = shapes_of("inception_v2", 299)
    assert [shapes[f"stem{i}"] for i in (1, 2, 3)] == [(147, 64), (71, 80), (35, 288)]
    modules = {name: shape for name, shape in shapes.items() if name.startswith("mixed")}
    rows = [(35, 288)] * 3 + [(17, 768)] * 6 + [(8, 1280)] + [(8, 2048)] * 2
    assert list(modules.values()) == rows


def test_inception_v2_has_42_layers_with_four_modules_of_figure_6():
    """Convolutions on the longest path, reductions not counted, and the classifier."""
    deepest = {name: max(map(len, paths)) for name, (paths, _) in V2_MODULES.items()}
    stem, classifier = 6, 1
    counted = [depth for name, depth in deepest.items() if name not in ("mixed6a", "mixed7a")]
    assert stem + sum(counted) + classifier == 47
    assert stem + sum(counted) - deepest["mixed6f"] + classifier == 42


def test_bn_inception_passes_its_input_through_where_it_halves_the_map():
    shapes = shapes_of("bn_inception", 224)
    assert shapes["inception3c"] == (14, 576) and shapes["inception4e"] == (7, 1056)
    assert shapes["inception5b"] == (7, 1024)


def test_module_3a_has_the_parameters_of_the_table():
    """163,696: 12,352 + 18,528 + 110,720 + 3,088 + 12,832 + 6,176 with biases."""
    params = abstract_variables(create_model("googlenet"), (64, 64, 3))["params"]["inception3a"]
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 163_696


def test_the_reduction_saves_the_products_of_the_naive_module():
    """1×1 convolutions before the 3×3 and 5×5 ones: here 128 M products instead of 303 M."""
    layer = partial(ConvNorm, norm=None, use_bias=True, conv=partial(Conv, algorithm="direct"))
    module = Inception((64, 96, 128, 16, 32, 32), 5, layer)
    x = jnp.zeros((1, 28, 28, 192))
    jaxpr = jax.make_jaxpr(lambda x: module.init_with_output(jax.random.key(0), x, False)[0])(x)
    reduced = jaxpr_macs(jaxpr.jaxpr)
    assert reduced == 28 * 28 * (192 * (64 + 96 + 16 + 32) + 9 * 96 * 128 + 25 * 16 * 32)
    naive = 28 * 28 * 192 * (64 + 9 * 128 + 25 * 32)
    assert reduced < 0.43 * naive


@pytest.mark.parametrize(
    ("name", "parameters", "heads", "size"),
    [
        ("googlenet", 13_378_280, ("aux1", "aux2"), 224),
        ("googlenet_bn", 13_004_888, ("aux1", "aux2"), 224),
        ("inception_v3", 27_161_264, ("aux",), 299),
    ],
)
def test_auxiliary_heads_count_and_speak_in_training_only(name, parameters, heads, size):
    model = create_model(name, auxiliary=True)
    assert count_parameters(model, (size, size, 3)) == parameters
    assert count_macs(model, (size, size, 3)) == count_macs(name)  # not run in evaluation
    variables = abstract_variables(model, (size, size, 3))
    assert "aux_logits" not in variables
    x = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)

    def run(variables, x):
        return model.apply(
            variables,
            x,
            train=True,
            mutable=["batch_stats", "aux_logits"],
            rngs={"dropout": jax.random.key(0)},
        )

    logits, updates = jax.eval_shape(run, variables, x)
    assert logits.shape == (2, 1000)
    assert {k: v.shape for k, v in updates["aux_logits"].items()} == dict.fromkeys(heads, (2, 1000))
    assert set(model_info(name).auxiliary) == set(heads)


def test_weights_of_auxiliary_losses_are_the_published_ones():
    """Szegedy et al. 2014, section 5; the released code of Inception-v3 and NASNet-A."""
    weights = {name: dict(model_info(name).auxiliary) for name in list_models()}
    assert weights["googlenet"] == weights["googlenet_bn"] == {"aux1": 0.3, "aux2": 0.3}
    assert weights["inception_v3"] == weights["nasnet_a_large"] == {"aux": 0.4}
    for name, heads in weights.items():
        assert bool(heads) == hasattr(create_model(name), "auxiliary"), name


def test_gradients_reach_the_auxiliary_heads(filled_variables, quick_jit):
    model = create_model("googlenet", auxiliary=True, width=0.125, num_classes=5)
    variables = filled_variables(model, (64, 64, 3))
    x = np.random.RandomState(0).standard_normal((2, 64, 64, 3)).astype(np.float32)

    def loss(params):
        logits, updates = model.apply(
            {"params": params},
            x,
            train=True,
            mutable=["aux_logits"],
            rngs={"dropout": jax.random.key(0)},
        )
        aux = updates["aux_logits"]
        squares = lambda y: (y**2).mean()  # noqa: E731
        return squares(logits) + 0.3 * squares(aux["aux1"]) + 0.3 * squares(aux["aux2"])

    grads = quick_jit(jax.grad(loss))(variables["params"])
    for head in ("aux1_head", "aux2_head"):
        for leaf in jax.tree.leaves(grads[head]):
            assert np.all(np.isfinite(leaf)) and np.any(leaf != 0)


def test_wrong_variants_and_small_images_are_named():
    with pytest.raises(ValueError, match="variant must be"):
        abstract_variables(create_model("googlenet", variant="v2"), (64, 64, 3))
    with pytest.raises(ValueError, match="auxiliary classifier needs images of at least 299"):
        abstract_variables(create_model("inception_v3", auxiliary=True), (150, 150, 3))


def module_macs(widths, side, channels):
    conv = partial(Conv, algorithm="direct")
    module = Inception(widths, 5, partial(ConvNorm, use_bias=False, norm=None, conv=conv))
    x = jnp.zeros((1, side, side, channels))
    program, y = jax.make_jaxpr(
        lambda x: module.init_with_output(jax.random.key(0), x, False)[0], return_shape=True
    )(x)
    return jaxpr_macs(program.jaxpr), y.shape[-1]


def test_the_naive_module_costs_what_the_course_says():
    """28×28×256 in; the course's slide has 854 M for the naive one, and 358 M with 1×1 to 64 in
    front, where its own layers add up to 271 M."""
    assert module_macs((128, None, 192, None, 96, None), 28, 256) == (854_196_224, 672)
    cheap = 28 * 28 * (256 * (128 + 3 * 64) + 9 * 64 * 192 + 25 * 64 * 96)
    assert module_macs((128, 64, 192, 64, 96, 64), 28, 256) == (cheap, 480)
    assert round(cheap / 1e6) == 271


def test_a_whole_network_of_naive_modules_grows_without_end():
    """Pooled maps are passed on whole: 192 channels become 4,944, and 1.6 GMAC 12.6."""
    sides = {"3": 28, "4": 14, "5": 7}
    macs = 112**2 * 49 * 3 * 64 + 56**2 * (64 * 64 + 9 * 64 * 192)
    channels = 192
    for place, (one, _, three, _, five, _) in GOOGLENET_MODULES.items():
        macs += sides[place[0]] ** 2 * channels * (one + 9 * three + 25 * five)
        channels += one + three + five
    assert count_macs(create_model("googlenet", naive=True), (224, 224, 3)) == (
        macs + channels * 1000
    )
