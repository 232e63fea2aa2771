"""Greedy merging of boxes, beside the paper's loop written without any caching."""

import numpy as np
import pytest

from jaxnets.ops.boxes import greedy_merge


def naive(boxes, scores, threshold):
    """Members of each box; a merged one is their mean."""
    groups = [[i] for i in range(len(boxes))]

    def box(group):
        return boxes[group].mean(0)

    def match(one, other):
        a, b = box(one), box(other)
        apart = np.hypot(*((a[:2] + a[2:]) / 2 - (b[:2] + b[2:]) / 2))
        diagonal = (np.hypot(*(a[2:] - a[:2])) + np.hypot(*(b[2:] - b[:2]))) / 2
        shared = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0).prod()
        union = (a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - shared
        return apart / diagonal + 1 - shared / union

    while len(groups) > 1:
        pairs = [
            (match(g, h), i, j) for i, g in enumerate(groups) for j, h in enumerate(groups) if i < j
        ]
        value, i, j = min(pairs)
        if value > threshold:
            break
        groups[i] = groups[i] + groups.pop(j)
    found = [(scores[g].sum(), box(g)) for g in groups]
    found.sort(key=lambda row: -row[0])
    return np.array([b for _, b in found]), np.array([s for s, _ in found])


@pytest.mark.parametrize("threshold", [0.2, 0.5, 1.0])
def test_merging_is_the_paper_s_loop(threshold):
    rng = np.random.default_rng(0)
    centers = np.repeat(rng.uniform(10, 90, (5, 2)), 5, 0) + rng.normal(0, 2, (25, 2))
    sides = rng.uniform(14, 20, (25, 2))
    boxes = np.concatenate([centers - sides / 2, centers + sides / 2], 1)
    scores = rng.random(25)
    found, sums = greedy_merge(boxes, scores, threshold=threshold)
    expected, totals = naive(boxes, scores, threshold)
    np.testing.assert_allclose(found, expected)
    np.testing.assert_allclose(sums, totals)
    assert len(found) < 25 and sums.sum() == pytest.approx(scores.sum())
    assert (np.diff(sums) <= 0).all()


def test_many_windows_that_agree_outweigh_one_that_is_certain():
    many = np.tile([[10.0, 10, 20, 20]], (4, 1)) + np.arange(4)[:, None] * 0.2
    boxes = np.concatenate([[[50.0, 50, 70, 70]], many])
    found, scores = greedy_merge(boxes, [0.9, 0.4, 0.4, 0.4, 0.4])
    np.testing.assert_allclose(found[0], [10.3, 10.3, 20.3, 20.3])
    np.testing.assert_allclose(scores, [1.6, 0.9])


def test_nothing_and_points():
    assert greedy_merge(np.zeros((0, 4)), [])[0].shape == (0, 4)
    boxes, _ = greedy_merge(np.ones((2, 4)), [1.0, 1.0], threshold=1.0)
    assert np.isfinite(boxes).all()
    with pytest.raises(ValueError, match=r"scores: got shape \(1,\)"):
        greedy_merge(np.zeros((2, 4)), [1.0])
