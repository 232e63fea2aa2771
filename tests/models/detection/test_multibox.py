"""MultiBox: losses against loops in float64, matching against SciPy, proposals that learn."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.optimize import linear_sum_assignment

from jaxnets import train
from jaxnets.metrics import proposal_recall
from jaxnets.models import backbone
from jaxnets.models.detection import (
    MultiBox,
    MultiBoxOutputs,
    box_priors,
    mean_losses,
    multibox_detections,
    multibox_googlenet,
    multibox_losses,
    uniform_boxes,
)
from jaxnets.tasks import detection

SIZE = (40, 60)


def made(rng, images=3, most=4, count=7):
    """Outputs of a network for some images, and their objects: one image has none."""
    corner = rng.uniform(0, 0.6, (count, 2))
    priors = np.concatenate([corner, corner + rng.uniform(0.1, 0.4, (count, 2))], 1)
    found = priors + rng.normal(0, 0.1, (images, count, 4))
    logits = rng.normal(size=(images, count))
    corner = rng.uniform(0, 20, (images, most, 2))
    true = np.concatenate([corner, corner + rng.uniform(4, 20, (images, most, 2))], -1)
    mask = np.arange(most) < np.array([most, 2, 0])[:, None]
    batch = {"boxes": true, "box_label": np.zeros(mask.shape, int), "box_mask": mask}
    return MultiBoxOutputs(logits, found, priors, np.array(SIZE, float)), batch


@pytest.mark.parametrize("by_priors", [True, False])
def test_losses_are_those_of_a_loop(by_priors):
    outputs, batch = made(np.random.default_rng(0))
    alpha, place, confidence = 0.3, 0.0, 0.0
    for i in range(3):
        true = batch["boxes"][i][batch["box_mask"][i]] / (60, 40, 60, 40)
        c = 1 / (1 + np.exp(-outputs.logits[i]))
        cost = np.zeros((len(true), len(c)))
        for j, g in enumerate(true):
            for k in range(len(c)):
                if by_priors:
                    cost[j, k] = 0.5 * ((outputs.priors[k] - g) ** 2).sum()
                else:
                    cost[j, k] = alpha * 0.5 * ((outputs.boxes[i, k] - g) ** 2).sum()
                    cost[j, k] += -np.log(c[k]) + np.log(1 - c[k])
        rows, columns = linear_sum_assignment(cost)
        for j, k in zip(rows, columns, strict=True):
            place += alpha * 0.5 * ((outputs.boxes[i, k] - true[j]) ** 2).sum()
        for k in range(len(c)):
            confidence -= np.log(c[k]) if k in columns else np.log(1 - c[k])
    with jax.enable_x64(True):
        wide = jax.tree.map(jnp.asarray, outputs)
        run = jax.jit(partial(multibox_losses, alpha=alpha, by_priors=by_priors))
        losses = run(wide, batch)
        order = np.array([3, 1, 0, 2])
        again = run(wide, {k: v[:, order] for k, v in batch.items()})
        slopes = jax.grad(lambda o: sum(t for t, _ in run(o, batch).values()))(wide)
    # Boxes of a batch are float32.
    np.testing.assert_allclose(losses["boxes"][0], place, rtol=1e-5)
    np.testing.assert_allclose(losses["confidence"][0], confidence, rtol=1e-6)
    assert int(losses["boxes"][1]) == 6
    assert {k: float(v[0]) for k, v in losses.items()} == {k: float(v[0]) for k, v in again.items()}
    assert all(np.isfinite(s).all() for s in (slopes.logits, slopes.boxes))
    assert np.abs(slopes.logits).min() > 0


def test_priors_are_the_means_of_what_is_near_them():
    rng = np.random.default_rng(0)
    centers = np.array([[0.1, 0.1, 0.3, 0.3], [0.5, 0.1, 0.9, 0.4], [0.2, 0.5, 0.6, 0.95]])
    corners = np.concatenate([c + rng.normal(0, 0.01, (40, 4)) for c in centers])
    priors = np.array(box_priors(jax.random.key(0), rng.permutation(corners), 3))
    expected = np.stack([corners[40 * i : 40 * i + 40].mean(0) for i in range(3)])
    expected = expected[np.argsort((expected[:, 2:] - expected[:, :2]).prod(1))]
    np.testing.assert_allclose(priors, expected, atol=1e-5)
    with pytest.raises(ValueError, match="got 4; expected 1 to 3"):
        box_priors(jax.random.key(0), corners[:3], 4)


def test_recall_counts_objects_once():
    box = np.array([[[0, 0, 10, 10], [20, 20, 30, 30], [0, 0, 0, 0]]], float)
    truth = {"boxes": box, "box_label": np.zeros((1, 3), int), "box_mask": np.array([[1, 1, 0]])}
    found = {
        "boxes": np.array([[[50, 50, 60, 60], [0, 0, 10, 9], [0, 0, 10, 10], [21, 20, 30, 30]]]),
        "scores": np.array([[0.9, 0.8, 0.7, 0.1]]),
        "labels": np.zeros((1, 4), int),
        "mask": np.ones((1, 4), bool),
    }
    recall = proposal_recall([(truth, found)], (1, 2, 3, 4, 9))
    assert recall == {1: 0.0, 2: 0.5, 3: 0.5, 4: 1.0, 9: 1.0}
    assert proposal_recall([(truth, found)], (4,), overlap=0.95) == {4: 0.5}
    nothing = truth | {"box_mask": np.zeros((1, 3))}
    assert np.isnan(proposal_recall([(nothing, found)], (4,))[4])


def test_googlenet_says_200_boxes():
    network = multibox_googlenet(uniform_boxes(200, (0.3, 0.6)), width=0.125)
    x = jax.ShapeDtypeStruct((1, 64, 64, 3), "float32")
    outputs, _ = jax.eval_shape(network.init_with_output, jax.random.key(0), x)
    assert outputs.boxes.shape == (1, 200, 4)


def squares(rng, count, side=48):
    """Images of one or two bright squares on a dark ground."""
    images = rng.uniform(0, 0.2, (count, side, side, 3)).astype(np.float32)
    boxes, mask = np.zeros((count, 2, 4), np.float32), np.zeros((count, 2))
    for i in range(count):
        for j in range(rng.integers(1, 3)):
            size = int(rng.integers(10, 22))
            x, y = (int(v) for v in rng.integers(0, side - size, 2))
            images[i, y : y + size, x : x + size] = rng.uniform(0.5, 1, 3)
            boxes[i, j], mask[i, j] = (x, y, x + size, y + size), 1
    return {"image": images, "boxes": boxes, "box_mask": mask, "box_label": 0 * mask.astype(int)}


@pytest.mark.slow
def test_proposals_find_more_than_uniform_boxes():
    rng = np.random.default_rng(0)
    seen, new = squares(rng, 600), squares(rng, 100)
    priors = box_priors(jax.random.key(0), seen["boxes"][seen["box_mask"] > 0] / 48, 16)
    maps = backbone("resnet18", (8, 16), stages=(1, 1, 1), width=8)
    network = MultiBox(maps, priors, hidden=128, reduced=32)
    task = detection(
        ["object"], losses=multibox_losses, detections=multibox_detections, size=(48, 48)
    )
    batch = {k: v[:40] for k, v in seen.items()}
    optimizer = optax.adam(optax.cosine_decay_schedule(3e-3, 450))
    state = train.create_state(network, optimizer, batch, jax.random.key(0), task=task)
    step = jax.jit(partial(train.train_step, task=task))
    for _ in range(450):
        rows = rng.integers(0, 600, 40)
        state, _ = step(state, {k: v[rows] for k, v in seen.items()})
    outputs = network.apply(state.variables, new["image"])
    found = multibox_detections(outputs, threshold=0.7)
    recall = proposal_recall([(new, found)], (2, 5))
    fixed = np.array(uniform_boxes(5, (0.35,))) * 48
    fixed = np.tile(fixed, (100, 1, 1))
    shape = fixed.shape[:2]
    uniform = {"boxes": fixed, "scores": np.ones(shape), "labels": np.zeros(shape, int)}
    control = proposal_recall([(new, uniform | {"mask": np.ones(shape, bool)})], (5,))
    # Measured: .43, and .02 of uniform boxes.
    assert recall[5] > control[5] + 0.3, (recall, control)
    assert np.isfinite(float(mean_losses(multibox_losses(outputs, new))["boxes"]))
