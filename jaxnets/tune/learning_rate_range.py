"""Step 3: which learning rate makes the loss go down? The range test."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.errors import JaxnetsError
from jaxnets.tune.curves import smooth
from jaxnets.tune.rate_sweep import LossOf, prepare_sweep


class RangeTest(NamedTuple):
    """What `range_test` found.

    Attributes:
        rates: (steps,) the learning rate of each step, rising exponentially.
        losses: (steps,) the loss before each step; NaN or infinite after a divergence.
        smoothed: (steps,) the losses, smoothed.
        suggestion: the rate to begin with.
        lowest_at: the rate at which the smoothed loss was lowest.
        diverged_at: the rate at which the loss had left its starting level for good, or None.
        finding: one sentence.

    >>> rates, losses = np.array([0.1, 1.0]), np.array([2.0, 1.0])
    >>> RangeTest(rates, losses, losses, 0.25, 1.0, None, "begin with 0.25").suggestion
    0.25
    """

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    suggestion: float
    lowest_at: float
    diverged_at: float | None
    finding: str


def range_test(
    loss_of: LossOf,
    params: Any,
    batches: Any = None,
    *,
    lowest: float = 1e-6,
    highest: float = 10.0,
    steps: int = 100,
    optimizer: str = "sgd",
    loop: bool | None = None,
) -> RangeTest:
    """Raise the learning rate exponentially while training, and see where the loss falls and rises.

    η_t = lowest · (highest/lowest)^(t/(T−1)), all steps in one compiled scan. The suggestion is
    the geometric mean of two rates: where the smoothed loss falls fastest over log η (on quadratics
    a tenth of the best rate or less), and where it is lowest (up to four times the best: the
    divergence has begun already and does not show yet). It is at most a quarter of the latter.

    Args:
        loss_of: (params, batch) → scalar loss; `classification_loss` makes one of a network.
        params: where to begin; they are not changed.
        batches: a tree of arrays with a leading axis of steps, as from `draw_batches`; its length
            then is the number of steps. None: ``loss_of(params, None)`` at every step.
        lowest, highest: the range of rates.
        steps: how many, when ``batches`` is None.
        optimizer: a name of `jaxnets.optim.list_optimizers()`; rates of one rule say little about
            another's.
        loop: step by step instead of one scan; default: for convolutions on CPU, where a scan
            is slow.

    Returns:
        The `RangeTest`.

    Raises:
        JaxnetsError: crossing limits, fewer than 10 steps.
        UnknownNameError: the optimizer.

    Source: Smith, "Cyclical learning rates for training neural networks", 2017, section 3.3.

    >>> import jax.numpy as jnp
    >>> found = range_test(lambda w, _: 0.5 * (w * jnp.array([1.0, 10.0]) * w).sum(), jnp.ones(2))
    >>> 0.02 < found.suggestion < 0.2  # 2/λmax = 0.2
    True
    """
    if not 0 < lowest < highest:
        raise JaxnetsError(f"rates: expected 0 < lowest < highest, got {lowest} and {highest}")
    if batches is not None:
        steps = len(jax.tree.leaves(batches)[0])
    if steps < 10:
        raise JaxnetsError(f"a range test of {steps} steps says nothing; give 10 or more")
    rates = np.geomspace(lowest, highest, steps)
    sweep = prepare_sweep(loss_of, params, batches, optimizer=optimizer, steps=steps, loop=loop)
    losses = np.asarray(sweep(jnp.asarray(rates, jnp.float32)), np.float64)
    return _read(rates, losses)


def _read(rates: np.ndarray, losses: np.ndarray) -> RangeTest:
    start = float(np.fmin(losses[0], np.mean(losses[: max(len(losses) // 20, 1)])))
    if not np.isfinite(losses[0]):
        raise JaxnetsError(
            f"the loss is {losses[0]} before the first step: mend that before looking for a rate"
        )
    # What follows the divergence says nothing about rates, and would spoil the means before it.
    high = ~np.isfinite(losses) | (losses > start + 0.5 * abs(start) + 1e-12)
    end = int(np.argmax(high)) if high.any() else len(losses)
    diverged_at = float(rates[end]) if high.any() else None
    smoothed = np.concatenate([smooth(losses[:end], max(len(losses) / 40, 0.5)), losses[end:]])
    if end < 3:
        raise JaxnetsError(
            f"the loss diverges already at the rate {rates[end]:.2g}: begin with a lower one"
        )
    seen = smoothed[:end]
    bottom = int(np.argmin(seen))
    lowest_at = float(rates[bottom])
    fall = start - seen[bottom]
    if fall <= 0.02 * abs(start):
        suggestion = lowest_at / 10 if diverged_at else float(rates[-1])
        finding = f"no rate from {rates[0]:.2g} to {rates[-1]:.2g} brings the loss down: " + (
            "is the gradient right?" if diverged_at else "try higher ones"
        )
        return RangeTest(rates, losses, smoothed, suggestion, lowest_at, diverged_at, finding)
    slope = np.gradient(seen[: bottom + 1], np.log(rates[: bottom + 1])) if bottom > 1 else [0.0]
    steepest = float(rates[int(np.argmin(slope))])
    suggestion = min(math.sqrt(steepest * lowest_at), lowest_at / 4)
    finding = (
        f"the loss falls fastest at the rate {steepest:.2g} and is lowest at {lowest_at:.2g}"
        + (f", it diverges at {diverged_at:.2g}" if diverged_at else "")
        + f": begin with {suggestion:.2g}"
    )
    return RangeTest(rates, losses, smoothed, suggestion, lowest_at, diverged_at, finding)
