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

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnets.optim.second_order._xla import (
    Blocks,
    dot,
    empty_blocks,
    matmul,
    rows_times,
    times_rows,
    with_used_blocks,
    write_row,
)
from jaxnets.optim.second_order.direction import Direction, SearchDirection


class History(NamedTuple):
    """The last m pairs and what is made of them.

    Attributes:
        steps: S, (m, n), one s = x₊ - x a row, in blocks of rows.
        changes: Y, (m, n), one y = ∇f(x₊) - ∇f(x) a row, in the same blocks.
        inverse: R⁻¹, (m, m), in the order of slots; stale outside the slots in use.
        diagonal: s_iᵀy_i, (m,).
        scale: γ of the initial matrix H₀ = γI, a scalar.
        count: pairs taken in so far, an int32 scalar; the next goes to slot count mod m.
    """

    steps: Blocks
    changes: Blocks
    inverse: jax.Array
    diagonal: jax.Array
    scale: jax.Array
    count: jax.Array


def init_history(size: int, memory_size: int, dtype: Any = jnp.float32) -> History:
    """A history without pairs, whose H is I.

    Args:
        size: n, the length of the vectors.
        memory_size: m, the number of pairs that it can hold.
        dtype: of the vectors.

    >>> history = init_history(2, 3)
    >>> times_inverse_hessian(history, jnp.array([1.0, 2.0])).tolist()
    [1.0, 2.0]
    """
    blank = empty_blocks(memory_size, size, dtype)
    return History(
        steps=blank,
        changes=blank,
        inverse=jnp.zeros((memory_size, memory_size), dtype),
        diagonal=jnp.zeros((memory_size,), dtype),
        scale=jnp.ones((), dtype),
        count=jnp.zeros((), jnp.int32),
    )


def reset_history(history: History, when: jax.Array) -> History:
    """Drop all pairs where `when` is true; their rows stay where they are and no longer count."""
    return history._replace(
        scale=jnp.where(when, 1, history.scale),
        count=jnp.where(when, 0, history.count),
    )


def curvature_condition(
    step: jax.Array, change: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """sᵀy, yᵀy, and whether sᵀy is positive beyond rounding, as a positive definite H needs."""
    curvature = dot(step, change)
    squared = dot(change, change)
    # sᵀy > eps yᵀy: also keeps γ = sᵀy / yᵀy from vanishing.
    keep = (curvature > jnp.finfo(step.dtype).eps * squared) & (squared > 0)
    return curvature, squared, keep


def push(history: History, step: jax.Array, change: jax.Array, rescale: bool = True) -> History:
    """Take in a pair, in place of the oldest; one without positive curvature is left out.

    Args:
        history: the pairs so far.
        step: s, shape (n,).
        change: y, shape (n,).
        rescale: set γ to sᵀy / yᵀy of this pair; else keep it.

    Source: Nocedal and Wright (2006), section 7.2, for the rules; the column of R⁻¹ is
    [[R, r], [0, ρ]]⁻¹ = [[R⁻¹, -R⁻¹ r / ρ], [0, 1 / ρ]].

    >>> import jax.numpy as jnp
    >>> s, y = jnp.array([1.0, 0.0]), jnp.array([2.0, 0.0])
    >>> history = push(init_history(2, 3), s, y)
    >>> [float(v) for v in times_inverse_hessian(history, y)]  # the secant equation H y = s
    [1.0, 0.0]
    """
    slot = history.count % history.diagonal.shape[0]
    curvature, squared, keep = curvature_condition(step, change)
    safe = jnp.where(keep, curvature, 1.0)
    history = history._replace(
        steps=write_row(history.steps, slot, step, keep),
        changes=write_row(history.changes, slot, change, keep),
    )
    column = _inverse_column(history, slot, change, safe)
    here = jnp.arange(history.diagonal.shape[0]) == slot
    row = jnp.where(here, column, 0)

    def put(inverse, vector, axis):
        old = jax.lax.dynamic_slice_in_dim(inverse, slot, 1, axis)
        new = jnp.where(keep, jnp.expand_dims(vector, axis), old)
        return jax.lax.dynamic_update_slice_in_dim(inverse, new, slot, axis)

    scale = safe / jnp.where(keep, squared, 1.0) if rescale else history.scale
    return history._replace(
        inverse=put(put(history.inverse, column, 1), row, 0),
        diagonal=jnp.where(keep & here, curvature, history.diagonal),
        scale=jnp.where(keep, scale, history.scale),
        count=history.count + keep.astype(jnp.int32),
    )


def _inverse_column(
    history: History, slot: jax.Array, change: jax.Array, curvature: jax.Array
) -> jax.Array:
    """The column that a pair in `slot`, already written to S and Y, adds to R⁻¹; shape (m,)."""
    memory_size = history.diagonal.shape[0]

    def column(steps, changes, rows, change, inverse):
        # The new pair's own row and column are left out, and so are those of unused slots.
        index = jnp.arange(rows)
        others = (index < history.count) & (index != slot)
        products = jnp.where(others, rows_times(steps, change), 0)
        below = jnp.where(others, matmul(inverse[:rows, :rows], products), 0)
        return jnp.pad(jnp.where(index == slot, 1, -below) / curvature, (0, memory_size - rows))

    used = history.count + 1
    return with_used_blocks(column, used, history.steps, history.changes, change, history.inverse)


def times_inverse_hessian(history: History, vector: jax.Array) -> jax.Array:
    """H v for a vector of shape (n,), by the two loops as matrix products.

    >>> history = push(init_history(2, 3), jnp.array([1.0, 0.0]), jnp.array([4.0, 0.0]))
    >>> times_inverse_hessian(history, jnp.array([4.0, 8.0])).tolist()
    [1.0, 2.0]
    """

    def times(steps, changes, rows, vector, inverse, diagonal, scale):
        used = jnp.arange(rows) < history.count
        inverse, diagonal = inverse[:rows, :rows], diagonal[:rows]
        inner = jnp.where(used, rows_times(steps, vector), 0)
        inner = jnp.where(used, matmul(inverse, inner), 0)
        vector = scale * (vector - times_rows(inner, changes))
        outer = jnp.where(used, diagonal * inner - rows_times(changes, vector), 0)
        outer = jnp.where(used, matmul(outer, inverse), 0)
        return vector + times_rows(outer, steps)

    operands = (vector, history.inverse, history.diagonal, history.scale)
    return with_used_blocks(times, history.count, history.steps, history.changes, *operands)


def two_loop(history: History, vector: jax.Array) -> jax.Array:
    """H v by Nocedal's two-loop recursion (1980; Nocedal and Wright, algorithm 7.4).

    It needs no R⁻¹ and many more small steps; the tests hold the matrix form against it.

    >>> import jax.numpy as jnp
    >>> s, y = jnp.array([1.0, 0.0]), jnp.array([2.0, 0.0])
    >>> [float(v) for v in two_loop(push(init_history(2, 3), s, y), y)]
    [1.0, 0.0]
    """
    memory_size = history.diagonal.shape[0]
    held = jnp.minimum(history.count, memory_size)
    steps, changes = jnp.concatenate(history.steps), jnp.concatenate(history.changes)

    def pair(age):  # age 0 is the newest
        slot = (history.count - 1 - age) % memory_size
        valid = age < held
        rho = jnp.where(valid, 1 / jnp.where(valid, history.diagonal[slot], 1), 0)
        return steps[slot], changes[slot], rho

    def newest_first(vector, age):
        step, change, rho = pair(age)
        weight = rho * dot(step, vector)
        return vector - weight * change, weight

    def oldest_first(vector, item):
        age, weight = item
        step, change, rho = pair(age)
        return vector + (weight - rho * dot(change, vector)) * step, None

    ages = jnp.arange(memory_size)
    vector, weights = jax.lax.scan(newest_first, vector, ages)
    vector, _ = jax.lax.scan(oldest_first, history.scale * vector, (ages, weights), reverse=True)
    return vector


@dataclasses.dataclass(frozen=True)
class LBFGS(SearchDirection):
    """d = -H g with the inverse Hessian H of the last m pairs; O(m n) numbers and operations.

    Attributes:
        memory_size: m.
        rescale: set H₀ = γI from the newest pair; else keep γ = 1.

    Source: Nocedal and Wright (2006), section 7.2.

    >>> import jax, jax.numpy as jnp
    >>> method, x = LBFGS(memory_size=3), jnp.array([1.0, 0.0])
    >>> update = jax.jit(method.update)
    >>> state, direction = update(method.init(x), x, 2 * x, x, 2 * x)  # f(x) = x·x
    >>> (x + direction.vector).tolist(), bool(direction.first_order)
    ([0.0, 0.0], False)
    """

    memory_size: int
    rescale: bool = True

    def init(self, x: jax.Array) -> History:
        return init_history(x.size, self.memory_size, x.dtype)

    def reset(self, state: History, when: jax.Array) -> History:
        return reset_history(state, when)

    def update(self, state, step, change, x, gradient) -> tuple[History, Direction]:
        history = push(state, step, change, self.rescale)
        direction = -times_inverse_hessian(history, gradient)
        return history, Direction(direction, history.count == 0, 0)
