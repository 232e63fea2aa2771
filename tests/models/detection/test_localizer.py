"""One object an image: two losses that add up, boxes there and back, places that are learned."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnets import train
from jaxnets.models import backbone
from jaxnets.models.detection import (
    Localizer,
    LocalizerOutputs,
    localizer_boxes,
    localizer_detections,
    localizer_losses,
    localizer_places,
)
from jaxnets.ops.boxes import iou
from jaxnets.tasks import detection


def test_boxes_come_back():
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 30, (50, 2))
    corners = np.concatenate([corner, corner + rng.uniform(0, 30, (50, 2))], 1).astype(np.float32)
    size = jnp.array([48.0, 64.0])
    places = localizer_places(jnp.asarray(corners), size)
    back = localizer_boxes(LocalizerOutputs(None, places, size))
    np.testing.assert_allclose(back, corners, atol=1e-5)


def test_losses_are_those_of_a_loop_and_add_up():
    rng = np.random.default_rng(0)
    logits, places = rng.normal(size=(4, 3)), rng.uniform(0, 1, (4, 4))
    corner = rng.uniform(0, 10, (4, 1, 2))
    true = np.concatenate([corner, corner + rng.uniform(1, 10, (4, 1, 2))], -1)
    labels, mask = rng.integers(0, 3, (4, 1)), np.array([[1], [1], [0], [1]])
    batch = {"boxes": true, "box_label": labels, "box_mask": mask}
    batch["example_mask"] = np.array([1, 1, 1, 0])
    outputs = LocalizerOutputs(*map(jnp.float32, (logits, places, [20.0, 30.0])))
    losses = jax.jit(localizer_losses)(outputs, batch)
    classes = l2 = 0.0
    for i in (0, 1):
        classes -= logits[i, labels[i, 0]] - np.log(np.exp(logits[i]).sum())
        x1, y1, x2, y2 = true[i, 0]
        wanted = np.array([(x1 + x2) / 60, (y1 + y2) / 40, (x2 - x1) / 30, (y2 - y1) / 20])
        l2 += 10 * 0.5 * ((places[i] - wanted) ** 2).sum()
    np.testing.assert_allclose(losses["classes"][0], classes, rtol=1e-5)
    np.testing.assert_allclose(losses["places"][0], l2, rtol=1e-5)
    assert int(losses["places"][1]) == 2
    # Each head learns by its own loss, and the other's says nothing to it.
    slopes = {
        name: jax.grad(lambda o, n=name: localizer_losses(o, batch)[n][0])(outputs)
        for name in losses
    }
    assert not slopes["classes"].places.any() and not slopes["places"].logits.any()
    assert slopes["classes"].logits[:2].all() and not slopes["classes"].logits[2:].any()


def shapes(rng, count, side=48):
    """A square or a disk an image."""
    images = rng.uniform(0, 0.3, (count, side, side, 3)).astype(np.float32)
    y, x = np.mgrid[:side, :side] + 0.5
    boxes, labels = np.zeros((count, 1, 4), np.float32), np.zeros((count, 1), int)
    for i in range(count):
        size = rng.uniform(14, 30)
        left, top = rng.uniform(0, side - size, 2)
        labels[i] = rng.integers(2)
        dx, dy = abs(x - left - size / 2), abs(y - top - size / 2)
        distance = np.hypot(dx, dy) if labels[i, 0] else np.maximum(dx, dy)
        images[i][distance < size / 2] = rng.uniform(0.5, 1, 3)
        boxes[i, 0] = left, top, left + size, top + size
    return {"image": images, "boxes": boxes, "box_label": labels, "box_mask": np.ones((count, 1))}


@pytest.mark.slow
def test_the_place_of_a_shape_is_learned():
    """Mean IoU .8 on new images; the mean box of the training images as the control."""
    rng = np.random.default_rng(0)
    seen, new = shapes(rng, 1500), shapes(rng, 200)
    network = Localizer(backbone("resnet18", (8,), stages=(1, 1), width=12), 2)
    task = detection(
        ["square", "disk"], losses=localizer_losses, detections=localizer_detections, size=(48, 48)
    )
    optimizer = optax.adam(optax.cosine_decay_schedule(2e-3, 700))
    batch = {k: v[:50] for k, v in seen.items()}
    state = train.create_state(network, optimizer, batch, jax.random.key(0), task=task)
    step = jax.jit(partial(train.train_step, task=task))
    for _ in range(700):
        rows = rng.integers(0, 1500, 50)
        state, _ = step(state, {k: v[rows] for k, v in seen.items()})
    found = localizer_detections(network.apply(state.variables, new["image"]))
    overlap = jax.vmap(lambda a, b: iou(a, b)[0, 0])
    mean_box = np.tile(seen["boxes"].mean(0), (200, 1, 1))
    reached = float(overlap(found.boxes, new["boxes"]).mean())
    control = float(overlap(jnp.asarray(mean_box), new["boxes"]).mean())
    assert reached >= 0.8 > control + 0.3, (reached, control)
    assert (np.asarray(found.labels) == new["box_label"]).mean() > 0.9
