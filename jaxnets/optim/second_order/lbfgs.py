"""The inverse-Hessian approximation of L-BFGS, kept as its last m pairs (s, y).

After steps s_i = x_{i+1} - x_i with gradient changes y_i, BFGS's inverse Hessian times a vector
needs only the pairs. Two ways to form it stand here and agree to rounding:

- `two_loop`: the recursion of Nocedal (1980), 2m dependent dot products and updates;
- `direction_from_products`: the compact form of Byrd, Nocedal and Schnabel (1994, theorem 2.2),

      H = γI + [S γY] [[R⁻ᵀ(D + γYᵀY)R⁻¹, -R⁻ᵀ], [-R⁻¹, 0]] [S γY]ᵀ,

  one product with the (2m, n) block of pairs, m×m arithmetic, and one product back.

Pairs live in a ring of slots, so that nothing is ever shifted. R is the upper triangle (in order
of age) of SᵀY. Its inverse is kept instead of itself: a new pair adds one column to R⁻¹, and
forgetting the oldest pair merely deletes a row and a column, so no triangular system is solved
and the slots need no sorting.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxnets.optim.second_order.model import EXACT, Model



class History(NamedTuple):
    """The last m pairs and the small matrices made of them.

    Args:
        pairs: (2m, n); row i holds s of slot i, row m + i holds y of slot i.
        inverse: (m, m), R⁻¹ with R_ij = s_iᵀy_j for s_i not younger than y_j; zero where empty.
        cross: (m, m), YᵀY.
        diagonal: (m,), s_iᵀy_i.
        scale: γ of the initial matrix γI.
        count: pairs taken so far; the next goes to slot count mod m.
    """

    pairs: jax.Array
    inverse: jax.Array
    cross: jax.Array
    diagonal: jax.Array
    scale: jax.Array
    count: jax.Array


def empty_history(size: int, memory: int, dtype=jnp.float32) -> History:
    """A history of `memory` empty slots for vectors of length `size`; H = I."""
    return History(
        pairs=jnp.zeros((2 * memory, size), dtype),
        inverse=jnp.zeros((memory, memory), dtype),
        cross=jnp.zeros((memory, memory), dtype),
        diagonal=jnp.zeros((memory,), dtype),
        scale=jnp.ones((), dtype),
        count=jnp.zeros((), jnp.int32),
    )


def forget(history: History, when: jax.Array) -> History:
    """Drop all pairs where `when` is true; the block of pairs stays, its rows no longer count."""
    return history._replace(
        inverse=jnp.where(when, 0, history.inverse),
        scale=jnp.where(when, 1, history.scale),
        count=jnp.where(when, 0, history.count),
    )


def worth_keeping(step: jax.Array, change: jax.Array) -> tuple[jax.Array, jax.Array]:
    """sᵀy, and whether it is positive beyond rounding, as a positive definite H needs."""
    curvature = jnp.vdot(step, change, precision=EXACT)
    squared = jnp.vdot(change, change, precision=EXACT)
    # sᵀy > eps yᵀy: also keeps γ = sᵀy / yᵀy from vanishing.
    return curvature, (curvature > jnp.finfo(step.dtype).eps * squared) & (squared > 0)


def push(
    history: History, step: jax.Array, change: jax.Array, gradient: jax.Array, rescale: bool = True
) -> tuple[History, jax.Array]:
    """Take in a pair (unless its curvature is not positive) and form Hᵏ⁺¹ times the gradient.

    Args:
        history: the pairs so far.
        step: s, shape (n,).
        change: y, shape (n,).
        gradient: g at the new point, shape (n,).
        rescale: set γ to sᵀy / yᵀy of the newest pair; else keep it.

    Returns:
        The new history and H g, shape (n,). The descent direction is its negative.

    Source: Byrd, Nocedal, Schnabel, "Representations of quasi-Newton matrices", Math. Program.
    63 (1994), theorem 2.2; the pairs' rule is Nocedal and Wright (2006), section 7.2.

    >>> import jax.numpy as jnp
    >>> s, y = jnp.array([1.0, 0.0]), jnp.array([2.0, 0.0])
    >>> history, hy = push(empty_history(2, 3), s, y, y)
    >>> [float(v) for v in hy]  # the secant equation H y = s
    [1.0, 0.0]
    """
    memory = history.diagonal.shape[0]
    slot = history.count % memory
    curvature, keep = worth_keeping(step, change)
    safe = jnp.where(keep, curvature, 1.0)

    def write(block, row, vector):
        old = jax.lax.dynamic_slice_in_dim(block, row, 1)
        new = jnp.where(keep, vector[None], old)
        return jax.lax.dynamic_update_slice_in_dim(block, new, row, 0)

    pairs = write(write(history.pairs, slot, step), memory + slot, change)
    products = jnp.matmul(pairs, jnp.stack([change, gradient], 1), precision=EXACT)

    s_change, y_change = products[:memory, 0], products[memory:, 0]
    here = jnp.arange(memory) == slot
    away = ~here
    cross = jnp.where(here[:, None], y_change[None, :], history.cross)
    cross = jnp.where(here[None, :], y_change[:, None], cross)
    # R = [[R', r], [0, ρ]] has the inverse [[R'⁻¹, -R'⁻¹ r / ρ], [0, 1 / ρ]].
    kept = jnp.where(away[:, None] & away[None, :], history.inverse, 0)
    column = -jnp.matmul(kept, s_change, precision=EXACT) / safe
    inverse = jnp.where(here[None, :], jnp.where(here, 1 / safe, column)[:, None], kept)
    squared = jnp.sum(jnp.where(here, y_change, 0))

    scale = safe / jnp.where(keep, squared, 1.0) if rescale else history.scale
    new = History(
        pairs=pairs,
        inverse=jnp.where(keep, inverse, history.inverse),
        cross=jnp.where(keep, cross, history.cross),
        diagonal=jnp.where(keep & here, curvature, history.diagonal),
        scale=jnp.where(keep, scale, history.scale),
        count=history.count + keep.astype(jnp.int32),
    )
    return new, direction_from_products(new, products[:, 1], gradient)


def direction_from_products(
    history: History, products: jax.Array, gradient: jax.Array
) -> jax.Array:
    """H g by the compact form, from the products [Sᵀg; Yᵀg] of shape (2m,)."""
    memory = history.diagonal.shape[0]
    inverse, scale = history.inverse, history.scale

    def times(matrix, vector):
        return jnp.matmul(matrix, vector, precision=EXACT)

    # Empty slots hold stale numbers, but their rows and columns of R⁻¹ are zero.
    inner = times(inverse, products[:memory])
    outer = times(
        inverse.T,
        history.diagonal * inner + scale * (times(history.cross, inner) - products[memory:]),
    )
    weights = jnp.concatenate([outer, -scale * inner])
    return scale * gradient + times(weights, history.pairs)


def times_inverse_hessian(history: History, vector: jax.Array) -> jax.Array:
    """H v by the compact form, for any vector of shape (n,)."""
    return direction_from_products(
        history, jnp.matmul(history.pairs, vector, precision=EXACT), vector
    )


def two_loop(history: History, vector: jax.Array) -> jax.Array:
    """H v by Nocedal's two-loop recursion (1980; Nocedal and Wright, algorithm 7.4).

    Slower than the compact form and independent of its small matrices: the tests compare them,
    and very ill-conditioned float32 problems may prefer it.

    >>> import jax.numpy as jnp
    >>> s, y = jnp.array([1.0, 0.0]), jnp.array([2.0, 0.0])
    >>> history, _ = push(empty_history(2, 3), s, y, y)
    >>> [float(v) for v in two_loop(history, y)]
    [1.0, 0.0]
    """
    memory = history.diagonal.shape[0]
    held = jnp.minimum(history.count, memory)

    def pair(age):  # age 0 is the newest
        slot = (history.count - 1 - age) % memory
        valid = age < held
        rho = jnp.where(valid, 1 / jnp.where(valid, history.diagonal[slot], 1), 0)
        return history.pairs[slot], history.pairs[memory + slot], rho

    def newest_first(vector, age):
        step, change, rho = pair(age)
        weight = rho * jnp.vdot(step, vector, precision=EXACT)
        return vector - weight * change, weight

    def oldest_first(vector, item):
        age, weight = item
        step, change, rho = pair(age)
        correction = weight - rho * jnp.vdot(change, vector, precision=EXACT)
        return vector + jnp.where(age < held, correction, 0) * step, None

    ages = jnp.arange(memory)
    vector, weights = jax.lax.scan(newest_first, vector, ages)
    vector, _ = jax.lax.scan(
        oldest_first, history.scale * vector, (ages, weights), reverse=True
    )
    return vector


def model(memory: int, rescale: bool = True) -> Model:
    """L-BFGS as a `Model` for `descend`."""

    def learn(history, step, change, x, gradient):
        history, product = push(history, step, change, gradient, rescale)
        return history, -product, history.count == 0, 0

    return Model(
        empty=lambda x: empty_history(x.size, memory, x.dtype), forget=forget, learn=learn
    )
