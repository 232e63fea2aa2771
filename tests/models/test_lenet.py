"""LeNet-5 of 1998 against the numbers of the paper, and its criterion against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import keystr, tree_leaves_with_path

from jaxnets.models import create_model
from jaxnets.models.counting import abstract_variables
from jaxnets.models.lenet import (
    C3_INPUTS,
    PartialConv,
    Subsample,
    connections,
    digit_bitmaps,
    map_loss,
    to_32,
)


def test_the_original_has_the_papers_parameters_layer_by_layer():
    params = abstract_variables(create_model("lenet5_1998"), (32, 32, 1))["params"]
    counts = {k: sum(leaf.size for leaf in jax.tree.leaves(v)) for k, v in params.items()}
    assert counts == {"c1": 156, "s2": 12, "c3": 1516, "s4": 32, "c5": 48_120, "f6": 10_164}
    assert sum(counts.values()) == 60_000


def test_the_connections_are_the_papers():
    assert connections() == {
        "C1": 122_304,
        "S2": 5_880,
        "C3": 151_600,
        "S4": 2_000,
        "C5": 48_120,
        "F6": 10_164,
        "RBF": 840,
    }


def test_each_map_of_c3_sees_the_maps_of_the_table_and_no_other():
    layer = PartialConv(C3_INPUTS)
    x = jnp.ones((1, 5, 5, 6))
    variables = layer.init(jax.random.key(0), x)
    assert variables["params"]["kernel"].shape == (5, 5, 60)
    jacobian = jax.jacobian(lambda x: layer.apply(variables, x)[0, 0, 0])(x)[:, 0]
    seen = np.abs(jacobian).sum(axis=(1, 2)) > 0
    # Table I, one row a map of S2, X where it is connected.
    table = [
        "X...XXX..XXXX.XX",
        "XX...XXX..XXXX.X",
        "XXX...XXX..X.XXX",
        ".XXX..XXXX..X.XX",
        "..XXX..XXXX.XX.X",
        "...XXX..XXXX.XXX",
    ]
    np.testing.assert_array_equal(seen.T, [[c == "X" for c in row] for row in table])


def test_partial_convolution_against_a_loop():
    rng = np.random.RandomState(0)
    x = rng.standard_normal((2, 6, 7, 6)).astype(np.float32)
    layer = PartialConv(C3_INPUTS)
    params = layer.init(jax.random.key(1), x)["params"]
    params["bias"] = rng.standard_normal(16).astype(np.float32)
    got = layer.apply({"params": params}, x)
    kernel, n = np.asarray(params["kernel"], np.float64), 0
    want = np.zeros((2, 2, 3, 16)) + params["bias"]
    for out, maps in enumerate(C3_INPUTS):
        for channel in maps:
            for i in range(2):
                for j in range(3):
                    patch = x[:, i : i + 5, j : j + 5, channel]
                    want[:, i, j, out] += (patch * kernel[:, :, n]).sum(axis=(1, 2))
            n += 1
    # 150 float32 products of order one.
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_subsampling_adds_each_patch_and_has_two_parameters_a_map():
    x = jnp.arange(32.0).reshape(1, 4, 4, 2)
    params = {"coefficient": jnp.array([0.5, 2.0]), "bias": jnp.array([1.0, -1.0])}
    got = Subsample().apply({"params": params}, x)
    sums = np.asarray(x).reshape(1, 2, 2, 2, 2, 2).sum(axis=(2, 4))
    np.testing.assert_allclose(got, sums * [0.5, 2.0] + [1.0, -1.0])


def test_the_logits_are_negative_squared_distances_from_the_bitmaps(filled_variables, quick_jit):
    model = create_model("lenet5_1998")
    x = np.random.RandomState(0).standard_normal((3, 32, 32, 1)).astype(np.float32)
    variables = filled_variables(model, (32, 32, 1))
    backbone = model.clone(num_classes=None)
    run = quick_jit(lambda v, x: (model.apply(v, x), backbone.apply(v, x)["f6"]))
    logits, f6 = run(variables, x)
    want = [[-((f - w) ** 2).sum() for w in digit_bitmaps()] for f in np.asarray(f6, np.float64)]
    np.testing.assert_allclose(logits, want, rtol=1e-5)


def test_the_bitmaps_are_ten_different_pictures_of_ink_and_paper():
    bitmaps = digit_bitmaps()
    assert set(np.unique(bitmaps)) == {-1.0, 1.0}
    distances = ((bitmaps[:, None] - bitmaps[None]) ** 2).sum(-1) / 4
    assert distances[~np.eye(10, dtype=bool)].min() >= 6  # pixels in which two digits differ


def test_map_loss_against_its_formula_in_float64():
    rng = np.random.RandomState(0)
    penalties, labels, j = rng.uniform(0, 30, (5, 10)), rng.randint(0, 10, 5), 4.0
    want = [
        y[d] + np.log(np.exp(-j) + np.exp(-y).sum()) for y, d in zip(penalties, labels, strict=True)
    ]
    np.testing.assert_allclose(map_loss(-penalties, labels, j), want, rtol=1e-5)
    assert min(want) > 0
    # The competitive term pushes wrong classes up, and leaves those far above j alone.
    gradient = jax.grad(lambda p: map_loss(-p, jnp.array(0), 4.0))(jnp.array([1.0, 2.0, 80.0]))
    assert gradient[0] > 0 and gradient[1] < 0 and abs(gradient[2]) < 1e-30


def test_images_are_brought_to_32_pixels():
    x = np.random.RandomState(0).standard_normal((2, 28, 28, 3)).astype(np.float32)
    padded = to_32(x)
    np.testing.assert_array_equal(padded[:, 2:30, 2:30], x)
    assert padded.shape == (2, 32, 32, 3) and not padded[:, :2].any() and not padded[:, 30:].any()
    same = np.ones((1, 32, 32, 1), np.float32)
    np.testing.assert_array_equal(to_32(same), same)
    # Every size keeps a constant image constant.
    np.testing.assert_allclose(to_32(jnp.ones((1, 8, 8, 1))), np.ones((1, 32, 32, 1)), rtol=1e-6)
    assert to_32(jnp.ones((1, 100, 60, 1))).shape == (1, 32, 32, 1)


def test_the_original_knows_ten_classes_and_one_channel():
    with pytest.raises(ValueError, match="num_classes must be 10"):
        abstract_variables(create_model("lenet5_1998", num_classes=7), (32, 32, 1))
    with pytest.raises(ValueError, match="expected images with 1 channels, got 3"):
        abstract_variables(create_model("lenet5_1998"), (32, 32, 3))


def test_the_initialization_is_the_papers():
    variables = jax.jit(create_model("lenet5_1998").init)(
        jax.random.key(0), jnp.zeros((1, 32, 32, 1))
    )
    bounds = {"c1": 25, "s2": 4, "c3": 75, "s4": 4, "c5": 400, "f6": 120}
    for path, leaf in tree_leaves_with_path(variables["params"]):
        name = keystr(path)
        if "bias" in name:
            assert not leaf.any()
            continue
        fan_in = next(fan for layer, fan in bounds.items() if layer in name)
        assert 0.9 * 2.4 / fan_in < np.abs(leaf).max() or leaf.size < 20, name
        assert np.abs(leaf).max() <= 2.4 / fan_in, name
