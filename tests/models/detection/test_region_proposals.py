"""Region proposals: the published counts, a loop in NumPy, images with and without objects."""

import runpy
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.models import count_macs, count_parameters
from jaxnets.models.detection import (
    RegionProposalNetwork,
    RPNOutputs,
    mean_losses,
    propose,
    resnet_pyramid,
    rpn_losses,
)
from jaxnets.ops import boxes

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
MADE = runpy.run_path(str(GOLDEN / "make_region_proposals.py"))
ANCHORS = tuple(
    boxes.grid_anchors(boxes.cell_anchors((2 * s,), (0.5, 1.0, 2.0)), (64 // s, 64 // s), s)
    for s in (8, 16)
)


def outputs_of(seed):
    rng = np.random.default_rng(seed)
    return RPNOutputs(
        tuple(jnp.float32(rng.normal(size=(2, len(a)))) for a in ANCHORS),
        tuple(jnp.float32(0.3 * rng.normal(size=(2, len(a), 4))) for a in ANCHORS),
        ANCHORS,
        jnp.full(2, 64.0),
    )


def test_counts_are_the_published_ones():
    """torchvision: backbone and pyramid 88.38, proposals 31.64 thousand million products."""
    pyramid = resnet_pyramid("resnet50", (4, 8, 16, 32)).clone(coarser=False, pooled=True)
    network, shape = RegionProposalNetwork(pyramid), (800, 800, 3)
    below, whole = count_macs(pyramid, shape), count_macs(network, shape)
    assert (round(below / 1e9, 2), round((whole - below) / 1e9, 2)) == (88.38, 31.64)
    assert count_parameters(network, shape) - count_parameters(pyramid, shape) == 593_935
    x = jax.ShapeDtypeStruct((1, *shape), "float32")
    outputs, _ = jax.eval_shape(network.init_with_output, jax.random.key(0), x)
    assert [each.shape[0] // 3 for each in outputs.anchors] == [
        n * n for n in (200, 100, 50, 25, 13)
    ]
    assert sum(len(each) for each in outputs.anchors) == 159_882


def by_hand(outputs, image, candidates, limit):
    """One region after the other."""
    rows = []
    for logits, deltas, anchors in zip(*(map(np.asarray, f) for f in outputs[:3]), strict=True):
        kept = []
        for i in np.argsort(-logits[image], kind="stable")[:candidates]:
            x1, y1, x2, y2 = anchors[i]
            dx, dy, dw, dh = deltas[image, i]
            w, h = x2 - x1, y2 - y1
            x, y = x1 + w / 2 + dx * w, y1 + h / 2 + dy * h
            w, h = w * np.exp(dw), h * np.exp(dh)
            corners = np.clip([x - w / 2, y - h / 2, x + w / 2, y + h / 2], 0, 64)
            if (corners[2:] - corners[:2]).min() < 1e-3:
                continue
            if all(overlap(corners, other) <= 0.7 for _, other in kept):
                kept.append((1 / (1 + np.exp(-logits[image, i])), corners))
        rows += kept
    return sorted(rows, key=lambda row: -row[0])[:limit]


def overlap(a, b):
    sides = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0)
    area = sides.prod()
    return area / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - area)


def test_proposals_are_those_of_a_loop():
    outputs = outputs_of(0)
    found = jax.tree.map(np.asarray, propose(outputs, candidates=40, max_outputs=50))
    for image in range(2):
        expected = by_hand(outputs, image, 40, 50)
        assert len(expected) > 30 and found.mask[image].sum() == len(expected)
        scores, corners = (np.array(part) for part in zip(*expected, strict=True))
        np.testing.assert_allclose(found.scores[image][: len(scores)], scores, rtol=1e-5)
        np.testing.assert_allclose(found.boxes[image][: len(scores)], corners, atol=1e-4)


def test_losses_at_given_anchors_are_those_of_their_formulas():
    outputs = outputs_of(1)
    anchors = np.concatenate(ANCHORS)
    # Anchor 40 is the object itself; 0 overlaps nothing.
    true = jnp.asarray(anchors[40])[None, None].repeat(2, 0)
    truth = {"boxes": true, "box_label": np.zeros((2, 1), int), "box_mask": np.ones((2, 1))}
    chosen = jnp.array([[40, 0, -1], [40, 0, -1]])
    losses = rpn_losses(jax.random.key(0), outputs, truth, sampled=chosen)
    logits, deltas = (np.concatenate(f, 1) for f in outputs[:2])
    size = np.abs(deltas[:, 40])
    wanted = np.where(size < 1 / 9, 4.5 * size**2, size - 1 / 18).sum() / 4
    cross = (np.log1p(np.exp(-logits[:, 40])) + np.log1p(np.exp(logits[:, 0]))).sum() / 4
    means = mean_losses(losses)
    np.testing.assert_allclose(means["loss_rpn_box_reg"], wanted, rtol=1e-5)
    np.testing.assert_allclose(means["loss_objectness"], cross, rtol=1e-5)
    padded = {k: np.concatenate([7 + 0 * np.asarray(v), v], 1) for k, v in truth.items()}
    padded["box_mask"][:, 0] = 0
    again = rpn_losses(jax.random.key(0), outputs, padded, sampled=chosen)
    assert jax.tree.all(jax.tree.map(lambda a, b: bool(a == b), losses, again))


@pytest.mark.parametrize("corners", [[0, 0, 0, 0], [5, 5, 5, 40], [-9, -9, -3, -3]])
@pytest.mark.parametrize("there", [0, 1])
def test_gradients_are_finite_for_strange_objects_and_none(corners, there):
    truth = {"boxes": np.float32([[corners]] * 2), "box_label": np.zeros((2, 1), int)}
    truth["box_mask"] = np.full((2, 1), there)
    whole = outputs_of(2)

    def loss(logits, deltas):
        outputs = whole._replace(logits=logits, deltas=deltas)
        return sum(mean_losses(rpn_losses(jax.random.key(0), outputs, truth)).values())

    slopes = jax.grad(loss, (0, 1))(*whole[:2])
    assert all(np.isfinite(each).all() for each in jax.tree.leaves(slopes))
    if not there:
        # Background is learned from, and no offset is.
        assert sum((each > 0).sum() for each in slopes[0]) == 2 * 240
        assert not any(each.any() for each in slopes[1])


def test_regions_and_losses_are_those_of_torchvision():
    """tests/golden/make_region_proposals.py stored them, computed in float64."""
    stored = np.load(GOLDEN / "region_proposals.npz")
    logits, deltas = (tuple(jnp.float32(a) for a in parts) for parts in MADE["outputs"]())
    outputs = RPNOutputs(logits, deltas, ANCHORS, jnp.full(2, 64.0))
    found = jax.tree.map(np.asarray, propose(outputs, candidates=100, max_outputs=100))
    for i in range(2):
        count = len(stored[f"scores{i}"])
        assert count > 50 and found.mask[i].sum() == count
        np.testing.assert_allclose(found.scores[i][:count], stored[f"scores{i}"], atol=1e-6)
        np.testing.assert_allclose(found.boxes[i][:count], stored[f"boxes{i}"], atol=1e-3)
    truth = {"boxes": MADE["objects"](), "box_label": np.zeros((2, 3), int)}
    truth["box_mask"] = np.ones((2, 3))
    sampled = jnp.stack([stored["sampled0"], stored["sampled1"]])
    losses = mean_losses(rpn_losses(jax.random.key(0), outputs, truth, count=64, sampled=sampled))
    for name, value in losses.items():
        np.testing.assert_allclose(value, stored[name], rtol=1e-4, err_msg=name)
