"""The next trial of a line search by interpolation: the four cases of Moré and Thuente.

Given φ and φ' at the best step so far (low), at the other end of the interval (high) and at the
step just tried (here), the cases are told apart by the value and slope at the new step:

1. higher value: the minimum lies between low and here;
2. lower value, slope of the other sign: between them again;
3. lower value, same sign, smaller slope: the minimum may lie beyond here;
4. lower value, same sign, slope no smaller: between here and high.

Source: Moré and Thuente, "Line search algorithms with guaranteed sufficient decrease", ACM TOMS 20
(1994), section 4.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Sample(NamedTuple):
    """What is known at one step t of a line.

    Attributes:
        step: t.
        value: φ(t).
        slope: φ'(t).
    """

    step: jax.Array
    value: jax.Array
    slope: jax.Array


def trial_step(
    low: Sample,
    high: Sample,
    here: Sample,
    bracketed: jax.Array,
    least: jax.Array,
    most: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """The step to try next, and whether a minimum is bracketed now.

    Args:
        low: the best step so far.
        high: the other end of the interval; used only where one is bracketed.
        here: the step just tried.
        bracketed: whether low and high bracket a minimum already.
        least: the shortest step allowed.
        most: the longest step allowed.

    >>> low, here = Sample(0.0, 1.0, -2.0), Sample(2.0, 1.0, 2.0)  # φ(t) = (1 - t)²
    >>> step, bracketed = jax.jit(trial_step)(low, low, here, False, 0.0, 8.0)
    >>> float(step), bool(bracketed)
    (1.0, True)
    """
    theta, gamma = _cubic_terms(low, here)
    gamma_low = jnp.where(here.step < low.step, -gamma, gamma)
    gamma_here = -jnp.where(here.step > low.step, 1.0, -1.0) * gamma
    secant = here.step + _divide(here.slope, here.slope - low.slope) * (low.step - here.step)

    first = _higher_value(low, here, theta, gamma_low)
    second = _slope_of_other_sign(low, here, theta, gamma_here, secant)
    third = _smaller_slope(low, high, here, theta, gamma_here, secant, bracketed, least, most)
    fourth = _slope_no_smaller(low, high, here, bracketed, least, most)

    higher, turned = here.value > low.value, here.slope * low.slope < 0
    flatter = jnp.abs(here.slope) < jnp.abs(low.slope)
    trial = jnp.where(higher, first, jnp.where(turned, second, jnp.where(flatter, third, fourth)))
    return trial, bracketed | higher | turned


def _higher_value(low, here, theta, gamma):
    """Case 1: the cubic's minimum, unless the quadratic's is nearer to low: then their mean."""
    (a, fa, ga), (t, ft, gt) = low, here
    span = t - a
    ratio = _divide(gamma - ga + theta, (gamma - ga) + gamma + gt)
    cubic = a + ratio * span
    quadratic = a + 0.5 * _divide(ga, _divide(fa - ft, span) + ga) * span
    near = jnp.abs(cubic - a) < jnp.abs(quadratic - a)
    return jnp.where(near, cubic, cubic + 0.5 * (quadratic - cubic))


def _slope_of_other_sign(low, here, theta, gamma, secant):
    """Case 2: the farther from here of the cubic's minimum and the secant's zero."""
    (a, _, ga), (t, _, gt) = low, here
    ratio = _divide((gamma - gt) + theta, ((gamma - gt) + gamma) + ga)
    cubic = t + ratio * (a - t)
    return jnp.where(jnp.abs(cubic - t) > jnp.abs(secant - t), cubic, secant)


def _smaller_slope(low, high, here, theta, gamma, secant, bracketed, least, most):
    """Case 3: the cubic may have its minimum beyond here; inside an interval, go at most 2/3."""
    (a, _, ga), (t, _, gt) = low, here
    ratio = _divide((gamma - gt) + theta, (gamma + (ga - gt)) + gamma)
    beyond = (ratio < 0) & (gamma != 0)
    cubic = jnp.where(beyond, t + ratio * (a - t), jnp.where(t > a, most, least))
    closer = jnp.abs(cubic - t) < jnp.abs(secant - t)
    inside = jnp.where(closer, cubic, secant)
    limit = t + 0.66 * (high.step - t)
    inside = jnp.where(t > a, jnp.minimum(limit, inside), jnp.maximum(limit, inside))
    outside = jnp.clip(jnp.where(closer, secant, cubic), least, most)
    return jnp.where(bracketed, inside, outside)


def _slope_no_smaller(low, high, here, bracketed, least, most):
    """Case 4: the minimum of the cubic through here and high; without an interval, the end."""
    (t, _, gt), (b, _, gb) = here, high
    theta, gamma = _cubic_terms(here, high)
    gamma = jnp.where(t > b, -gamma, gamma)
    ratio = _divide((gamma - gt) + theta, ((gamma - gt) + gamma) + gb)
    end = jnp.where(t > low.step, most, least)
    return jnp.where(bracketed, t + ratio * (b - t), end)


def _cubic_terms(one: Sample, other: Sample) -> tuple[jax.Array, jax.Array]:
    """θ and |γ| of the cubic through two points with slopes, scaled against overflow."""
    (a, fa, ga), (b, fb, gb) = one, other
    theta = 3 * _divide(fa - fb, b - a) + ga + gb
    scale = jnp.maximum(jnp.abs(theta), jnp.maximum(jnp.abs(ga), jnp.abs(gb)))
    scale = jnp.where(scale > 0, scale, 1.0)
    root = (theta / scale) ** 2 - (ga / scale) * (gb / scale)
    return theta, scale * jnp.sqrt(jnp.maximum(root, 0.0))


def _divide(numerator, denominator):
    """A quotient that is 0 where the denominator is 0, so that unused cases stay finite."""
    safe = jnp.where(denominator == 0, 1.0, denominator)
    return jnp.where(denominator == 0, 0.0, numerator / safe)
