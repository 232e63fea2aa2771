"""Learning rates that fall by a factor: constant, in steps, at milestones, and smoothly.

They are offered with all others in `jaxnets.optim.schedules`.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.optim.trees import check_count, check_number

Schedule = Callable[[Any], jax.Array]


def as_float(count: Any) -> jax.Array:
    """The count in the default float type, float64 under ``jax.enable_x64``."""
    return jnp.asarray(count, dtype=jnp.result_type(float))


def constant(init_value: float) -> Schedule:
    """η_t = η₀.

    Args:
        init_value: η₀.

    Returns:
        count → η₀, an array of the count's shape.

    Raises:
        ValueError: η₀ below 0.

    >>> float(constant(0.5)(7))
    0.5
    """
    check_number("init_value", init_value, low=0)
    return lambda count: jnp.full_like(as_float(count), init_value)


def step(init_value: float, step_size: int, gamma: float = 0.1) -> Schedule:
    """η_t = η₀ γ^⌊t/s⌋: a drop every `step_size` updates.

    ``torch.optim.lr_scheduler.StepLR``, Caffe's ``step``.

    Args:
        init_value: η₀.
        step_size: s, updates from one drop to the next.
        gamma: γ, the factor of a drop.

    Returns:
        count → rate, a float array of the count's shape.

    Raises:
        ValueError: η₀ or γ below 0, or s not a whole number of at least 1.

    >>> [round(float(step(1.0, 10)(t)), 4) for t in (0, 9, 10, 20)]
    [1.0, 1.0, 0.1, 0.01]
    """
    check_number("init_value", init_value, low=0)
    check_count("step_size", step_size, low=1)
    check_number("gamma", gamma, low=0)
    return lambda count: init_value * as_float(gamma) ** as_float(jnp.asarray(count) // step_size)


def multi_step(init_value: float, milestones: Sequence[int], gamma: float = 0.1) -> Schedule:
    """η_t = η₀ γ^(number of milestones ≤ t).

    ``torch.optim.lr_scheduler.MultiStepLR``, Caffe's ``multistep``.

    Args:
        init_value: η₀.
        milestones: numbers of updates, increasing, at which the rate drops.
        gamma: γ, the factor of a drop.

    Returns:
        count → rate, a float array of the count's shape.

    Raises:
        ValueError: η₀ or γ below 0, or milestones that are no whole numbers or do not increase.

    >>> [round(float(multi_step(1.0, (3, 5))(t)), 4) for t in (2, 3, 5)]
    [1.0, 0.1, 0.01]
    """
    check_number("init_value", init_value, low=0)
    check_number("gamma", gamma, low=0)
    for milestone in milestones:
        check_count("milestones", milestone)
    if list(milestones) != sorted(milestones):
        raise ValueError(f"milestones must increase, got {tuple(milestones)}")
    marks = np.asarray(milestones, np.int64).clip(max=np.iinfo(np.int32).max).astype(np.int32)

    def rate(count):
        passed = jnp.sum(jnp.asarray(count)[..., None] >= marks, axis=-1)
        return init_value * as_float(gamma) ** as_float(passed)

    return rate


def exponential(init_value: float, gamma: float, every: int = 1) -> Schedule:
    """η_t = η₀ γ^(t/k), smoothly; with k = 1 ``ExponentialLR`` and Caffe's ``exp``.

    Args:
        init_value: η₀.
        gamma: γ, the factor after k updates.
        every: k.

    Returns:
        count → rate, a float array of the count's shape.

    Raises:
        ValueError: η₀ below 0, γ not above 0, or k not a whole number of at least 1.

    >>> round(float(exponential(1.0, 0.5, every=10)(20)), 4)
    0.25
    """
    check_number("init_value", init_value, low=0)
    check_number("gamma", gamma, above=0)
    check_count("every", every, low=1)
    return lambda count: init_value * as_float(gamma) ** (as_float(count) / every)
