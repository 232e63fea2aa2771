"""What FractalNet, NASNet and ShuffleNet say of themselves: paths, cells, shuffles."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.models import create_model, features
from jaxnets.models.counting import abstract_variables
from jaxnets.models.nasnet_cells import same_padding
from jaxnets.models.shufflenet_v1 import channel_shuffle
from jaxnets.ops import join_paths, keep_paths

X = np.random.RandomState(0).standard_normal((2, 8, 8, 3)).astype(np.float32)
FRACTAL = {"widths": (4, 6), "columns": 3, "dropout_rates": (0.0, 0.0), "num_classes": 5}


@pytest.mark.parametrize("columns", [1, 2, 3, 4])
def test_the_longest_path_has_two_to_the_c_minus_one_convolutions_a_block(columns):
    model = create_model("fractalnet", **{**FRACTAL, "columns": columns})
    params = abstract_variables(model, (8, 8, 3))["params"]["stage1"]
    lengths = [sum(name.startswith(f"column{c}_") for name in params) for c in range(columns)]
    assert lengths == [2**c for c in range(columns)]


@pytest.mark.parametrize("column", [0, 1, 2])
def test_one_column_is_a_plain_network(column, filled_variables, quick_jit):
    """The same numbers as its convolutions one after the other, and nothing of other columns."""
    whole = create_model("fractalnet", **FRACTAL)
    variables = filled_variables(whole, (8, 8, 3))
    single = whole.clone(column=column)
    got = quick_jit(single.apply)(variables, X)

    params, stats, x = variables["params"], variables["batch_stats"], jnp.asarray(X)
    for block in ("stage1", "stage2"):
        for i in range(1, 2**column + 1):
            layer, running = (tree[block][f"column{column}_conv{i}"] for tree in (params, stats))
            x = jax.lax.conv_general_dilated(
                *(x, layer["conv"]["kernel"], (1, 1), [(1, 1)] * 2),
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )
            scale = layer["bn"]["scale"] / np.sqrt(running["bn"]["var"] + 1e-5)
            x = jnp.maximum((x - running["bn"]["mean"]) * scale + layer["bn"]["bias"], 0)
        n = x.shape[1] // 2
        x = x.reshape(2, n, 2, n, 2, -1).max(axis=(2, 4))
    want = x.mean(axis=(1, 2)) @ params["head"]["kernel"] + params["head"]["bias"]
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)

    names = set(abstract_variables(single, (8, 8, 3))["params"]["stage1"])
    assert names == {f"column{column}_conv{i}" for i in range(1, 2**column + 1)}


def test_global_drop_path_trains_single_columns(filled_variables, quick_jit):
    """With global sampling alone each example's logits are those of one of the three columns."""
    # The statistics of a batch depend on all examples: frozen ones make examples independent.
    from functools import partial

    from jaxnets.nn import BatchNorm

    class Frozen(BatchNorm):
        def __call__(self, x, *, train):
            return super().__call__(x, train=False)

    model = create_model("fractalnet", global_share=1.0, norm=partial(Frozen), **FRACTAL)
    variables = filled_variables(model, (8, 8, 3))
    x = np.random.RandomState(0).standard_normal((1, 8, 8, 3)).repeat(16, axis=0).astype(np.float32)
    train = quick_jit(
        lambda v, x, k: model.apply(v, x, train=True, rngs={"dropout": k}), static_argnums=()
    )
    got = train(variables, x, jax.random.key(3))
    columns = [quick_jit(model.clone(column=c).apply)(variables, x[:1])[0] for c in range(3)]
    distance = np.abs(np.asarray(got)[:, None] - np.asarray(columns)[None]).max(axis=-1)
    scale = np.abs(np.asarray(columns)).max()
    assert (distance.min(axis=1) < 1e-4 * scale).all()
    assert len(set(distance.argmin(axis=1).tolist())) > 1  # 16 draws of three columns


def test_local_drop_path_keeps_at_least_one_path_and_drops_the_share():
    keep = np.asarray(keep_paths(jax.random.key(0), 20_000, 3, 0.15))
    assert set(np.unique(keep)) == {0.0, 1.0} and (keep.sum(axis=1) >= 1).all()
    # P(kept) = 0.85 + 0.15³/3; the standard error of 60,000 draws is 0.0015.
    assert keep.mean() == pytest.approx(0.85 + 0.15**3 / 3, abs=0.006)
    alone = np.asarray(keep_paths(jax.random.key(1), 3000, 2, 1.0))
    assert (alone.sum(axis=1) == 1).all() and alone[:, 0].mean() == pytest.approx(0.5, abs=0.04)


def test_a_join_is_the_mean_of_what_is_kept():
    paths = [jnp.full((2, 1, 1, 1), v) for v in (1.0, 3.0, 8.0)]
    assert join_paths(paths)[0].item() == 4.0
    kept = join_paths(paths, jnp.array([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))
    np.testing.assert_allclose(kept.ravel(), [2.0, 8.0])
    with pytest.raises(ValueError, match="column must be None or 0 to 2, got 3"):
        abstract_variables(create_model("fractalnet", column=3), (32, 32, 3))


@pytest.mark.parametrize("groups", [1, 2, 3, 4])
def test_the_shuffle_is_a_transposition_and_has_an_inverse(groups):
    x = np.random.RandomState(0).standard_normal((2, 3, 12))
    got = channel_shuffle(jnp.asarray(x, jnp.float32), groups)
    want = x.reshape(2, 3, groups, -1).swapaxes(2, 3).reshape(2, 3, 12)
    np.testing.assert_array_equal(got, want.astype(np.float32))
    np.testing.assert_array_equal(channel_shuffle(got, 12 // groups), x.astype(np.float32))
    with pytest.raises(ValueError, match="groups: got 5, expected a divisor of the 12 channels"):
        channel_shuffle(x, 5)


def test_without_the_shuffle_groups_never_meet():
    """In a unit of v1 an input channel reaches all outputs, through the shuffle alone."""
    x = jnp.arange(6.0)
    first, second = np.asarray(channel_shuffle(x, 2)).reshape(2, 3)
    assert {int(v) // 3 for v in first} == {int(v) // 3 for v in second} == {0, 1}


def shapes_of(name, size):
    model = create_model(name, num_classes=None)
    variables = abstract_variables(model, (size, size, 3))
    x = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
    maps = jax.eval_shape(lambda v, x: features(model, v, x), variables, x)
    return {name: m.shape[2:] for name, m in maps.items()}


def test_nasnet_ends_with_the_features_of_its_name():
    """N @ features: 4 @ 1056 and 6 @ 768; the stages have 6 · features/24 · 2^i channels."""
    mobile = shapes_of("nasnet_a_mobile", 224)
    assert mobile == {
        "stem": (111, 32),
        "stage1": (28, 264),
        "stage2": (14, 528),
        "stage3": (7, 1056),
    }


def test_same_padding_is_that_of_tensorflow():
    for n in range(5, 12):
        for k, s in ((3, 1), (3, 2), (5, 2), (7, 2)):
            x = jnp.zeros((1, n, n, 1))
            low, high = jax.lax.padtype_to_pads((n,), (k,), (s,), "SAME")[0]
            assert same_padding(x, k, s)[0] == (low, high)


def test_scheduled_drop_path_grows_with_progress(filled_variables, quick_jit):
    model = create_model(
        "nasnet_a_mobile", cells=1, features=96, stem_width=4, drop_path=0.9, num_classes=3
    )
    variables = filled_variables(model, (32, 32, 3))
    x = np.random.RandomState(0).standard_normal((2, 32, 32, 3)).astype(np.float32)

    @quick_jit
    def run(progress, key):
        out = model.apply(
            variables,
            x,
            train=True,
            progress=progress,
            mutable=["batch_stats"],
            rngs={"dropout": key, "params": key},
        )[1]["batch_stats"]
        return out["stage3"]["block0"]["pair0_left"]["bn2"]["mean"]

    keys = jax.random.split(jax.random.key(0))
    # At the start nothing is dropped, whatever the key; later the key decides.
    np.testing.assert_allclose(run(0.0, keys[0]), run(0.0, keys[1]), rtol=1e-5, atol=1e-6)
    assert np.abs(run(1.0, keys[0]) - run(1.0, keys[1])).max() > 1e-3
