"""Networks with the weights of a file: names, layouts, equality with PyTorch, the way back.

The names and shapes of other libraries' tensors were stored by tests/golden/make_pretrained.py,
what their networks compute with seeded values by make_torch_networks.py.
"""

import gzip
import json
import runpy
from pathlib import Path

import flax.linen as nn
import jax
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from safetensors.numpy import save_file

from jaxnets.errors import JaxnetsError
from jaxnets.models import create_model, list_models, model_info
from jaxnets.models.counting import abstract_variables
from jaxnets.pretrained import NameMap, load, read_state_dict, save
from jaxnets.pretrained.convert import match_variables
from jaxnets.pretrained.name_maps import MAPS, OURS, maps_of

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
PEERS = json.loads(gzip.decompress((GOLDEN / "pretrained_names.json.gz").read_bytes()))
CASES = json.loads((GOLDEN / "torch_networks.json").read_text())
# One of every table; the others are the same at other depths and widths.
QUICK = {
    *("torchvision/resnet18", "torchvision/resnet50", "torchvision/vgg11", "timm/vgg11_bn"),
    *("torchvision/vgg11_bn", "torchvision/squeezenet1_0", "torchvision/squeezenet1_1"),
    *("torchvision/mobilenet_v2", "timm/mobilenet_v2", "timm/mobilenet_v1"),
    *("torchvision/shufflenet_v2_x0_5", "torchvision/alexnet_2014", "torchvision/googlenet_bn"),
    *("torchvision/inception_v3", "torchvision/densenet121", "cadene/resnext101_32x4d"),
    *("timm/se_resnext50_32x4d", "cadene/bn_inception", "cadene/nasnet_a_mobile"),
    *("torchvision/wide_resnet50_2", "torchvision/resnext50_32x4d"),
}
LARGE_CASES = ("resnet18", "resnet50", "senet154_one_block_a_stage", "inception_v3", "densenet121")
LARGE_CASES += ("wide_resnet50_one_block_a_stage", "squeezenet1_0", "mobilenet_v2")
QUICK_CASES = ("vgg11_bn", "resnet20", "mobilenet_v2_short", "se_resnet_one_block_a_stage")


def slow_unless(condition, name):
    return pytest.param(name, marks=[] if condition else [pytest.mark.slow])


@pytest.mark.parametrize("peer", [slow_unless(name in QUICK, name) for name in PEERS["models"]])
def test_names_and_shapes_are_those_of_the_library(peer):
    source, name = peer.split("/")
    model, info = create_model(name), model_info(name)
    (name_map,) = (m for m in maps_of(info.family, model) if m.source == source)
    found = match_variables(abstract_variables(model, info.input_shape), name_map, model)
    ours = {there: list(match.torch_shape) for match in found for there in match.names}
    theirs = PEERS["models"][peer]
    assert {k: v for k, v in theirs.items() if not name_map.may_be_left(k)} == ours


def test_the_registry_promises_no_weights_without_a_table():
    for name in list_models():
        info = model_info(name)
        for text in info.weights:
            source = text.split("/")[0].split()[0].lower()
            model = create_model(name)
            assert source in {m.source for m in maps_of(info.family, model)}, text
    assert {info.family for info in map(model_info, list_models())} >= set(MAPS)


@pytest.mark.parametrize("name", ["googlenet_bn", "inception_v3"])
def test_auxiliary_classifiers_have_the_library_s_names(name):
    model, info = create_model(name, auxiliary=True), model_info(name)
    name_map = MAPS[info.family][0]
    found = match_variables(abstract_variables(model, info.input_shape), name_map, model)
    ours = {there: list(match.torch_shape) for match in found for there in match.names}
    assert ours == PEERS["models"][f"torchvision/{name}"]


@pytest.mark.parametrize("peer", PEERS["statistics"])
def test_statistics_are_those_that_the_library_states(peer):
    """torchvision's Inception networks change their input themselves: from ImageNet's to 0.5."""
    mean, std = PEERS["statistics"][peer]
    info = model_info(peer.split("/")[1])
    np.testing.assert_allclose(info.mean, mean, atol=1e-5)
    np.testing.assert_allclose(info.std, std, atol=1e-5)


# ---- equality with PyTorch ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def seeded():
    return runpy.run_path(str(GOLDEN / "seeded.py"))


def make_fields(name):
    tuples = lambda v: tuple(map(tuples, v)) if isinstance(v, list) else v  # noqa: E731
    fields = {k: tuples(v) for k, v in CASES[name]["fields"].items()}
    if CASES[name]["model"] == "mobilenet_v1":
        fields["activation"] = jax.nn.relu  # the case was made so; timm's own is relu6
    return fields


def state_dict_of(name, seeded):
    """Seeded values under PyTorch's names, in PyTorch's layouts."""
    case, weights = PEERS["cases"][name], {}
    for i, (layer, shape, has_bias) in enumerate(case["kernels"]):
        out, *rest = shape
        if len(shape) == 4:
            weight = seeded["kernel"](i, (*rest[1:], rest[0], out)).transpose(3, 2, 0, 1)
        elif flat := case["flatten"].get(layer):
            c, h, w = flat
            kernel = seeded["kernel"](i, (h * w * c, out)).reshape(h, w, c, out)
            weight = kernel.transpose(3, 2, 0, 1).reshape(out, -1)
        else:
            weight = seeded["kernel"](i, (*rest, out)).T
        weights[f"{layer}.weight"] = np.ascontiguousarray(weight)
        if has_bias:
            weights[f"{layer}.bias"] = seeded["bias"](i, out)
    for i, (layer, size) in enumerate(case["norms"]):
        values = seeded["norm"](i, size)
        for ours, theirs in (("scale", "weight"), ("bias", "bias")):
            weights[f"{layer}.{theirs}"] = values[ours]
        for ours in ("mean", "var"):
            weights[f"{layer}.running_{ours}"] = values[ours]
        weights[f"{layer}.num_batches_tracked"] = np.array(0)
    return weights


def in_call_order(model, x):
    """Paths of our layers with a kernel, and of our normalizations, as a pass calls them."""
    kernels, norms = [], []

    def record(call, args, kwargs, context):
        result = call(*args, **kwargs)
        params = context.module.variables.get("params", {})
        for key, known in (("kernel", kernels), ("scale", norms)):
            if key in params and context.module.path not in known:
                known.append(context.module.path)
        return result

    with nn.intercept_methods(record):
        key = jax.random.key(0)
        jax.eval_shape(lambda x: model.init({"params": key, "dropout": key}, x, train=False), x)
    return kernels, norms


@pytest.mark.parametrize(
    "name", [slow_unless(n not in LARGE_CASES, n) for n in PEERS["cases"] if n in CASES]
)
def test_every_value_lands_in_the_layer_that_uses_it(name, seeded, tmp_path):
    """Layers are paired by the order of the calls in both frameworks, not by any table of names."""
    path = tmp_path / "w.safetensors"
    save_file(state_dict_of(name, seeded), path)
    model, variables = load(CASES[name]["model"], path, **make_fields(name))
    kernels, norms = in_call_order(model, np.zeros(CASES[name]["images"], np.float32))
    flat = flatten_dict(variables, sep="/")
    for i, layer in enumerate("/".join(path) for path in kernels):
        kernel = flat.pop(f"params/{layer}/kernel")
        np.testing.assert_array_equal(kernel, seeded["kernel"](i, kernel.shape), layer)
        if (bias := flat.pop(f"params/{layer}/bias", None)) is not None:
            np.testing.assert_array_equal(bias, seeded["bias"](i, bias.size), layer)
    for i, layer in enumerate("/".join(path) for path in norms):
        values = seeded["norm"](i, flat[f"params/{layer}/scale"].size)
        for collection, leaf in (
            *(("params", "scale"), ("params", "bias")),
            *(("batch_stats", "mean"), ("batch_stats", "var")),
        ):
            found = flat.pop(f"{collection}/{layer}/{leaf}")
            np.testing.assert_array_equal(found, values[leaf], layer)
    assert not flat


@pytest.mark.parametrize(
    "name", [slow_unless(n in QUICK_CASES, n) for n in PEERS["cases"] if n in CASES]
)
def test_logits_are_those_of_pytorch(name, seeded, tmp_path):
    path = tmp_path / "w.safetensors"
    save_file(state_dict_of(name, seeded), path)
    model, variables = load(CASES[name]["model"], path, **make_fields(name))
    logits = jax.jit(model.apply)(variables, seeded["images"](*CASES[name]["images"]))
    expected = np.load(GOLDEN / "torch_networks.npz")[f"{name}/logits"]
    # Float32 sums in two orders through up to a hundred layers: 1e-4 of the largest value.
    atol = 1e-4 * np.abs(expected).max()
    np.testing.assert_allclose(logits[:, :16], expected, rtol=0, atol=atol)


# ---- the way back ------------------------------------------------------------------------------


def random_variables(model, shape):
    rng = np.random.RandomState(0)
    draw = lambda leaf: rng.standard_normal(leaf.shape).astype(np.float32)  # noqa: E731
    return jax.tree.map(draw, dict(abstract_variables(model, shape)))


SMALL = {
    "lenet5": {},
    "lenet5_1998": {},
    "mlp": {"hidden": (7, 5)},
    "resnet20": {"widths": (2, 3, 4), "shortcut": "B"},
    "resnet1202": {"widths": (1, 1, 2), "blocks": 4},
    "vgg11_bn": {"widths": (2, 2, 3, 3, 4), "fc_width": 5},
    "googlenet_bn": {"width": 0.0625, "auxiliary": True},
    "senet154": {"stages": (1, 1), "width": 8, "reduction": 4, "groups": 4},
    "wrn_16_8": {"depth": 10, "width": 1},
    "squeezenet1_0_complex": {},
    "se_bn_inception": {"width": 0.125, "reduction": 4},
}


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
@pytest.mark.parametrize("name", SMALL)
def test_save_and_load_give_back_every_bit(name, suffix, tmp_path):
    model = create_model(name, **SMALL[name])
    variables = random_variables(model, model_info(name).input_shape)
    path = tmp_path / f"w{suffix}"
    save(name, variables, path, **SMALL[name])
    again_model, again = load(name, path, **SMALL[name])
    assert again_model == model
    assert jax.tree.structure(again) == jax.tree.structure(variables)
    jax.tree.map(np.testing.assert_array_equal, again, variables)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("source", ["torchvision", "timm", "jaxnets"])
def test_save_writes_the_names_that_are_asked_for(source, tmp_path):
    fields = {"widths": (2, 2, 3, 3, 4), "fc_width": 5, "num_classes": 6}
    variables = random_variables(create_model("vgg11", **fields), (224, 224, 3))
    path = tmp_path / "w.safetensors"
    save("vgg11", variables, path, source=source, **fields)
    weights = read_state_dict(path)
    names = {
        "torchvision": ("classifier.0.weight", (5, 4 * 49)),
        "timm": ("pre_logits.fc1.weight", (5, 4, 7, 7)),
        "jaxnets": ("fc6.weight", (5, 4, 7, 7)),
    }
    name, shape = names[source]
    assert weights[name].shape == shape
    kernel = variables["params"]["fc6"]["kernel"]
    np.testing.assert_array_equal(weights[name].reshape(5, 4, 7, 7)[3, 2, 1, 5], kernel[1, 5, 2, 3])
    # The source is found out by itself, and can be said.
    for said in (None, source):
        _, again = load("vgg11", path, source=said, **fields)
        jax.tree.map(np.testing.assert_array_equal, again, variables)


def test_save_refuses(tmp_path):
    variables = random_variables(create_model("lenet5"), (32, 32, 1))
    with pytest.raises(JaxnetsError, match=r"writes \.safetensors or \.npz"):
        save("lenet5", variables, tmp_path / "w.pt")
    with pytest.raises(JaxnetsError, match="variables must be"):
        save("lenet5", variables["params"], tmp_path / "w.npz")
    with pytest.raises(JaxnetsError, match="unknown source of weights for lenet5 'torch'"):
        save("lenet5", variables, tmp_path / "w.npz", source="torch")
    with pytest.raises(JaxnetsError, match="cannot be written"):
        save("lenet5", variables, tmp_path / "no" / "w.npz")
    with pytest.raises(JaxnetsError, match="cannot be written"):
        save("lenet5", variables, tmp_path / "no" / "w.safetensors")


# ---- what does not fit -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lenet(tmp_path_factory):
    """A saved LeNet-5: its path, its variables, and what it holds."""
    path = tmp_path_factory.mktemp("lenet") / "w.safetensors"
    variables = random_variables(create_model("lenet5"), (32, 32, 1))
    save("lenet5", variables, path)
    return path, variables, read_state_dict(path)


def message_of(weights, path, **options):
    save_file({k: np.ascontiguousarray(v) for k, v in weights.items()}, path)
    with pytest.raises(JaxnetsError) as caught:
        load("lenet5", path, **options)
    return str(caught.value)


def test_missing_extra_and_misshaped_tensors_are_named(lenet, tmp_path):
    _, _, weights = lenet
    path = tmp_path / "w.safetensors"
    without = {k: v for k, v in weights.items() if k != "c3.bias"}
    assert "1 missing in the file:\n    c3.bias 16 for params/c3/bias" in message_of(without, path)
    message = message_of({**without, "conv3.bias": weights["c3.bias"]}, path)
    assert "1 that lenet5 has no place for:\n    conv3.bias 16" in message
    assert "Is conv3.bias what is missing as c3.bias?" in message
    message = message_of({**weights, "c3.weight": weights["c3.weight"][:, :5]}, path)
    assert "c3.weight: the file has 16×5×5×5, lenet5 needs 16×6×5×5" in message
    assert "for params/c3/kernel 5×5×6×16" in message
    assert "not floats" in message_of({**weights, "c3.bias": np.arange(16)}, path)
    extra = {**weights, "more": np.zeros((2, 3), np.float32)}
    assert "strict=False leaves them out" in message_of(extra, path)
    load("lenet5", path, strict=False)


def test_another_number_of_classes(lenet):
    path, variables, _ = lenet
    with pytest.raises(JaxnetsError, match=r"Only the classifier differs.*reset_head=True"):
        load("lenet5", path, num_classes=7)
    with pytest.raises(JaxnetsError, match="needs key"):
        load("lenet5", path, num_classes=7, reset_head=True)
    key = jax.random.key(3)
    model, fresh = load("lenet5", path, num_classes=7, reset_head=True, key=key)
    head = fresh["params"].pop("output")
    assert model.num_classes == 7 and head["kernel"].shape == (84, 7)
    # The network's own initialization: He normal, variance 2/84, and zeros.
    assert 0.8 < head["kernel"].std() / np.sqrt(2 / 84) < 1.2
    assert not head["bias"].any()
    trunk = {k: v for k, v in variables["params"].items() if k != "output"}
    jax.tree.map(np.testing.assert_array_equal, fresh["params"], trunk)
    # On request also where the file's would fit.
    _, same = load("lenet5", path, reset_head=True, key=key)
    assert same["params"]["output"]["kernel"].shape == (84, 10)
    assert np.abs(same["params"]["output"]["kernel"]).max() < 1


def test_narrow_dtypes_become_float32(lenet, tmp_path):
    import ml_dtypes

    _, variables, weights = lenet
    path = tmp_path / "w.safetensors"
    save_file({k: v.astype(ml_dtypes.bfloat16) for k, v in weights.items()}, path)
    _, loaded = load("lenet5", path)
    kernel = loaded["params"]["c1"]["kernel"]
    assert kernel.dtype == np.float32
    expected = variables["params"]["c1"]["kernel"].astype(ml_dtypes.bfloat16).astype(np.float32)
    np.testing.assert_array_equal(kernel, expected)


def test_a_table_of_ones_own(lenet, tmp_path):
    _, variables, weights = lenet
    path = tmp_path / "w.safetensors"
    save_file({k.replace("c", "conv"): v.copy() for k, v in weights.items()}, path)
    mine = NameMap("mine", lambda model: (("c{i}", "conv{i}"),))
    _, loaded = load("lenet5", path, source=mine)
    jax.tree.map(np.testing.assert_array_equal, loaded, variables)
    both = NameMap("both", lambda model: (("c{i}", "conv"),))
    with pytest.raises(JaxnetsError, match="cannot tell params/c1/bias from params/c3/bias"):
        load("lenet5", path, source=both)


def test_names_of_older_files_and_of_auxiliary_heads():
    (densenet, *_) = MAPS["densenet"]
    old = "features.denseblock1.denselayer12.norm.1.running_mean"
    assert densenet.present_name(old) == "features.denseblock1.denselayer12.norm1.running_mean"
    new = "features.denseblock1.denselayer12.conv2.weight"
    assert densenet.present_name(new) == new
    assert MAPS["googlenet"][0].may_be_left("aux2.fc1.weight")
    assert not OURS.may_be_left("aux2.fc1.weight")


def test_the_published_resnet20(prepared_datasets, tmp_path):
    """97 tensors of a file of 2018, and back."""
    place = (prepared_datasets or tmp_path).parent / "weights" / "resnet20-12fca82f.th"
    if not place.exists():
        pytest.skip("the published weights are not beside the datasets")
    _, variables = load("resnet20", place)
    assert sum(v.size for v in jax.tree.leaves(variables["params"])) == 269_722
    path = tmp_path / "w.safetensors"
    save("resnet20", variables, path)
    before, after = read_state_dict(place), read_state_dict(path)
    assert set(before) == set(after)
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array)
