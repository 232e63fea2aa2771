"""What the networks before residual connections say of themselves: AlexNet, ZFNet, VGG, NiN."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.models import create_model, features
from jaxnets.models.alexnet import ONES
from jaxnets.models.counting import abstract_variables
from jaxnets.models.layers import SpatialDense
from jaxnets.ops import max_pool


def shapes_of(name, size):
    model = create_model(name, num_classes=None)
    variables = abstract_variables(model, (size, size, 3))
    x = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    maps = jax.eval_shape(lambda v, x: features(model, v, x), variables, x)
    return {name: m.shape[1:] for name, m in maps.items()}


def test_alexnet_has_the_shapes_of_the_paper():
    """Figure 2 of the paper, whose 224 pixels are 227."""
    assert shapes_of("alexnet", 227) == {
        "conv1": (55, 55, 96),
        "conv2": (27, 27, 256),
        "conv3": (13, 13, 384),
        "conv4": (13, 13, 384),
        "conv5": (13, 13, 256),
        "pool5": (6, 6, 256),
    }


def test_zfnet_has_the_shapes_of_the_paper():
    """Figure 3 of the paper."""
    assert shapes_of("zfnet", 224) == {
        "conv1": (110, 110, 96),
        "conv2": (26, 26, 256),
        "conv3": (13, 13, 384),
        "conv4": (13, 13, 384),
        "conv5": (13, 13, 256),
        "pool5": (6, 6, 256),
    }


def test_alexnet_starts_as_published(quick_jit):
    """N(0, 0.01²) kernels; biases one in conv2, 4, 5 and the hidden connected layers, else zero."""
    model = create_model("alexnet", channels=(8, 16, 16, 16, 16), fc_width=64, fc_window=1)
    params = quick_jit(model.init)(jax.random.key(0), jnp.zeros((1, 67, 67, 3)))["params"]
    assert len(params) == 8
    for name, layer in params.items():
        np.testing.assert_array_equal(layer["bias"], 1.0 if name in ONES else 0.0, err_msg=name)
        # The standard deviation of at least 1,024 draws is known to 7 % (three sigma).
        assert np.std(layer["kernel"]) == pytest.approx(0.01, rel=0.07), name


def test_fc_features_are_4096_values_an_image():
    """The paper's fc7, which other tasks take as features of an image."""
    for name, size in (("alexnet", 227), ("vgg16", 224), ("zfnet", 224)):
        model = create_model(name, fc_endpoints=True)
        variables = abstract_variables(model, (size, size, 3))
        x = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)
        maps = jax.eval_shape(lambda v, x, m=model: features(m, v, x), variables, x)
        assert maps["fc6"].shape == maps["fc7"].shape == (2, 1, 1, 4096)


VGG = {"widths": (4, 4, 4, 4, 4), "fc_width": 8, "fc_window": 3, "num_classes": 5}


def test_dense_evaluation_is_the_mean_over_all_windows_of_the_feature_map(
    filled_variables, quick_jit
):
    model, dense = (create_model("vgg11", dense=d, **VGG) for d in (False, True))
    variables = filled_variables(model, (96, 96, 3))
    x = np.random.RandomState(0).standard_normal((2, 128, 160, 3)).astype(np.float32)
    got, maps = quick_jit(lambda v, x: (dense.apply(v, x), features(dense, v, x)))(variables, x)
    pool5, params = np.asarray(maps["pool5"]), variables["params"]
    assert pool5.shape == (2, 4, 5, 4)
    scores = []
    for i in range(2):
        for j in range(3):
            h = pool5[:, i : i + 3, j : j + 3].reshape(2, -1)
            for name in ("fc6", "fc7", "head"):
                w = params[name]["kernel"]
                h = h @ w.reshape(-1, w.shape[-1]) + params[name]["bias"]
                h = np.maximum(h, 0) if name != "head" else h
            scores.append(h)
    np.testing.assert_allclose(got, np.mean(scores, axis=0), rtol=1e-4, atol=1e-5)


def test_dense_evaluation_of_an_image_of_the_training_size_is_the_network(
    filled_variables, quick_jit
):
    model, dense = (create_model("vgg11", dense=d, **VGG) for d in (False, True))
    variables = filled_variables(model, (96, 96, 3))
    x = np.random.RandomState(0).standard_normal((2, 96, 96, 3)).astype(np.float32)
    one, other = quick_jit(lambda v, x: (model.apply(v, x), dense.apply(v, x)))(variables, x)
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="dense evaluation needs images of at least 96 pixels"):
        dense.apply(variables, x[:, :64, :64])


def test_local_response_normalization_is_in_a_lrn_and_nowhere_else(filled_variables):
    with_lrn, without = (create_model(name, **VGG) for name in ("vgg11_lrn", "vgg11"))
    variables = filled_variables(without, (32, 32, 3))
    x = 50 * np.random.RandomState(0).standard_normal((1, 32, 32, 3)).astype(np.float32)
    run = jax.jit(lambda v, x: (features(with_lrn, v, x), features(without, v, x)))
    ours, plain = run(variables, x)
    a = np.asarray(plain["stage1"], np.float64)
    window = sum(np.pad(a**2, [(0, 0)] * 3 + [(2, 2)])[..., i : i + 4] for i in range(5))
    want = a / (2 + 1e-4 * window) ** 0.75
    np.testing.assert_allclose(ours["stage1"], want, rtol=1e-4)


def test_the_spatial_layer_is_a_product_on_its_window_and_a_convolution_beyond():
    layer = SpatialDense(5, window=3)
    x = np.random.RandomState(0).standard_normal((2, 3, 3, 4)).astype(np.float32)
    variables = layer.init(jax.random.key(0), x)
    kernel, bias = variables["params"]["kernel"], variables["params"]["bias"]
    want = x.reshape(2, 36) @ kernel.reshape(36, 5) + bias
    np.testing.assert_allclose(layer.apply(variables, x)[:, 0, 0], want, rtol=1e-5, atol=1e-6)
    wide = np.concatenate([x, x[:, :, :1]], axis=2)
    np.testing.assert_allclose(layer.apply(variables, wide)[:, 0, 0], want, rtol=1e-5, atol=1e-5)


def test_bypasses_add_the_input_of_a_fire_module(filled_variables):
    """With its expand layers silent a bypassed module gives its input, or the 1×1 of its input."""
    fields = {"stages": (((4, 8), (4, 8)),), "stem_width": 6, "num_classes": None}
    x = np.random.RandomState(0).standard_normal((1, 25, 25, 3)).astype(np.float32)
    for bypass in ("simple", "complex"):
        model = create_model("squeezenet1_1", bypass=bypass, **fields)
        params = filled_variables(model, (25, 25, 3))["params"]
        for fire in params["stage1"].values():
            for layer in ("expand1x1", "expand3x3"):
                fire[layer] = jax.tree.map(np.zeros_like, fire[layer])
        taps = ("stem", "stage1/block0", "stage1/block1", "stage1")
        stem, first, second, out = features(model, {"params": params}, x, taps=taps).values()
        np.testing.assert_array_equal(second, first)
        np.testing.assert_array_equal(out, second)
        shortcut = params["stage1"]["block0"].get("shortcut")
        assert (shortcut is not None) == (bypass == "complex")
        assert "shortcut" not in params["stage1"]["block1"]
        if bypass == "simple":  # the first module changes the number of channels
            assert not np.any(first)
            continue
        seen = max_pool(stem, (3, 3), strides=2, ceil_mode=True)
        want = seen @ shortcut["kernel"][0, 0] + shortcut["bias"]
        np.testing.assert_allclose(first, want, rtol=1e-5, atol=1e-5)
        assert np.any(first)
    with pytest.raises(ValueError, match="bypass must be"):
        abstract_variables(create_model("squeezenet1_1", bypass="none"), (64, 64, 3))


def test_the_classifier_of_nin_is_an_average_of_class_maps(filled_variables):
    model = create_model("nin_cifar", num_classes=7)
    variables = filled_variables(model, (16, 16, 3))
    x = np.random.RandomState(0).standard_normal((1, 16, 16, 3)).astype(np.float32)
    logits, maps = jax.jit(lambda v, x: (model.apply(v, x), features(model, v, x)))(variables, x)
    layer = variables["params"]["head"]
    class_maps = np.maximum(maps["stage3"] @ layer["kernel"][0, 0] + layer["bias"], 0)
    np.testing.assert_allclose(logits, class_maps.mean(axis=(1, 2)), rtol=1e-4, atol=1e-5)
