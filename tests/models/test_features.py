"""Named feature maps: strides of the registry, shapes of the published networks."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.models import create_model, features, list_models, model_info
from jaxnets.models.counting import abstract_variables


def map_shapes(name, size):
    model = create_model(name, num_classes=None)
    shape = (size, size, model_info(name).channels)
    variables = abstract_variables(model, shape)
    x = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    maps = jax.eval_shape(lambda v, x: features(model, v, x), variables, x)
    return {name: m.shape for name, m in maps.items()}


# One of each family: the others differ in depth and width only.
STRIDED = [
    "resnet20",
    "resnet18",
    "plain18",
    "vgg11",
    "alexnet",
    "zfnet",
    "squeezenet1_1",
    "nin_cifar",
    "fitnet1",
    "mobilenet_v1",
    "mobilenet_v2",
    "resnext50_32x4d",
    "wrn_16_8",
    "se_resnet50",
    "densenet40_k12",
    "googlenet",
    "shufflenet_v1_g3",
    "shufflenet_v2_x0_5",
    "bn_inception",
    "inception_v2",
    "inception_v3",
    "fractalnet_c2",
    "nasnet_a_mobile",
    "overfeat_fast",
]


# Tracing the others takes seconds each.
QUICK = ("resnet50", "vgg16", "squeezenet1_1", "mobilenet_v1")
MARKED = [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in STRIDED]


@pytest.mark.parametrize("name", MARKED)
def test_a_map_grows_by_one_step_for_as_many_pixels_as_its_stride(name):
    info = model_info(name)
    more = 2 * max(info.feature_strides.values())
    before, after = (map_shapes(name, info.input_size + extra) for extra in (0, more))
    assert list(before) == list(info.feature_strides)
    for endpoint, stride in info.feature_strides.items():
        assert after[endpoint][1] - before[endpoint][1] == more // stride, endpoint


@pytest.mark.parametrize("name", MARKED)
def test_the_smallest_image_is_as_small_as_the_message_says(name):
    """What the message asks for works, and one pixel less is refused."""
    with pytest.raises(ValueError, match="expected height and width of at least") as error:
        map_shapes(name, 2)
    smallest = int(re.search(r"at least (\d+)", str(error.value))[1])
    assert all(min(shape) > 0 for shape in map_shapes(name, smallest).values())
    with pytest.raises(ValueError, match=f"at least {smallest}"):
        map_shapes(name, smallest - 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", list_models(task="classification"))
def test_every_network_gives_the_maps_of_its_registry_entry(name):
    """The same names, and as many steps of its stride as the image has room for, give or take a
    margin: the first convolutions of Inception and SqueezeNet are not padded, nor any of
    LeNet-5."""
    info = model_info(name)
    model = create_model(name, num_classes=None)
    # Not by map_shapes, which traces the network twice: there are a hundred.
    x = jax.ShapeDtypeStruct((1, *info.input_shape), jnp.float32)
    maps, _ = jax.eval_shape(partial(model.init_with_output, jax.random.key(0), train=False), x)
    spatial = {endpoint: m.shape[1] for endpoint, m in maps.items() if m.ndim == 4}
    if info.feature_strides:
        assert list(spatial) == list(info.feature_strides)
    unpadded = {"lenet": 7, "overfeat": 5, "inception_v2": 4, "inception_v3": 4, "squeezenet": 4}
    margin = unpadded.get(info.family, 2)
    for endpoint, stride in info.feature_strides.items():
        assert abs(spatial[endpoint] - info.input_size / stride) <= margin, (endpoint, spatial)


def test_feature_maps_of_the_resnet_paper():
    """Table 1 of the paper."""
    sizes = {"stem": 112, "stage1": 56, "stage2": 28, "stage3": 14, "stage4": 7}
    for name, widths in (
        ("resnet34", (64, 64, 128, 256, 512)),
        ("resnet50", (64, 256, 512, 1024, 2048)),
    ):
        want = {k: (1, s, s, w) for (k, s), w in zip(sizes.items(), widths, strict=True)}
        assert map_shapes(name, 224) == want


def test_features_are_those_that_the_logits_come_from_and_are_ordered(filled_variables):
    model = create_model("resnet20", blocks=1)
    x = np.random.RandomState(0).standard_normal((2, 16, 16, 3)).astype(np.float32)
    variables = filled_variables(model, (16, 16, 3))
    maps = jax.jit(lambda v, x: features(model, v, x))(variables, x)
    assert list(maps) == ["stem", "stage1", "stage2", "stage3"]  # jit sorts the keys of a dict
    head = variables["params"]["head"]
    logits = maps["stage3"].mean(axis=(1, 2)) @ head["kernel"] + head["bias"]
    got = jax.jit(model.apply)(variables, x)
    np.testing.assert_allclose(got, logits, rtol=1e-4, atol=1e-4)  # two compilations of one sum


def test_features_do_not_need_the_head():
    model = create_model("resnet20", blocks=1)
    x = jax.ShapeDtypeStruct((1, 16, 16, 3), jnp.float32)
    variables = abstract_variables(model, (16, 16, 3))
    headless = {
        **variables,
        "params": {k: v for k, v in variables["params"].items() if k != "head"},
    }
    run = lambda v: jax.eval_shape(lambda v, x: features(model, v, x), v, x)  # noqa: E731
    assert run(headless) == run(variables)


def test_every_family_is_looked_at():
    families = {model_info(name).family for name in list_models(task="classification")} - {
        "mlp",
        "lenet",
    }
    covered = {model_info(name).family for name in STRIDED}
    assert families == covered
