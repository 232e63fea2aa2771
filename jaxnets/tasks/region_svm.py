"""One linear support vector machine a class, on features of regions, with hard negatives.

Source: Girshick et al., "Rich feature hierarchies for accurate object detection and semantic
segmentation", 2014, section 2.3 and appendix B.
"""

from typing import NamedTuple

import numpy as np

from jaxnets.errors import JaxnetsError

# Features are scaled to this mean length, negatives that a machine puts above the first margin are
# hard, and those below the second are let go again.
LENGTH, HARD, EASY = 20.0, -1.0, -1.2
# Positives count twice, the bias is a feature of this value: it is hardly penalized.
POSITIVE, BIAS = 2.0, 10.0


class RegionSVMs(NamedTuple):
    """A margin for each class, z = s·x·W + b.

    Attributes:
        kernel: W, float64 (D, K).
        bias: b, (K,).
        scale: s, which brings features to a mean length of 20.
        negatives: how many negatives each machine was fitted to at last, (K,).

    >>> svms = RegionSVMs(np.eye(2), np.zeros(2), 0.5, np.zeros(2, int))
    >>> svms(np.array([[4.0, -2.0]])).tolist()
    [[2.0, -1.0]]
    """

    kernel: np.ndarray
    bias: np.ndarray
    scale: float
    negatives: np.ndarray

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """(N, D) → margins (N, K)."""
        return self.scale * np.asarray(features, np.float64) @ self.kernel + self.bias


def fit_region_svms(
    positives: np.ndarray,
    labels: np.ndarray,
    features: np.ndarray,
    overlaps: np.ndarray,
    *,
    negative: float = 0.3,
    penalty: float = 1e-3,
    rounds: int = 3,
    first: int = 500,
    most: int = 2000,
    seed: int = 0,
) -> RegionSVMs:
    """Fit the machines to the objects themselves, and to the negatives that they get wrong.

    A class's positives are its objects' own boxes, its negatives regions that overlap each of them
    by less than ``negative``; what lies between is neither. A machine is fitted to some negatives;
    then, in each round, those it puts above the margin −1 are added, the worst first, those below
    −1.2 are let go, and it is fitted again, until none is left to add. The loss is the squared
    hinge, minimized by scikit-learn's ``LinearSVC``.

    Args:
        positives: features of the objects (P, D).
        labels: their classes (P,), from 0.
        features: of the regions of all images (R, D).
        overlaps: (R, K), the largest IoU of each with an object of each class in its image.
        negative: see above.
        penalty: C.
        rounds: of adding hard negatives, at most.
        first: negatives to begin with, drawn at random.
        most: negatives added in a round.
        seed: of that draw.

    Returns:
        `RegionSVMs`.

    Raises:
        JaxnetsError: shapes that do not fit, or a class without objects or without negatives.

    >>> x = np.array([[1.0, 0], [0, 1]])
    >>> svms = fit_region_svms(x, np.array([0, 1]), np.concatenate([x, 0 * x]),
    ...     np.array([[1.0, 0], [0, 1], [0, 0], [0, 0]]), penalty=1)
    >>> svms(x).argmax(1).tolist()
    [0, 1]
    """
    positives, features = (np.asarray(each, np.float64) for each in (positives, features))
    labels, overlaps = np.asarray(labels), np.asarray(overlaps)
    if (
        positives.ndim != 2
        or positives.shape[1:] != features.shape[1:]
        or labels.shape != positives.shape[:1]
        or overlaps.ndim != 2
        or len(overlaps) != len(features)
    ):
        raise JaxnetsError(
            f"positives, labels, features, overlaps: got {positives.shape}, {labels.shape}, "
            f"{features.shape} and {overlaps.shape}; expected (P, D), (P,), (R, D) and (R, K)"
        )
    length = np.linalg.norm(np.concatenate([positives, features]), axis=1).mean()
    scale = LENGTH / max(float(length), 1e-12)
    rng = np.random.default_rng(seed)
    kernels, biases, counts = [], [], []
    for k in range(overlaps.shape[1]):
        true = scale * positives[labels == k]
        pool = scale * features[overlaps[:, k] < negative]
        if not len(true) or not len(pool):
            what = "object" if not len(true) else "region that is none of its"
            raise JaxnetsError(f"class {k} has no {what}; expected some of both to tell apart")
        kept = np.zeros(len(pool), bool)
        kept[rng.permutation(len(pool))[:first]] = True
        weights, bias = _fit(true, pool[kept], penalty)
        for _ in range(rounds):
            margins = pool @ weights + bias
            hard = np.flatnonzero((margins > HARD) & ~kept)
            if not len(hard):
                break
            kept &= margins >= EASY
            kept[hard[np.argsort(-margins[hard], kind="stable")[:most]]] = True
            weights, bias = _fit(true, pool[kept], penalty)
        kernels.append(weights)
        biases.append(bias)
        counts.append(int(kept.sum()))
    return RegionSVMs(np.stack(kernels, 1), np.array(biases), scale, np.array(counts))


def _fit(true, false, penalty):
    from sklearn.svm import LinearSVC

    machine = LinearSVC(
        C=penalty,
        dual=False,
        intercept_scaling=BIAS,
        class_weight={1: POSITIVE},
        max_iter=10_000,
    )
    signs = np.concatenate([np.ones(len(true), int), np.zeros(len(false), int)])
    machine.fit(np.concatenate([true, false]), signs)
    return machine.coef_[0], float(machine.intercept_[0])
