"""Calibration: whether 80 % of the predictions made with 80 % confidence are right; temperature."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxnets.ops.class_numbers import is_class, take_class


class Reliability(NamedTuple):
    """What a reliability diagram shows, bin by bin; each array is float32 (bins,).

    Attributes:
        confidence: mean confidence of the predictions in a bin; 0 where it is empty.
        accuracy: share of them that are right; 0 where it is empty.
        share: of all predictions that fall into the bin.

    >>> reliability(jnp.zeros((4, 2)), jnp.zeros(4, jnp.int32), bins=2).share.tolist()
    [1.0, 0.0]
    """

    confidence: jax.Array
    accuracy: jax.Array
    share: jax.Array


def reliability(logits: jax.Array, labels: jax.Array, *, bins: int = 15) -> Reliability:
    """Reliability diagram: accuracy of the predictions in bins of equal confidence.

    Confidence is the largest softmax probability; bin b holds those in (b/B, (b + 1)/B].

    Args:
        logits: (N, K); for probabilities p pass log p.
        labels: class numbers (N,), integer; one outside 0…K−1 makes the result NaN.
        bins: B.

    Returns:
        confidence, accuracy and share of every bin.

    Raises:
        ValueError: shapes that do not fit, or no bin.

    Source: Guo et al. 2017 (On Calibration of Modern Neural Networks), §2.

    >>> import jax.numpy as jnp
    >>> logits = jnp.log(jnp.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]]))
    >>> reliability(logits, jnp.array([0, 1, 1]), bins=2).accuracy
    Array([0.       , 0.6666667], dtype=float32)
    """
    _check(logits, labels)
    if bins < 1:
        raise ValueError(f"bins: got {bins}; expected at least 1")
    return _reliability(logits, labels, bins)


@partial(jax.jit, static_argnums=2, inline=True)
def _reliability(logits, labels, bins):
    probabilities = jax.nn.softmax(logits.astype(jnp.float32))
    confidence = probabilities.max(-1)
    right = (logits.argmax(-1).astype(jnp.int32) == labels.astype(jnp.int32)).astype(jnp.float32)
    right = jnp.where(is_class(labels, logits.shape[-1]).all(), right, jnp.nan)
    # Upper edges belong to their bin. A NaN falls into none.
    index = jnp.clip(jnp.ceil(confidence * bins).astype(jnp.int32) - 1, 0, bins - 1)
    index = jnp.where(jnp.isnan(confidence), bins, index)
    zeros = jnp.zeros(bins, jnp.float32)
    count = zeros.at[index].add(1.0, mode="drop")
    some = jnp.maximum(count, 1.0)
    return Reliability(
        zeros.at[index].add(confidence, mode="drop") / some,
        zeros.at[index].add(right, mode="drop") / some,
        count / labels.shape[0],
    )


def expected_calibration_error(
    logits: jax.Array, labels: jax.Array, *, bins: int = 15
) -> jax.Array:
    """Mean gap between confidence and accuracy: ECE = Σ_b share_b |accuracy_b − confidence_b|.

    Args:
        logits: (N, K); for probabilities p pass log p.
        labels: class numbers (N,), integer; one outside 0…K−1 makes the result NaN.
        bins: B.

    Returns:
        a float32 scalar in [0, 1].

    Raises:
        ValueError: shapes that do not fit, or no bin.

    Source: Naeini et al. 2015; Guo et al. 2017, equation 3; 15 bins: Müller et al. 2019.

    >>> import jax.numpy as jnp
    >>> logits = jnp.log(jnp.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]]))
    >>> round(float(expected_calibration_error(logits, jnp.array([0, 1, 1]), bins=2)), 4)
    0.1333
    """
    table = reliability(logits, labels, bins=bins)
    return (table.share * jnp.abs(table.accuracy - table.confidence)).sum()


def fit_temperature(
    logits: jax.Array, labels: jax.Array, *, limits: tuple[float, float] = (1e-2, 1e2)
) -> jax.Array:
    """The temperature T for which softmax(z / T) predicts held-out labels best.

    Minimizes the mean cross entropy, which is convex in β = 1/T: its slope, mean of Σ_k p_k z_k −
    z_y, grows with β, and bisection of log T finds its zero. Accuracy stays as it is.

    Args:
        logits: (N, K), of examples that were not trained on.
        labels: class numbers (N,), integer; one outside 0…K−1 makes the result NaN.
        limits: of T. Where every prediction is right the best T is 0, and the lower limit is
            returned; where predictions are worse than guessing, the upper one.

    Returns:
        T, a float32 scalar; divide logits by it.

    Raises:
        ValueError: shapes that do not fit, or limits that are not 0 < low < high.

    Source: Guo et al. 2017, §4.2.

    >>> import jax.numpy as jnp
    >>> logits = jnp.array([[2.0, 0.0]] * 4)  # right in 3 of 4 cases: sigmoid(2/T) = 3/4
    >>> f"{float(fit_temperature(logits, jnp.array([0, 0, 0, 1]))):.4f}"  # 2 / log 3
    '1.8205'
    """
    _check(logits, labels)
    low, high = limits
    if not 0.0 < low < high:
        raise ValueError(f"limits: got {limits}; expected 0 < low < high")
    return _fit_temperature(logits, labels, low, high)


@partial(jax.jit, static_argnums=(2, 3), inline=True)
def _fit_temperature(logits, labels, low, high):
    z = logits.astype(jnp.float32)
    # Relative to the largest: nothing overflows, and sums keep their digits.
    z = z - z.max(-1, keepdims=True)
    of_label = take_class(z, labels)

    def halve(_, ends):
        left, right = ends
        middle = (left + right) / 2
        p = jax.nn.softmax(z * jnp.exp(-middle))
        # Slope in β. Positive: the best β is smaller, the best T larger.
        too_cold = (jnp.where(p > 0, p * z, 0.0).sum(-1) - of_label).mean() > 0
        return jnp.where(too_cold, middle, left), jnp.where(too_cold, right, middle)

    ends = jnp.log(jnp.float32(low)), jnp.log(jnp.float32(high))
    left, right = jax.lax.fori_loop(0, 40, halve, ends)
    return jnp.where(jnp.isnan(of_label).any(), jnp.nan, jnp.exp((left + right) / 2))


def _check(logits: jax.Array, labels: jax.Array) -> None:
    fits = logits.ndim == 2 and labels.shape == logits.shape[:1]
    if not fits or not jnp.issubdtype(labels.dtype, jnp.integer) or 0 in logits.shape:
        raise ValueError(
            f"labels: got {labels.dtype}{list(labels.shape)} for logits of shape "
            f"{list(logits.shape)}; expected logits (N, K) and integers (N,), N at least 1"
        )
