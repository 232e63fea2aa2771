"""A strong-Wolfe line search as a small state machine: one trial in, the next trial out.

Along φ(t) = f(x + t d) the search wants both

    φ(t) ≤ φ(0) + c₁ t φ'(0)        (sufficient decrease)
    |φ'(t)| ≤ c₂ |φ'(0)|            (curvature)

It follows Moré and Thuente (1994): an interval that holds a good step is narrowed by cubic and
quadratic interpolation, safeguarded by bisection. Three things are added to the textbook:

- a trial with a NaN or an infinity moves the search back and bars everything beyond it;
- values that differ by less than the rounding of φ count as equal, and then the slopes decide
  (the idea of Hager and Zhang's approximate Wolfe test): a slope keeps about twice as many correct
  digits as the value near a minimum;
- when no step passes, the best one that decreases φ is evaluated once more and handed over.

The machine never calls f itself, so that ``minimize``, the Optax transform and a caller's own
loop use the same code, also under ``vmap``.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxnets.optim.second_order.packing import Packed, pack, unpack

# Outcomes of a search.
SEARCHING, WOLFE, DECREASE, FAILED = 0, 1, 2, 3


class WolfeRule(NamedTuple):
    """The constants of a line search.

    Args:
        decrease: c₁ of the sufficient decrease.
        curvature: c₂ of the curvature test; smaller is a more exact, dearer search.
        max_trials: evaluations that one search may use.
        noise: how many units of rounding of φ count as equal.
    """

    decrease: float = 1e-4
    curvature: float = 0.9
    max_trials: int = 25
    noise: float = 8.0

    def check(self) -> None:
        """Raise ValueError unless 0 < decrease < curvature < 1 and a trial is allowed."""
        if not 0 < self.decrease < self.curvature < 1:
            raise ValueError(
                "a line search needs 0 < decrease < curvature < 1, got "
                f"decrease={self.decrease}, curvature={self.curvature}; usual are 1e-4 and 0.9"
            )
        if self.max_trials < 2:
            raise ValueError(f"max_trials must be at least 2, got {self.max_trials}")


class Search(NamedTuple):
    """State of one search; every field is a scalar (batched under ``vmap``)."""

    step: jax.Array  # the step to try next, or the accepted one
    outcome: jax.Array  # SEARCHING, WOLFE, DECREASE or FAILED
    trials: jax.Array
    value0: jax.Array
    slope0: jax.Array
    low: jax.Array  # best step so far, with its value and slope
    low_value: jax.Array
    low_slope: jax.Array
    high: jax.Array  # the other end of the interval
    high_value: jax.Array
    high_slope: jax.Array
    bracketed: jax.Array
    longest: jax.Array  # the longest step allowed
    wall: jax.Array  # the shortest step that gave a NaN or an infinity
    width: jax.Array  # widths of the interval one and two trials ago
    width_before: jax.Array
    fallback: jax.Array  # the coming trial only repeats `low`


def start(value: jax.Array, slope: jax.Array, step: jax.Array, longest: jax.Array) -> Search:
    """Begin a search at φ(0) = value, φ'(0) = slope, whose first trial is `step`."""
    value, slope = jnp.asarray(value), jnp.asarray(slope)
    dtype = value.dtype
    zero, infinite = jnp.zeros((), dtype), jnp.full((), jnp.inf, dtype)
    longest = jnp.asarray(longest, dtype)
    return Search(
        step=jnp.minimum(jnp.asarray(step, dtype), longest),
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
        longest=longest,
        wall=infinite,
        width=infinite,
        width_before=infinite,
        fallback=jnp.zeros((), bool),
    )


def advance(search: Search, value: jax.Array, slope: jax.Array, rule: WolfeRule) -> Search:
    """Tell the search what φ and φ' are at ``search.step``; get the next state.

    >>> import jax.numpy as jnp
    >>> s = start(jnp.float32(1.0), jnp.float32(-2.0), 1.0, jnp.inf)  # φ(t) = (1 - t)²
    >>> s = advance(s, jnp.float32(0.0), jnp.float32(0.0), WolfeRule())
    >>> int(s.outcome) == WOLFE, float(s.step)
    (True, 1.0)
    """
    return unpack(advance_packed(pack(search), search, value, slope, rule), search)


def advance_packed(
    packed: Packed,
    like: Search,
    value: jax.Array,
    slope: jax.Array,
    rule: WolfeRule,
    accept: jax.Array | bool = False,
) -> Packed:
    """`advance` for a search that travels packed; with `accept` the trial passes in any case."""
    dtype = like.step.dtype
    value, slope = jnp.asarray(value, dtype), jnp.asarray(slope, dtype)

    def end(packed, value, slope):
        search = unpack(packed, like)
        wolfe = jnp.full_like(search.outcome, WOLFE)
        return pack(search._replace(outcome=wolfe, trials=search.trials + 1))

    def go_on(packed, value, slope):
        return pack(_go_on(unpack(packed, like), value, slope, rule))

    # Most first trials pass. In a branch of its own the rest, some hundred operations, is left out.
    passed = _tests(unpack(packed, like), value, slope, rule).wolfe | accept
    return jax.lax.cond(passed, end, go_on, packed, value, slope)


class _Tests(NamedTuple):
    """What a trial passes."""

    finite: jax.Array
    enough: jax.Array  # sufficient decrease
    wolfe: jax.Array


def _tests(search: Search, value: jax.Array, slope: jax.Array, rule: WolfeRule) -> _Tests:
    finite = jnp.isfinite(value) & jnp.isfinite(slope)
    enough = finite & (value <= _line(search, rule))
    flat = jnp.abs(slope) <= rule.curvature * jnp.abs(search.slope0)
    level = finite & (jnp.abs(value - search.value0) <= _noise(search, rule))
    return _Tests(finite, enough, flat & (enough | level))


def _line(search: Search, rule: WolfeRule) -> jax.Array:
    """The most that the value may be at ``search.step``."""
    return search.value0 + rule.decrease * search.step * search.slope0


def _noise(search: Search, rule: WolfeRule) -> jax.Array:
    return rule.noise * jnp.finfo(search.step.dtype).eps * jnp.abs(search.value0)


def _go_on(search: Search, value: jax.Array, slope: jax.Array, rule: WolfeRule) -> Search:
    """The state after a trial that fails Wolfe's tests."""
    eps = jnp.finfo(search.step.dtype).eps
    step, trials = search.step, search.trials + 1
    tests = _tests(search, value, slope, rule)
    # A step that still falls steeply where no longer one is allowed is the best there is.
    barred = tests.enough & (slope < 0) & (step >= search.longest)

    moved = _narrow(search, value, slope, rule)
    back = _step_back(search)
    following = jax.tree.map(lambda a, b: jnp.where(tests.finite, a, b), moved, back)

    # Out of trials, or the interval is a rounding error wide: fall back to the best step seen.
    resolution = 4 * eps * jnp.maximum(following.low, following.high)
    narrow = following.bracketed & (jnp.abs(following.high - following.low) <= resolution)
    same = jnp.abs(following.step - step) <= eps * step
    over = (trials >= rule.max_trials - 1) | narrow | same | (following.step <= 0)
    usable = (following.low > 0) & (following.low_value < search.value0)
    at_low = tests.enough & (following.low == step)

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
        wall=jnp.minimum(search.wall, search.step),
    )


def _narrow(search: Search, value: jax.Array, slope: jax.Array, rule: WolfeRule) -> Search:
    """Moré and Thuente's update of the interval, and their next trial."""
    step, slope0 = search.step, search.slope0
    line, noise = _line(search, rule), _noise(search, rule)
    # As long as nothing is bracketed and the decrease is not yet enough, work on
    # ψ(t) = φ(t) - φ(0) - c₁ t φ'(0), whose minimizers satisfy the decrease test.
    tilt = jnp.where((value <= search.low_value) & (value > line), rule.decrease * slope0, 0.0)
    low_value, high_value = (
        search.low_value - search.low * tilt,
        search.high_value - (search.high * tilt),
    )
    low_slope, high_slope = search.low_slope - tilt, search.high_slope - tilt
    here_value, here_slope = value - step * tilt, slope - tilt
    # Equal up to rounding: let the slopes decide.
    here_value = jnp.where(jnp.abs(here_value - low_value) <= noise, low_value, here_value)

    span = step - search.low
    least = jnp.where(search.bracketed, jnp.minimum(search.low, search.high), step + 1.1 * span)
    most = jnp.where(search.bracketed, jnp.maximum(search.low, search.high), step + 4.0 * span)
    trial, bracketed = _interpolate(
        (search.low, low_value, low_slope),
        (search.high, high_value, high_slope),
        (step, here_value, here_slope),
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
    # The interval must shrink to two thirds in two trials, else bisect.
    slow = bracketed & (width >= 0.66 * search.width_before)
    trial = jnp.where(slow, low + 0.5 * (high - low), trial)
    trial = jnp.where(
        bracketed,
        jnp.clip(trial, jnp.minimum(low, high), jnp.maximum(low, high)),
        jnp.minimum(trial, search.longest),
    )
    trial = jnp.where(trial >= search.wall, low + 0.5 * (search.wall - low), trial)
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


def _interpolate(low, high, here, bracketed, least, most):
    """The four cases of Moré and Thuente's section 4; returns the trial and `bracketed`."""
    (a, fa, ga), (b, fb, gb), (t, ft, gt) = low, high, here
    span = t - a

    theta, gamma = _cubic_terms(a, fa, ga, t, ft, gt)
    forward = jnp.where(t > a, 1.0, -1.0)
    gamma_low = jnp.where(t < a, -gamma, gamma)
    gamma_here = -forward * gamma

    # 1. Higher value: the minimum lies between; the cubic step unless the quadratic is nearer.
    ratio = _divide(gamma_low - ga + theta, (gamma_low - ga) + gamma_low + gt)
    cubic = a + ratio * span
    quadratic = a + 0.5 * _divide(ga, _divide(fa - ft, span) + ga) * span
    near = jnp.abs(cubic - a) < jnp.abs(quadratic - a)
    first = jnp.where(near, cubic, cubic + 0.5 * (quadratic - cubic))

    # 2. Lower value, slope of the other sign: between again; the farther of cubic and secant.
    ratio = _divide((gamma_here - gt) + theta, ((gamma_here - gt) + gamma_here) + ga)
    cubic = t + ratio * (a - t)
    secant = t + _divide(gt, gt - ga) * (a - t)
    second = jnp.where(jnp.abs(cubic - t) > jnp.abs(secant - t), cubic, secant)

    # 3. Lower value, same sign, smaller slope: the cubic may have its minimum beyond t.
    ratio = _divide((gamma_here - gt) + theta, (gamma_here + (ga - gt)) + gamma_here)
    beyond = (ratio < 0) & (gamma_here != 0)
    cubic = jnp.where(beyond, t + ratio * (a - t), jnp.where(t > a, most, least))
    closer = jnp.abs(cubic - t) < jnp.abs(secant - t)
    inside = jnp.where(closer, cubic, secant)
    limit = t + 0.66 * (b - t)
    inside = jnp.where(t > a, jnp.minimum(limit, inside), jnp.maximum(limit, inside))
    outside = jnp.clip(jnp.where(closer, secant, cubic), least, most)
    third = jnp.where(bracketed, inside, outside)

    # 4. Lower value, same sign, slope no smaller: the cubic through t and the other end.
    theta, gamma = _cubic_terms(t, ft, gt, b, fb, gb)
    gamma = jnp.where(t > b, -gamma, gamma)
    ratio = _divide((gamma - gt) + theta, ((gamma - gt) + gamma) + gb)
    fourth = jnp.where(bracketed, t + ratio * (b - t), jnp.where(t > a, most, least))

    higher, turned, flatter = ft > fa, gt * ga < 0, jnp.abs(gt) < jnp.abs(ga)
    trial = jnp.where(higher, first, jnp.where(turned, second, jnp.where(flatter, third, fourth)))
    return trial, bracketed | higher | turned


def _cubic_terms(a, fa, ga, b, fb, gb):
    """θ and |γ| of the cubic through two points with slopes, scaled against overflow."""
    theta = 3 * _divide(fa - fb, b - a) + ga + gb
    scale = jnp.maximum(jnp.abs(theta), jnp.maximum(jnp.abs(ga), jnp.abs(gb)))
    scale = jnp.where(scale > 0, scale, 1.0)
    root = (theta / scale) ** 2 - (ga / scale) * (gb / scale)
    return theta, scale * jnp.sqrt(jnp.maximum(root, 0.0))


def _divide(numerator, denominator):
    """A quotient that is 0 where the denominator is 0, so that unused cases stay finite."""
    safe = jnp.where(denominator == 0, 1.0, denominator)
    return jnp.where(denominator == 0, 0.0, numerator / safe)
