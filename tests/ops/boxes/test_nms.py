"""Suppression of a thousand sets keeps the boxes that torchvision keeps, in its order."""

from functools import partial

import box_sets
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.ops import boxes


@pytest.fixture(scope="module")
def sets():
    """All sets, padded to one number of boxes: boxes, scores, distinct scores, classes, mask."""
    made = [box_sets.suppression_set(i) for i in range(box_sets.SETS)]
    stacked = [np.zeros((box_sets.SETS, box_sets.MOST, 4), np.float32)]
    stacked += [np.zeros((box_sets.SETS, box_sets.MOST), d) for d in ("f4", "f4", "i4", bool)]
    for i, arrays in enumerate(made):
        for array, value in zip(stacked, (*arrays, True), strict=True):
            array[i, : len(arrays[0])] = value
    return stacked


# The threshold is an argument of the program here, so that one program serves all four.
@jax.jit
def suppress_all(corners, scores, classes, mask, threshold):
    def one(corners, scores, classes, mask):
        return boxes.nms(corners, scores, threshold, mask=mask, classes=classes)

    return jax.vmap(one)(corners, scores, classes, mask)


def checksums(kept):
    return np.array(
        [box_sets.checksum(i[m]) for i, m in zip(*map(np.asarray, kept), strict=True)], np.int64
    )


@pytest.mark.parametrize("number", range(4))
def test_a_thousand_sets_are_torchvisions(number, sets, torchvision):
    corners, scores, distinct, classes, mask = sets
    threshold = largest_below(box_sets.THRESHOLDS[number])
    # A class of its own for every set: no class at all.
    kept = suppress_all(corners, scores, np.zeros_like(classes), mask, threshold)
    np.testing.assert_array_equal(checksums(kept), torchvision["nms"][:, number])
    kept = suppress_all(corners, distinct, classes, mask, threshold)
    np.testing.assert_array_equal(checksums(kept), torchvision["nms_by_class"][:, number])


def largest_below(threshold):
    """The largest float32 that is not above a number, which `nms` finds of plain numbers."""
    rounded = np.float32(threshold)
    return rounded if float(rounded) <= threshold else np.nextafter(rounded, np.float32(0))


def test_sets_of_several_tiles_are_torchvisions(torchvision):
    one = jax.jit(partial(boxes.nms, threshold=0.45))
    few = jax.jit(partial(boxes.nms, threshold=0.45, max_outputs=60))
    for i in range(box_sets.LARGE_SETS):
        corners, scores, _, _ = box_sets.large_set(i)
        kept = one(corners, scores)
        assert box_sets.checksum(kept.index[kept.mask]) == tuple(torchvision["nms_large"][i, 1])
        # A limit cuts the list and changes nothing of it.
        np.testing.assert_array_equal(few(corners, scores).index, kept.index[:60])


def test_the_threshold_is_exact():
    """Two boxes whose IoU is exactly ½, and thresholds at, above and below it."""
    pair = jnp.array([[0.0, 0, 3, 1], [1.0, 0, 4, 1]])
    scores = jnp.array([0.5, 0.6])
    for threshold, count in ((0.5, 2), (0.5000001, 2), (0.4999999, 1), (0.0, 1), (1.0, 2)):
        assert int(boxes.nms(pair, scores, threshold).mask.sum()) == count, threshold
    third = jnp.array([[0.0, 0, 2, 1], [1.0, 0, 3, 1]])  # float32(1/3) is above 1/3
    assert int(boxes.nms(third, scores, 1 / 3).mask.sum()) == 1


def test_padding_and_order_change_nothing():
    corners, _, scores, classes = box_sets.suppression_set(0, 40)
    run = jax.jit(partial(boxes.nms, threshold=0.45))
    kept = run(corners, scores, classes=classes)
    chosen = corners[np.asarray(kept.index)[np.asarray(kept.mask)]]
    order = np.random.default_rng(0).permutation(40)
    mixed = run(corners[order], scores[order], classes=classes[order])
    np.testing.assert_array_equal(
        corners[order][np.asarray(mixed.index)[np.asarray(mixed.mask)]], chosen
    )
    padded = run(
        np.pad(corners, ((0, 9), (0, 0)), constant_values=np.nan),
        np.pad(scores, (0, 9), constant_values=np.inf),
        classes=np.pad(classes, (0, 9)),
        mask=np.arange(49) < 40,
    )
    np.testing.assert_array_equal(padded.index[:40], kept.index)
    assert not padded.mask[40:].any()


def test_nothing_and_no_numbers():
    nothing = boxes.nms(jnp.zeros((0, 4)), jnp.zeros(0), 0.5, max_outputs=3)
    assert nothing.mask.tolist() == [False] * 3
    corners = jnp.array([[0.0, 0, 1, 1], [jnp.nan, 0, 1, 1], [5.0, 5, 6, 6]])
    kept = boxes.nms(corners, jnp.array([0.1, 0.9, jnp.nan]), 0.5)
    assert kept.index[kept.mask].tolist() == [0]


def test_gradients_of_what_is_kept_reach_boxes_and_scores():
    corners, _, scores, _ = box_sets.suppression_set(0, 12)

    def total(corners, scores):
        kept = boxes.nms(corners, scores, 0.5)
        weight = kept.mask.astype(scores.dtype)
        return (corners[kept.index].sum(-1) * scores[kept.index] * weight).sum(), kept

    gradients, kept = jax.jit(jax.grad(total, (0, 1), has_aux=True))(corners, scores)
    chosen = np.asarray(kept.index)[np.asarray(kept.mask)]
    expected = np.zeros((12, 4), np.float32)
    expected[chosen] = scores[chosen][:, None]
    np.testing.assert_array_equal(gradients[0], expected)
    expected = np.zeros(12, np.float32)
    expected[chosen] = corners[chosen].sum(-1)
    np.testing.assert_allclose(gradients[1], expected, rtol=1e-6)


def greedy_soft(corners, scores, method):
    """Soft-NMS as a loop in float64."""
    left, kept = dict(enumerate(scores.astype(float))), []
    while left:
        best = max(left, key=lambda i: (left[i], -i))
        score = left.pop(best)
        if score <= 1e-3:
            break
        kept.append((best, score))
        for i in left:
            a, b = corners[best].astype(float), corners[i].astype(float)
            shared = np.prod(np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0))
            union = np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared
            overlap = shared / union if union else 0.0
            if method == "gaussian":
                left[i] *= np.exp(-(overlap**2) / 0.5)
            elif overlap > 0.3:
                left[i] *= 1 - overlap
    return kept


@pytest.mark.parametrize("method", ["gaussian", "linear"])
def test_soft_suppression_is_the_loops(method):
    corners, _, scores, _ = box_sets.suppression_set(3, 20)
    scores = scores + np.float32(0.013)
    kept = boxes.soft_nms(corners, scores, method=method, max_outputs=25)
    expected = greedy_soft(corners, scores, method)
    assert kept.index[kept.mask].tolist() == [i for i, _ in expected]
    np.testing.assert_allclose(kept.score[kept.mask], [s for _, s in expected], rtol=1e-5)


def test_detections_of_each_class_are_its_suppression():
    corners, _, scores, _ = box_sets.suppression_set(6, 30)
    random = np.random.default_rng(1)
    scores = random.permutation(90).reshape(30, 3).astype(np.float32) / 90
    found = boxes.select_detections(
        corners, scores, threshold=0.4, min_score=0.3, candidates=10, max_outputs=50
    )
    expected = []
    for label in range(3):
        best = np.argsort(-scores[:, label], kind="stable")[:10]
        sure = scores[best, label] > np.float32(0.3)
        kept = boxes.nms(corners[best], scores[best, label], 0.4, mask=sure)
        for i in best[np.asarray(kept.index)[np.asarray(kept.mask)]]:
            expected.append((float(scores[i, label]), label, int(i)))
    expected.sort(reverse=True)
    assert found.index[found.mask].tolist() == [i for _, _, i in expected]
    assert found.labels[found.mask].tolist() == [label for _, label, _ in expected]
    np.testing.assert_array_equal(
        found.boxes[found.mask], corners[np.asarray(found.index[found.mask])]
    )
    # Boxes of their own for every class, all alike, give the same.
    each = np.repeat(corners[:, None], 3, 1)
    again = boxes.select_detections(
        each, scores, threshold=0.4, min_score=0.3, candidates=10, max_outputs=50
    )
    for a, b in zip(found, again, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_every_image_is_what_it_is_alone(backend, monkeypatch):
    """One after the other or side by side, with images that are done at different times."""
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    sets = [box_sets.suppression_set(i, 40) for i in (3, 4, 5)]
    corners, scores = (np.stack([one[k] for one in sets]) for k in (0, 2))
    scores[1] = 0.0
    select = partial(boxes.select_detections, max_outputs=20)
    found = boxes.each_image(lambda c, s: select(c, s["all"]), corners, {"all": scores[..., None]})
    for n in range(3):
        alone = select(corners[n], scores[n][:, None])
        for a, b in zip(jax.tree.map(lambda x, n=n: x[n], found), alone, strict=True):
            np.testing.assert_array_equal(a, b)
    assert found.mask.any(1).tolist() == [True, False, True]


@pytest.mark.parametrize("share", [0.0, 0.01, 1.0])
def test_detections_among_thousands_are_those_of_sorting_all(share):
    """Few boxes above the least score, or so many that they are sorted in three goes; with ties."""
    random = np.random.default_rng(2)
    corners = np.stack([box_sets.suppression_set(7, 300)[0]] * 10).reshape(-1, 4)
    corners = corners + np.repeat(np.arange(10), 300)[:, None].astype(np.float32) * 2000
    scores = random.integers(1, 200, (3000, 2)).astype(np.float32) / 200
    scores = np.where(random.uniform(size=(3000, 1)) < share, scores, np.float32(0.001))
    limits = {"threshold": 0.5, "min_score": 0.01, "candidates": 400, "max_outputs": 30}
    found = boxes.select_detections(corners, scores, **limits)
    expected = []
    for label in range(2):
        best = np.argsort(-scores[:, label], kind="stable")[:400]
        kept = boxes.nms(corners[best], scores[best, label], 0.5, mask=scores[best, label] > 0.01)
        places = best[np.asarray(kept.index)[np.asarray(kept.mask)]]
        expected += [(-float(scores[i, label]), label, n, int(i)) for n, i in enumerate(places)]
    expected = sorted(expected)[:30]
    assert found.index[found.mask].tolist() == [i for *_, i in expected]
    assert found.labels[found.mask].tolist() == [label for _, label, *_ in expected]
    assert found.scores[found.mask].tolist() == [-score for score, *_ in expected]
    assert (len(expected) == 30) == (share > 0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda b, s: boxes.nms(b, s, 50), r"threshold: got 50; expected a number in \[0, 1\]"),
        (lambda b, s: boxes.nms(b, s[:2], 0.5), r"scores: got shape \(2,\); expected \(3,\)"),
        (lambda b, s: boxes.nms(b, s, 0.5, max_outputs=0), "max_outputs: got 0; expected a whole"),
        (lambda b, s: boxes.nms(b[0], s, 0.5), r"boxes: got shape \(4,\); expected \(N, 4\)"),
        (lambda b, s: boxes.nms(b, s, 0.5, mask=s[:1]), r"mask: got shape \(1,\)"),
        (lambda b, s: boxes.soft_nms(b, s, method="hard"), "method: got 'hard'; expected gaussian"),
        (lambda b, s: boxes.select_detections(b, s[:, None][:2]), r"boxes: got shape \(3, 4\)"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call(jnp.zeros((3, 4)), jnp.zeros(3))
