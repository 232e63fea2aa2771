"""The strong Wolfe conditions: what a step along a descent direction must achieve.

With φ(t) = f(x + t d):

    φ(t) ≤ φ(0) + c₁ t φ'(0)        (sufficient decrease)
    |φ'(t)| ≤ c₂ |φ'(0)|            (curvature)

The second one makes sᵀy positive, which quasi-Newton updates need.

Source: Nocedal and Wright, "Numerical Optimization" (2006), section 3.1.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxnets.optim.second_order.interpolation import Sample


class Conditions(NamedTuple):
    """What a trial passes; boolean scalars.

    Attributes:
        finite: value and slope are finite.
        decrease: sufficient decrease.
        wolfe: both conditions; the second one alone where values are equal up to rounding.
    """

    finite: jax.Array
    decrease: jax.Array
    wolfe: jax.Array


class StrongWolfe(NamedTuple):
    """The constants of a line search.

    Attributes:
        slope_rtol: c₁ of the sufficient decrease.
        curv_rtol: c₂ of the curvature condition; smaller is a more exact, more expensive search.
        max_linesearch_steps: evaluations that one search may use.
        value_ulps: how many units of rounding of φ(0) count as equal.

    >>> StrongWolfe(curv_rtol=0.1).curv_rtol
    0.1
    """

    slope_rtol: float = 1e-4
    curv_rtol: float = 0.9
    max_linesearch_steps: int = 25
    value_ulps: float = 8.0

    def check(self) -> None:
        """Raise ValueError unless 0 < slope_rtol < curv_rtol < 1 and two steps are allowed."""
        if not 0 < self.slope_rtol < self.curv_rtol < 1:
            raise ValueError(
                "a line search needs 0 < slope_rtol < curv_rtol < 1, got "
                f"slope_rtol={self.slope_rtol}, curv_rtol={self.curv_rtol}; usual are 1e-4 and 0.9"
            )
        if self.max_linesearch_steps < 2:
            raise ValueError(
                f"max_linesearch_steps must be at least 2, got {self.max_linesearch_steps}"
            )

    def highest_value(self, start: Sample, step: jax.Array) -> jax.Array:
        """The most that φ may be at a step: φ(0) + c₁ t φ'(0).

        >>> StrongWolfe(slope_rtol=0.25).highest_value(Sample(0.0, 1.0, -2.0), 1.0)
        0.5
        """
        return start.value + self.slope_rtol * step * start.slope

    def rounding(self, start: Sample) -> jax.Array:
        """The difference of values up to which they count as equal."""
        return self.value_ulps * jnp.finfo(start.value.dtype).eps * jnp.abs(start.value)

    def test(self, start: Sample, trial: Sample) -> Conditions:
        """Which conditions a trial meets.

        Args:
            start: φ and φ' at 0.
            trial: φ and φ' at the step tried.

        >>> import jax.numpy as jnp
        >>> start, trial = Sample(0.0, jnp.float32(1), -2.0), Sample(1.5, 0.25, 1.0)  # (1 - t)²
        >>> bool(StrongWolfe(curv_rtol=0.5).test(start, trial).wolfe)
        True
        """
        finite = jnp.isfinite(trial.value) & jnp.isfinite(trial.slope)
        decrease = finite & (trial.value <= self.highest_value(start, trial.step))
        flat = jnp.abs(trial.slope) <= self.curv_rtol * jnp.abs(start.slope)
        equal = finite & (jnp.abs(trial.value - start.value) <= self.rounding(start))
        return Conditions(finite, decrease, flat & (decrease | equal))
