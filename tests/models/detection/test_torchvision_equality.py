"""Outputs, losses and detections of torchvision's detectors, with the same values in all tensors.

tests/golden/make_detection.py stored them, computed in float64; the state dicts are read by
`jaxnets.pretrained.load` under torchvision's own names.
"""

import gzip
import json
import runpy
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.models import count_parameters, create_model, list_models, model_info
from jaxnets.models.detection import (
    RetinaNetOutputs,
    fcos_detections,
    fcos_losses,
    mean_losses,
    resnet_pyramid,
    retinanet_detections,
    retinanet_losses,
    ssd_detections,
    ssd_losses,
)
from jaxnets.pretrained import load

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
VALUES = runpy.run_path(str(GOLDEN / "named_values.py"))
NAMES = json.loads(gzip.decompress((GOLDEN / "detection_names.json.gz").read_bytes()))
STORED = np.load(GOLDEN / "detection.npz")
# Images, side in pixels, dtype, how detections are selected. Through sixty normalized layers of
# random numbers float32 moves boxes by hundredths of a pixel, in PyTorch as well.
SSDS = {
    "ssd300_vgg16": (1, 300, np.float32, {}),
    "ssdlite320_mobilenet_v3_large": (
        *(2, 320, np.float64),
        {"threshold": 0.55, "candidates": 300, "max_outputs": 300},
    ),
}


def state_dict(name):
    return {key: VALUES["value"](key, shape) for key, shape in NAMES[name].items()}


def sampled(array, count=400):
    flat = np.asarray(array).reshape(-1)
    return flat[:: max(1, len(flat) // count)]


def assert_close(ours, theirs, tolerance, what):
    """Of the largest value."""
    limit = tolerance * np.abs(theirs).max()
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=limit, err_msg=what)


def assert_same_detections(found, name):
    """Scores by rank; and of every detection of theirs the same box with the same label."""
    theirs = {k: STORED[f"{name}/found/{k}"] for k in ("boxes", "scores", "labels")}
    count = len(theirs["scores"])
    assert count > 50
    first = jax.tree.map(lambda a: np.asarray(a[0]), found)
    assert first.mask[:count].all()
    np.testing.assert_allclose(first.scores[:count], theirs["scores"], rtol=1e-3)
    for box, score, label in zip(*theirs.values(), strict=True):
        same = first.mask & (first.labels + 1 == label)
        same &= np.isclose(first.scores, score, rtol=1e-3)
        assert np.abs(first.boxes[same] - box).max(1, initial=0).min(initial=np.inf) < 2e-3, score


@pytest.mark.parametrize("name", SSDS)
def test_ssd(name, quick_jit):
    batch, size, dtype, options = SSDS[name]
    model, variables = load(name, state_dict(name))
    x = VALUES["images"](batch, size, size)
    boxes, labels = VALUES["objects"](batch, 3, size, 90)
    truth = {"boxes": boxes, "box_label": labels, "box_mask": np.ones(labels.shape)}
    # Padding in front, that holds anything, and another order change nothing.
    padded = {k: np.concatenate([7 + 0 * v[:, :1], v[:, ::-1]], 1) for k, v in truth.items()}
    padded["box_mask"][:, 0] = 0

    @quick_jit
    def run(variables, x):
        outputs = model.apply(variables, x)
        losses = [mean_losses(ssd_losses(outputs, b, background=0)) for b in (truth, padded)]
        return outputs, losses, ssd_detections(outputs, min_score=0.0, **options)

    with jax.enable_x64(dtype == np.float64):
        model = model.clone(dtype=dtype)
        arguments = jax.tree.map(lambda a: jnp.asarray(a, dtype), (variables, x))
        outputs, (losses, again), found = jax.tree.map(np.asarray, run(*arguments))
    stored = {k.partition("/")[2]: STORED[k] for k in STORED.files if k.startswith(f"{name}/")}
    assert_close(sampled(outputs.logits), stored["output/cls_logits"], 1e-4, "logits")
    assert_close(sampled(outputs.deltas), stored["output/bbox_regression"], 1e-4, "deltas")
    for key, value in losses.items():
        np.testing.assert_allclose(value, stored[f"loss/{key}"], rtol=1e-4, err_msg=key)
        assert value == again[key]
    assert_same_detections(found, name)


# Losses, detections, least score, fields of the outputs by torchvision's names.
DENSE = {
    "retinanet_resnet50_fpn": (
        *(retinanet_losses, retinanet_detections, 0.99),
        {"logits": "cls_logits", "deltas": "bbox_regression"},
    ),
    "fcos_resnet50_fpn": (
        *(fcos_losses, fcos_detections, 0.85),
        {"logits": "cls_logits", "distances": "bbox_regression", "centerness": "bbox_ctrness"},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", DENSE)
def test_retinanet_and_fcos(name, quick_jit):
    """In float64, since random numbers blow up what passes through fifty layers."""
    losses_of, detections_of, min_score, names = DENSE[name]
    model, variables = load(name, state_dict(name))
    x = VALUES["images"](2, 128, 128)
    boxes, labels = VALUES["objects"](2, 3, 128, 90)
    truth = {"boxes": boxes, "box_label": labels, "box_mask": np.ones(labels.shape)}
    with jax.enable_x64(True):
        model = model.clone(dtype=np.float64, backbone=resnet_pyramid(dtype=np.float64))

        @quick_jit
        def run(variables, x):
            outputs = model.apply(variables, x)
            found = detections_of(outputs, min_score=min_score, candidates=4000, max_outputs=1000)
            return outputs, mean_losses(losses_of(outputs, truth)), found

        arguments = jax.tree.map(lambda a: jnp.asarray(a, np.float64), (variables, x))
        outputs, losses, found = jax.tree.map(np.asarray, run(*arguments))
    stored = {k.partition("/")[2]: STORED[k] for k in STORED.files if k.startswith(f"{name}/")}
    for ours, theirs in names.items():
        values = np.concatenate(getattr(outputs, ours), 1)
        assert_close(sampled(values), stored[f"output/{theirs}"], 1e-5, ours)
    for key, value in losses.items():
        np.testing.assert_allclose(value, stored[f"loss/{key}"], rtol=1e-4, err_msg=key)
    assert_same_detections(found, name)


def test_retinanet_without_objects_learns_background():
    anchors = (jnp.array([[0.0, 0, 8, 8], [8.0, 0, 16, 8]]),)
    truth = {"boxes": np.zeros((1, 2, 4)), "box_label": np.zeros((1, 2), int)}
    truth["box_mask"] = np.zeros((1, 2))

    def loss(logits):
        outputs = RetinaNetOutputs((logits,), (jnp.zeros((1, 2, 4)),), anchors, jnp.full(2, 16.0))
        return sum(mean_losses(retinanet_losses(outputs, truth)).values())

    value, slopes = jax.jit(jax.value_and_grad(loss))(jnp.zeros((1, 2, 3)))
    assert np.isfinite(value) and (slopes > 0).all()


def test_parameters_of_other_numbers_of_classes():
    network = create_model("retinanet_resnet50_fpn", num_classes=21)
    assert count_parameters(network, (64, 64, 3)) == 32_615_969
    assert count_parameters(create_model("ssd300_vgg16", num_classes=21), (300, 300, 3)) == 26285486
    lite = create_model("ssdlite320_mobilenet_v3_large", num_classes=21)
    assert count_parameters(lite, (320, 320, 3)) == 2_469_860


@pytest.mark.parametrize("name", list_models(task="detection"))
def test_a_detector_without_classes_is_a_backbone(name):
    model = create_model(name, num_classes=None)
    x = jax.ShapeDtypeStruct((1, *model_info(name).input_shape), "float32")
    maps, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), x)
    sizes = [each.shape[1] for each in maps.values()]
    # Fast R-CNN looks at regions of one map.
    least = 1 if name.startswith("fast_rcnn") else 2
    assert sizes == sorted(sizes, reverse=True) and len(sizes) >= least
