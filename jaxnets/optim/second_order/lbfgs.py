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
column, so no triangular system is solved and the slots need no sorting. The slots are cut into a
few blocks, and a block is not read before it holds a pair: many runs end before a long memory is
full.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxnets.optim.second_order.model import EXACT, Model


class History(NamedTuple):
    """The last m pairs and what is made of them.

    Args:
        steps: S, (m, n), one s a row, in blocks of rows.
        changes: Y, (m, n), one y a row, in the same blocks.
        inverse: R⁻¹, (m, m), in the order of slots; stale outside the slots in use.
        diagonal: s_iᵀy_i, (m,).
        scale: γ of the initial matrix γI.
        count: pairs taken so far; the next goes to slot count mod m.
    """

    steps: tuple[jax.Array, ...]
    changes: tuple[jax.Array, ...]
    inverse: jax.Array
    diagonal: jax.Array
    scale: jax.Array
    count: jax.Array


def empty_history(size: int, memory: int, dtype=jnp.float32) -> History:
    """A history of `memory` empty slots for vectors of length `size`; H = I."""
    blank = tuple(jnp.zeros((rows, size), dtype) for rows in _block_rows(size, memory))
    return History(
        steps=blank,
        changes=blank,
        inverse=jnp.zeros((memory, memory), dtype),
        diagonal=jnp.zeros((memory,), dtype),
        scale=jnp.ones((), dtype),
        count=jnp.zeros((), jnp.int32),
    )


def _block_rows(size: int, memory: int) -> list[int]:
    """Halves and quarters of a memory whose reading takes time."""
    rows = [memory]
    while len(rows) < 3 and rows[0] > 20 and rows[0] * size > 2**14:
        rows[:1] = [rows[0] // 2, rows[0] - rows[0] // 2]
    return rows


def _with_used(history: History, function: Callable, *operands: jax.Array) -> jax.Array:
    """``function(S, Y, k, *operands)`` with the first blocks, of k rows, that hold all pairs."""
    blocks = len(history.steps)
    ends = [sum(block.shape[0] for block in history.steps[: i + 1]) for i in range(blocks)]

    def use(count):
        def branch(steps, changes, *operands):
            return function(steps[:count], changes[:count], ends[count - 1], *operands)

        return branch

    which = sum((history.count > end).astype(jnp.int32) for end in ends[:-1])
    branches = [use(count) for count in range(1, blocks + 1)]
    if blocks == 1:
        return branches[0](history.steps, history.changes, *operands)
    return jax.lax.switch(which, branches, history.steps, history.changes, *operands)


def _times(matrix: jax.Array, vector: jax.Array) -> jax.Array:
    return jnp.matmul(matrix, vector, precision=EXACT)


def _rows_times(blocks: tuple[jax.Array, ...], vector: jax.Array) -> jax.Array:
    return jnp.concatenate([_times(block, vector) for block in blocks])


def _times_rows(weights: jax.Array, blocks: tuple[jax.Array, ...]) -> jax.Array:
    total, begin = 0, 0
    for block in blocks:
        total = total + _times(weights[begin : begin + block.shape[0]], block)
        begin += block.shape[0]
    return total


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

    def write(blocks, vector):
        written, begin = [], 0
        for block in blocks:
            row = slot - begin
            old = jax.lax.dynamic_slice_in_dim(block, row, 1)
            inside = keep & (row >= 0) & (row < block.shape[0])
            new = jnp.where(inside, vector[None], old)
            written.append(jax.lax.dynamic_update_slice_in_dim(block, new, row, 0))
            begin += block.shape[0]
        return tuple(written)

    history = history._replace(
        steps=write(history.steps, step), changes=write(history.changes, change)
    )

    def column(steps, changes, rows, change, inverse):
        # The new pair's own row and column are left out, and so are those of unused slots.
        index = jnp.arange(rows)
        others = (index < history.count) & (index != slot)
        products = jnp.where(others, _rows_times(steps, change), 0)
        below = jnp.where(others, _times(inverse[:rows, :rows], products), 0)
        return jnp.pad(jnp.where(index == slot, 1, -below) / safe, (0, memory - rows))

    grown = history._replace(count=history.count + 1)
    column = _with_used(grown, column, change, history.inverse)
    here = jnp.arange(memory) == slot
    row = jnp.where(here, column, 0)

    def place(inverse, vector, axis):
        old = jax.lax.dynamic_slice_in_dim(inverse, slot, 1, axis)
        new = jnp.where(keep, jnp.expand_dims(vector, axis), old)
        return jax.lax.dynamic_update_slice_in_dim(inverse, new, slot, axis)

    scale = safe / jnp.where(keep, squared, 1.0) if rescale else history.scale
    return history._replace(
        inverse=place(place(history.inverse, column, 1), row, 0),
        diagonal=jnp.where(keep & here, curvature, history.diagonal),
        scale=jnp.where(keep, scale, history.scale),
        count=history.count + keep.astype(jnp.int32),
    )


def times_inverse_hessian(history: History, vector: jax.Array) -> jax.Array:
    """H v for a vector of shape (n,), by the two loops as matrix products."""

    def times(steps, changes, rows, vector, inverse, diagonal, scale):
        used = jnp.arange(rows) < history.count
        inverse, diagonal = inverse[:rows, :rows], diagonal[:rows]
        inner = jnp.where(used, _rows_times(steps, vector), 0)
        inner = jnp.where(used, _times(inverse, inner), 0)
        vector = scale * (vector - _times_rows(inner, changes))
        outer = jnp.where(used, diagonal * inner - _rows_times(changes, vector), 0)
        outer = jnp.where(used, _times(outer, inverse), 0)
        return vector + _times_rows(outer, steps)

    return _with_used(history, times, vector, history.inverse, history.diagonal, history.scale)


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
    steps, changes = jnp.concatenate(history.steps), jnp.concatenate(history.changes)

    def pair(age):  # age 0 is the newest
        slot = (history.count - 1 - age) % memory
        valid = age < held
        rho = jnp.where(valid, 1 / jnp.where(valid, history.diagonal[slot], 1), 0)
        return steps[slot], changes[slot], rho

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
