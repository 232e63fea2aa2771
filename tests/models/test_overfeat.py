"""OverFeat: the paper's tables of maps, sliding windows beside crops, and its losses in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.models import create_model
from jaxnets.models.detection import (
    overfeat_detections,
    overfeat_losses,
    overfeat_windows,
    pyramid_windows,
    small_overfeat,
)
from jaxnets.models.overfeat import Layer, OverFeat, OverFeatMaps, window_of

# Of the network that is made for windows of 221: sizes of images and of the map of scores.
TABLE_5 = {
    (245, 245): (3, 3),
    (281, 317): (6, 9),
    (317, 389): (9, 15),
    (389, 461): (15, 21),
    (425, 497): (18, 24),
    (461, 569): (21, 30),
}
# Without padding a place sees exactly its window.
PLAIN = OverFeat(
    4,
    layers=(Layer(6, 5, 2, pool=2), Layer(8, 3, pool=2), Layer(8, 3, pool=2)),
    fc_widths=(12,),
    fc_window=2,
    dense=True,
    box_widths=(10, 7),
)


@pytest.mark.parametrize("size", TABLE_5)
def test_maps_are_those_of_the_paper_s_table(size):
    network = create_model("overfeat_accurate", dense=True, offsets=3)
    x = jax.ShapeDtypeStruct((1, *size, 3), jnp.float32)
    maps = jax.eval_shape(network.init_with_output, jax.random.key(0), x)[0]
    assert maps.logits.shape == (1, *TABLE_5[size], 1000) and maps.boxes is None
    assert overfeat_windows(network, size).shape == (*TABLE_5[size], 4)


@pytest.mark.parametrize("offsets", [1, 2])
def test_every_place_says_what_the_network_says_of_its_window(offsets, filled_variables):
    """As exactly as float64 adds."""
    network = PLAIN.clone(offsets=offsets)
    side, stride = window_of(network)
    assert (side, stride) == (59, 16 // offsets)
    size = (side + 4 * stride + 3, side + 2 * 16 + 5)
    x = np.random.default_rng(0).normal(size=(2, *size, 3))
    with jax.enable_x64(True):
        variables = filled_variables(PLAIN, (side, side, 3))
        variables = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), variables)
        dense = network.clone(dtype=jnp.float64).apply(variables, jnp.asarray(x))
        windows = overfeat_windows(network, size)
        assert dense.logits.shape[1:3] == windows.shape[:2] and windows.shape[0] > 2
        crops = [
            x[:, int(y1) : int(y2), int(x1) : int(x2)] for x1, y1, x2, y2 in windows.reshape(-1, 4)
        ]
        alone = PLAIN.clone(dtype=jnp.float64).apply(variables, jnp.asarray(np.concatenate(crops)))
    for ours, crop in ((dense.logits, alone.logits), (dense.boxes, alone.boxes)):
        expected = np.asarray(crop).reshape(-1, 2, *ours.shape[3:]).swapaxes(0, 1)
        # Scores and corners of single precision, which the network gives out.
        np.testing.assert_allclose(
            np.asarray(ours).reshape(expected.shape), expected, rtol=1e-6, atol=1e-6
        )
    assert window_of(create_model("overfeat_fast")) == (231, 32)


def test_without_dense_the_scores_of_all_places_are_averaged(filled_variables):
    side, _ = window_of(PLAIN)
    variables = filled_variables(PLAIN, (side, side, 3))
    x = np.random.default_rng(0).normal(size=(1, 78, 94, 3)).astype(np.float32)
    dense = PLAIN.apply(variables, x).logits
    logits = PLAIN.clone(dense=False).apply(variables, x)
    assert dense.shape[1:3] == (2, 3)
    np.testing.assert_allclose(logits, dense.mean((1, 2)), rtol=1e-5)
    with pytest.raises(ValueError, match="at least 59"):
        PLAIN.apply(variables, x[:, :40])


def batch():
    boxes = np.float32([[[2, 3, 40, 44], [60, 8, 96, 40], [0, 0, 5, 5]], [[1, 1, 9, 9]] * 3])
    return {
        "boxes": boxes,
        "box_label": np.int32([[1, 0, 2], [0, 0, 0]]),
        "box_mask": np.float32([[1, 1, 0], [0, 0, 0]]),
    }


def test_losses_are_those_of_single_windows():
    rng = np.random.default_rng(0)
    windows = overfeat_windows(PLAIN, (60, 105))
    shape = (2, *windows.shape[:2], 4)
    maps = OverFeatMaps(
        jnp.asarray(rng.normal(size=shape), jnp.float32),
        jnp.asarray(rng.normal(size=(*shape, 4)), jnp.float32),
    )
    losses = jax.jit(overfeat_losses)(maps, batch(), windows)
    cross = error = counted = positives = 0
    for i, objects in enumerate(([0, 1], [])):
        logits = np.asarray(maps.logits[i], np.float64).reshape(-1, 4)
        logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        overlap = np.array(
            [[iou(window, batch()["boxes"][i, j]) for window in windows.reshape(-1, 4)]
             for j in objects]
        ).reshape(len(objects), len(logits))  # fmt: skip
        object_of = {}
        for w in range(overlap.shape[1] if len(objects) else 0):
            best = int(overlap[:, w].argmax())
            # Each object also has the window that it overlaps most.
            if overlap[best, w] >= 0.5 or (overlap[:, w] == overlap.max(1)).any():
                object_of[w] = best
        background = -logs[:, 0]
        for w, j in object_of.items():
            label = batch()["box_label"][i, j] + 1
            cross -= logs[w, label]
            x1, y1, x2, y2 = windows.reshape(-1, 4)[w].astype(np.float64)
            box = (batch()["boxes"][i, j] - np.array([x1, y1, x1, y1])) / np.tile(
                [x2 - x1, y2 - y1], 2
            )
            own = np.asarray(maps.boxes[i], np.float64).reshape(-1, 4, 4)[w, label]
            error += ((own - box) ** 2).sum()
        hardest = sorted((background[w] for w in range(len(logs)) if w not in object_of),
                         reverse=True)[: max(3, 3 * len(object_of))]  # fmt: skip
        cross += sum(hardest)
        counted += len(object_of) + len(hardest)
        positives += len(object_of)
    assert positives >= 2 and counted > positives
    counts = {name: int(number) for name, (_, number) in losses.items()}
    assert counts == {"loss_classifier": counted, "loss_box_reg": positives}
    np.testing.assert_allclose(losses["loss_classifier"][0], cross, rtol=1e-5)
    np.testing.assert_allclose(losses["loss_box_reg"][0], error, rtol=1e-5)


def iou(a, b):
    shared = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0).prod()
    return shared / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - shared)


def test_places_that_agree_make_one_box():
    """Two windows say the same box of class 1, one another of class 0; a fourth is background."""
    windows = np.float32([[[0, 0, 40, 40], [16, 0, 56, 40], [32, 0, 72, 40], [48, 0, 88, 40]]])
    logits = np.full((2, 1, 4, 3), -9.0, np.float32)
    logits[0, 0, range(4), [2, 2, 1, 0]] = 0
    logits[0, 0, 1, 0] = -1.0  # less certain
    logits[1, ..., 0] = 9  # an image of nothing but background
    boxes = np.zeros((2, 1, 4, 3, 4), np.float32)
    boxes[0, 0, 0, 2] = [0.5, 0.25, 1.0, 0.75]
    boxes[0, 0, 1, 2] = [0.1, 0.25, 0.6, 0.75]
    boxes[0, 0, 2, 1] = [0.5, 0.5, 1.4, 1.25]
    find = jax.jit(lambda maps: overfeat_detections(maps, windows, size=(40, 88)))
    found = find(OverFeatMaps(jnp.asarray(logits), jnp.asarray(boxes)))
    assert found.mask.sum(1).tolist() == [2, 0] and found.labels[0, :2].tolist() == [1, 0]
    np.testing.assert_allclose(found.boxes[0, :2], [[20, 10, 40, 30], [52, 20, 88, 40]], atol=1e-4)
    chance = 1 / (1 + np.exp(-1))
    np.testing.assert_allclose(found.scores[0, :2], [1 + chance, 1], atol=1e-3)
    with pytest.raises(ValueError, match="without boxes"):
        overfeat_detections(OverFeatMaps(logits), windows, size=(40, 88))


def test_scales_see_larger_parts_of_an_image(filled_variables):
    """A place of the image at half its size sees twice as much."""
    pyramid = small_overfeat(3, width=4).clone(scales=(1.0, 0.5, 0.1))
    x = np.random.default_rng(0).normal(size=(1, 96, 128, 3)).astype(np.float32)
    variables = filled_variables(pyramid, (96, 128, 3))
    maps = jax.jit(pyramid.apply)(variables, x)
    windows = pyramid_windows(pyramid, (96, 128))
    assert maps.logits.shape == (1, len(windows), 3) and maps.boxes.shape[1:3] == (len(windows), 3)
    # The tenth is too small.
    assert np.unique(windows[:, 2] - windows[:, 0]).tolist() == [35, 70]
    assert (windows.max(0) <= [128, 96, 128, 96]).all()
    half = jax.image.resize(x, (1, 48, 64, 3), "linear")
    alone = pyramid.network.apply({"params": variables["params"]["network"]}, half)
    count = alone.logits[0, ..., 0].size
    np.testing.assert_allclose(
        maps.logits[0, -count:], alone.logits.reshape(-1, 3), rtol=1e-4, atol=1e-5
    )
    with pytest.raises(ValueError, match="pixels or more at some scale"):
        pyramid_windows(pyramid, (20, 20))
