"""The sparse layer that correlations of units propose, and how far dense branches approximate it.

Arora et al. build a network layer by layer: units of the last layer that are highly correlated form
a cluster, and each cluster becomes the input of units of the next layer, which see nothing else.
Inception takes the idea with dense parts: clusters that meet in one place are covered by 1×1
convolutions, those that are spread out by fewer 3×3 and 5×5 ones.

Source: Arora, Bhaskara, Ge, Ma, "Provable Bounds for Learning Some Deep Representations", 2013;
Szegedy et al., "Going Deeper with Convolutions", 2014, section 4.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform


def unit_correlations(x: np.ndarray, offset: tuple[int, int] = (0, 0)) -> np.ndarray:
    """Pearson correlation of every pair of units: r_ab = cov(x_a, x_b) / (σ_a σ_b).

    Args:
        x: activations, (examples, units), or a feature map (N, H, W, C): then every position of
            every image is an example and every channel a unit.
        offset: (rows, columns) that unit b is looked at away from unit a; feature maps only.

    Returns:
        (C, C) float64. A unit that never changes is correlated with nothing, itself included.

    Raises:
        ValueError: x has another number of axes, or an offset leaves nothing to compare.

    >>> x = np.array([[0.0, 0.0, 1.0], [1.0, -1.0, 1.0], [2.0, -2.0, 1.0]])
    >>> unit_correlations(x).round(6).tolist()
    [[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    """
    x = np.asarray(x)
    dy, dx = offset
    if x.ndim not in (2, 4) or (x.ndim == 2 and (dy or dx)):
        raise ValueError(
            "unit_correlations: expected x of shape (examples, units), or (N, H, W, C) where there "
            f"is an offset, got {x.shape} and offset {offset}"
        )
    if x.ndim == 2:
        first = second = x
    else:
        height, width = x.shape[1:3]
        if abs(dy) >= height or abs(dx) >= width:
            raise ValueError(f"unit_correlations: offset {offset} on maps of {height}×{width}")
        rows, columns = height - abs(dy), width - abs(dx)
        y0, x0 = max(0, -dy), max(0, -dx)
        first = x[:, y0 : y0 + rows, x0 : x0 + columns]
        second = x[:, y0 + dy : y0 + dy + rows, x0 + dx : x0 + dx + columns]
    a, b = (_standardized(v.reshape(-1, x.shape[-1])) for v in (first, second))
    return a.T @ b / len(a)


def _standardized(x: np.ndarray) -> np.ndarray:
    x = x.astype(np.float64)
    x = x - x.mean(axis=0)
    deviation = x.std(axis=0)
    return np.divide(x, deviation, out=np.zeros_like(x), where=deviation > 1e-12)


def cluster_units(correlations: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """Clusters of units whose mean absolute correlation is at least ``threshold``.

    Agglomerative, average linkage on 1 − |r|: a unit and its mirror image carry the same thing.

    Args:
        correlations: (C, C), symmetric, of `unit_correlations`.
        threshold: 0 to 1.

    Returns:
        (C,) labels from 0, in the order in which clusters first appear.

    Raises:
        ValueError: a matrix that is not symmetric, or a threshold outside [0, 1].

    >>> r = np.array([[1.0, 0.9, 0.1], [0.9, 1.0, 0.0], [0.1, 0.0, 1.0]])
    >>> cluster_units(r, threshold=0.5).tolist()
    [0, 0, 1]
    """
    r = np.asarray(correlations, np.float64)
    if r.ndim != 2 or r.shape[0] != r.shape[1] or not np.allclose(r, r.T, atol=1e-6):
        raise ValueError(f"cluster_units: expected a symmetric matrix, got shape {r.shape}")
    if not 0 <= threshold <= 1:
        raise ValueError(f"cluster_units: threshold must lie in [0, 1], got {threshold}")
    if len(r) == 1:
        return np.zeros(1, np.int64)
    distance = np.clip(1 - np.abs(r), 0, 1)
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform((distance + distance.T) / 2, checks=False), method="average")
    found = fcluster(tree, t=1 - threshold + 1e-12, criterion="distance")
    _, first, labels = np.unique(found, return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(first))
    return order[labels]


@dataclass(frozen=True)
class SparseLayer:
    """A next layer in which every unit sees one cluster.

    Attributes:
        mask: (inputs, outputs), true where there is a connection.
        connections, dense: numbers of connections of this layer and of the one that has all.
        positions: places on the map at which the layer is evaluated.

    Example: four inputs in two clusters, two outputs that see one each.

        >>> layer = SparseLayer(np.array([[1, 0], [1, 0], [0, 1], [0, 1]], bool), positions=100)
        >>> layer.connections, layer.dense, layer.density, layer.macs
        (4, 8, 0.5, 400)
    """

    mask: np.ndarray
    positions: int = 1

    @property
    def connections(self) -> int:
        return int(self.mask.sum())

    @property
    def dense(self) -> int:
        return int(self.mask.size)

    @property
    def density(self) -> float:
        """Connections as a share of all."""
        return self.connections / self.dense

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""
        return self.connections * self.positions


def propose_sparse_layer(labels: np.ndarray, outputs: int, positions: int = 1) -> SparseLayer:
    """Give each cluster its share of ``outputs`` units of the next layer, and them the cluster.

    Shares are proportional to the clusters' sizes, at least one unit each (largest remainders).

    Args:
        labels: (inputs,) clusters, of `cluster_units`.
        outputs: units of the next layer.
        positions: places on the map at which it is evaluated, H·W.

    Returns:
        The `SparseLayer`.

    Raises:
        ValueError: fewer outputs than clusters.

    Source: Arora et al., "Provable Bounds for Learning Some Deep Representations", 2013; Szegedy
    et al., "Going Deeper with Convolutions", 2014, section 4.

    >>> layer = propose_sparse_layer(np.array([0, 0, 0, 1]), outputs=4, positions=10)
    >>> layer.mask.astype(int).tolist()
    [[1, 1, 1, 0], [1, 1, 1, 0], [1, 1, 1, 0], [0, 0, 0, 1]]
    >>> layer.connections, layer.dense, layer.macs
    (10, 16, 100)
    """
    labels = np.asarray(labels)
    sizes = np.bincount(labels)
    if outputs < len(sizes):
        raise ValueError(
            f"propose_sparse_layer: {len(sizes)} clusters need at least as many outputs, "
            f"got {outputs}"
        )
    exact = sizes / sizes.sum() * (outputs - len(sizes))
    share = np.floor(exact).astype(int)
    for i in np.argsort(share - exact, kind="stable")[: outputs - len(sizes) - share.sum()]:
        share[i] += 1
    owner = np.repeat(np.arange(len(sizes)), share + 1)
    return SparseLayer(labels[:, None] == owner[None, :], positions)


def dense_branches(layer: SparseLayer, branches: int) -> int:
    """Connections of ``branches`` dense blocks side by side that together cover a sparse layer.

    Clusters are dealt out, the most expensive first, each to the branch whose dense block it makes
    grow least: with one branch this is the dense layer, with a branch for each cluster the sparse
    one.

    Args:
        layer: of `propose_sparse_layer`.
        branches: how many blocks, at least 1.

    Returns:
        Σ over the branches of inputs × outputs.

    Raises:
        ValueError: no branch.

    >>> layer = propose_sparse_layer(np.array([0, 0, 1, 1, 2, 2]), outputs=6)
    >>> [dense_branches(layer, b) for b in (1, 2, 3)], layer.connections
    ([36, 20, 12], 12)
    """
    if branches < 1:
        raise ValueError(f"dense_branches: branches must be positive, got {branches}")
    rows = np.unique(layer.mask, axis=0)
    sizes = [(int((layer.mask == row).all(axis=1).sum()), int(row.sum())) for row in rows]
    blocks = [(0, 0)] * branches
    for n_in, n_out in sorted(sizes, key=lambda s: -s[0] * s[1]):
        grown = [(i + n_in) * (o + n_out) - i * o for i, o in blocks]
        best = int(np.argmin(grown))
        blocks[best] = (blocks[best][0] + n_in, blocks[best][1] + n_out)
    return sum(i * o for i, o in blocks)


def energy_in_best_cluster(kernel: np.ndarray, labels: np.ndarray) -> float:
    """The share of a layer's squared weights that remains if each output keeps one cluster.

    Σ_o max_c Σ_{i in c} w_io² / Σ w². One: the layer is as sparse as the proposal.

    Args:
        kernel: (…, inputs, outputs); leading axes are taps.
        labels: (inputs,) clusters.

    Returns:
        A share in (0, 1].

    Raises:
        ValueError: not one label for each of the kernel's inputs.

    Example: two inputs, each a cluster; the outputs keep 3² of 3² + 1², and 2² of 2².

        >>> kernel = np.array([[3.0, 0.0], [1.0, 2.0]])
        >>> round(14 * energy_in_best_cluster(kernel, np.array([0, 1])), 6)
        13.0
    """
    energy = np.square(np.asarray(kernel, np.float64)).reshape(-1, *kernel.shape[-2:]).sum(axis=0)
    if energy.shape[0] != len(labels):
        raise ValueError(
            f"energy_in_best_cluster: labels for {len(labels)} inputs, kernel {kernel.shape}"
        )
    per_cluster = np.stack([energy[labels == c].sum(axis=0) for c in np.unique(labels)])
    return float(per_cluster.max(axis=0).sum() / energy.sum())


def spatial_reach(x: np.ndarray, radius: int = 2, strongest: float = 0.05) -> Sequence[float]:
    """Where the strongest correlations lie: the share at distance 0, 1, …, ``radius``.

    All pairs (unit a at p, unit b ≠ a at p + δ) with ‖δ‖∞ ≤ radius are ranked by |r|; of the
    ``strongest`` share of them this says how many have ‖δ‖∞ = 0 (a 1×1 convolution sees them),
    1 (3×3), 2 (5×5).

    Args:
        x: feature map (N, H, W, C), of two channels at least.
        radius: the largest distance, in positions of the map.
        strongest: the share of all pairs that is looked at, above 0 and at most 1.

    Returns:
        radius + 1 shares, sum one.

    Raises:
        ValueError: ``strongest`` outside (0, 1], or a radius that leaves nothing to compare.

    Source: Szegedy et al., "Going Deeper with Convolutions", 2014, section 4.

    Example: a channel, and the same one column further right.

        >>> a = np.random.default_rng(0).normal(size=(4, 8, 8))
        >>> x = np.stack([a, np.roll(a, 1, axis=2)], axis=-1)
        >>> spatial_reach(x, radius=1, strongest=0.1)
        [0.0, 1.0]
    """
    if not 0 < strongest <= 1:
        raise ValueError(f"spatial_reach: strongest must lie in (0, 1], got {strongest}")
    values, distances = [], []
    apart = ~np.eye(x.shape[-1], dtype=bool)
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            r = np.abs(unit_correlations(x, (dy, dx)))[apart]
            values.append(r)
            distances.append(np.full(r.size, max(abs(dy), abs(dx))))
    strengths = np.concatenate(values)
    chosen = np.argsort(-strengths, kind="stable")[: max(1, round(strongest * strengths.size))]
    return (
        np.bincount(np.concatenate(distances)[chosen], minlength=radius + 1) / len(chosen)
    ).tolist()
