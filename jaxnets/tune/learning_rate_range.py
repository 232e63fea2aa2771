"""Step 3: which learning rate makes the loss go down?"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from jaxnets.errors import JaxnetsError
from jaxnets.optim import create_optimizer

LossOf = Callable[[Any, Any], jax.Array]

# The lecture's grid: each of these for 100 iterations.
LECTURE_RATES = (1e-1, 1e-2, 1e-3, 1e-4)


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
    sweep = _sweep(loss_of, optimizer, steps, _in_a_loop(params) if loop is None else loop)
    losses = np.asarray(sweep(params, batches, jnp.asarray(rates, jnp.float32)), np.float64)
    return _read(rates, losses)


def _in_a_loop(params: Any) -> bool:
    """XLA's CPU backend runs convolutions inside a scan 7 to 20 times slower."""
    has_kernels = any(jnp.ndim(leaf) >= 4 for leaf in jax.tree.leaves(params))
    return has_kernels and jax.default_backend() == "cpu"


# Kept, so that another start or other batches compile nothing.
@functools.lru_cache(maxsize=16)
def _sweep(
    loss_of: LossOf, optimizer: str, steps: int, loop: bool
) -> Callable[[Any, Any, jax.Array], jax.Array]:
    """(params, batches, rates (steps,)) → the loss before each step."""

    def rule_of(rates):
        return create_optimizer(optimizer, lambda count: rates[jnp.minimum(count, steps - 1)])

    def advance(carry, rates, batch):
        params, state = carry
        loss, grads = jax.value_and_grad(loss_of)(params, batch)
        updates, state = rule_of(rates).update(grads, state, params)
        return (optax.apply_updates(params, updates), state), loss

    if not loop:

        @jax.jit
        def run(params, batches, rates):
            start = (params, rule_of(rates).init(params))
            return lax.scan(lambda c, b: advance(c, rates, b), start, batches, length=steps)[1]

        return run

    advance_once = jax.jit(advance)

    def run_steps(params, batches, rates):
        carry, losses = (params, rule_of(rates).init(params)), []
        for index in range(steps):
            batch = jax.tree.map(lambda array: array[index], batches)  # noqa: B023
            carry, loss = advance_once(carry, rates, batch)
            losses.append(loss)
        return jnp.stack(losses)

    return run_steps


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


def smooth(values: np.ndarray, width: float) -> np.ndarray:
    """Means weighted by a Gaussian of this standard deviation (in places), centered.

    Values that are not finite stay, and are left out of their neighbors' means.

    >>> smooth(np.array([1.0, 1.0, 1.0]), 1.0).tolist()
    [1.0, 1.0, 1.0]
    """
    values = np.asarray(values, np.float64)
    places = np.arange(len(values))
    weights = np.exp(-0.5 * ((places[:, None] - places[None]) / width) ** 2)
    finite = np.isfinite(values)
    weights = weights * finite
    means = weights @ np.where(finite, values, 0.0) / np.maximum(weights.sum(1), 1e-300)
    return np.where(finite, means, values)


class RateGrid(NamedTuple):
    """What `rate_grid` found.

    Attributes:
        rates: (R,).
        losses: (R, steps) the loss before each step.
        verdicts: R words: "falls", "hardly moves" or "diverges".
        best: the rate with the lowest loss at the end.
        finding: one sentence.
    """

    rates: np.ndarray
    losses: np.ndarray
    verdicts: tuple[str, ...]
    best: float
    finding: str


def rate_grid(
    loss_of: LossOf,
    params: Any,
    batches: Any = None,
    *,
    rates: Sequence[float] = LECTURE_RATES,
    steps: int = 100,
    optimizer: str = "sgd",
    loop: bool | None = None,
) -> RateGrid:
    """Train for a hundred iterations with each rate of a grid, from the same start.

    One compiled program serves all rates.

    Args:
        loss_of, params, batches, steps, optimizer, loop: as in `range_test`.
        rates: all positive.

    Raises:
        JaxnetsError: no rates, or one that is not positive; no rate without divergence.

    >>> import jax.numpy as jnp
    >>> found = rate_grid(lambda w, _: 5.0 * w**2, jnp.float32(1.0), rates=(1.0, 0.1, 1e-5))
    >>> found.verdicts, found.best
    (('diverges', 'falls', 'hardly moves'), 0.1)
    """
    if not len(rates) or not all(rate > 0 for rate in rates):
        raise JaxnetsError(f"rates: expected positive numbers, got {tuple(rates)}")
    if batches is not None:
        steps = len(jax.tree.leaves(batches)[0])

    sweep = _sweep(loss_of, optimizer, steps, _in_a_loop(params) if loop is None else loop)
    losses = np.asarray(
        [sweep(params, batches, jnp.full(steps, rate, jnp.float32)) for rate in rates], np.float64
    )
    window = max(steps // 10, 1)
    first = losses[:, :1].mean(1)
    last = losses[:, -window:].mean(1)
    # A jump far above the start counts as well: what comes back from it is mostly dead units.
    diverged = ~np.isfinite(last) | (last > first + 0.5 * np.abs(first))
    diverged |= losses.max(1) > first + 2 * np.abs(first)
    if diverged.all():
        raise JaxnetsError(
            f"every rate diverges ({', '.join(f'{r:g}' for r in rates)}): try lower ones"
        )
    fall = np.where(diverged, -np.inf, first - last)
    best = int(np.argmax(fall))
    verdicts = tuple(
        "diverges" if bad else "falls" if drop > 0.1 * max(fall[best], 1e-12) else "hardly moves"
        for bad, drop in zip(diverged, fall, strict=True)
    )
    finding = (
        "; ".join(f"{rate:g} {word}" for rate, word in zip(rates, verdicts, strict=True))
        + f": best {rates[best]:g}"
    )
    return RateGrid(np.asarray(rates), losses, verdicts, float(rates[best]), finding)
