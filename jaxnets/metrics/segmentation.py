"""Measures of semantic segmentation, all of one global confusion matrix."""

import numpy as np


def iou_of_classes(matrix: np.ndarray) -> np.ndarray:
    """Intersection over union of each class, over all pixels of a data set.

    IoU_k = n_kk / (Σ_j n_kj + Σ_i n_ik − n_kk).

    Args:
        matrix: (K, K), as `confusion_matrix` counts pixels: true classes in rows. Add the matrices
            of all batches first, as int64 on the host: a mean of the IoUs of images is another
            number. Pixels of the void class are left out by a label outside 0 … K−1.

    Returns:
        float64 (K,); NaN for a class that neither occurs nor is predicted.

    Raises:
        ValueError: not a square matrix of counts.

    Source: Long et al., "Fully Convolutional Networks for Semantic Segmentation", 2015, section 5.

    >>> iou_of_classes(np.array([[2, 1], [1, 0]])).tolist()
    [0.5, 0.0]
    """
    matrix = _counts(matrix)
    shared = np.diag(matrix)
    union = matrix.sum(0) + matrix.sum(1) - shared
    return np.divide(shared, union, out=np.full(len(matrix), np.nan), where=union > 0)


def segmentation_summary(matrix: np.ndarray) -> dict[str, float]:
    """Mean IoU, pixel accuracy, mean accuracy and frequency-weighted IoU.

    Args:
        matrix: (K, K), as of `iou_of_classes`.

    Returns:
        ``mIoU``, over the classes that occur or are predicted; ``pixel_accuracy``;
        ``mean_accuracy``, over the classes that occur; ``weighted_IoU``. NaN without pixels.

    Raises:
        ValueError: not a square matrix of counts.

    Source: Long et al., "Fully Convolutional Networks for Semantic Segmentation", 2015, section 5.

    >>> {k: round(v, 3) for k, v in segmentation_summary(np.array([[2, 1], [1, 0]])).items()}
    {'mIoU': 0.25, 'pixel_accuracy': 0.5, 'mean_accuracy': 0.333, 'weighted_IoU': 0.375}
    """
    matrix = _counts(matrix)
    total, true = matrix.sum(), matrix.sum(1)
    if total == 0:
        return dict.fromkeys(("mIoU", "pixel_accuracy", "mean_accuracy", "weighted_IoU"), np.nan)
    overlap = iou_of_classes(matrix)
    there = true > 0
    return {
        "mIoU": float(np.nanmean(overlap)),
        "pixel_accuracy": float(np.diag(matrix).sum() / total),
        "mean_accuracy": float((np.diag(matrix)[there] / true[there]).mean()),
        "weighted_IoU": float((true[there] * overlap[there]).sum() / total),
    }


def _counts(matrix):
    matrix = np.asarray(matrix).astype(np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or (matrix < 0).any():
        raise ValueError(
            f"matrix: got shape {matrix.shape}; expected (K, K) counts, as confusion_matrix makes"
        )
    return matrix
