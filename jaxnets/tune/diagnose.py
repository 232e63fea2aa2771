"""Step 5: what the loss curves of a run say, in words."""

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from jaxnets.errors import JaxnetsError
from jaxnets.tune.curves import smooth

Kind = Literal[
    "learning_rate_too_high",
    "learning_rate_too_low",
    "plateau",
    "over_fitting",
    "under_fitting",
    "good",
]

ADVICE: dict[str, str] = {
    "learning_rate_too_high": "lower the learning rate by 3 to 10, or warm up and clip gradients",
    "learning_rate_too_low": "raise the learning rate by 3 to 10, or train longer",
    "plateau": "decay the learning rate now (by 10, or along a cosine)",
    "over_fitting": "regularize more (augmentation, weight decay, dropout), stop at the lowest "
    "validation loss, or get more data",
    "under_fitting": "take a larger network, regularize less, or train with a better rate",
    "good": "no change is called for; a longer run may still gain a little",
}

# The limits between the kinds, as shares of what the loss was at the start.
# Below this share of its start a loss counts as learned.
LEARNED = 0.15
# A loss that stays above this share of its start was hardly learned at all.
HARDLY = 0.5
# Validation above training by this share of the start is a gap.
GAP = 0.12
# A curve that loses less than this share of its start in its second half is flat.
FLAT = 0.02
# Swings around the later level by more than this share of it are no noise of mini-batches.
SWING = 0.2


class Diagnosis(NamedTuple):
    """What `diagnose` found.

    Attributes:
        kind: one of the six.
        finding: what the curves do, with figures, in one sentence.
        advice: what to do.
        evidence: the figures that decided.

    >>> Diagnosis("good", "the training loss falls", ADVICE["good"], {"left": 0.1}).kind
    'good'
    """

    kind: Kind
    finding: str
    advice: str
    evidence: dict[str, float]


def diagnose(
    train_loss: Sequence[float],
    valid_loss: Sequence[float] | None = None,
    *,
    floor: float = 0.0,
    rate_decayed: bool = False,
) -> Diagnosis:
    """Name what a run's loss curves show.

    Both curves cover the same run at equal distances (they may have different numbers of points).
    They are smoothed first. In this order:

    - not finite, higher at the end than at the start, or swinging widely around a level that
      does not fall: ``learning_rate_too_high``;
    - validation well above training at the end, or risen again from its lowest:
      ``over_fitting``;
    - falling at the end about as steadily as at the start, with most of the way to go:
      ``learning_rate_too_low``;
    - flat since its first fall: ``good`` when the loss is nearly 0, ``plateau`` when a part of it
      is left, ``under_fitting`` when half of it is left, or when a part is left though the rate
      has been decayed already;
    - anything else falls as it should: ``good``.

    Args:
        train_loss: at least 8 values.
        valid_loss: at least 4 values, or None: over-fitting is then not seen.
        floor: the least possible training loss, such as the entropy that label smoothing leaves.
        rate_decayed: the learning rate had come down to a tenth of its peak at the end.

    Returns:
        The `Diagnosis`.

    Raises:
        JaxnetsError: too few values, or a first loss that is not finite.

    >>> steps = np.arange(200)
    >>> diagnose(2.3 * np.exp(-steps / 20)).kind
    'good'
    >>> diagnose(2.3 - 0.002 * steps).kind
    'learning_rate_too_low'
    >>> diagnose(0.8 + 1.5 * np.exp(-steps / 10)).kind
    'plateau'
    """
    train = _curve("train_loss", train_loss, 8) - floor
    valid = None if valid_loss is None else _curve("valid_loss", valid_loss, 4)
    count = len(train)
    finite = np.isfinite(train)
    if not finite.all():
        at = int(np.argmin(finite)) + 1
        return _found(
            "learning_rate_too_high",
            f"the training loss stops being finite at point {at} of {count}",
            {"first_not_finite": at},
        )
    level = smooth(train, max(count / 25, 1.0))
    start = float(train[: max(count // 50, 2)].mean())
    # A line through the later part: smoothing would bend the end of the curve.
    half = count // 2
    line, swing = _line(train[half:])
    end = max(float(line[-1]), 0.0)
    left = end / start
    late_fall = float(line[0] - line[-1]) / start
    doubt = swing / start * math.sqrt(12 / (count - half))
    whole, _ = _line(train[count // 5 :])
    slope = (whole[0] - whole[-1]) / (len(whole) - 1)
    # What a curve that falls as it does later would have lost from the beginning.
    steady_share = float(slope * (count - 1) / max(start - float(whole[-1]), 1e-12))
    relative_swing = swing / max(float(np.mean(train[half:])), 1e-12)
    lowest = float(level.min())
    evidence = {
        "start": start + floor,
        "end": end + floor,
        "left": left,
        "late_fall": late_fall,
        "steady_share": steady_share,
        "relative_swing": relative_swing,
    }
    if left > 1.1 or (end > 1.5 * lowest and (end - lowest) / start > 0.3):
        return _found(
            "learning_rate_too_high",
            f"the training loss rises: {lowest + floor:.3g} at its lowest, {end + floor:.3g} at "
            "the end",
            evidence,
        )
    if relative_swing > SWING and left > LEARNED and late_fall < 0.1 + 2 * doubt:
        return _found(
            "learning_rate_too_high",
            f"the training loss swings by ±{swing:.2g} around {end + floor:.3g} and never settles",
            evidence,
        )
    if valid is not None:
        over = _over_fitting(level + floor, valid, start, evidence)
        if over is not None:
            return over
    if left > HARDLY and steady_share > 0.5 and late_fall > 0.01:
        return _found(
            "learning_rate_too_low",
            f"the training loss falls slowly and steadily, from {start + floor:.3g} to "
            f"{end + floor:.3g}, and has not bent yet",
            evidence,
        )
    flat = late_fall < FLAT + 2.5 * doubt
    if left <= LEARNED or not flat:
        falling = "" if flat else ", and is still falling"
        return _found(
            "good",
            f"the training loss falls from {start + floor:.3g} to {end + floor:.3g}{falling}, and "
            "validation follows"
            if valid is not None
            else f"the training loss falls from {start + floor:.3g} to {end + floor:.3g}{falling}",
            evidence,
        )
    if left > HARDLY or rate_decayed:
        return _found(
            "under_fitting",
            f"the training loss has stopped at {end + floor:.3g} ({left:.0%} of its start)"
            + (", though the learning rate was decayed" if rate_decayed else "")
            + ("; validation is no worse" if valid is not None else ""),
            evidence,
        )
    return _found(
        "plateau",
        f"the training loss fell to {end + floor:.3g} and has been flat since; the learning rate "
        "is now too high to go on",
        evidence,
    )


def _over_fitting(
    train: np.ndarray, valid: np.ndarray, start: float, evidence: dict[str, float]
) -> Diagnosis | None:
    level = smooth(valid, max(len(valid) / 25, 0.5))
    end = float(level[-1])
    lowest = int(np.argmin(level))
    gap = (end - float(train[-1])) / start
    risen = (end - float(level[lowest])) / start
    evidence |= {"valid_end": end, "gap": gap, "valid_risen": risen}
    if not math.isfinite(end) or (gap > GAP and (risen > 0.03 or gap > 2 * GAP)):
        where = (lowest + 1) / len(valid)
        risen_words = (
            f"; it was {level[lowest]:.3g} after {where:.0%} of the run and rose since"
            if risen > 0.03
            else ""
        )
        return _found(
            "over_fitting",
            f"validation loss ends at {end:.3g}, training loss at {train[-1]:.3g}{risen_words}",
            evidence,
        )
    return None


def _found(kind: Kind, finding: str, evidence: dict[str, float]) -> Diagnosis:
    return Diagnosis(kind, finding, ADVICE[kind], {k: float(v) for k, v in evidence.items()})


def _curve(name: str, values: Any, least: int) -> np.ndarray:
    curve = np.asarray(values, np.float64)
    if curve.ndim != 1 or len(curve) < least:
        raise JaxnetsError(
            f"{name}: got shape {curve.shape}; expected a list of at least {least} values"
        )
    if not math.isfinite(curve[0]):
        raise JaxnetsError(f"{name}: the first value is {curve[0]}")
    return curve


def _line(values: np.ndarray) -> tuple[np.ndarray, float]:
    """The straight line through the values, and their standard deviation around it."""
    x = np.arange(len(values))
    line = np.polyval(np.polyfit(x, values, 1), x)
    return line, float(np.std(values - line))


def smoothing_entropy(label_smoothing: float, num_classes: int) -> float:
    """The least cross entropy against labels smoothed by ε over K classes: their entropy.

    Args:
        label_smoothing: ε.
        num_classes: K.

    Returns:
        Nats.

    >>> round(smoothing_entropy(0.05, 10), 4)
    0.2824
    """
    if label_smoothing == 0:
        return 0.0
    other = label_smoothing / num_classes
    right = 1 - label_smoothing + other
    return -right * math.log(right) - (num_classes - 1) * other * math.log(other)
