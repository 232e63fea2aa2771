"""Label smoothing as a distribution: two published variants, and the minimum of the loss."""

import math

import jax
import jax.numpy as jnp


def smooth_labels(
    labels: jax.Array, num_classes: int, smoothing: float = 0.1, *, over: str = "all"
) -> jax.Array:
    """Smoothed targets: some probability for every class.

    Over "all" classes: q'_k = (1 − ε) [k = y] + ε/K, as the paper has it. Over the "others":
    q'_y = 1 − ε and q'_k = ε/(K − 1), which is the first with ε K/(K − 1) in place of ε.

    Args:
        labels: class numbers (…), integer, in 0 … K−1; others give a row of NaN.
        num_classes: K.
        smoothing: ε in [0, 1].
        over: "all" or "others".

    Returns:
        (…, K), float32; for `cross_entropy`, whose option ``label_smoothing`` is the first variant
        without making the rows.

    Raises:
        ValueError: options out of range, or labels that are not integers.

    Source: Szegedy et al. 2016 (Rethinking the Inception Architecture), §7, for "all" classes.

    >>> import jax.numpy as jnp
    >>> smooth_labels(jnp.array(1), 4)
    Array([0.025, 0.925, 0.025, 0.025], dtype=float32)
    >>> smooth_labels(jnp.array(1), 4, over="others")
    Array([0.03333334, 0.9       , 0.03333334, 0.03333334], dtype=float32)
    """
    _check(num_classes, smoothing, over)
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(f"labels: got {labels.dtype}; expected integers, class numbers")
    right, wrong = _values(num_classes, smoothing, over)
    hot = jax.nn.one_hot(labels, num_classes, dtype=bool)
    q = jnp.where(hot, jnp.float32(right), jnp.float32(wrong))
    return jnp.where(hot.any(-1, keepdims=True), q, jnp.float32(jnp.nan))


def smoothed_logit_gap(num_classes: int, smoothing: float = 0.1, *, over: str = "all") -> float:
    """Margin of the correct logit over the others at the minimum of the smoothed loss.

    There the softmax equals q', so the gap is log(q'_y / q'_k) = log((1 − ε + ε/K) / (ε/K)) over
    "all" classes, log((1 − ε)(K − 1)/ε) over the "others". Without smoothing it is infinite.

    Args:
        num_classes: K.
        smoothing: ε in [0, 1].
        over: "all" or "others", as for `smooth_labels`.

    Returns:
        the gap; −∞ where the correct class gets no probability.

    Raises:
        ValueError: options out of range.

    Source: Szegedy et al. 2016, §7; Müller et al. 2019, §2.

    >>> f"{smoothed_logit_gap(10, 0.1):.4f}"
    '4.5109'
    """
    _check(num_classes, smoothing, over)
    right, wrong = _values(num_classes, smoothing, over)
    if wrong == 0.0:
        return math.inf
    return -math.inf if right == 0.0 else math.log(right / wrong)


def _values(num_classes: int, smoothing: float, over: str) -> tuple[float, float]:
    """What the right class and each of the others get."""
    if over == "others":
        return 1.0 - smoothing, smoothing / (num_classes - 1)
    return 1.0 - smoothing + smoothing / num_classes, smoothing / num_classes


def _check(num_classes: int, smoothing: float, over: str) -> None:
    if num_classes < 2:
        raise ValueError(f"num_classes: got {num_classes}; expected at least 2")
    if not 0.0 <= smoothing <= 1.0:
        raise ValueError(f"smoothing: got {smoothing}; expected a number in [0, 1]")
    if over not in ("all", "others"):
        raise ValueError(f"over: got {over!r}; expected 'all' or 'others'")
