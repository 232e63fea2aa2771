"""Class activation maps, occlusion, boxes: sums, planted objects, other implementations."""

import os
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets import interpret
from jaxnets.models import create_model
from jaxnets.models.counting import abstract_variables
from jaxnets.pretrained import load_deep_compression

# Of the maximum; between a map's noise and its object.
THRESHOLD = 0.3


def test_planted_objects_are_localized(planted):
    """Of 60 images at least 90 % of the boxes have an overlap of 0.5 with the object's."""
    model, variables, x, labels, boxes = planted
    logits = jax.jit(model.apply)(variables, x)
    assert (logits.argmax(-1) == labels).mean() > 0.95
    maps = {
        "CAM": interpret.class_activation_map(model, variables, x, labels).maps,
        "Grad-CAM": interpret.grad_cam(model, variables, x, labels, layer="third"),
        "Grad-CAM++": interpret.grad_cam_plus_plus(model, variables, x, labels, layer="third"),
        "occlusion": interpret.occlusion_map(
            model, variables, x, labels, size=10, stride=2, batch_size=144
        ).drop,
    }
    shares = {}
    for name, found in maps.items():
        ours = interpret.boxes_from_maps(found, threshold=THRESHOLD, size=x.shape[1:3])
        shares[name] = (interpret.box_overlap(ours, boxes) >= 0.5).mean()
    assert min(shares.values()) >= 0.9, shares
    # A box anywhere does not do it.
    anywhere = np.roll(boxes, 1, axis=0)
    assert (interpret.box_overlap(anywhere, boxes) >= 0.5).mean() < 0.5


def test_score_cam_localizes(planted):
    """As the others, with boxes at half the maximum: every channel counts, so that its floor is
    higher."""
    model, variables, x, labels, boxes = planted
    found = interpret.score_cam(model, variables, x[:30], labels[:30], layer="third")
    ours = interpret.boxes_from_maps(found, threshold=0.5, size=x.shape[1:3])
    assert (interpret.box_overlap(ours, boxes[:30]) >= 0.5).mean() >= 0.9


def enlarge(values, size):
    """Linear interpolation between centers, one axis after the other."""
    for axis in (0, 1):
        count = values.shape[axis]
        places = (np.arange(size) + 0.5) * count / size - 0.5
        lines = np.moveaxis(values, axis, -1)
        longer = [np.interp(places, np.arange(count), line) for line in lines]
        values = np.moveaxis(np.array(longer), -1, axis)
    return values


@pytest.mark.parametrize("batch_size", [7, 16])
def test_score_cam_is_its_formula(planted, batch_size):
    """Channel by channel in NumPy, from the network's logits alone."""
    model, variables, images, labels, _ = planted
    x, baseline = images[:2], 0.25
    run = jax.jit(model.apply)
    found = interpret.score_cam(
        model, variables, x, labels[:2], layer="third", baseline=baseline, batch_size=batch_size
    )
    third = model.apply(variables, x, capture_intermediates=True)[1]["intermediates"]["third"]
    activation = np.asarray(third["__call__"][0])
    for image, maps, label, ours in zip(x, activation, labels, found, strict=False):
        nothing = run(variables, np.full_like(image, baseline)[None])[0, label]
        scores = []
        for k in range(maps.shape[-1]):
            mask = enlarge(maps[..., k].astype(float), len(image))
            low, high = mask.min(), mask.max()
            mask = (mask - low) / (high - low) if high > low else 0 * mask
            hidden = mask[..., None] * image + (1 - mask[..., None]) * baseline
            scores.append(float(run(variables, hidden[None].astype(np.float32))[0, label]))
        weights = np.exp(np.array(scores) - float(nothing))
        expected = np.maximum((maps * (weights / weights.sum())).sum(-1), 0)
        # Logits in float32 through an exponential.
        np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-4 * expected.max())


def test_maps_of_a_mean_are_exact(planted, x64):
    """mean(M_c) + b_c = z_c for every class, in float64."""
    wide = jax.tree.map(np.float64, planted.variables)
    x = planted.images[:3].astype(np.float64)
    logits = jax.jit(planted.model.apply)(wide, x)
    for c in range(3):
        found = interpret.class_activation_map(planted.model, wide, x, c)
        assert isinstance(found, interpret.ClassActivation)
        total = found.maps.mean((1, 2)) + found.bias
        np.testing.assert_allclose(total, logits[:, c], rtol=0, atol=1e-13)
        np.testing.assert_allclose(found.bias, wide["params"]["head"]["bias"][c], atol=1e-15)


def test_grad_cam_of_a_mean_is_the_class_map(planted):
    model, variables, x = planted.model, planted.variables, planted.images[:3]

    class Features(nn.Module):
        """The last map as a module of its own, so that it has a name."""

        @nn.compact
        def __call__(self, x):
            return nn.relu(nn.Conv(5, (3, 3), name="conv")(x))

    model = nn.Sequential([Features(), lambda x: x.mean((1, 2)), nn.Dense(3)])
    variables = model.init(jax.random.key(0), x)
    cam = interpret.class_activation_map(model, variables, x, 1).maps
    found = interpret.grad_cam(model, variables, x, 1, layer="layers_0")
    positions = cam.shape[1] * cam.shape[2]
    np.testing.assert_allclose(positions * found, np.maximum(cam, 0), atol=1e-5)


def test_grad_cam_plus_plus_is_its_formula(planted):
    """Against the paper's equation, in NumPy, with gradients from another network pass."""
    model, variables, x = planted.model, planted.variables, planted.images[:2]

    def rest(a):
        head = variables["params"]["head"]
        return jnp.maximum(a, 0).mean((1, 2)) @ head["kernel"] + head["bias"]

    state = model.apply(variables, x, capture_intermediates=True)[1]["intermediates"]
    a = np.asarray(state["third"]["__call__"][0], np.float64)
    g = np.asarray(jax.grad(lambda a: rest(a)[:, 2].sum())(jnp.asarray(a, jnp.float32)))
    g = g.astype(np.float64)
    below = 2 * g**2 + a.sum((1, 2), keepdims=True) * g**3
    alpha = np.divide(g**2, below, out=np.zeros_like(g), where=below != 0)
    weights = (alpha * np.maximum(g, 0)).sum((1, 2), keepdims=True)
    expected = np.maximum((weights * a).sum(-1), 0)
    found = interpret.grad_cam_plus_plus(model, variables, x, 2, layer="third")
    np.testing.assert_allclose(found, expected, atol=1e-4 * expected.max())


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("resnet20", {"blocks": 1, "widths": (4, 4, 4)}),
        ("nin_cifar", {}),
        ("densenet40_k12", {}),
        ("mobilenet_v2", {}),
        ("shufflenet_v2_x1_0", {}),
        ("googlenet", {}),
    ],
)
def test_the_pooled_map_of_registered_networks_is_found(name, fields):
    """By shapes alone: nothing is compiled."""
    from jaxnets.interpret.pooled import split_at_pooling
    from jaxnets.models import list_models, model_info

    if name not in list_models():
        pytest.skip(f"{name} is not registered")
    model, shape = create_model(name, **fields), model_info(name).input_shape
    variables = abstract_variables(model, shape)
    seen = []

    def look(v, x):
        feature, head = split_at_pooling(model, v, x)
        seen.append(feature.shape)
        return head(feature)

    logits = jax.eval_shape(look, variables, jax.ShapeDtypeStruct((2, *shape), jnp.float32))
    assert logits.shape == (2, model.num_classes)
    assert seen[0][0] == 2 and len(seen[0]) == 4 and seen[0][1] > 1


def test_networks_without_a_mean_are_sent_to_grad_cam():
    for name in ("lenet5", "alexnet", "vgg11"):
        model = create_model(name, **({} if name == "lenet5" else {"fc_width": 8}))
        shape = (32, 32, 1) if name == "lenet5" else (227, 227, 3)
        x = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
        variables = abstract_variables(model, shape)
        from jaxnets.interpret.cam import _class_maps

        with pytest.raises(ValueError, match="take grad_cam"):
            jax.eval_shape(lambda v, x, m=model: _class_maps(m, v, x, jnp.array([0])), variables, x)


def published() -> Path | None:
    root = Path(__file__).resolve().parents[2]
    for place in (os.environ.get("JAXNETS_TEST_DATA"), root.parent / "shared" / "data"):
        file = Path(place or "/none") / "compression" / "compressed_SqueezeNet.net"
        if file.exists():
            return file
    return None


@pytest.mark.slow
@pytest.mark.skipif(published() is None, reason="the published weights are not on this machine")
def test_maps_of_the_published_squeezenet_are_exact():
    model, variables = load_deep_compression(published())
    x = np.random.default_rng(0).uniform(-100, 100, (1, 227, 227, 3)).astype(np.float32)
    logits = jax.jit(model.apply)(variables, x)
    found = interpret.class_activation_map(model, variables, x)
    total = found.maps.mean((1, 2)) + found.bias
    np.testing.assert_allclose(total, logits.max(-1), rtol=1e-5)


def test_occlusion_is_what_is_computed_one_by_one(planted):
    model, variables, x = planted.model, planted.variables, planted.images[:2]
    x, labels = x[:, :31, :29], planted.labels[:2]  # odd sizes
    found = interpret.occlusion_map(
        model,
        variables,
        x,
        labels,
        size=(8, 9),
        stride=(7, 6),
        fill=0.5,
        layer="third",
        batch_size=11,
    )
    assert isinstance(found, interpret.OcclusionMaps)
    assert found.rows.tolist() == [0, 7, 14, 21, 28] and found.columns.tolist() == [
        0,
        6,
        12,
        18,
        24,
    ]
    run = jax.jit(lambda x: model.apply(variables, x, capture_intermediates=True))
    before = jax.nn.softmax(run(x)[0])[np.arange(2), labels]
    plain = run(x)[1]["intermediates"]["third"]["__call__"][0]
    np.testing.assert_array_equal(found.channel, plain.max((1, 2)).argmax(-1))
    drop, count = np.zeros(x.shape[:3]), np.zeros(x.shape[1:3])
    for i, j in [(0, 0), (2, 3), (4, 4)]:
        top, left = found.rows[i], found.columns[j]
        hidden = x.copy()
        hidden[:, top : top + 8, left : left + 9] = 0.5
        logits, state = run(hidden)
        value = state["intermediates"]["third"]["__call__"][0]
        expected = jax.nn.softmax(logits)[np.arange(2), labels]
        np.testing.assert_allclose(found.probability[:, i, j], expected, atol=1e-6)
        np.testing.assert_array_equal(found.label[:, i, j], logits.argmax(-1))
        total = value.sum((1, 2))[np.arange(2), found.channel]
        np.testing.assert_allclose(found.activation[:, i, j], total, rtol=1e-4)
    for i, top in enumerate(found.rows):
        for j, left in enumerate(found.columns):
            fall = before - found.probability[:, i, j]
            drop[:, top : top + 8, left : left + 9] += fall[:, None, None]
            count[top : top + 8, left : left + 9] += 1
    assert count.min() == 1
    np.testing.assert_allclose(found.drop, drop / count, atol=1e-6)


def test_boxes():
    maps = np.zeros((3, 10, 12))
    maps[0, 2:5, 3:9] = 1.0
    maps[0, 8, 0] = 1.0  # a smaller part
    maps[1, 0, 0] = -1.0
    maps[2, 4, 4], maps[2, 4, 5] = 1.0, 0.25
    assert interpret.boxes_from_maps(maps).tolist() == [
        [3, 2, 9, 5],
        [0, 0, 12, 10],
        [4, 4, 6, 5],
    ]
    assert interpret.boxes_from_maps(maps, threshold=0.5)[2].tolist() == [4, 4, 5, 5]
    assert interpret.boxes_from_maps(maps[:1], size=(20, 24)).shape == (1, 4)
    a = np.array([[0, 0, 2, 2], [0, 0, 1, 1], [5, 5, 5, 5]])
    b = np.array([[1, 1, 3, 3], [2, 2, 3, 3], [5, 5, 5, 5]])
    np.testing.assert_allclose(interpret.box_overlap(a, b), [1 / 7, 0, 0])
    up = interpret.resize_maps(np.array([[[0.0, 1.0]]]), (2, 2))
    assert up.tolist() == [[[0, 1], [0, 1]]]


def test_bad_input_is_refused(planted):
    model, variables, x = planted.model, planted.variables, planted.images[:1]
    refusals = [
        (
            lambda: interpret.occlusion_map(model, variables, x, size=33),
            "size: got 33×33 pixels; expected at most the image's 32×32",
        ),
        (lambda: interpret.occlusion_map(model, variables, x, size=4, stride=5), "stride: got"),
        (lambda: interpret.occlusion_map(model, variables, x, size=0), "size: got 0"),
        (lambda: interpret.occlusion_map(model, variables, x, 7, size=9), "has 3 channels"),
        (lambda: interpret.grad_cam(model, variables, x, layer="thrid"), "Did you mean 'third'"),
        (lambda: interpret.grad_cam(model, variables, x, layer="head"), "expected a map"),
        (lambda: interpret.grad_cam(model, variables, x, "third"), "expected a class"),
        (lambda: interpret.grad_cam(model, variables, x, 3, layer="third"), "has 3 channels"),
        (lambda: interpret.class_activation_map(model, variables, x, 3), "has 3 channels"),
        (lambda: interpret.boxes_from_maps(np.ones((2, 2))), "maps: got shape"),
        (lambda: interpret.boxes_from_maps(np.ones((1, 2, 2)), threshold=1), "threshold: got 1"),
    ]
    for call, message in refusals:
        with pytest.raises(ValueError, match=message):
            call()


def test_the_last_map_is_the_default(planted):
    x = planted.images[:1]
    assert interpret.last_map(planted.model, planted.variables, x) == "third"
    shapes = interpret.layer_shapes(planted.model, planted.variables, x)
    assert shapes == {
        "first": (1, 32, 32, 8),
        "second": (1, 16, 16, 16),
        "third": (1, 16, 16, 16),
        "head": (1, 3),
    }
    default = interpret.grad_cam(planted.model, planted.variables, x, 0)
    named = interpret.grad_cam(planted.model, planted.variables, x, 0, layer="third")
    np.testing.assert_array_equal(default, named)
