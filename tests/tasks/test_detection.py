"""The detection task: losses in training and evaluation, and its averages over a data set."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.errors import JaxnetsError
from jaxnets.models.detection import SSDOutputs, mean_losses, ssd_detections, ssd_losses
from jaxnets.ops import boxes
from jaxnets.tasks import detection
from jaxnets.tasks.detection import score_detections

ANCHORS = boxes.grid_anchors(np.float32([[-8, -8, 8, 8], [-4, -4, 4, 4]]), (4, 4), 16, offset=0.5)
# Compiled once a shape: step by step each operation is a program of its own.
LOSSES = jax.jit(ssd_losses, static_argnames="background")
TASK = detection(["a", "b"], losses=ssd_losses, detections=ssd_detections, size=(64, 64))


@pytest.fixture
def outputs():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3, len(ANCHORS), 3)).astype(np.float32)
    deltas = rng.normal(size=(3, len(ANCHORS), 4)).astype(np.float32)
    return SSDOutputs(jnp.asarray(logits), jnp.asarray(deltas), ANCHORS, jnp.full(2, 64.0))


@pytest.fixture
def batch():
    """Two objects, none, and one; of the last, one is padding that holds anything."""
    true = np.float32([[[1, 1, 15, 15], [30, 30, 60, 60]], [[0] * 4] * 2, [[2, 50, 12, 60]] * 2])
    return {
        "boxes": true,
        "box_label": np.int32([[0, 1], [0, 0], [1, 7]]),
        "box_mask": np.float32([[1, 1], [0, 0], [1, 0]]),
        "image_size": np.int32([[32, 32]] * 3),
        "example_mask": np.ones(3),
    }


def one(outputs, batch, i):
    part = slice(i, i + 1)
    chosen = SSDOutputs(outputs.logits[part], outputs.deltas[part], ANCHORS, outputs.size)
    return LOSSES(chosen, {key: value[part] for key, value in batch.items()})


def test_the_losses_are_sums_over_images(outputs, batch):
    together = LOSSES(outputs, batch)
    for name, (total, count) in together.items():
        parts = [one(outputs, batch, i)[name] for i in range(3)]
        np.testing.assert_allclose(total, sum(float(p[0]) for p in parts), rtol=1e-5)
        assert count == sum(int(p[1]) for p in parts) > 2
    # An image that is padding counts for nothing.
    masked = LOSSES(outputs, batch | {"example_mask": np.float32([1, 0, 0])})
    first = one(outputs, batch, 0)["classification"]
    np.testing.assert_allclose(masked["classification"], first, rtol=1e-6)


def test_an_image_without_objects_teaches_background(outputs, batch):
    (offsets, count), (classes, _) = one(outputs, batch, 1).values()
    assert (float(offsets), int(count)) == (0, 0) and float(classes) > 0

    only = SSDOutputs(outputs.logits[1:2], outputs.deltas[1:2], ANCHORS, outputs.size)
    silent = {key: value[1:2] for key, value in batch.items()}

    def loss(logits):
        return mean_losses(ssd_losses(only._replace(logits=logits), silent))["classification"]

    slopes = jax.jit(jax.grad(loss))(only.logits)[0]
    # The three hardest anchors; background is to become likelier there.
    assert (slopes[:, 0] < 0).sum() == 3 and (slopes[:, 1:] >= 0).all()
    # Without it, torchvision's way, such an image teaches nothing.
    assert LOSSES(only, silent, background=0)["classification"][0] == 0


def test_objects_without_room_are_an_ordinary_case(outputs):
    empty = {"boxes": np.zeros((3, 0, 4)), "box_label": np.zeros((3, 0), int)}
    losses = LOSSES(outputs, empty | {"box_mask": np.zeros((3, 0))})
    assert all(np.isfinite(float(total)) for total, _ in losses.values())
    with pytest.raises(ValueError, match="box_label"):
        ssd_losses(outputs, empty | {"box_mask": np.zeros((3, 1))})


def test_strange_boxes_give_finite_losses_and_gradients(outputs):
    """Without width, a point, outside of the image, and much larger than it."""
    boxes = [[5, 5, 5, 9], [5, 5, 5, 5], [-90, -90, -80, -80], [0, 0, 999, 9]]
    strange = {"boxes": np.float32([boxes] * 3), "box_label": np.ones((3, 4), int)}
    strange["box_mask"] = np.ones((3, 4))

    def loss(outputs):
        return sum(mean_losses(ssd_losses(outputs, strange)).values())

    value, slopes = jax.jit(jax.value_and_grad(loss))(outputs)
    assert np.isfinite(value)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slopes))


def test_evaluation_gives_the_losses_of_training(outputs, batch):
    loss, metrics = TASK.loss(outputs, {}, batch)
    summary = TASK.summarize(jax.tree.map(np.asarray, TASK.measure(outputs, batch)))
    assert summary["loss"] == pytest.approx(float(loss), rel=1e-6)
    assert {k: summary[k] for k in metrics} == pytest.approx(
        {k: float(v) for k, v in metrics.items()}
    )


def test_true_boxes_as_detections_have_a_precision_of_one(batch):
    """Measured in the images' own pixels: half of the canvas's here."""
    matched = {
        "boxes": batch["boxes"],
        "scores": np.float32([[0.9, 0.8], [0, 0], [0.7, 0]]),
        "labels": batch["box_label"],
        "mask": batch["box_mask"] != 0,
    }
    truth = {f"true/{key}": value for key, value in batch.items() if key != "example_mask"}
    score = partial(score_detections, class_names=("a", "b"), size=(64, 64))
    found = score(matched | truth)
    assert found["mAP"] == 1 and found["AP50"] == pytest.approx(1)
    moved = score(matched | truth | {"boxes": batch["boxes"] + 40})
    assert moved["mAP"] == 0


def test_a_recipe_says_what_is_wrong():
    from jaxnets.tasks.detector_training import DetectorRecipe

    for name, value in (("epochs", 0), ("width", 0), ("batch_size", 0), ("learning_rate", 0.0)):
        with pytest.raises(JaxnetsError, match=name):
            DetectorRecipe(**{name: value}).check()


@pytest.mark.parametrize("name", ["ssd300_vgg16", "fcn_resnet50", "srcnn_9_1_5"])
def test_what_trains_classifiers_refuses_other_networks(name):
    from jaxnets.tasks.recipe import build_network

    with pytest.raises(JaxnetsError, match=f"{name} is a network for (detection|segm|super)"):
        build_network(name, 10)
