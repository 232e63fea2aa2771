"""ZFNet's analyses: strongest activations, evolution, filters, sensitivity, correspondence."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets import interpret
from jaxnets.interpret.small_zfnet import SmallZFNet, train_snapshots
from jaxnets.ops import conv
from jaxnets.ops.convolution import circular_conv


def activations(planted, x, layer):
    state = planted.model.apply(planted.variables, x, capture_intermediates=True)[1]
    return np.asarray(state["intermediates"][layer]["__call__"][0])


@pytest.mark.parametrize("batch_size", [7, 60])
def test_streaming_is_the_full_sort(planted, batch_size):
    x = planted.images
    found = interpret.top_activations(
        planted.model, planted.variables, x, ["second", "third"], k=5, batch_size=batch_size
    )
    for layer in ("second", "third"):
        value = activations(planted, x, layer)
        largest = value.max((1, 2))
        order = np.argsort(-largest, axis=0, kind="stable")[:5].T
        np.testing.assert_allclose(
            found[layer].values, np.take_along_axis(largest.T, order, 1), rtol=1e-5
        )
        np.testing.assert_array_equal(found[layer].images, order)
        for c, i in np.ndindex(order.shape):
            row, column = found[layer].positions[c, i]
            flat = value[order[c, i], ..., c]
            assert flat[row, column] == pytest.approx(flat.max(), rel=1e-5)


def test_streaming_from_batches_with_preprocessing(planted):
    x = planted.images
    stored = np.round(50 * x).astype(np.int16)
    own = interpret.top_activations(
        planted.model, planted.variables, stored, "third", k=3, batch_size=25, preprocess=halve
    )["third"]
    batches = (stored[i : i + 25] for i in range(0, 60, 25))
    other = interpret.top_activations(
        planted.model, planted.variables, batches, "third", k=3, preprocess=halve
    )["third"]
    for ours, theirs in zip(own, other, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    few = interpret.top_activations(planted.model, planted.variables, x[:2], "third", k=3)["third"]
    assert (few.images[:, 2] == -1).all() and np.isneginf(few.values[:, 2]).all()


def halve(images):
    return images.astype(jnp.float32) / 50


class Valid(nn.Module):
    """Without padding, so that every unit sees only the image."""

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(3, (3, 3), strides=2, padding="VALID", name="first")(x))
        return nn.Conv(4, (3, 3), padding="VALID", name="second")(x)


def test_a_crop_gives_its_unit_again():
    x = np.random.default_rng(0).standard_normal((6, 21, 19, 2)).astype(np.float32)
    model = Valid()
    variables = model.init(jax.random.key(0), x)
    top = interpret.top_activations(model, variables, x, "second", k=2)["second"]
    # Field 3 + 2·2 = 7, jump 2: the box of position (i, j) begins at (2i, 2j).
    np.testing.assert_array_equal(top.boxes[..., :2], 2 * top.positions[..., ::-1])
    np.testing.assert_array_equal(top.boxes[..., 2:] - top.boxes[..., :2], 7)
    cut = interpret.crops(x, top)
    assert cut.shape == (4, 2, 7, 7, 2)
    for c, i in np.ndindex(4, 2):
        again = model.apply(variables, cut[c, i][None])
        assert again.shape[1:3] == (1, 1)
        assert again[0, 0, 0, c] == pytest.approx(top.values[c, i], rel=1e-5)


def test_crops_beyond_the_edge_are_black():
    top = interpret.TopActivations(
        np.ones((1, 2)),
        np.array([[0, -1]]),
        np.zeros((1, 2, 2), int),
        np.array([[[-2.0, -1.0, 2.0, 3.0], [0.0, 0.0, 1.0, 1.0]]]),
    )
    cut = interpret.crops(np.ones((1, 5, 5, 1)), top, size=4)
    assert cut[0, 0, ..., 0].tolist() == [[1, 1, 0, 0]] * 3 + [[0] * 4]
    assert cut[0, 1].sum() == 0


def test_evolution_ends_at_itself(planted):
    model, x = planted.model, planted.images[:12]
    fresh = jax.jit(model.init)(jax.random.key(5), x)
    between = jax.tree.map(lambda a, b: 0.2 * a + 0.8 * b, fresh, planted.variables)
    snapshots = {0: fresh, 1: between, 2: planted.variables}
    found = interpret.feature_evolution(model, snapshots, x, ["first", "third"], maps=[0, 3])
    assert isinstance(found, interpret.Evolution)
    for layer in ("first", "third"):
        assert found.cosine[layer][-1] == pytest.approx(1)
        assert found.cka[layer][-1] == pytest.approx(1)
        assert found.cosine[layer][0] < found.cosine[layer][1] < 1
        assert found.projections[layer].shape == (3, 2, 32, 32, 1)
    value = activations(planted, x, "third")
    np.testing.assert_array_equal(found.strongest["third"][-1], value.max((1, 2)).argmax(0))
    assert found.arrival("first", 0.999999) == 2
    with pytest.raises(ValueError, match="at least two"):
        interpret.feature_evolution(model, {0: fresh}, x, "first")


def test_alignment_does_not_see_rotations():
    random = np.random.default_rng(0)
    a = random.standard_normal((20, 5))
    rotation = np.linalg.qr(random.standard_normal((5, 5)))[0]
    assert interpret.linear_cka(a, 3 * a @ rotation + 7) == pytest.approx(1)
    assert interpret.linear_cka(a, random.standard_normal((20, 5))) < 0.6
    # The formula by features, where ours goes by examples.
    b = random.standard_normal((20, 4))
    a, b = a - a.mean(0), b - b.mean(0)
    expected = np.sum((a.T @ b) ** 2) / (np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b))
    assert interpret.linear_cka(a, b) == pytest.approx(expected)


def test_filters_are_counted():
    x = np.arange(8)[None]
    kernel = np.zeros((8, 8, 2, 5))
    kernel[..., 0, 0] = 1  # plain
    kernel[..., 0, 1] = (-1.0) ** x  # the highest frequency
    kernel[..., 1, 2] = np.cos(np.pi * x / 2)  # a quarter of a cycle a pixel
    kernel[..., 0, 3] = 1e-3
    report = interpret.filter_report(kernel, stride=4)
    assert isinstance(report, interpret.FilterReport)
    assert report.dead.tolist() == [False, False, False, True, True] and report.dead_count == 2
    assert report.low[0] > 0.8 and report.high[1] > 0.8 and report.middle[2] > 0.8
    np.testing.assert_allclose((report.low + report.middle + report.high)[:4], 1)
    # A stride of 4 carries up to an eighth of a cycle.
    assert report.aliased[0] < 0.25 and report.aliased[1] > 0.9 and report.aliased[2] > 0.9
    assert interpret.filter_report(kernel, stride=1).aliased.max() == 0
    assert report.frequency[0] < report.frequency[2] < report.frequency[1]
    np.testing.assert_allclose(report.rms[1], np.sqrt(0.5))
    with pytest.raises(ValueError, match="kernel: got shape"):
        interpret.filter_report(np.ones((3, 3)))


def test_the_first_kernel_is_found(planted):
    kernel = interpret.find_kernel(planted.variables)
    assert kernel.shape == (3, 3, 1, 8)
    np.testing.assert_array_equal(kernel, interpret.find_kernel(planted.variables, "first"))
    with pytest.raises(ValueError, match="Did you mean 'second'"):
        interpret.find_kernel(planted.variables, "secnd")


def test_renormalized_filters_stay_within_the_radius():
    kernel = np.random.default_rng(0).standard_normal((3, 3, 2, 4)) * [0.01, 0.1, 1, 5]
    out = np.asarray(interpret.limit_filter_rms(jnp.asarray(kernel), 0.1))
    rms = np.sqrt((out**2).mean((0, 1, 2)))
    before = np.sqrt((kernel**2).mean((0, 1, 2)))
    np.testing.assert_allclose(rms, np.minimum(before, 0.1), rtol=1e-5)


def test_transforms_move_pixels():
    x = np.arange(16.0, dtype=np.float32).reshape(1, 4, 4, 1)
    same = [("translate", 0.0), ("scale", 1.0), ("rotate", 0.0)]
    for kind, value in same:
        np.testing.assert_array_equal(interpret.transform_images(x, kind, value), x)
    down = interpret.transform_images(x, "translate", 2, fill=7.0)
    np.testing.assert_array_equal(down[0, 2:], x[0, :2])
    np.testing.assert_array_equal(down[0, :2], 7)
    turned = interpret.transform_images(x, "rotate", 90)
    np.testing.assert_allclose(turned[0, ..., 0], np.rot90(x[0, ..., 0]), atol=1e-5)
    large = interpret.transform_images(np.pad(x, ((0, 0), (4, 4), (4, 4), (0, 0))), "scale", 2)
    assert large[0, 5:7, 5:7, 0].min() > 0 and large[0, 0, 0, 0] == 0
    with pytest.raises(ValueError, match="kind: got 'shear'"):
        interpret.transform_images(x, "shear", 1)


class Circular(nn.Module):
    """A circular convolution, a rectifier and the mean: shifts do not change the mean."""

    @nn.compact
    def __call__(self, x):
        kernel = self.param("kernel", nn.initializers.normal(), (3, 3, x.shape[-1], 4))
        y = nn.relu(circular_conv(x, kernel))
        return nn.Dense(2, name="head")(y.mean((1, 2)))


def test_a_circular_network_does_not_see_cyclic_shifts():
    x = np.zeros((1, 16, 16, 1), np.float32)
    x[:, 5:9, 6:10] = np.random.default_rng(0).standard_normal((1, 4, 4, 1))
    model = Circular()
    variables = model.init(jax.random.key(0), x)
    found = interpret.transform_sensitivity(
        model, variables, x, [0], "translate", [-4, 0, 5], "head"
    )
    # Nothing leaves the image, so the shift is cyclic; float32 sums of 256 values.
    assert found.distances["head"].max() < 1e-6
    assert np.ptp(found.probability) < 1e-6


class Symmetric(nn.Module):
    """One layer whose map, averaged over four turned kernels, turns with the image."""

    @nn.compact
    def __call__(self, x):
        kernel = self.param("kernel", nn.initializers.normal(), (3, 3, 1, 2))
        kernel = sum(jnp.rot90(kernel, k) for k in range(4))
        return nn.Dense(2, name="head")(nn.relu(conv(x, kernel, padding=1)).mean((1, 2)))


def test_turning_a_symmetric_network_dips_every_quarter():
    x = np.random.default_rng(0).standard_normal((2, 15, 15, 1)).astype(np.float32)
    model = Symmetric()
    variables = model.init(jax.random.key(0), x)
    found = interpret.transform_sensitivity(
        model, variables, x, [0, 1], "rotate", np.arange(0, 360, 45), "head"
    )
    curve = found.distances["head"]
    assert (curve[0] == 0).all()
    assert curve[::2].max() < 0.01 * curve[1::2].min()


def test_distances_are_to_the_image_as_it_is(planted):
    x, labels = planted.images[:2], planted.labels[:2]
    found = interpret.transform_sensitivity(
        planted.model, planted.variables, x, labels, "translate", [-6, 0, 3, 6], ["first", "head"]
    )
    assert isinstance(found, interpret.Sensitivity)
    assert (found.distances["first"][1] == 0).all() and (found.distances["head"][1] == 0).all()
    moved = interpret.transform_images(x, "translate", 6)
    change = activations(planted, moved, "first") - activations(planted, x, "first")
    expected = np.linalg.norm(change.reshape(2, -1), axis=1)
    np.testing.assert_allclose(found.distances["first"][3], expected, rtol=1e-4)
    run = jax.nn.softmax(planted.model.apply(planted.variables, moved))
    np.testing.assert_allclose(found.probability[3], run[np.arange(2), labels], rtol=1e-4)
    with pytest.raises(ValueError, match="labels: got shape"):
        interpret.transform_sensitivity(
            planted.model, planted.variables, x, [0], "rotate", [1], "head"
        )


def test_linearity():
    values = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    assert interpret.linearity(values, 3 * np.abs(values)) == pytest.approx(1)
    assert interpret.linearity(values, np.sign(np.abs(values))) == pytest.approx(0.5)


def test_signs_that_agree_have_no_distance():
    random = np.random.default_rng(0)
    same = np.repeat(random.standard_normal((1, 50)), 4, axis=0)
    np.testing.assert_allclose(interpret.sign_distance(same), 0, atol=1e-6)
    # Independent signs differ in half of the units, and zeros agree with zeros.
    many = random.standard_normal((6, 40_000)) * (random.random((1, 40_000)) < 0.6)
    found = np.asarray(interpret.sign_distance(many))[~np.eye(6, dtype=bool)]
    np.testing.assert_allclose(found, 0.3, atol=0.01)
    opposite = np.stack([same[0], -same[0]])
    np.testing.assert_allclose(interpret.sign_distance(opposite)[0, 1], 1)


def test_a_common_part_is_in_correspondence():
    """Images that share a corner and nothing else: hiding the corner does the same to all."""
    random = np.random.default_rng(0)
    x = random.standard_normal((8, 16, 16, 1)).astype(np.float32)
    x[:, :6, :6] = random.standard_normal((6, 6, 1))
    model = nn.Sequential([nn.Conv(8, (3, 3)), nn.relu, nn.Conv(8, (3, 3))])
    variables = model.init(jax.random.key(0), x)
    parts = {
        "corner": np.array([0, 0, 6, 6]),
        "random": interpret.random_boxes(jax.random.key(1), 8, (6, 6), (16, 16)),
    }
    found = interpret.correspondence(model, variables, x, parts, "layers_2")["layers_2"]
    assert found["corner"].mean < 0.5 * found["random"].mean
    alike = np.repeat(x[:1], 3, axis=0)
    same = interpret.correspondence(model, variables, alike, {"a": parts["corner"]}, "layers_2")
    assert same["layers_2"]["a"].mean == pytest.approx(0, abs=1e-6)
    assert isinstance(found["random"], interpret.Correspondence)
    pairs = found["random"].pairs
    off = pairs[~np.eye(8, dtype=bool)]
    assert found["random"].mean == pytest.approx(off.mean())
    for call, message in (
        (lambda: interpret.correspondence(model, variables, x[:1], parts, "layers_2"), "got 1"),
        (
            lambda: interpret.correspondence(
                model, variables, x, {"a": np.array([3, 3, 3, 9])}, "layers_2"
            ),
            "hides nothing in image 0",
        ),
        (
            lambda: interpret.correspondence(model, variables, x, {"a": np.ones(3)}, "layers_2"),
            "got boxes of shape",
        ),
        (lambda: interpret.random_boxes(jax.random.key(0), 2, (9, 9), (8, 8)), "at most"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_snapshots_are_of_one_training(planted):
    images, labels = planted.images[:24], planted.labels[:24]
    from jaxnets.data import Split

    model = SmallZFNet(3, widths=(2, 2, 2, 2, 2), dropout_rate=0.0)
    split = Split(images, labels)
    key = jax.random.key(0)
    kept = train_snapshots(key, model, split, [1, 2], batch_size=12, rms_limit=0.05)
    again = train_snapshots(key, model, split, [1, 2], batch_size=12, rms_limit=0.05)
    assert list(kept) == [1, 2]
    jax.tree.map(np.testing.assert_array_equal, kept, again)
    first, last = (interpret.find_kernel(v) for v in kept.values())
    assert (first != last).any()
    assert np.sqrt((last**2).mean((0, 1, 2))).max() < 0.05 * 1.001
    with pytest.raises(ValueError, match="epochs: got"):
        train_snapshots(key, model, split, [2, 1])
