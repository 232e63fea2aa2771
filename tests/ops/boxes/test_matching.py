"""Coders, anchors, matching, sampling, clustering and assignment."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.ops import boxes

WEIGHTS = (10.0, 10.0, 5.0, 5.0)


def test_coder_is_torchvisions(torchvision, x64):
    a, b = jnp.asarray(torchvision["a"]), jnp.asarray(torchvision["b"][:7])
    deltas = boxes.encode(a, b, weights=WEIGHTS)
    np.testing.assert_allclose(deltas, torchvision["deltas"], rtol=1e-12, atol=1e-12)
    decoded = boxes.decode(jnp.asarray(torchvision["wild"]), b, weights=WEIGHTS)
    np.testing.assert_allclose(decoded, torchvision["decoded"], rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(boxes.decode(deltas, b, weights=WEIGHTS), a, rtol=1e-12)


def test_distance_coder_is_torchvisions(torchvision, x64):
    a, b = jnp.asarray(torchvision["a"]), jnp.asarray(torchvision["b"][:7])
    distances = boxes.encode_distances(a, b)
    np.testing.assert_allclose(distances, torchvision["distances"], rtol=1e-12, atol=1e-12)
    decoded = boxes.decode_distances(jnp.abs(jnp.asarray(torchvision["wild"])), b)
    np.testing.assert_allclose(decoded, torchvision["from_distances"], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(boxes.decode_distances(distances, b), a, rtol=1e-12)


def test_grid_coder_is_its_inverse():
    random = np.random.default_rng(0)
    raw = jnp.asarray(random.standard_normal((2, 3, 4, 2, 4)), jnp.float32)
    sizes = jnp.array([[10.0, 14.0], [30.0, 20.0]])
    decoded = boxes.decode_grid(raw, sizes, 16.0)
    y, x = np.meshgrid(np.arange(3.0), np.arange(4.0), indexing="ij")
    cells = np.broadcast_to(np.stack([x, y], -1)[None, :, :, None], (2, 3, 4, 2, 2))
    back = boxes.encode_grid(
        decoded, jnp.asarray(cells, jnp.float32), jnp.broadcast_to(sizes, (2, 3, 4, 2, 2)), 16.0
    )
    np.testing.assert_allclose(back[..., :2], jax.nn.sigmoid(raw[..., :2]), atol=1e-5)
    np.testing.assert_allclose(back[..., 2:], raw[..., 2:], atol=1e-5)


def test_coders_are_finite_on_boxes_and_anchors_without_area():
    flat = jnp.array([[3.0, 3, 3, 3], [0, 0, 0, 0], [1, 2, 1, 9], [0, 0, 8, 8]])

    def codes(given, anchors):
        encoded = boxes.encode(given, anchors), boxes.encode_distances(given, anchors)
        return jnp.stack([*encoded, boxes.decode(encoded[0], anchors)])

    run = jax.jit(lambda b, a: (codes(b, a), jax.grad(lambda b: codes(b, a).sum())(b)))
    for given, anchors in itertools.product((flat, flat[::-1]), (flat, jnp.zeros_like(flat))):
        values, gradient = run(given, anchors)
        assert np.isfinite(values).all() and np.isfinite(gradient).all()


def test_anchors_are_torchvisions(torchvision):
    cells = [boxes.cell_anchors(s, (0.5, 1.0, 2.0)) for s in ((32, 64), (128, 256))]
    made = [
        boxes.grid_anchors(cells[0], (8, 12), 8),
        boxes.grid_anchors(cells[1], (4, 6), (16, 16)),
    ]
    np.testing.assert_array_equal(jnp.concatenate(made), torchvision["anchors"])


def test_ssds_anchors_are_torchvisions(torchvision):
    made = boxes.ssd_anchors(
        (300, 300),
        [(38, 38), (19, 19), (10, 10), (5, 5), (3, 3), (1, 1)],
        [[2], [2, 3], [2, 3], [2, 3], [2], [2]],
        [0.07, 0.15, 0.33, 0.51, 0.69, 0.87, 1.05],
        steps=[8, 16, 32, 64, 100, 300],
    )
    assert len(made) == torchvision["ssd_count"] == 8732
    # The reference computes in float32, in units of the image.
    np.testing.assert_allclose(made[::97], torchvision["ssd_some"], atol=2e-4)


def test_the_nine_anchors_of_faster_rcnn():
    assert boxes.faster_rcnn_anchors().tolist() == [
        [-84, -40, 99, 55],
        [-176, -88, 191, 103],
        [-360, -184, 375, 199],
        [-56, -56, 71, 71],
        [-120, -120, 135, 135],
        [-248, -248, 263, 263],
        [-36, -80, 51, 95],
        [-80, -168, 95, 183],
        [-168, -344, 183, 359],
    ]


def test_matches_are_torchvisions(torchvision):
    quality = jnp.asarray(torchvision["quality"], jnp.float32)
    for best in (False, True):
        found = boxes.match(quality, high=0.7, low=0.3, keep_best=best)
        np.testing.assert_array_equal(found, torchvision[f"matched_{best}"])
    found = boxes.match_each_object(quality, threshold=0.5)
    np.testing.assert_array_equal(found, torchvision["matched_ssd"])


@pytest.mark.parametrize("matcher", [boxes.match, boxes.match_each_object])
def test_padding_matches_nothing(matcher, torchvision):
    quality = jnp.asarray(torchvision["quality"], jnp.float32)
    padded = jnp.concatenate([quality, jnp.ones((3, 40))])
    mask = jnp.arange(8) < 5
    np.testing.assert_array_equal(matcher(padded, mask=mask), matcher(quality))
    for none in (matcher(quality, mask=jnp.zeros(5, bool)), matcher(quality[:0])):
        assert (np.asarray(none) == boxes.NONE).all()
    # An object that overlaps nothing, of no width perhaps, claims no anchor.
    nothing = jnp.zeros((1, 40))
    assert (np.asarray(matcher(nothing)) == boxes.NONE).all()
    assert (np.asarray(boxes.match(nothing, keep_best=True)) == boxes.NONE).all()


def test_order_of_objects_changes_no_match():
    """Two objects that overlap an anchor equally: sorted first, the same one gets it."""
    objects = jnp.array([[0.0, 0, 4, 4], [4.0, 0, 8, 4], [0.0, 0, 4, 4], [0.0, 0, 0, 0]])
    labels, mask = jnp.array([2, 1, 0, 0]), jnp.array([True, True, True, False])
    anchors = jnp.array([[2.0, 0, 6, 4], [0.0, 0, 4, 4], [5.0, 0, 9, 4]])

    @jax.jit
    @jax.vmap
    def matches(order):
        mixed = [array[order] for array in (objects, labels, mask)]
        corners, kinds, real = (array[boxes.canonical_order(*mixed)] for array in mixed)
        matched = boxes.match(boxes.iou(corners, anchors), high=0.3, low=0.3, mask=real)
        return corners[matched], kinds[matched]

    corners, kinds = matches(jnp.array(list(itertools.permutations(range(4)))))
    assert (corners == corners[:1]).all() and (kinds == kinds[:1]).all()
    assert kinds[0].tolist() == [0, 0, 1]


def test_a_sample_has_its_size_and_kinds():
    matched = jnp.asarray(
        np.repeat([4, -1, -2], [6, 20, 10])[np.random.default_rng(0).permutation(36)]
    )
    draw = jax.jit(jax.vmap(lambda key: boxes.sample(key, matched, 8, 0.5)))
    drawn = draw(jax.random.split(jax.random.key(0), 300))
    assert (np.asarray(drawn.positive.sum(1)) == 4).all() and drawn.mask.all()
    chosen = np.asarray(matched)[np.asarray(drawn.index)]
    assert ((chosen >= 0) == np.asarray(drawn.positive)).all()
    assert (chosen >= -1).all()
    assert all(len(set(row)) == 8 for row in np.asarray(drawn.index).tolist())
    # Every positive is drawn with probability 4/6: 300 draws have a deviation of .027.
    counts = np.bincount(np.asarray(drawn.index).ravel(), minlength=36)
    assert np.abs(counts[np.asarray(matched) >= 0] / 300 - 4 / 6).max() < 5 * 0.027


def test_samples_of_few_anchors_are_padded():
    key = jax.random.key(1)
    few = boxes.sample(key, jnp.array([-1, -2, 0]), 6, 0.5)
    assert few.index.tolist() == [2, 0, 0, 0, 0, 0] and few.mask.sum() == 2
    assert few.positive.tolist() == [True] + [False] * 5
    assert not boxes.sample(key, jnp.zeros(0, jnp.int32), 3).mask.any()
    background = boxes.sample(key, jnp.full(9, -1), 4)
    assert background.mask.all() and not background.positive.any()


def test_a_given_sample_is_taken_as_it_is():
    matched = jnp.array([-1, 3, -1, 0, -2])
    given = boxes.sample_of(jnp.array([3, 0, 1, -1]), matched, 6)
    assert given.index.tolist() == [3, 0, 1, 0, 0, 0]
    assert given.positive.tolist() == [True, False, True, False, False, False]
    assert given.mask.tolist() == [True] * 3 + [False] * 3
    with pytest.raises(ValueError, match=r"index: got shape \(4,\); expected \(n,\) with n ≤ 2"):
        boxes.sample_of(jnp.zeros(4, jnp.int32), matched, 2)


def test_hard_negatives_are_three_to_a_positive():
    random = np.random.default_rng(3)
    losses = jnp.asarray(random.permutation(40), jnp.float32)
    matched = jnp.asarray(np.where(np.arange(40) < 5, 0, -1))
    chosen = np.flatnonzero(boxes.hard_negatives(losses, matched))
    expected = 5 + np.argsort(-np.asarray(losses)[5:])[:15]
    assert sorted(chosen) == sorted(expected)
    nothing = jnp.full(40, -1)
    assert boxes.hard_negatives(losses, nothing).sum() == 0
    assert boxes.hard_negatives(losses, nothing, at_least=7).sum() == 7


def test_kmeans_finds_the_sizes_that_were_mixed(x64):
    random = np.random.default_rng(0)
    true = np.array([[8.0, 20.0], [30.0, 30.0], [90.0, 40.0]])
    sizes = true[np.arange(90) % 3] * random.uniform(0.95, 1.05, (90, 2))
    padded = jnp.asarray(np.concatenate([sizes, np.zeros((5, 2))]))
    found = boxes.anchors_by_kmeans(jax.random.key(0), padded, 3)
    expected = np.stack([sizes[i::3].mean(0) for i in range(3)])
    np.testing.assert_allclose(found.sizes, expected, rtol=1e-12)

    def iou(a, b):
        shared = np.minimum(a, b).prod(-1)
        return shared / (a.prod(-1) + b.prod(-1) - shared)

    best = iou(sizes[:, None], expected[None]).max(1)
    np.testing.assert_allclose(found.mean_iou, best.mean(), rtol=1e-12)
    assert not np.asarray(boxes.anchors_by_kmeans(jax.random.key(0), padded[90:], 2).sizes).any()


def test_assignment_is_the_cheapest_of_all():
    random = np.random.default_rng(0)
    costs = random.standard_normal((3, 4, 6)).astype(np.float32)
    mask = np.array([[True] * 4, [True, False, True, False], [False] * 4])
    solve = jax.jit(jax.vmap(lambda c, m: boxes.assign(c, mask=m)))
    chosen = np.asarray(solve(costs, mask))
    for c, m, found in zip(costs, mask, chosen, strict=True):
        assert (found[~m] == -1).all()
        objects = np.flatnonzero(m)
        total = c[objects, found[objects]].sum() if len(objects) else 0
        plans = itertools.permutations(range(6), len(objects))
        assert total == pytest.approx(min(c[objects, list(p)].sum() for p in plans), abs=1e-6)
    crowded = np.asarray(boxes.assign(jnp.array([[3.0], [1.0], [2.0]])))
    assert crowded.tolist() == [-1, 0, -1]
    assert boxes.assign(jnp.zeros((2, 0))).tolist() == [-1, -1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: boxes.match(jnp.zeros((2, 3)), high=0.3, low=0.7), "low: got 0.7; expected at"),
        (lambda: boxes.match(jnp.zeros(3)), r"overlap: got shape \(3,\); expected \(M, N\)"),
        (
            lambda: boxes.encode(jnp.zeros((2, 4)), jnp.zeros((3, 4))),
            r"anchors: got shape \(3, 4\)",
        ),
        (lambda: boxes.decode(jnp.zeros((2, 4)), jnp.zeros(4)), "expected as many axes as deltas"),
        (lambda: boxes.ssd_anchors((9, 9), [(1, 1)], [[2]], [0.5]), "scales: got 1 beside 1 grids"),
        (lambda: boxes.cell_anchors([0], [1.0]), r"sizes: got \[0\]; expected positive numbers"),
        (lambda: boxes.anchors_by_kmeans(jax.random.key(0), jnp.ones((2, 2)), 3), "k: got 3; exp"),
        (lambda: boxes.sample(jax.random.key(0), jnp.zeros(3, int), 0), "count: got 0; expected"),
        (lambda: boxes.assign(jnp.zeros(3)), r"costs: got shape \(3,\); expected \(…, M, N\)"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
