"""k-means on a line beside scikit-learn's from the same start."""

import jax
import numpy as np
import pytest
from sklearn.cluster import KMeans as Reference

from jaxnets.compress import KMeans, kmeans, starting_centroids
from jaxnets.errors import JaxnetsError


def values(seed, n=400):
    random = np.random.default_rng(seed)
    return np.concatenate([random.standard_normal(n), random.standard_normal(n // 10) * 4])


@pytest.mark.parametrize("clusters", [1, 4, 32])
@pytest.mark.parametrize("start", ["linear", "density", "random"])
def test_inertia_is_at_most_scikit_learns(start, clusters):
    x = values(clusters)
    first = starting_centroids(x, clusters, start, key=jax.random.key(1))
    found = kmeans(x, clusters, start=first)
    with np.errstate(all="ignore"):
        reference = Reference(clusters, init=first[:, None], n_init=1, tol=0, max_iter=1000)
        reference.fit(x[:, None])
    assert isinstance(found, KMeans)
    # Both sum in float64, in another order.
    assert found.inertia <= reference.inertia_ * (1 + 1e-9)
    again = kmeans(x, clusters, start=start, key=jax.random.key(1))
    np.testing.assert_array_equal(found.centroids, again.centroids)


def test_members_are_nearest_and_centroids_are_means():
    x = values(3).reshape(2, -1)
    found = kmeans(x, 9)
    nearest = np.abs(x[..., None] - found.centroids).argmin(-1)
    np.testing.assert_array_equal(found.codes, nearest)
    means = [x[found.codes == k].mean() for k in range(9)]
    np.testing.assert_allclose(found.centroids, means, rtol=1e-12)
    assert found.inertia == pytest.approx(((x - found.centroids[found.codes]) ** 2).sum())


def test_linear_start_has_the_ends_and_density_the_quantiles():
    x = values(5)
    linear = starting_centroids(x, 16, "linear")
    assert linear[0] == x.min() and linear[-1] == x.max()
    np.testing.assert_allclose(np.diff(linear), np.diff(linear)[0])
    density = starting_centroids(x, 16, "density")
    below = [(x <= c).mean() for c in density]
    np.testing.assert_allclose(below, (np.arange(16) + 0.5) / 16, atol=2 / len(x))
    random = starting_centroids(x, 16, "random", key=jax.random.key(0))
    assert len(np.unique(random)) == 16 and np.isin(random, x).all()


def test_empty_clusters_get_members():
    x = np.array([0.0, 0.1, 0.2, 10.0])
    found = kmeans(x, 3, start=np.array([5.0, 6.0, 7.0]))
    assert set(found.codes.tolist()) == {0, 1, 2}


def test_wrong_arguments_are_refused():
    x = np.array([1.0, 1.0, 2.0])
    with pytest.raises(JaxnetsError, match="3 clusters of 3 values, 2 of them different"):
        kmeans(x, 3)
    with pytest.raises(JaxnetsError, match="expected 1 to 2 clusters"):
        kmeans(x, 0)
    with pytest.raises(JaxnetsError, match="finite"):
        kmeans(np.array([1.0, np.nan]), 1)
    with pytest.raises(JaxnetsError, match="needs key"):
        kmeans(x, 2, start="random")
    with pytest.raises(JaxnetsError, match="'linear', 'density'"):
        kmeans(x, 2, start="even")
    with pytest.raises(JaxnetsError, match="a start of 1 numbers"):
        kmeans(x, 2, start=np.ones(1))
