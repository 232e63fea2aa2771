"""Corrections of boxes by ridge regression: from a region's features to the offsets of its object.

Source: Girshick et al., "Rich feature hierarchies for accurate object detection and semantic
segmentation", 2014, appendix C.
"""

from typing import NamedTuple

import numpy as np

from jaxnets.errors import JaxnetsError


class BoxRidge(NamedTuple):
    """Linear functions of features, four for each class.

    Attributes:
        kernel: (K, D, 4).
        bias: (K, 4).

    >>> ridge = BoxRidge(np.ones((1, 2, 4)), np.zeros((1, 4)))
    >>> ridge(np.array([[1.0, 2.0]]))[0, 0].tolist()
    [3.0, 3.0, 3.0, 3.0]
    """

    kernel: np.ndarray
    bias: np.ndarray

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """(N, D) → offsets (N, K, 4), as `jaxnets.ops.boxes.encode` makes them."""
        return np.einsum("nd,kdf->nkf", features, self.kernel) + self.bias


def fit_box_ridge(
    features: np.ndarray,
    offsets: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    *,
    penalty: float = 1000.0,
) -> BoxRidge:
    """The minimum of Σ ‖t_i − Wᵀx_i − b‖² + λ‖W‖² for each class.

    The solution is that of a linear system, of as many unknowns as there are features or regions,
    whichever are fewer. Without regions of a class its boxes stay as they are.

    Args:
        features: (N, D), of regions that overlap an object well: by an IoU above .6.
        offsets: (N, 4), of their objects from them, see `jaxnets.ops.boxes.encode`.
        labels: (N,), class numbers.
        num_classes: K.
        penalty: λ ≥ 0; the bias is not penalized.

    Returns:
        `BoxRidge`, float64.

    Raises:
        JaxnetsError: shapes that do not fit, or a negative penalty.

    Source: Girshick et al. 2014, equation 5.

    >>> x, t = np.array([[0.0], [1.0], [2.0]]), np.tile([[1.0], [3.0], [5.0]], 4)
    >>> ridge = fit_box_ridge(x, t, np.zeros(3, int), 1, penalty=0)
    >>> ridge.kernel[0, :, 0].round(6).tolist(), ridge.bias[0].round(6).tolist()
    ([2.0], [1.0, 1.0, 1.0, 1.0])
    """
    features, offsets = np.asarray(features, np.float64), np.asarray(offsets, np.float64)
    count = len(features)
    if features.ndim != 2 or offsets.shape != (count, 4) or np.shape(labels) != (count,):
        raise JaxnetsError(
            f"features, offsets, labels: got {features.shape}, {offsets.shape} and "
            f"{np.shape(labels)}; expected (N, D), (N, 4) and (N,)"
        )
    if penalty < 0:
        raise JaxnetsError(f"penalty: got {penalty}; expected 0 or more")
    width = features.shape[1]
    kernel, bias = np.zeros((num_classes, width, 4)), np.zeros((num_classes, 4))
    for k in range(num_classes):
        rows = np.asarray(labels) == k
        if not rows.any():
            continue
        x, t = features[rows], offsets[rows]
        means = x.mean(0), t.mean(0)
        x, t = x - means[0], t - means[1]
        if len(x) < width:
            # Wᵀ = Xᵀ(XXᵀ + λ)⁻¹T: as many unknowns as regions.
            kernel[k] = x.T @ _solve(x @ x.T, t, penalty)
        else:
            kernel[k] = _solve(x.T @ x, x.T @ t, penalty)
        bias[k] = means[1] - means[0] @ kernel[k]
    return BoxRidge(kernel, bias)


def _solve(matrix, right, penalty):
    if penalty:
        return np.linalg.solve(matrix + penalty * np.eye(len(matrix)), right)
    return np.linalg.pinv(matrix, hermitian=True) @ right
