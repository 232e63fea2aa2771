"""Fast R-CNN: its regions, its losses beside NumPy's, and what is computed once an image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.models import count_macs, count_parameters, create_model
from jaxnets.models.backbone import backbone
from jaxnets.models.detection import (
    BoxHead,
    FastRCNN,
    Proposals,
    RegionRules,
    draw_regions,
    fast_rcnn_losses,
    mean_losses,
    rcnn_detections,
    small_fast_rcnn,
    spread_regions,
)
from jaxnets.models.detection.targets import objects_of
from jaxnets.ops.roi import roi_pool

CORNERS = np.float32([[[4, 4, 20, 28], [30, 6, 50, 30], [0, 0, 9, 9]]])
TRUTH = {
    "boxes": np.concatenate([CORNERS, CORNERS]),
    "box_label": np.int32([[1, 0, 1]] * 2),
    "box_mask": np.float32([[1] * 3, [0] * 3]),
}


def proposals(count=40, seed=0):
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 40, (2, count, 2))
    given = np.concatenate([corner, corner + rng.uniform(8, 24, (2, count, 2))], -1)
    given[:, -5:] = np.nan
    return np.float32(given)


@pytest.fixture(scope="module")
def made():
    network = FastRCNN(
        backbone("resnet18", (8,), stages=(1, 1), width=4),
        3,
        BoxHead(widths=(16,)),
        rules=RegionRules(drawn=16, low=0.1, detections=10, pairs=60, min_score=0.0),
    )
    x = np.random.default_rng(0).normal(size=(2, 64, 64, 3)).astype(np.float32)
    variables = jax.jit(lambda x: network.init(jax.random.key(0), x, proposals=proposals()))(x)
    noise = jax.random.normal(jax.random.key(1), (16, 15))
    params = {
        **variables["params"],
        "class_score": {"kernel": noise[:, :3], "bias": jnp.zeros(3)},
        "box_offsets": {"kernel": 0.3 * noise[:, 3:], "bias": jnp.zeros(12)},
    }
    return network, {**variables, "params": params}, x


def test_parameters_and_the_convolutions_run_once_an_image():
    """Each region more costs the head alone: fc6, fc7, 21 scores and 84 offsets."""
    network = create_model("fast_rcnn_vgg16")
    assert count_parameters(network, (64, 64, 3)) == 134_690_729
    head = 7 * 7 * 512 * 4096 + 4096 * 4096 + 4096 * 105
    fewer = network.clone(rules=network.rules._replace(proposals=1999))
    assert count_macs(network, (64, 64, 3)) - count_macs(fewer, (64, 64, 3)) == head


def test_what_is_said_of_a_region_is_the_head_s_word_on_its_pooled_features(made):
    network, variables, x = made
    given = proposals()
    outputs = jax.jit(lambda v, x: network.apply(v, x, objects=TRUTH, regions=given))(variables, x)
    maps = network.clone(num_classes=None).apply(variables, x)
    (features,) = maps.values()
    drawn = outputs.drawn
    assert outputs.proposals is None and outputs.found is not None
    assert drawn.mask.sum() == 70 and not drawn.mask[:, -5:].any()
    pooled = roi_pool(features, drawn.boxes, 7, stride=8.0)
    params = jax.tree.map(np.float64, jax.device_get(variables["params"]))
    rows = np.asarray(pooled, np.float64).reshape(80, -1)
    fc = params["box_head"]["fc0"]
    hidden = np.maximum(rows @ fc["kernel"].reshape(-1, 16) + fc["bias"], 0)
    logits = hidden @ params["class_score"]["kernel"]
    deltas = hidden @ params["box_offsets"]["kernel"]
    there = np.asarray(drawn.mask).ravel()
    np.testing.assert_allclose(
        np.asarray(drawn.logits).reshape(80, 3)[there], logits[there], rtol=1e-3, atol=1e-4
    )
    np.testing.assert_allclose(
        np.asarray(drawn.deltas).reshape(80, 12)[there], deltas[there], rtol=1e-3, atol=1e-4
    )


def test_losses_are_py_faster_rcnn_s(made):
    """Softmax cross entropy, and smooth L1 of targets divided by .1, .1, .2, .2, over all regions.

    A box there is two corners included; here the second lies behind it.
    """
    network, variables, x = made
    given = proposals(60, seed=3)
    outputs = jax.jit(lambda v, x: network.apply(v, x, objects=TRUTH, regions=given))(variables, x)
    losses = fast_rcnn_losses(outputs, TRUTH)
    drawn = jax.tree.map(lambda a: np.asarray(a, np.float64), outputs.drawn)
    cross = smooth = count = 0
    for i in range(2):
        true = TRUTH["boxes"][i][TRUTH["box_mask"][i] > 0].astype(np.float64)
        for j in np.flatnonzero(drawn.mask[i]):
            region, label = drawn.boxes[i, j], 0
            overlap = [inclusive_overlap(region, box) for box in true]
            if overlap and max(overlap) >= 0.5:
                best = int(np.argmax(overlap))
                label = TRUTH["box_label"][i][best] + 1
                target = inclusive_transform(region, true[best]) / [0.1, 0.1, 0.2, 0.2]
                error = np.abs(drawn.deltas[i, j, label] - target)
                smooth += np.where(error < 1, 0.5 * error**2, error - 0.5).sum()
            logits = drawn.logits[i, j]
            cross += np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[label]
            count += 1
    assert count == 110 and smooth > 0
    assert set(losses) == {"loss_classifier", "loss_box_reg"}
    np.testing.assert_allclose(losses["loss_classifier"][0], cross, rtol=1e-5)
    np.testing.assert_allclose(losses["loss_box_reg"][0], smooth, rtol=1e-5)
    assert [int(n) for _, n in losses.values()] == [count, count]


def inclusive_overlap(a, b):
    """With corners included, as there: the widths are x2 − x1 + 1."""
    a, b = a - [0, 0, 1, 1], b - [0, 0, 1, 1]
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]) + 1
    shared = np.maximum(sides, 0).prod()
    areas = [(c[2:] - c[:2] + 1).prod() for c in (a, b)]
    return shared / (sum(areas) - shared)


def inclusive_transform(region, box):
    region, box = region - [0, 0, 1, 1], box - [0, 0, 1, 1]
    size, true = region[2:] - region[:2] + 1, box[2:] - box[:2] + 1
    shift = (box[:2] + 0.5 * true - region[:2] - 0.5 * size) / size
    return np.concatenate([shift, np.log(true / size)])


def test_background_overlaps_an_object_a_little():
    """A tenth at least, where there is an object; else everything is background."""
    true, _ = objects_of(TRUTH)
    given = proposals(400, seed=1)[:, :-5]
    all_ = Proposals(jnp.asarray(given), jnp.ones((2, 395)), jnp.ones((2, 395), bool))
    rules = RegionRules(drawn=64, low=0.1)
    drawn = jax.tree.map(np.asarray, draw_regions(jax.random.key(0), all_, true, rules))
    assert drawn.mask.all() and 3 <= drawn.positive[0].sum() <= 16
    best = np.array([[inclusive_overlap(np.float64(r), np.float64(b)) for b in CORNERS[0]]
                     for r in drawn.boxes[0]]).max(1)  # fmt: skip
    assert (best[drawn.positive[0]] >= 0.5).all()
    negative = best[~drawn.positive[0]]
    assert negative.min() >= 0.1 - 1e-6 and negative.max() < 0.5
    assert not drawn.positive[1].any()


def test_order_padding_and_no_objects(made):
    network, variables, x = made
    given = proposals()
    padded = np.concatenate([given, np.full((2, 7, 4), np.nan, np.float32)], 1)
    other = {k: np.ascontiguousarray(v[:, ::-1]) for k, v in TRUTH.items()}

    def loss(params, given, truth):
        outputs = network.apply({**variables, "params": params}, x, proposals=given, objects=truth)
        return sum(mean_losses(fast_rcnn_losses(outputs, truth)).values())

    step = jax.jit(jax.value_and_grad(loss))
    value, slopes = step(variables["params"], given, TRUTH)
    assert np.isfinite(value) and value == step(variables["params"], given, other)[0]
    assert all(np.isfinite(each).all() for each in jax.tree.leaves(slopes))
    for name in ("box_head", "class_score", "box_offsets", "backbone"):
        assert any(np.any(each) for each in jax.tree.leaves(slopes[name])), name
    none = {**TRUTH, "box_mask": np.zeros((2, 3), np.float32)}
    value, slopes = step(variables["params"], given, none)
    assert value > 0 and all(np.isfinite(each).all() for each in jax.tree.leaves(slopes))
    find = jax.jit(lambda v, x, given: rcnn_detections(network.apply(v, x, proposals=given)))
    found, same = (find(variables, x, each) for each in (given, padded))
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(same), strict=True):
        np.testing.assert_array_equal(a, b)
    assert found.mask.all() and (np.diff(found.scores) <= 0).all()


def test_dropout_acts_in_training_alone(made):
    network, variables, x = made
    noisy = network.clone(box_head=BoxHead(widths=(16,), dropout_rate=0.5))

    @jax.jit
    def run(key):
        return [
            noisy.apply(
                variables, x, objects=TRUTH, regions=proposals(), rngs={"dropout": key},
                train=train, mutable=["batch_stats"],
            )[0]
            for train in (True, False)
        ]  # fmt: skip

    one, other = run(jax.random.key(0)), run(jax.random.key(1))
    assert one[0].found is None and np.any(one[0].drawn.logits != other[0].drawn.logits)
    np.testing.assert_array_equal(one[1].drawn.logits, other[1].drawn.logits)


def test_spread_regions_cover_an_image_and_regions_are_checked(made):
    regions = np.asarray(spread_regions((60, 90), 500))
    sides = regions[:, 2:] - regions[:, :2]
    assert regions.min() >= 0 and (regions[:, 2:] <= [90.001, 60.001]).all()
    assert (sides >= np.array([90, 60]) / 9 - 1e-3).all()
    for box in ([10, 10, 40, 40], [50, 20, 85, 55], [0, 0, 90, 60], [60, 2, 80, 20]):
        assert max(inclusive_overlap(each, np.float64(box)) for each in regions) > 0.4
    network, variables, x = made
    with pytest.raises(ValueError, match=r"expected \(2, R, 4\)"):
        network.apply(variables, x, proposals=np.zeros((3, 4)))
    with pytest.raises(ValueError, match="expected objects beside"):
        network.apply(variables, x, regions=proposals())
    assert small_fast_rcnn(None, width=4).rules.drawn == 64
