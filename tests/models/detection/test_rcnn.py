"""Detectors of two stages: torchvision's regions, losses, masks and key points, with its names.

tests/golden/make_rcnn.py stored them, computed in float64.
"""

import gzip
import json
import runpy
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.models import count_macs, count_parameters, create_model
from jaxnets.models.detection import (
    DrawnRegions,
    KeypointHead,
    Proposals,
    RegionRules,
    crop_masks,
    draw_regions,
    keypoint_loss,
    mask_loss,
    match_regions,
    mean_losses,
    mobilenet_pyramid,
    pooled_pyramid,
    rcnn_detections,
    rcnn_losses,
    select_regions,
    small_rcnn,
)
from jaxnets.models.detection.targets import objects_of
from jaxnets.ops import boxes
from jaxnets.ops.roi import paste_masks, roi_align
from jaxnets.pretrained import load
from jaxnets.pretrained.rcnn_names import RCNN as RCNN_NAMES
from jaxnets.pretrained.retinanet_names import RETINANET

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
MADE = runpy.run_path(str(GOLDEN / "make_rcnn.py"))
VALUES = runpy.run_path(str(GOLDEN / "named_values.py"))
STORED = np.load(GOLDEN / "rcnn.npz")
NAMES = json.loads(gzip.decompress((GOLDEN / "rcnn_names.json.gz").read_bytes()))
RULES = RegionRules(
    **{"candidates": 60, "proposals": 60, "train_candidates": 80, "train_proposals": 80},
    **{"min_score": 0.0, "drawn": 64, "detections": MADE["FOUND"]},
)
QUICK = "fasterrcnn_mobilenet_v3_large_320_fpn"


def state_dict(name):
    stored = {k.rpartition("/")[2]: STORED[k] for k in STORED.files if f"{name}/factor/" in k}
    factor = {k: stored.get(k.rpartition(".")[0], np.float32(1)) for k in NAMES[name]}
    return {k: VALUES["value"](k, shape) * factor[k] for k, shape in NAMES[name].items()}


def padded(arrays, value):
    """Two arrays of different lengths as one."""
    result = np.full((2, max(map(len, arrays)), *arrays[0].shape[1:]), value, arrays[0].dtype)
    for row, each in zip(result, arrays, strict=True):
        row[: len(each)] = each
    return result


def batch_of_truth():
    corners, labels, masks, points = MADE["truth"]()
    truth = {"boxes": corners, "box_label": labels, "box_mask": np.ones(labels.shape)}
    return truth | {"masks": masks, "keypoints": points}


def double(network):
    """The same network, computing in float64."""
    heads = {
        name: getattr(network, name).clone(dtype=np.float64)
        for name in ("box_head", "mask_head", "keypoint_head")
        if getattr(network, name) is not None
    }
    if network.sizes[0] == network.sizes[1]:
        backbone = mobilenet_pyramid(dtype=np.float64)
    else:
        improved = network.backbone.norm is not None
        backbone = pooled_pyramid(improved=improved, dtype=np.float64)
    return network.clone(dtype=np.float64, backbone=backbone, **heads)


@pytest.mark.parametrize(
    "name", [n if n == QUICK else pytest.param(n, marks=pytest.mark.slow) for n in MADE["NAMES"]]
)
def test_what_is_found_and_the_losses_are_those_of_torchvision(name, quick_jit):
    stored = {k.partition("/")[2]: STORED[k] for k in STORED.files if k.startswith(f"{name}/")}
    fields = {"num_classes": MADE["CLASSES"], "rules": RULES}
    if "keypoint" in name:
        fields["keypoint_head"] = KeypointHead(convs=(512,) * 2)
    model, variables = load(name, state_dict(name), **fields)
    truth = batch_of_truth()
    anchors = padded([stored["anchors0"], stored["anchors1"]], -1)
    regions = padded([stored["regions0"], stored["regions1"]], np.nan)
    x = VALUES["images"](2, MADE["SIDE"], MADE["SIDE"])
    with jax.enable_x64(True):
        network = double(model)

        @quick_jit
        def run(variables, x):
            outputs = network.apply(variables, x, objects=truth, regions=regions)
            losses = mean_losses(rcnn_losses(outputs, truth, sampled=anchors))
            return rcnn_detections(outputs), losses

        arguments = jax.tree.map(lambda a: jnp.asarray(a, np.float64), (variables, x))
        found, losses = jax.tree.map(np.asarray, run(*arguments))
    assert {f"loss/{k}" for k in losses} == {k for k in stored if k.startswith("loss/")}
    for key, value in losses.items():
        np.testing.assert_allclose(value, stored[f"loss/{key}"], rtol=1e-4, err_msg=key)
    count = len(stored["found/scores"])
    assert count > 50 and found.mask[0, :count].all()
    first = jax.tree.map(lambda a: a[0, :count], found)
    np.testing.assert_allclose(first.scores, stored["found/scores"], atol=1e-3)
    np.testing.assert_array_equal(first.labels + 1, stored["found/labels"])
    np.testing.assert_allclose(first.boxes, stored["found/boxes"], atol=1e-3)
    if "found/masks" in stored:
        # Laid over the image.
        theirs = stored["found/masks"]
        few = (jnp.asarray(each[: len(theirs)]) for each in (first.masks, first.boxes))
        ours = paste_masks(*few, theirs.shape[1:])
        assert theirs.std() > 0.1
        np.testing.assert_allclose(ours, theirs, atol=1e-3)
    if "found/keypoints" in stored:
        theirs = stored["found/keypoints"][..., :2]
        np.testing.assert_allclose(first.keypoints[..., :2], theirs, atol=1e-3)
        scores = stored["found/keypoints_scores"]
        np.testing.assert_allclose(first.keypoints[..., 2], scores, atol=1e-3)


def test_counts_of_parts_and_of_other_classes():
    """torchvision: 14.36 million products a region in the box head; 21 classes, 14 key points."""
    network, shape = create_model("fasterrcnn_resnet50_fpn"), (320, 320, 3)
    fewer = network.clone(rules=network.rules._replace(proposals=999))
    assert count_macs(network, shape) - count_macs(fewer, shape) == 14_359_552
    network = create_model("maskrcnn_resnet50_fpn")
    fewer = network.clone(rules=network.rules._replace(detections=99))
    assert count_macs(network, shape) - count_macs(fewer, shape) == 462_422_016 + 69_644_288
    assert (
        count_parameters(create_model("fasterrcnn_resnet50_fpn", num_classes=21), shape)
        == 41_449_656
    )
    assert (
        count_parameters(create_model("maskrcnn_resnet50_fpn", num_classes=2), shape) == 43_975_515
    )
    joints = create_model("keypointrcnn_resnet50_fpn", keypoint_head=KeypointHead(keypoints=14))
    assert count_parameters(joints, shape) == 59_165_799


def test_the_networks_on_mobilenet_differ_in_their_regions_only():
    large, small = (
        create_model(f"fasterrcnn_mobilenet_v3_large_{end}") for end in ("fpn", "320_fpn")
    )
    assert small.rules == large.rules._replace(candidates=150, proposals=150, proposal_score=0.05)
    assert (large.sizes, large.ratios, large.depth) == (small.sizes, small.ratios, small.depth)
    assert large.box_head == small.box_head


def test_old_names_of_torchvision_are_read():
    """Its published files of 2020 name layers that today have one more number."""
    assert [RCNN_NAMES.present_name(name) for name in OLD] == list(OLD.values())
    for i in range(4):
        there = "head.regression_head.conv"
        assert RETINANET.present_name(f"{there}.{2 * i}.bias") == f"{there}.{i}.0.bias"
        assert RETINANET.present_name(f"{there}.{i}.0.bias") == f"{there}.{i}.0.bias"


OLD = {
    "rpn.head.conv.weight": "rpn.head.conv.0.0.weight",
    "backbone.fpn.inner_blocks.2.bias": "backbone.fpn.inner_blocks.2.0.bias",
    "backbone.fpn.layer_blocks.0.0.weight": "backbone.fpn.layer_blocks.0.0.weight",
    "roi_heads.mask_head.mask_fcn3.weight": "roi_heads.mask_head.2.0.weight",
    "rpn.head.cls_logits.weight": "rpn.head.cls_logits.weight",
}
CORNERS = np.float32([[[4, 4, 20, 28], [30, 6, 50, 30], [0, 0, 9, 9]]])


def objects(corners, labels=None, mask=None):
    labels = np.zeros(corners.shape[:2], np.int32) if labels is None else labels
    mask = np.ones(corners.shape[:2]) if mask is None else mask
    return objects_of({"boxes": corners, "box_label": labels, "box_mask": mask})[0]


def test_regions_are_drawn_from_proposals_and_objects():
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 40, (1, 200, 2))
    corners = np.float32(np.concatenate([corner, corner + rng.uniform(8, 24, (1, 200, 2))], -1))
    there = np.arange(200)[None] < 150
    proposals = Proposals(jnp.asarray(corners), jnp.ones((1, 200)), jnp.asarray(there))
    rules = RegionRules(drawn=40, positive_share=0.25)
    true = objects(CORNERS)
    drawn = jax.tree.map(np.asarray, draw_regions(jax.random.key(0), proposals, true, rules))
    assert drawn.mask.all() and drawn.positive.sum() <= 10
    # Positives in front; each overlaps its object by half at least, the others none of them.
    count = int(drawn.positive.sum())
    assert drawn.positive[0, :count].all() and count >= 3
    overlap = np.asarray(boxes.iou(true.boxes[0], drawn.boxes[0]))
    assert (overlap.max(0)[:count] >= 0.5).all() and (overlap.max(0)[count:] < 0.5).all()
    np.testing.assert_array_equal(overlap.argmax(0)[:count], drawn.matched[0, :count])
    known = np.concatenate([corners[0, :150], np.asarray(true.boxes[0])])
    assert all((known == each).all(1).any() for each in drawn.boxes[0])
    # Given regions come back in the same order of kinds, padding last.
    given = np.concatenate([drawn.boxes[:, ::-1], np.full((1, 3, 4), np.nan)], 1)
    again = match_regions(jnp.asarray(given), true, rules)
    assert again.mask.sum() == 40 and int(again.positive.sum()) == count
    assert not np.isnan(again.boxes).any()


def test_without_objects_all_drawn_regions_are_background():
    proposals = Proposals(jnp.asarray(CORNERS), jnp.ones((1, 3)), jnp.ones((1, 3), bool))
    nothing = objects(np.zeros((1, 0, 4), np.float32))
    drawn = draw_regions(jax.random.key(0), proposals, nothing, RegionRules(drawn=8))
    assert drawn.mask.sum() == 3 and not drawn.positive.any()


def test_detections_are_suppressed_within_a_class():
    regions = Proposals(jnp.asarray(CORNERS), jnp.ones((1, 3)), jnp.array([[True, True, False]]))
    logits = np.full((1, 3, 3), -9.0, np.float32)
    logits[0, :, 1:] = [[2, 1], [1, 2], [9, 9]]
    deltas = np.zeros((1, 3, 3, 4), np.float32)
    deltas[0, 0, 2] = [10 * 26.5 / 16, 10 * 2 / 24, 5 * np.log(20 / 16), 0]  # onto the second
    found = select_regions(regions, jnp.asarray(logits), jnp.asarray(deltas), (64, 64), RULES)
    found = jax.tree.map(lambda a: np.asarray(a)[0], found)
    p, q = np.exp(2) / (np.exp(2) + np.exp(1) + np.exp(-9)), np.exp(1) / np.exp(2)
    # Class 1 of the first region lies on the better one of the second.
    expected = [(p, 0, 0), (p, 1, 1), (p * q, 0, 1)]
    assert found.mask.sum() == 3
    for i, (score, label, index) in enumerate(expected):
        assert abs(found.scores[i] - score) < 1e-5 and found.labels[i] == label
        assert found.index[i] == index
    np.testing.assert_allclose(found.boxes[0], CORNERS[0, 0], atol=1e-4)


def test_mask_targets_are_means_of_bilinear_samples():
    """As RoIAlign takes them, whose number of samples is one for all regions."""
    rng = np.random.default_rng(1)
    masks = (rng.random((3, 40, 56)) > 0.5).astype(np.float32)
    # Cells of 2 to 3 pixels, so three samples each.
    corners = np.float32([[1.3, 2.1, 21.2, 24.6], [30.5, 10.2, 53.9, 33.7], [0, 0, 22, 23.5]])
    expected = roi_align(jnp.asarray(masks)[..., None], corners[:, None], 8, strides=1.0, samples=3)
    found = crop_masks(jnp.asarray(masks), jnp.asarray(corners), 8)
    np.testing.assert_allclose(found, expected[:, 0, ..., 0], atol=1e-5)


def test_losses_of_heads_without_objects_are_zero_and_finite():
    drawn = DrawnRegions(
        jnp.zeros((1, 4, 4)),
        jnp.ones((1, 4), bool),
        jnp.full((1, 4), -1),
        mask_logits=jnp.zeros((1, 2, 4, 4, 2)),
        keypoint_logits=jnp.zeros((1, 2, 4, 4, 3)),
    )
    none, there = objects(np.zeros((1, 0, 4), np.float32)), jnp.ones(1, bool)

    def total(drawn):
        painted = mask_loss(drawn, none, jnp.zeros((1, 0, 16, 16)), there)
        marked = keypoint_loss(drawn, none, jnp.zeros((1, 0, 3, 3)), there)
        return sum(mean_losses({"a": painted, "b": marked}).values())

    value, slopes = jax.value_and_grad(total, allow_int=True)(drawn)
    assert value == 0
    assert not slopes.mask_logits.any() and not slopes.keypoint_logits.any()
    with pytest.raises(ValueError, match="has 3 of them"):
        keypoint_loss(drawn, none, jnp.zeros((1, 0, 5, 3)), there)


def test_a_tiny_network_learns_from_objects_and_from_none():
    """Both kinds of image at once: finite slopes; the order of the objects changes nothing."""
    network = small_rcnn(3, width=4, masks=True)
    masks = np.zeros((2, 3, 64, 64), np.uint8)
    for i, (x1, y1, x2, y2) in enumerate(CORNERS[0].astype(int)):
        masks[0, i, y1:y2, x1:x2] = 1
    truth = {"boxes": np.concatenate([CORNERS, CORNERS]), "masks": masks}
    truth |= {"box_label": np.int32([[1, 0, 1]] * 2), "box_mask": np.float32([[1] * 3, [0] * 3])}
    other = {k: np.ascontiguousarray(v[:, ::-1]) for k, v in truth.items()}
    x = np.random.default_rng(0).normal(size=(2, 64, 64, 3)).astype(np.float32)

    def loss(params, rest, batch):
        variables = {"params": params, **rest}
        drawn = {k: batch[k] for k in ("boxes", "box_label", "box_mask")}
        outputs = network.apply(variables, x, objects=drawn)
        return sum(mean_losses(rcnn_losses(outputs, batch)).values())

    variables = jax.jit(network.init)(jax.random.key(0), x)
    rest = {k: v for k, v in variables.items() if k != "params"}
    step = jax.jit(jax.value_and_grad(loss))
    value, slopes = step(variables["params"], rest, truth)
    again, _ = step(variables["params"], rest, other)
    assert np.isfinite(value) and value == again
    assert all(np.isfinite(each).all() for each in jax.tree.leaves(slopes))
    heads = ("box_head", "mask_head", "mask_score", "class_score", "box_offsets", "proposals")
    assert all(any(s.any() for s in jax.tree.leaves(slopes[name])) for name in heads)
