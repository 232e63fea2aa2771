"""Loss curves: smoothed, and typical ones of each kind to show and test the diagnosis with."""

import numpy as np


def smooth(values: np.ndarray, width: float) -> np.ndarray:
    """Means weighted by a Gaussian, centered.

    Values that are not finite stay, and are left out of their neighbors' means.

    Args:
        values: (n,).
        width: the Gaussian's standard deviation, in points.

    Returns:
        (n,), float64.

    >>> smooth(np.array([1.0, 1.0, 1.0]), 1.0).tolist()
    [1.0, 1.0, 1.0]
    """
    values = np.asarray(values, np.float64)
    points = np.arange(len(values))
    weights = np.exp(-0.5 * ((points[:, None] - points[None]) / width) ** 2)
    finite = np.isfinite(values)
    weights = weights * finite
    means = weights @ np.where(finite, values, 0.0) / np.maximum(weights.sum(1), 1e-300)
    return np.where(finite, means, values)


def typical_curves(
    kind: str, *, points: int = 200, noise: float = 0.05, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Training and validation losses of a run that shows one thing.

    Levels and time constants vary with the seed; training values carry multiplicative noise,
    validation values (a tenth as many) a third of it.

    Args:
        kind: one of the six of `diagnose`.
        points: of the training curve.
        noise: standard deviation, relative.
        seed: of noise and shape.

    Returns:
        (points,) and (points // 10,).

    Raises:
        ValueError: another kind.

    >>> train, valid = typical_curves("over_fitting")
    >>> bool(valid[-1] > valid.min() > train[-1])
    True
    """
    draw = np.random.default_rng(seed)
    t = np.linspace(0, 1, points)
    start = draw.uniform(2.0, 7.0)
    fast = np.exp(-t / draw.uniform(0.03, 0.08))
    if kind == "learning_rate_too_high":
        if seed % 2:
            train = start * (1 + 3 * t ** draw.uniform(1, 2))
        else:
            level = start * draw.uniform(0.4, 0.8)
            swing = np.convolve(draw.normal(size=points + 4), np.ones(5) / 5, "valid")
            train = level + (start - level) * fast + 0.8 * level * swing
            train = np.abs(train)
        valid = train
    elif kind == "learning_rate_too_low":
        train = start * (1 - draw.uniform(0.1, 0.35) * t)
        valid = train + 0.01 * start
    elif kind == "plateau":
        level = start * draw.uniform(0.2, 0.4)
        train = level + (start - level) * fast
        valid = train + 0.02 * start
    elif kind == "under_fitting":
        level = start * draw.uniform(0.6, 0.85)
        train = level + (start - level) * fast
        valid = train + 0.01 * start
    elif kind == "over_fitting":
        train = start * (0.03 + 0.97 * np.exp(-t / draw.uniform(0.1, 0.25)))
        valid = train + start * draw.uniform(0.3, 0.7) * t ** draw.uniform(0.8, 1.5)
    elif kind == "good":
        train = start * (0.04 + 0.96 * np.exp(-t / draw.uniform(0.08, 0.25)))
        valid = train + start * 0.04 * t
    else:
        raise ValueError(f"kind: got {kind!r}; expected one of the six of diagnose")
    train = train * (1 + noise * draw.normal(size=points))
    valid = valid[9::10] * (1 + noise / 3 * draw.normal(size=points // 10))
    return train, valid
