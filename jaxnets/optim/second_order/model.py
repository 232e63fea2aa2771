"""What a second-order method is to the loop that drives it."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

EXACT = jax.lax.Precision.HIGHEST  # accelerators would round float32 products otherwise


class Model(NamedTuple):
    """What a method believes about the function, and the directions that follow from it.

    Args:
        empty: ``x -> state``, knowing nothing.
        forget: ``(state, when) -> state``, back to knowing nothing where `when` is true.
        learn: ``(state, step, change, x, gradient) -> (state, direction, fresh, products)``:
            take in the last step s and gradient change y (zeros after a failed search) and give
            the next direction; fresh says that it rests on no curvature at all, products counts
            the Hessian-vector products used.
        norm: ``(x, gradient) -> scalar``, the norm that is compared with tol.
        longest: ``(x, direction, fresh) -> scalar``, the longest step allowed.
        place: ``(x, direction, step) -> x``, the point at a step.
        steepest: ``(x, gradient) -> direction`` for when all else fails.
    """

    empty: Callable
    forget: Callable
    learn: Callable
    norm: Callable = lambda x, gradient: jnp.max(jnp.abs(gradient))
    longest: Callable = lambda x, direction, fresh: jnp.inf
    place: Callable = lambda x, direction, step: x + step * direction
    steepest: Callable = lambda x, gradient: -gradient
