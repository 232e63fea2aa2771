"""k-means of numbers on a line, which sorting makes fast: an iteration costs k searches."""

from typing import Literal, NamedTuple

import jax
import numpy as np

from jaxnets.errors import JaxnetsError

Start = Literal["linear", "density", "random"]


class KMeans(NamedTuple):
    """What `kmeans` found.

    Attributes:
        centroids: (k,), float64, ascending.
        codes: the number of each value's centroid, int32, in the values' shape.
        inertia: Σ (x − c)².
        iterations: until nothing moved.

    >>> kmeans(np.array([0.0, 1.0, 10.0]), 2).centroids.tolist()
    [0.5, 10.0]
    """

    centroids: np.ndarray
    codes: np.ndarray
    inertia: float
    iterations: int


def starting_centroids(
    values: np.ndarray, clusters: int, start: Start, *, key: jax.Array | None = None
) -> np.ndarray:
    """Where k-means begins.

    Args:
        values: numbers.
        clusters: k.
        start: "linear": k numbers from the least to the greatest value, equally far apart, so that
            few but large weights have centroids; "density": the values at k equal steps of the
            cumulative distribution; "random": k of the different values.
        key: for "random".

    Returns:
        (k,) ascending numbers.

    Raises:
        JaxnetsError: an unknown start, or no key for a random one.

    Source: Han, Mao, Dally, "Deep Compression", 2016, section 3.2.

    >>> starting_centroids(np.array([0.0, 1.0, 1.0, 9.0]), 3, "linear").tolist()
    [0.0, 4.5, 9.0]
    """
    values = np.asarray(values, np.float64).ravel()
    if start == "linear":
        return np.linspace(values.min(), values.max(), clusters)
    if start == "density":
        return np.quantile(values, (np.arange(clusters) + 0.5) / clusters)
    if start == "random":
        if key is None:
            raise JaxnetsError('start="random" needs key=jax.random.key(…)')
        different = np.unique(values)
        chosen = jax.random.choice(key, len(different), (clusters,), replace=False)
        return np.sort(different[np.asarray(chosen)])
    raise JaxnetsError(f"start must be 'linear', 'density' or 'random', got {start!r}")


def kmeans(
    values: np.ndarray,
    clusters: int,
    *,
    start: Start | np.ndarray = "linear",
    key: jax.Array | None = None,
    max_iterations: int = 1000,
) -> KMeans:
    """Lloyd's algorithm for numbers, exact, in O(n log n + iterations · k log n).

    .. math:: \\min_{c, z} \\sum_i (x_i - c_{z_i})^2

    Sorted, the members of a centroid lie between two borders, half way to its neighbors; their sum
    is a difference of cumulative sums. A centroid without members is put on the value that is
    farthest from its own.

    Args:
        values: numbers, any shape.
        clusters: k.
        start: see `starting_centroids`, or k numbers.
        key: for a random start.
        max_iterations: stop after so many, converged or not.

    Returns:
        `KMeans`.

    Raises:
        JaxnetsError: fewer different values than clusters, values that are not finite, or a start
            of another length.

    Source: Lloyd, "Least squares quantization in PCM", 1957/1982.

    >>> found = kmeans(np.array([[1.0, 2.0], [8.0, 9.0]]), 2)
    >>> found.centroids.tolist(), found.codes.tolist(), found.inertia
    ([1.5, 8.5], [[0, 0], [1, 1]], 1.0)
    """
    flat = np.asarray(values, np.float64).ravel()
    if not np.isfinite(flat).all():
        raise JaxnetsError("kmeans: values must be finite; some are NaN or infinite")
    order = np.argsort(flat, kind="stable")
    x = flat[order]
    different = int(np.count_nonzero(np.diff(x))) + 1 if len(x) else 0
    if not 1 <= clusters <= different:
        raise JaxnetsError(
            f"kmeans: {clusters} clusters of {len(x)} values, {different} of them different; "
            f"expected 1 to {different} clusters"
        )
    if isinstance(start, str):
        centroids = starting_centroids(flat, clusters, start, key=key)
    else:
        centroids = np.sort(np.asarray(start, np.float64).ravel())
        if len(centroids) != clusters:
            raise JaxnetsError(
                f"kmeans: a start of {len(centroids)} numbers for {clusters} clusters"
            )
    sums = np.concatenate([[0.0], np.cumsum(x)])
    borders, iterations = np.zeros(0, int), 0
    while iterations < max_iterations:
        iterations += 1
        centroids = _fill_empty(x, centroids)
        before, borders = borders, _borders(x, centroids)
        if np.array_equal(before, borders):
            break
        counts = np.diff(borders)
        moved = np.diff(sums[borders]) / np.maximum(counts, 1)
        centroids = np.where(counts > 0, moved, centroids)
    borders = _borders(x, centroids)
    own = np.repeat(np.arange(clusters, dtype=np.int32), np.diff(borders))
    codes = np.empty(len(x), np.int32)
    codes[order] = own
    inertia = float(np.square(x - centroids[own]).sum())
    return KMeans(centroids, codes.reshape(np.shape(values)), inertia, iterations)


def _borders(x: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """(k + 1,): where each centroid's members begin and end; half way belongs to the lower one."""
    middle = (centroids[1:] + centroids[:-1]) / 2
    return np.concatenate([[0], np.searchsorted(x, middle, side="right"), [len(x)]])


def _fill_empty(x: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """The centroids, those without members on the values that are farthest from theirs."""
    for _ in range(len(centroids)):
        counts = np.diff(_borders(x, centroids))
        empty = np.flatnonzero(counts == 0)
        if not len(empty):
            return centroids
        distance = np.abs(x - np.repeat(centroids, counts))
        centroids = centroids.copy()
        centroids[empty[0]] = x[np.argmax(distance)]
        centroids = np.sort(centroids)
    return centroids
