"""Planted clusters are found exactly; connections and products are counted exactly."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from jaxnets.inspect import (
    cluster_units,
    dense_branches,
    energy_in_best_cluster,
    propose_sparse_layer,
    spatial_reach,
    unit_correlations,
)

SIZES = (5, 1, 9, 3, 6)


def planted(seed, noise=0.5, examples=4000):
    """Units = a factor of their cluster, with either sign, and noise of their own; shuffled.

    |r| within a cluster is 1/(1 + noise²) = 0.8, across clusters 0 but for the sample.
    """
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(SIZES)), SIZES))
    factors = rng.standard_normal((examples, len(SIZES)))
    signs = rng.choice([-1.0, 1.0], len(labels))
    x = factors[:, labels] * signs + noise * rng.standard_normal((examples, len(labels)))
    return (3.0 * x + rng.uniform(-5, 5, len(labels))).astype(np.float32), labels


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
def test_planted_clusters_are_recovered_exactly(seed, threshold):
    x, labels = planted(seed)
    found = cluster_units(unit_correlations(x), threshold)
    assert adjusted_rand_score(labels, found) == 1.0
    assert sorted(np.bincount(found)) == sorted(SIZES)


def test_correlations_against_numpy_and_of_a_dead_unit():
    x, _ = planted(0, examples=50)
    np.testing.assert_allclose(unit_correlations(x), np.corrcoef(x.T), atol=1e-6)
    x[:, 4] = 2.5
    r = unit_correlations(x)
    assert not r[4].any() and not r[:, 4].any()
    alone = cluster_units(r, 0.5)
    assert (alone == alone[4]).sum() == 1


def test_an_offset_shifts_the_second_unit():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 9, 8, 2))
    x[:, 2:, :-1, 1] = x[:, :-2, 1:, 0]  # b at p + (2, −1) is a at p
    r = unit_correlations(x, (2, -1))
    assert r[0, 1] == pytest.approx(1.0) and abs(r[1, 0]) < 0.2
    a, b = x[:, :7, 1:, 0].ravel(), x[:, 2:, :7, 0].ravel()
    assert r[0, 0] == pytest.approx(np.corrcoef(a, b)[0, 1])


def test_connections_and_products_of_the_proposal():
    """Clusters of 5, 1, 9, 3, 6 units; 48 outputs: one each, 43 by size (8.96, 1.79, 16.1, …)."""
    labels = np.repeat(np.arange(5), SIZES)
    layer = propose_sparse_layer(labels, outputs=48, positions=49)
    outputs = [10, 3, 17, 6, 12]
    assert layer.mask.shape == (24, 48)
    assert [int(layer.mask[labels == c].any(axis=0).sum()) for c in range(5)] == outputs
    assert (layer.mask.sum(axis=0) == np.repeat(SIZES, outputs)).all()
    connections = sum(i * o for i, o in zip(SIZES, outputs, strict=True))
    assert (layer.connections, layer.dense) == (connections, 24 * 48)
    assert layer.density == connections / 1152 and layer.macs == 49 * connections


def test_dense_branches_lie_between_the_dense_and_the_sparse_layer():
    layer = propose_sparse_layer(np.repeat(np.arange(5), SIZES), outputs=48)
    costs = [dense_branches(layer, b) for b in range(1, 8)]
    assert costs[0] == layer.dense and costs[4] == costs[6] == layer.connections
    assert costs == sorted(costs, reverse=True)
    # Two clusters in one block: (9 + 1)·(17 + 3) is what the dense block of both costs.
    two = propose_sparse_layer(np.array([0] * 9 + [1]), outputs=20)
    assert dense_branches(two, 1) == 200


def test_weights_inside_the_clusters():
    labels = np.repeat(np.arange(5), SIZES)
    mask = propose_sparse_layer(labels, outputs=48).mask
    kernel = np.random.default_rng(0).standard_normal((3, 3, 24, 48)) * mask
    assert energy_in_best_cluster(kernel, labels) == pytest.approx(1.0)
    # Equal weights everywhere: each output keeps its largest cluster, 9 of 24.
    assert energy_in_best_cluster(np.ones((1, 1, 24, 48)), labels) == pytest.approx(9 / 24)


def test_reach_finds_the_planted_distance():
    rng = np.random.default_rng(0)
    base = rng.standard_normal((4, 12, 12, 1))
    far = np.roll(base, (0, 2), axis=(1, 2))
    x = np.concatenate([base, far], axis=-1)
    # Two ordered pairs at 25 offsets: the strongest two of 50 are those of the shift.
    assert spatial_reach(x, radius=2, strongest=0.04) == [0.0, 0.0, 1.0]
    same = np.concatenate([base, base + 0.1 * rng.standard_normal(base.shape)], axis=-1)
    assert spatial_reach(same, radius=2, strongest=0.04) == [1.0, 0.0, 0.0]


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"expected x of shape .*got \(2, 3, 4\)"):
        unit_correlations(np.zeros((2, 3, 4)))
    with pytest.raises(ValueError, match=r"offset \(5, 0\) on maps of 5×6"):
        unit_correlations(np.zeros((2, 5, 6, 3)), (5, 0))
    with pytest.raises(ValueError, match=r"symmetric matrix, got shape \(2, 3\)"):
        cluster_units(np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"threshold must lie in \[0, 1\], got 2"):
        cluster_units(np.eye(2), 2)
    with pytest.raises(ValueError, match="3 clusters need at least as many outputs, got 2"):
        propose_sparse_layer(np.arange(3), 2)
    with pytest.raises(ValueError, match="branches must be positive, got 0"):
        dense_branches(propose_sparse_layer(np.arange(3), 3), 0)
    with pytest.raises(ValueError, match=r"labels for 2 inputs, kernel \(1, 1, 3, 4\)"):
        energy_in_best_cluster(np.zeros((1, 1, 3, 4)), np.zeros(2, int))
    with pytest.raises(ValueError, match=r"strongest must lie in \(0, 1\], got 0"):
        spatial_reach(np.zeros((1, 4, 4, 2)), strongest=0)
