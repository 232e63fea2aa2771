"""Learning rates over time: every schedule is a function of the number of updates done.

Schedules compute in JAX's default float type, accept a traced count, and hold their last value
after `total_steps`.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.optim.geometric_schedules import (
    Schedule,
    as_float,
    constant,
    exponential,
    multi_step,
    step,
)
from jaxnets.optim.trees import check_count, check_number

__all__ = [
    "Schedule",
    "constant",
    "cosine",
    "exponential",
    "inverse",
    "inverse_sqrt",
    "linear",
    "multi_step",
    "polynomial",
    "snapshot_cosine",
    "snapshot_steps",
    "step",
    "warm_restarts",
    "warm_up",
]


def _remaining(count: Any, total_steps: int) -> jax.Array:
    """(T − t)/T, from 1 to 0, then 0; the difference of whole numbers loses no digits."""
    return jnp.clip(as_float(total_steps - jnp.asarray(count)) / total_steps, 0.0, 1.0)


def linear(init_value: float, total_steps: int, end_value: float = 0.0) -> Schedule:
    """From η₀ to η_end in a straight line; ``torch.optim.lr_scheduler.LinearLR``.

    Args:
        init_value: η₀.
        total_steps: T, updates until the end.
        end_value: η_end.

    Returns:
        count → rate, a float array of the count's shape; η_end from T on.

    Raises:
        ValueError: a rate below 0, or T not a whole number of at least 1.

    >>> float(linear(1.0, 4)(1))
    0.75
    """
    check_number("init_value", init_value, low=0)
    check_count("total_steps", total_steps, low=1)
    check_number("end_value", end_value, low=0)
    return lambda count: end_value + (init_value - end_value) * _remaining(count, total_steps)


def inverse(init_value: float, gamma: float = 1e-4, power: float = 0.75) -> Schedule:
    """η_t = η₀ (1 + γt)^−p: Caffe's ``inv``, with the values that its LeNet uses.

    Args:
        init_value: η₀.
        gamma: γ, one over the updates until the decay sets in.
        power: p.

    Returns:
        count → rate, a float array of the count's shape.

    Raises:
        ValueError: η₀ or γ below 0.

    >>> round(float(inverse(0.01)(10000)), 6)
    0.005946
    """
    check_number("init_value", init_value, low=0)
    check_number("gamma", gamma, low=0)
    return lambda count: init_value * (1 + gamma * as_float(count)) ** -power


def inverse_sqrt(init_value: float, timescale: float = 1.0) -> Schedule:
    """η_t = η₀ / √(1 + t/k): ``inverse(init_value, 1/k, 0.5)``.

    Args:
        init_value: η₀.
        timescale: k, updates until the decay sets in.

    Returns:
        count → rate, a float array of the count's shape.

    Raises:
        ValueError: η₀ below 0, or k not above 0.

    >>> float(inverse_sqrt(1.0)(3))
    0.5
    """
    check_number("timescale", timescale, above=0)
    return inverse(init_value, 1 / timescale, 0.5)


def polynomial(
    init_value: float, total_steps: int, power: float = 1.0, end_value: float = 0.0
) -> Schedule:
    """η_t = η_end + (η₀ − η_end)(1 − t/T)^p: ``PolynomialLR``, Caffe's ``poly``.

    Args:
        init_value: η₀.
        total_steps: T, updates until the end.
        power: p.
        end_value: η_end.

    Returns:
        count → rate, a float array of the count's shape; η_end from T on.

    Raises:
        ValueError: a rate or p below 0, or T not a whole number of at least 1.

    >>> float(polynomial(1.0, 4, power=2)(2))
    0.25
    """
    check_number("init_value", init_value, low=0)
    check_count("total_steps", total_steps, low=1)
    check_number("power", power, low=0)
    check_number("end_value", end_value, low=0)
    return lambda count: (
        end_value + (init_value - end_value) * _remaining(count, total_steps) ** power
    )


def cosine(init_value: float, total_steps: int, end_value: float = 0.0) -> Schedule:
    """η_t = η_end + (η₀ − η_end)(1 + cos(πt/T))/2: half a cosine.

    ``CosineAnnealingLR`` up to T; afterwards PyTorch's rate rises again, this one stays at the end.

    Args:
        init_value: η₀.
        total_steps: T, updates until the end.
        end_value: η_end.

    Returns:
        count → rate, a float array of the count's shape; η_end from T on.

    Raises:
        ValueError: a rate below 0, or T not a whole number of at least 1.

    Source: Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts" (2017).

    >>> round(float(cosine(1.0, 4)(2)), 6)
    0.5
    """
    check_number("init_value", init_value, low=0)
    check_count("total_steps", total_steps, low=1)
    check_number("end_value", end_value, low=0)
    return lambda count: (
        # (1 + cos πp)/2 = sin²(π(1−p)/2), which keeps its digits where the rate is small.
        end_value
        + (init_value - end_value) * jnp.sin(jnp.pi / 2 * _remaining(count, total_steps)) ** 2
    )


def warm_restarts(
    init_value: float, first_cycle: int, multiplier: int = 1, end_value: float = 0.0
) -> Schedule:
    """SGDR: half a cosine over and over, each cycle `multiplier` times as long as the one before.

    ``CosineAnnealingWarmRestarts(T_0, T_mult, eta_min)``. The starts of the cycles are whole
    numbers out of a table, so that a restart is never a step late.

    Args:
        init_value: η₀.
        first_cycle: updates in the first cycle.
        multiplier: how many times as long each next one is.
        end_value: the rate that a cycle ends at.

    Returns:
        count → rate, a float array of the count's shape; it never ends.

    Raises:
        ValueError: a rate below 0, or a length or multiplier that is not a whole number of at least
            1.

    Source: Loshchilov and Hutter, "SGDR: stochastic gradient descent with warm restarts" (2017).

    >>> [round(float(warm_restarts(1.0, 2, 2)(t)), 3) for t in range(7)]
    [1.0, 0.5, 1.0, 0.854, 0.5, 0.146, 1.0]
    """
    check_number("init_value", init_value, low=0)
    check_count("first_cycle", first_cycle, low=1)
    check_count("multiplier", multiplier, low=1)
    check_number("end_value", end_value, low=0)

    def position(count):
        """How long ago the cycle began, and how long it is."""
        if multiplier == 1:
            return count % first_cycle, first_cycle
        starts, lengths = [0], [first_cycle]
        while starts[-1] + lengths[-1] < np.iinfo(np.int32).max:
            starts.append(starts[-1] + lengths[-1])
            lengths.append(lengths[-1] * multiplier)
        cycle = jnp.sum(count[..., None] >= np.asarray(starts[1:], np.int32), axis=-1)
        since = count - jnp.asarray(starts, jnp.int32)[cycle]
        return since, jnp.asarray([float(n) for n in lengths])[cycle]

    def rate(count):
        since, length = position(jnp.asarray(count))
        return (
            end_value
            + (init_value - end_value)
            * jnp.sin(jnp.pi / 2 * as_float(length - since) / length) ** 2
        )

    return rate


def snapshot_cosine(init_value: float, total_steps: int, cycles: int) -> Schedule:
    """Cyclic cosine of snapshot ensembles.

    .. math:: α(t) = \\frac{α_0}{2} (\\cos\\frac{π \\bmod(t−1, ⌈T/M⌉)}{⌈T/M⌉} + 1),
        \\quad t = 1 … T

    Here the count starts at 0, as everywhere, so the paper's t is count + 1; take a snapshot
    whenever `snapshot_steps` says so, where the rate is lowest.

    Args:
        init_value: α₀.
        total_steps: T, updates of the whole run.
        cycles: M.

    Returns:
        count → rate, a float array of the count's shape.

    Raises:
        ValueError: α₀ below 0, or T or M not a whole number of at least 1.

    Source: Huang et al., "Snapshot ensembles: train 1, get M for free" (2017), equation 2.

    >>> rate = snapshot_cosine(0.1, 300, 6)
    >>> [round(float(rate(t - 1)), 4) for t in (1, 26, 50, 51)]
    [0.1, 0.05, 0.0001, 0.1]
    """
    check_count("total_steps", total_steps, low=1)
    check_count("cycles", cycles, low=1)
    return warm_restarts(init_value, -(-total_steps // cycles))


def snapshot_steps(total_steps: int, cycles: int) -> tuple[int, ...]:
    """Numbers of updates after which `snapshot_cosine` has ended a cycle.

    When `cycles` does not divide `total_steps`, the run ends within the last cycle.

    Args:
        total_steps: updates of the whole run.
        cycles: cycles in it.

    Returns:
        The numbers, increasing; the last one is ``total_steps``.

    Raises:
        ValueError: an argument is not a whole number of at least 1.

    >>> snapshot_steps(300, 6)
    (50, 100, 150, 200, 250, 300)
    """
    check_count("total_steps", total_steps, low=1)
    check_count("cycles", cycles, low=1)
    length = -(-total_steps // cycles)
    return tuple(min(k * length, total_steps) for k in range(1, -(-total_steps // length) + 1))


def warm_up(schedule: Schedule | float, steps: int, start: float = 0.0) -> Schedule:
    """A straight line from `start` times the first rate to the first rate, then the schedule.

    The schedule's own count begins when the line ends.

    Args:
        schedule: what follows; a number means a constant.
        steps: length of the line in updates; 0 returns the schedule.
        start: share of the first rate at count 0.

    Returns:
        count → rate, a float array of the count's shape.

    Raises:
        ValueError: ``steps`` is not a whole number of at least 0, or ``start`` is below 0.

    Source: Goyal et al., "Accurate, large minibatch SGD" (2017), section 2.2.

    >>> rate = warm_up(cosine(1.0, 10), 4)
    >>> [float(rate(t)) for t in (0, 1, 4)]
    [0.0, 0.25, 1.0]
    """
    check_count("steps", steps)
    check_number("start", start, low=0)
    inner = schedule if callable(schedule) else constant(schedule)
    if steps == 0:
        return inner

    def rate(count):
        count = jnp.asarray(count)
        ramp = start + (1 - start) * as_float(count) / steps
        return jnp.where(count < steps, ramp * inner(0), inner(jnp.maximum(count - steps, 0)))

    return rate
