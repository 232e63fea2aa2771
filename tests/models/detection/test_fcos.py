"""FCOS's matching by hand, and images whose objects are strange or none."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.models.detection import FCOSOutputs, fcos_losses, fcos_matches, mean_losses
from jaxnets.models.detection.targets import objects_of
from jaxnets.ops import boxes

PLACES = tuple(
    boxes.grid_anchors(boxes.cell_anchors((s,), (1.0,)), (64 // s, 64 // s), s) for s in (8, 16)
)


def objects(corners, labels=None):
    labels = np.zeros(len(corners), int) if labels is None else np.asarray(labels)
    truth = {"boxes": np.float32([corners]), "box_label": labels[None]}
    return truth | {"box_mask": np.ones((1, len(corners)))}


def by_hand(corners):
    """One place after the other."""
    found = []
    for level, squares in enumerate(np.asarray(p) for p in PLACES):
        for x1, y1, x2, y2 in squares:
            x, y, stride = (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1
            best, smallest = -1, np.inf
            for number, (a, b, c, d) in enumerate(corners):
                sides = (x - a, y - b, c - x, d - y)
                near = max(abs(x - (a + c) / 2), abs(y - (b + d) / 2)) < 1.5 * stride
                least = 0 if level == 0 else 4 * stride
                most = np.inf if level == len(PLACES) - 1 else 8 * stride
                area = (c - a) * (d - b)
                if near and min(sides) > 0 and least < max(sides) < most and area < smallest:
                    best, smallest = number, area
            found.append(best)
    return found


def test_matches_are_those_of_a_loop():
    rng = np.random.default_rng(0)
    for _ in range(5):
        corner = rng.uniform(0, 40, (4, 2))
        corners = np.concatenate([corner, corner + rng.uniform(4, 60, (4, 2))], 1)
        corners = corners[np.lexsort(corners.T[::-1])].astype(np.float32)
        one = jax.tree.map(lambda a: a[0], objects_of(objects(corners))[0])
        assert fcos_matches(one, PLACES).tolist() == by_hand(corners)
    assert max(by_hand(corners)) >= 0


def test_losses_are_finite_for_strange_objects_and_none():
    count = sum(len(p) for p in PLACES)
    raw = np.random.default_rng(1).normal(size=(1, count, 7)).astype(np.float32)
    split = [len(PLACES[0])]

    def loss(raw, truth):
        parts = jnp.split(raw, np.array(split), 1)
        outputs = FCOSOutputs(
            tuple(p[..., :2] for p in parts),
            tuple(jnp.abs(p[..., 2:6]) for p in parts),
            tuple(p[..., 6] for p in parts),
            PLACES,
            jnp.full(2, 64.0),
        )
        return sum(mean_losses(fcos_losses(outputs, truth)).values())

    run = jax.jit(jax.value_and_grad(loss))
    strange = objects([[5, 5, 5, 40], [0, 0, 64, 64], [-9, -9, -3, -3], [10, 10, 30, 30]])
    nothing = strange | {"box_mask": np.zeros((1, 4))}
    for truth in (strange, nothing):
        value, slopes = run(raw, truth)
        assert np.isfinite(value) and np.isfinite(slopes).all()
    # Without objects every class becomes less likely everywhere, and nothing else is learned.
    assert (np.asarray(slopes)[..., :2] > 0).all() and not np.asarray(slopes)[..., 2:].any()
