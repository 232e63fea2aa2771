"""Confidence intervals of what was measured over independent repetitions (random keys, runs).

One Student t interval serves everything that compares means: differences are formed run by run
before (paired), ratios are compared on the scale of their logarithms.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

CONFIDENCE = 0.95


class Interval(NamedTuple):
    """An estimate with the ends of its confidence interval; unpacks as a triple.

    Attributes:
        estimate: mean, geometric mean, median or share.
        low: lower end of the interval.
        high: upper end of the interval.

    >>> interval = Interval(0.5, 0.25, 0.75)
    >>> mean, low, high = interval
    >>> mean, interval.half, interval.excludes(0.0)
    (0.5, 0.25, True)
    """

    estimate: float
    low: float
    high: float

    @property
    def half(self) -> float:
        """Half the width: what stands behind ± for an interval that is symmetric."""
        return (self.high - self.low) / 2

    def excludes(self, border: float = 0.0) -> bool:
        """Whether the whole interval lies on one side of ``border``.

        >>> Interval(1.0, 0.2, 1.8).excludes(0.0), Interval(1.0, -0.2, 2.2).excludes(0.0)
        (True, False)
        """
        return self.low > border or self.high < border


def mean_interval(values: ArrayLike, *, confidence: float = CONFIDENCE) -> Interval:
    """Mean and Student's t interval, x̄ ± t_{(1+c)/2, n−1}·s/√n.

    Args:
        values: (n,) independent repetitions. With n = 1 nothing is known of the spread: the
            interval is unbounded.
        confidence: c, between 0 and 1.

    Returns:
        The `Interval`.

    Raises:
        ValueError: no values, or a confidence outside of (0, 1).

    Source:
        Student, "The probable error of a mean", Biometrika 6 (1908).

    >>> tuple(round(x, 3) for x in mean_interval([1.0, 2.0, 3.0]))
    (2.0, -0.484, 4.484)
    """
    # Loaded here, as everywhere in jaxnets: scipy.stats takes a second to import, this does not.
    from scipy.special import stdtrit

    x = _checked(values, confidence)
    mean = float(x.mean())
    if x.size == 1:
        return Interval(mean, -math.inf, math.inf)
    quantile = float(stdtrit(x.size - 1, 0.5 + confidence / 2))
    half = quantile * x.std(ddof=1) / math.sqrt(x.size)
    return Interval(mean, float(x.mean() - half), float(x.mean() + half))


def difference_interval(
    values: ArrayLike, baseline: ArrayLike, *, confidence: float = CONFIDENCE
) -> Interval:
    """Mean of the paired differences values − baseline, with its t interval.

    What both sides of a pair share (first weights, order of batches, machine load) cancels, so
    the interval is that of the differences and not that of two separate means.

    Args:
        values: (n,), one entry a repetition.
        baseline: (n,), the same repetitions in the same order.
        confidence: see `mean_interval`.

    Returns:
        The `Interval` of the differences.

    Raises:
        ValueError: the two differ in shape.

    >>> tuple(round(x, 2) for x in difference_interval([3.0, 4.0, 5.5], [2.0, 3.0, 4.0]))
    (1.17, 0.45, 1.88)
    """
    x, y = _paired(values, baseline)
    return mean_interval(x - y, confidence=confidence)


def log_interval(values: ArrayLike, *, confidence: float = CONFIDENCE) -> Interval:
    """Geometric mean exp(mean(log x)), and the t interval of the logarithms brought back.

    For positive quantities that vary by factors: ratios, numbers of steps, times.

    Args:
        values: (n,), positive.
        confidence: see `mean_interval`.

    Returns:
        The `Interval`; its ends lie symmetrically on a logarithmic axis.

    Raises:
        ValueError: a value that is not positive.

    >>> log_interval([2.0, 8.0]).estimate
    4.0
    """
    x = np.asarray(values, np.float64)
    if (x <= 0).any():
        raise ValueError(f"values: got {x}; a geometric mean needs positive ones")
    return Interval(*(math.exp(end) for end in mean_interval(np.log(x), confidence=confidence)))


def ratio_interval(
    values: ArrayLike, baseline: ArrayLike, *, confidence: float = CONFIDENCE
) -> Interval:
    """Geometric mean of the paired ratios values / baseline, with its interval.

    Args:
        values: (n,), positive.
        baseline: (n,), positive, the same repetitions in the same order.
        confidence: see `mean_interval`.

    Returns:
        The `Interval` of the ratios; exchanging the sides gives its reciprocal.

    Raises:
        ValueError: the two differ in shape, or a value is not positive.

    >>> round(ratio_interval([2.0, 4.0], [1.0, 2.0]).estimate, 12)
    2.0
    """
    x, y = _paired(values, baseline)
    for name, side in (("values", x), ("baseline", y)):
        if (side <= 0).any():
            raise ValueError(f"{name}: got {side}; ratios on the log scale need positive values")
    return log_interval(x / y, confidence=confidence)


def median_interval(
    values: ArrayLike,
    *,
    confidence: float = CONFIDENCE,
    resamples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Median and the percentile interval of its bootstrap, for values with outliers.

    Args:
        values: (n,).
        confidence: see `mean_interval`.
        resamples: how many times n values are drawn with replacement.
        seed: of the drawing.

    Returns:
        The `Interval`.

    Source:
        Efron and Tibshirani, "An introduction to the bootstrap" (1993), chapter 13.

    >>> median_interval([1.0, 1.0, 1.0, 50.0]).estimate
    1.0
    """
    x = _checked(values, confidence)
    chosen = np.random.default_rng(seed).integers(0, x.size, (resamples, x.size))
    tail = 50 * (1 - confidence)
    low, high = np.percentile(np.median(x[chosen], axis=1), [tail, 100 - tail])
    return Interval(float(np.median(x)), float(low), float(high))


def share_interval(hits: ArrayLike, *, confidence: float = CONFIDENCE) -> Interval:
    """Share of ones and its exact interval: ten of ten is 0.69 to 1, not 1 to 1.

    Args:
        hits: (n,) of 0 and 1.
        confidence: see `mean_interval`.

    Returns:
        The `Interval`.

    Raises:
        ValueError: a value other than 0 and 1.

    Source:
        Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the case of
        the binomial", Biometrika 26 (1934).

    >>> tuple(round(x, 2) for x in share_interval([1] * 10))
    (1.0, 0.69, 1.0)
    """
    from scipy import stats

    x = _checked(hits, confidence)
    if not np.isin(x, (0, 1)).all():
        raise ValueError(f"hits: got {x}; a share is made of 0 and 1")
    count, total = int(x.sum()), x.size
    found = stats.binomtest(count, total).proportion_ci(confidence, method="exact")
    return Interval(count / total, float(found.low), float(found.high))


def growth_exponent(sizes: ArrayLike, values: ArrayLike) -> float:
    """p of values ∝ sizes^p: the slope of the least-squares line through their logarithms.

    Args:
        sizes: (n,) positive, at least two different ones.
        values: (n,) positive.

    Returns:
        The slope: 1 for what grows in proportion, 2 with the square, 0 for what does not grow.

    Raises:
        ValueError: other shapes, or a number that is not positive.

    >>> round(growth_exponent([10, 100, 1000], [3.0, 300.0, 30_000.0]), 6)
    2.0
    """
    x, y = _paired(sizes, values)
    if x.ndim != 1 or len(np.unique(x)) < 2 or not ((x > 0).all() and (y > 0).all()):
        raise ValueError(
            f"sizes and values: got {x} and {y}; expected positive numbers of two sizes at least"
        )
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def _checked(values: ArrayLike, confidence: float) -> np.ndarray:
    x = np.asarray(values, np.float64).ravel()
    if not x.size:
        raise ValueError("values: got none; an interval needs at least one")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence: got {confidence}; expected a number between 0 and 1")
    return x


def _paired(values: ArrayLike, baseline: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(values, np.float64), np.asarray(baseline, np.float64)
    if x.shape != y.shape:
        raise ValueError(
            f"values and baseline: got shapes {x.shape} and {y.shape}; pairs need equal ones"
        )
    return x, y
