"""How well a target was followed through a film."""

import numpy as np

from jaxnets.metrics.collected import overlaps_in_turn


def success_curve(
    found: np.ndarray, true: np.ndarray, *, thresholds: np.ndarray | None = None
) -> tuple[np.ndarray, float]:
    """The share of frames whose box overlaps the true one by more than t, for each t; and its area.

    Args:
        found: (T, 4), corners in pixels.
        true: (T, 4); a frame with a NaN does not count.
        thresholds: of IoU; by default 0, .05, …, 1.

    Returns:
        (thresholds,) shares, and their mean, which is the area under the curve.

    Raises:
        ValueError: shapes that differ, or no frame that counts.

    Source: Wu, Lim, Yang, "Online Object Tracking: A Benchmark", 2013, section 4.

    >>> true = np.array([[0.0, 0, 4, 4], [0.0, 0, 4, 4]])
    >>> found = np.array([[0.0, 0, 4, 4], [8.0, 8, 9, 9]])
    >>> round(success_curve(found, true)[1], 4)  # 20 of 21 thresholds, half of the frames
    0.4762
    """
    found, true = np.asarray(found, np.float64), np.asarray(true, np.float64)
    if found.shape != true.shape or true.ndim != 2 or true.shape[1] != 4:
        raise ValueError(f"found: got shape {found.shape}; expected that of true, (T, 4)")
    counts = np.isfinite(true).all(1)
    if not counts.any():
        raise ValueError("true: got no frame with a box; expected at least one")
    overlap = overlaps_in_turn(found[counts], true[counts])
    steps = np.linspace(0, 1, 21) if thresholds is None else np.asarray(thresholds, np.float64)
    curve = (overlap[None] > steps[:, None]).mean(1)
    return curve, float(curve.mean())
