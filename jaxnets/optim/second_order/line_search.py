"""A line search for the strong Wolfe conditions: a small state machine, one trial in, the next out.

It follows Moré and Thuente (1994): an interval that holds a good step is narrowed by cubic and
quadratic interpolation, safeguarded by bisection. Three things are added to the textbook:

- a trial with a NaN or an infinity moves the search back, never to go as far again;
- values that differ by less than the rounding of φ count as equal, and then the slopes decide
  (the idea of Hager and Zhang's approximate Wolfe test): a slope keeps about twice as many correct
  digits as the value near a minimum;
- when no step passes, the best one that decreases φ is evaluated once more and handed over.

The machine never calls f itself, so that ``minimize``, the Optax transform and a caller's own
loop use the same code, also under ``vmap``.

Source: Moré and Thuente, "Line search algorithms with guaranteed sufficient decrease", ACM TOMS 20
(1994), sections 2 and 3; Hager and Zhang, SIAM J. Optim. 16 (2005), section 2.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxnets.optim.second_order._xla import Packed, pack, packed_cond, unpack
from jaxnets.optim.second_order.interpolation import Sample, trial_step
from jaxnets.optim.second_order.wolfe import StrongWolfe

# Outcomes of a search.
SEARCHING, WOLFE, DECREASE, FAILED = 0, 1, 2, 3


class Search(NamedTuple):
    """State of one search; every field is a scalar (batched under ``vmap``).

    Attributes:
        step: the step to try next, or the accepted one.
        outcome: SEARCHING, WOLFE, DECREASE or FAILED, int32.
        trials: evaluations so far, int32.
        value0: φ(0).
        slope0: φ'(0), negative.
        low: the best step so far, one end of the interval.
        low_value: φ there.
        low_slope: φ' there.
        high: the other end of the interval.
        high_value: φ there.
        high_slope: φ' there.
        bracketed: whether the interval holds a step that meets the conditions.
        max_step: the longest step allowed.
        nonfinite_step: the shortest step that gave a NaN or an infinity.
        width: the interval's width one trial ago.
        width_before: the interval's width two trials ago.
        fallback: whether the coming trial only repeats `low`, to end there.
    """

    step: jax.Array
    outcome: jax.Array
    trials: jax.Array
    value0: jax.Array
    slope0: jax.Array
    low: jax.Array
    low_value: jax.Array
    low_slope: jax.Array
    high: jax.Array
    high_value: jax.Array
    high_slope: jax.Array
    bracketed: jax.Array
    max_step: jax.Array
    nonfinite_step: jax.Array
    width: jax.Array
    width_before: jax.Array
    fallback: jax.Array


def init_search(
    value: jax.Array, slope: jax.Array, step: jax.Array, max_step: jax.Array | float
) -> Search:
    """Begin a search.

    Args:
        value: φ(0), a scalar.
        slope: φ'(0), a scalar.
        step: the first trial.
        max_step: the longest step allowed; inf where any is.
    """
    value, slope = jnp.asarray(value), jnp.asarray(slope)
    dtype = value.dtype
    zero, infinite = jnp.zeros((), dtype), jnp.full((), jnp.inf, dtype)
    max_step = jnp.asarray(max_step, dtype)
    return Search(
        step=jnp.minimum(jnp.asarray(step, dtype), max_step),
        outcome=jnp.full((), SEARCHING, jnp.int32),
        trials=jnp.zeros((), jnp.int32),
        value0=value,
        slope0=slope,
        low=zero,
        low_value=value,
        low_slope=slope,
        high=zero,
        high_value=value,
        high_slope=slope,
        bracketed=jnp.zeros((), bool),
        max_step=max_step,
        nonfinite_step=infinite,
        width=infinite,
        width_before=infinite,
        fallback=jnp.zeros((), bool),
    )


def advance(search: Search, value: jax.Array, slope: jax.Array, rule: StrongWolfe) -> Search:
    """Tell the search what φ and φ' are at ``search.step``; get the next state.

    >>> import jax, jax.numpy as jnp
    >>> s = init_search(jnp.float32(1.0), jnp.float32(-2.0), 1.0, jnp.inf)  # φ(t) = (1 - t)²
    >>> s = jax.jit(advance)(s, jnp.float32(0.0), jnp.float32(0.0), StrongWolfe())
    >>> int(s.outcome) == WOLFE, float(s.step)
    (True, 1.0)
    """
    return unpack(advance_packed(pack(search), search, value, slope, rule), search)


def advance_packed(
    packed: Packed,
    like: Search,
    value: jax.Array,
    slope: jax.Array,
    rule: StrongWolfe,
    accept: jax.Array | bool = False,
) -> Packed:
    """`advance` for a search that travels packed; with `accept` the trial passes in any case."""
    dtype = like.step.dtype
    value, slope = jnp.asarray(value, dtype), jnp.asarray(slope, dtype)

    def end(search, value, slope):
        wolfe = jnp.full_like(search.outcome, WOLFE)
        return search._replace(outcome=wolfe, trials=search.trials + 1)

    def go_on(search, value, slope):
        return _after_failed_trial(search, value, slope, rule)

    # Most first trials pass: they leave out the hundred operations of the other branch.
    search = unpack(packed, like)
    passed = rule.test(_start(search), Sample(search.step, value, slope)).wolfe | accept
    return packed_cond(passed, end, go_on, packed, like, value, slope)


def _start(search: Search) -> Sample:
    return Sample(0.0, search.value0, search.slope0)


def _after_failed_trial(
    search: Search, value: jax.Array, slope: jax.Array, rule: StrongWolfe
) -> Search:
    """The state after a trial that fails Wolfe's tests."""
    eps = jnp.finfo(search.step.dtype).eps
    step, trials = search.step, search.trials + 1
    tests = rule.test(_start(search), Sample(step, value, slope))
    # A step that still falls steeply where no longer one is allowed is the best there is.
    barred = tests.decrease & (slope < 0) & (step >= search.max_step)

    moved = _narrow(search, value, slope, rule)
    back = _step_back(search)
    following = jax.tree.map(lambda a, b: jnp.where(tests.finite, a, b), moved, back)

    # Out of trials, or the interval is a rounding error wide: fall back to the best step seen.
    resolution = 4 * eps * jnp.maximum(following.low, following.high)
    narrow = following.bracketed & (jnp.abs(following.high - following.low) <= resolution)
    same = jnp.abs(following.step - step) <= eps * step
    over = (trials >= rule.max_linesearch_steps - 1) | narrow | same | (following.step <= 0)
    usable = (following.low > 0) & (following.low_value < search.value0)
    at_low = tests.decrease & (following.low == step)

    outcome = jnp.where(
        barred | (search.fallback & tests.finite) | (over & at_low),
        DECREASE,
        jnp.where(search.fallback | (over & ~usable), FAILED, SEARCHING),
    ).astype(jnp.int32)
    ended = outcome != SEARCHING
    return following._replace(
        step=jnp.where(ended, step, jnp.where(over, following.low, following.step)),
        outcome=outcome,
        trials=trials,
        fallback=over & ~ended,
    )


def _step_back(search: Search) -> Search:
    """Where to go from a trial that is not finite: a quarter of the way, never as far again."""
    return search._replace(
        step=search.low + 0.25 * (search.step - search.low),
        nonfinite_step=jnp.minimum(search.nonfinite_step, search.step),
    )


def _narrow(search: Search, value: jax.Array, slope: jax.Array, rule: StrongWolfe) -> Search:
    """Moré and Thuente's update of the interval, and their next trial."""
    step, slope0 = search.step, search.slope0
    start = _start(search)
    line, rounding = rule.highest_value(start, step), rule.rounding(start)
    # As long as nothing is bracketed and the decrease is not yet enough, work on
    # ψ(t) = φ(t) - φ(0) - c₁ t φ'(0), whose minimizers satisfy the decrease test.
    tilt = jnp.where((value <= search.low_value) & (value > line), rule.slope_rtol * slope0, 0.0)
    low_value, high_value = (
        search.low_value - search.low * tilt,
        search.high_value - (search.high * tilt),
    )
    low_slope, high_slope = search.low_slope - tilt, search.high_slope - tilt
    here_value, here_slope = value - step * tilt, slope - tilt
    # Equal up to rounding: let the slopes decide.
    here_value = jnp.where(jnp.abs(here_value - low_value) <= rounding, low_value, here_value)

    span = step - search.low
    least = jnp.where(search.bracketed, jnp.minimum(search.low, search.high), step + 1.1 * span)
    most = jnp.where(search.bracketed, jnp.maximum(search.low, search.high), step + 4.0 * span)
    trial, bracketed = trial_step(
        Sample(search.low, low_value, low_slope),
        Sample(search.high, high_value, high_slope),
        Sample(step, here_value, here_slope),
        search.bracketed,
        least,
        most,
    )

    higher = here_value > low_value
    crossed = ~higher & (here_slope * low_slope < 0)  # the minimum lies behind us

    def pick(on_higher, on_crossed, otherwise):
        return jnp.where(higher, on_higher, jnp.where(crossed, on_crossed, otherwise))

    high = pick(step, search.low, search.high)
    low = jnp.where(higher, search.low, step)
    width = jnp.abs(high - low)
    trial = _safeguard(search, trial, low, high, bracketed)
    return search._replace(
        step=trial,
        low=low,
        low_value=jnp.where(higher, search.low_value, value),
        low_slope=jnp.where(higher, search.low_slope, slope),
        high=high,
        high_value=pick(value, search.low_value, search.high_value),
        high_slope=pick(slope, search.low_slope, search.high_slope),
        bracketed=bracketed,
        width=jnp.where(bracketed, width, search.width),
        width_before=jnp.where(bracketed, search.width, search.width_before),
    )


def _safeguard(search, trial, low, high, bracketed):
    """Keep a trial inside what is allowed; bisect where the interval shrinks too slowly."""
    # The interval must shrink to two thirds in two trials.
    slow = bracketed & (jnp.abs(high - low) >= 0.66 * search.width_before)
    trial = jnp.where(slow, low + 0.5 * (high - low), trial)
    trial = jnp.where(
        bracketed,
        jnp.clip(trial, jnp.minimum(low, high), jnp.maximum(low, high)),
        jnp.minimum(trial, search.max_step),
    )
    limit = search.nonfinite_step
    return jnp.where(trial >= limit, low + 0.5 * (limit - low), trial)
