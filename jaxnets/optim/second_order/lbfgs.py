"""The inverse-Hessian approximation of L-BFGS, kept as its last m pairs (s, y).

After steps s_i = x_{i+1} - x_i with gradient changes y_i, BFGS's inverse Hessian times a vector
needs only the pairs. Two ways to form it stand here and agree to rounding:

- `two_loop`: the recursion of Nocedal (1980), 2m dependent dot products and updates;
- `times_inverse_hessian`: the same two loops, each as one matrix product. With S and Y holding
  the pairs as rows, R the part of S Yᵀ where s is not younger than y, and D its diagonal,

      b = R⁻¹ S g,   q = g - Yᵀb        (the first loop)
      r = γ q                           (H₀ = γI)
      a = R⁻ᵀ (D b - Y r),   H g = r + Sᵀa        (the second loop)

  which is the compact form of Byrd, Nocedal and Schnabel (1994, theorem 2.2) in an order that
  never forms YYᵀ, whose squared condition float32 would not survive.

Pairs live in a ring of slots, so that nothing is ever shifted. Instead of R its inverse is kept:
a new pair adds one column to R⁻¹, and forgetting the oldest pair merely deletes a row and a
column, so no triangular system is solved and the slots need no sorting.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxnets.optim.second_order.model import EXACT, Model


class History(NamedTuple):
    """The last m pairs and what is made of them.

    Args:
        steps: S, (m, n), one s a row.
        changes: Y, (m, n), one y a row.
        inverse: R⁻¹, (m, m), in the order of slots; zero where a slot is empty (stale while
            count is 0: the first pair clears it).
        diagonal: s_iᵀy_i, (m,).
        scale: γ of the initial matrix γI.
        count: pairs taken so far; the next goes to slot count mod m.
    """

    steps: jax.Array
    changes: jax.Array
    inverse: jax.Array
    diagonal: jax.Array
    scale: jax.Array
    count: jax.Array


def empty_history(size: int, memory: int, dtype=jnp.float32) -> History:
    """A history of `memory` empty slots for vectors of length `size`; H = I."""
    return History(
        steps=jnp.zeros((memory, size), dtype),
        changes=jnp.zeros((memory, size), dtype),
        inverse=jnp.zeros((memory, memory), dtype),
        diagonal=jnp.zeros((memory,), dtype),
        scale=jnp.ones((), dtype),
        count=jnp.zeros((), jnp.int32),
    )


def forget(history: History, when: jax.Array) -> History:
    """Drop all pairs where `when` is true; their rows stay where they are and no longer count."""
    return history._replace(
        scale=jnp.where(when, 1, history.scale),
        count=jnp.where(when, 0, history.count),
    )


def worth_keeping(step: jax.Array, change: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """sᵀy, yᵀy, and whether sᵀy is positive beyond rounding, as a positive definite H needs."""
    curvature = jnp.vdot(step, change, precision=EXACT)
    squared = jnp.vdot(change, change, precision=EXACT)
    # sᵀy > eps yᵀy: also keeps γ = sᵀy / yᵀy from vanishing.
    keep = (curvature > jnp.finfo(step.dtype).eps * squared) & (squared > 0)
    return curvature, squared, keep


def push(history: History, step: jax.Array, change: jax.Array, rescale: bool = True) -> History:
    """Take in a pair, in place of the oldest; one without positive curvature is left out.

    Args:
        history: the pairs so far.
        step: s, shape (n,).
        change: y, shape (n,).
        rescale: set γ to sᵀy / yᵀy of the newest pair; else keep it.

    Source: Nocedal and Wright (2006), section 7.2, for the rules; the column of R⁻¹ is
    [[R, r], [0, ρ]]⁻¹ = [[R⁻¹, -R⁻¹ r / ρ], [0, 1 / ρ]].

    >>> import jax.numpy as jnp
    >>> s, y = jnp.array([1.0, 0.0]), jnp.array([2.0, 0.0])
    >>> history = push(empty_history(2, 3), s, y)
    >>> [float(v) for v in times_inverse_hessian(history, y)]  # the secant equation H y = s
    [1.0, 0.0]
    """
    memory = history.diagonal.shape[0]
    slot = history.count % memory
    curvature, squared, keep = worth_keeping(step, change)
    safe = jnp.where(keep, curvature, 1.0)

    def write(block, vector):
        old = jax.lax.dynamic_slice_in_dim(block, slot, 1)
        new = jnp.where(keep, vector[None], old)
        return jax.lax.dynamic_update_slice_in_dim(block, new, slot, 0)

    steps, changes = write(history.steps, step), write(history.changes, change)
    here = jnp.arange(memory) == slot
    old_inverse = jnp.where(history.count > 0, history.inverse, 0)
    # Empty slots hold zeros or stale numbers, but their columns of R⁻¹ are zero; the column and
    # the row of the pair that goes are left out.
    products = jnp.where(keep & ~here, jnp.matmul(steps, change, precision=EXACT), 0)
    below = jnp.matmul(old_inverse, products, precision=EXACT)
    column = jnp.where(here, 1, -below) / safe
    inverse = jnp.where(here[None, :], column[:, None], jnp.where(here[:, None], 0, old_inverse))
    scale = safe / jnp.where(keep, squared, 1.0) if rescale else history.scale
    return History(
        steps=steps,
        changes=changes,
        inverse=jnp.where(keep, inverse, history.inverse),
        diagonal=jnp.where(keep & here, curvature, history.diagonal),
        scale=jnp.where(keep, scale, history.scale),
        count=history.count + keep.astype(jnp.int32),
    )


def times_inverse_hessian(history: History, vector: jax.Array) -> jax.Array:
    """H v for a vector of shape (n,), by the two loops as matrix products."""

    def times(matrix, vector):
        return jnp.matmul(matrix, vector, precision=EXACT)

    known = history.count > 0
    inner = jnp.where(known, times(history.inverse, times(history.steps, vector)), 0)
    vector = history.scale * (vector - times(inner, history.changes))
    outer = history.diagonal * inner - times(history.changes, vector)
    outer = jnp.where(known, times(outer, history.inverse), 0)
    return vector + times(outer, history.steps)


def two_loop(history: History, vector: jax.Array) -> jax.Array:
    """H v by Nocedal's two-loop recursion (1980; Nocedal and Wright, algorithm 7.4).

    It needs no R⁻¹ and many more small steps; the tests hold the matrix form against it.

    >>> import jax.numpy as jnp
    >>> s, y = jnp.array([1.0, 0.0]), jnp.array([2.0, 0.0])
    >>> [float(v) for v in two_loop(push(empty_history(2, 3), s, y), y)]
    [1.0, 0.0]
    """
    memory = history.diagonal.shape[0]
    held = jnp.minimum(history.count, memory)

    def pair(age):  # age 0 is the newest
        slot = (history.count - 1 - age) % memory
        valid = age < held
        rho = jnp.where(valid, 1 / jnp.where(valid, history.diagonal[slot], 1), 0)
        return history.steps[slot], history.changes[slot], rho

    def newest_first(vector, age):
        step, change, rho = pair(age)
        weight = rho * jnp.vdot(step, vector, precision=EXACT)
        return vector - weight * change, weight

    def oldest_first(vector, item):
        age, weight = item
        step, change, rho = pair(age)
        return vector + (weight - rho * jnp.vdot(change, vector, precision=EXACT)) * step, None

    ages = jnp.arange(memory)
    vector, weights = jax.lax.scan(newest_first, vector, ages)
    vector, _ = jax.lax.scan(oldest_first, history.scale * vector, (ages, weights), reverse=True)
    return vector


def model(memory: int, rescale: bool = True) -> Model:
    """L-BFGS as a `Model` for `descend`."""

    def learn(history, step, change, x, gradient):
        history = push(history, step, change, rescale)
        return history, -times_inverse_hessian(history, gradient), history.count == 0, 0

    return Model(empty=lambda x: empty_history(x.size, memory, x.dtype), forget=forget, learn=learn)
