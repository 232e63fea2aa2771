"""The segmentation task: void pixels, weights, and IoU over a data set."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from jaxnets.tasks import Segmenter, segmentation

RNG = np.random.default_rng(0)
SCORES = jnp.asarray(RNG.normal(size=(2, 5, 6, 3)), jnp.float32)
MASKS = RNG.integers(0, 3, (2, 5, 6))
MASKS[0, :2] = 9
BATCH = {"masks": MASKS, "example_mask": np.ones(2)}
THERE = MASKS != 9


def cross_entropies():
    logs = np.asarray(jax.nn.log_softmax(SCORES))
    return -np.take_along_axis(logs, np.where(THERE, MASKS, 0)[..., None], -1)[..., 0][THERE]


def test_void_pixels_do_not_count():
    task = segmentation("abc", void=9)
    loss, metrics = task.loss(SCORES, {}, BATCH)
    assert float(loss) == pytest.approx(cross_entropies().mean(), rel=1e-5)
    right = (np.asarray(SCORES).argmax(-1) == MASKS)[THERE]
    assert float(metrics["accuracy"]) == pytest.approx(right.mean())
    summary = task.summarize(jax.tree.map(np.asarray, task.measure(SCORES, BATCH)))
    counts = confusion_matrix(MASKS[THERE], np.asarray(SCORES).argmax(-1)[THERE])
    iou = np.diag(counts) / (counts.sum(0) + counts.sum(1) - np.diag(counts))
    assert [summary[f"IoU/{name}"] for name in "abc"] == pytest.approx(iou)
    assert summary["mIoU"] == pytest.approx(iou.mean())
    assert summary["loss"] == pytest.approx(float(loss), rel=1e-5)


def test_examples_that_are_padding_do_not_count():
    task = segmentation("abc", void=9)
    first = {"masks": MASKS[:1], "example_mask": np.ones(1)}
    both = {"masks": MASKS, "example_mask": np.array([1.0, 0])}
    alone, masked = task.measure(SCORES[:1], first), task.measure(SCORES, both)
    for a, b in zip(jax.tree.leaves(alone), jax.tree.leaves(masked), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_weights_of_classes():
    weights = np.array([1.0, 0.0, 3.0])
    loss, _ = segmentation("abc", void=9, class_weights=weights).loss(SCORES, {}, BATCH)
    each = weights[MASKS[THERE]]
    assert float(loss) == pytest.approx((each * cross_entropies()).sum() / each.sum(), rel=1e-5)
    with pytest.raises(ValueError, match="expected 3 numbers"):
        segmentation("abc", class_weights=[1.0])


def test_an_image_of_void_gives_a_loss_of_zero_and_a_stranger_nan():
    task = segmentation("abc", void=9)
    nothing = BATCH | {"masks": np.full_like(MASKS, 9)}
    loss, slopes = jax.value_and_grad(lambda s: task.loss(s, {}, nothing)[0])(SCORES)
    assert float(loss) == 0 and not np.asarray(slopes).any()
    strange = BATCH | {"masks": np.where(MASKS == 2, 4, MASKS)}
    assert np.isnan(task.loss(SCORES, {}, strange)[0])


def test_auxiliary_scores_are_weighed():
    task = segmentation("abc", void=9, auxiliary=0.5)
    heads = {"aux_logits": {"aux": SCORES}}
    assert task.mutable == ("aux_logits",)
    plain = segmentation("abc", void=9).loss(SCORES, {}, BATCH)[0]
    assert float(task.loss(SCORES, heads, BATCH)[0]) == pytest.approx(1.5 * float(plain), rel=1e-5)


def test_a_segmenter_takes_images_of_any_size():
    """Left half class 0, right half class 1, of the canvas as of the image."""

    def scores(images):
        column = jnp.arange(images.shape[2])[None, None]
        right = jnp.broadcast_to(column >= 8, images.shape[:3])
        return jnp.stack([~right, right], -1).astype(jnp.float32)

    segmenter = Segmenter(("a", "b"), (16, 16), scores)
    labels = segmenter.label(np.zeros((32, 64, 3), np.uint8))
    assert labels.shape == (32, 64)
    assert (labels[:, :32] == 0).all() and (labels[:, 32:] == 1).all()
