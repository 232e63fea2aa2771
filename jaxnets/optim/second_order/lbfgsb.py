"""L-BFGS-B: box bounds, by the generalized Cauchy point and a minimum over the free variables.

In each iteration the quadratic model m(x) with Hessian

    B = θI - W M Wᵀ,   W = [Yᵀ θSᵀ],   M = [[-D, Lᵀ], [L, θSSᵀ]]⁻¹

is followed along the projected gradient path to its first minimizer, the Cauchy point, which
decides which variables rest on their bounds; then m is minimized over the others, and the line
search runs toward that point. Here S and Y hold the pairs as rows, L is the part of S Yᵀ where
s is younger than y and D its diagonal.

Source: Byrd, Lu, Nocedal, Zhu, "A limited memory algorithm for bound constrained optimization",
SIAM J. Sci. Comput. 16 (1995), sections 2-5; the projected subspace step is of Morales and
Nocedal, ACM TOMS 38 (2011).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.optim.second_order.lbfgs import worth_keeping
from jaxnets.optim.second_order.model import EXACT, Model
from jaxnets.optim.second_order.objective import flatten


def flat_bounds(bounds: Any, x0: Any) -> tuple[jax.Array, jax.Array]:
    """Check (lower, upper) against x0 and lay both out as vectors.

    Raises:
        ValueError: not a pair, not broadcastable to x0, NaN, or a lower bound above an upper one.

    >>> low, high = flat_bounds((0.0, jnp.inf), {"a": jnp.ones(2)})
    >>> low.tolist(), high.tolist()
    ([0.0, 0.0], [inf, inf])
    """
    if not (isinstance(bounds, (tuple, list)) and len(bounds) == 2):
        raise ValueError(f"bounds must be a pair (lower, upper), got {type(bounds).__name__}")
    sides = []
    for name, side in zip(("lower", "upper"), bounds, strict=True):
        if jax.tree.structure(side) != jax.tree.structure(x0):
            if np.ndim(side) != 0 or (not np.isscalar(side) and not hasattr(side, "dtype")):
                raise ValueError(
                    f"the {name} bound has the structure {jax.tree.structure(side)}; it must be "
                    f"one number or a tree like x0, {jax.tree.structure(x0)}"
                )
            side = jax.tree.map(lambda leaf, side=side: jnp.full_like(leaf, side), x0)

        def fit(bound, leaf, name=name):
            if np.broadcast_shapes(np.shape(bound), np.shape(leaf)) != np.shape(leaf):
                raise ValueError(
                    f"the {name} bound {np.shape(bound)} does not fit {np.shape(leaf)}"
                )
            return jnp.broadcast_to(jnp.asarray(bound, jnp.result_type(leaf)), np.shape(leaf))

        try:
            sides.append(flatten(jax.tree.map(fit, side, x0), name).vector)
        except ValueError as error:
            raise ValueError(f"bounds do not fit x0: {error}") from None
    low, high = sides
    if not isinstance(low, jax.core.Tracer) and not isinstance(high, jax.core.Tracer):
        wrong = np.flatnonzero(~(np.asarray(low) <= np.asarray(high)))
        if wrong.size:
            i = int(wrong[0])
            raise ValueError(
                f"bounds cross: {wrong.size} lower bounds are not at most their upper bounds; "
                f"the first is entry {i}: lower {float(low[i])}, upper {float(high[i])}"
            )
    return low, high


class BoxHistory(NamedTuple):
    """The last m pairs with their products: S and Y (m, n), SSᵀ and SYᵀ (m, m), θ, count."""

    steps: jax.Array
    changes: jax.Array
    step_products: jax.Array
    mixed_products: jax.Array
    theta: jax.Array
    count: jax.Array


def _times(a, b):
    return jnp.matmul(a, b, precision=EXACT)


def _push(history: BoxHistory, step: jax.Array, change: jax.Array) -> BoxHistory:
    memory = history.steps.shape[0]
    slot = history.count % memory
    curvature, squared, keep = worth_keeping(step, change)

    def write(block, vector):
        old = jax.lax.dynamic_slice_in_dim(block, slot, 1)
        return jax.lax.dynamic_update_slice_in_dim(
            block, jnp.where(keep, vector[None], old), slot, 0
        )

    steps, changes = write(history.steps, step), write(history.changes, change)
    here = jnp.arange(memory) == slot

    def renew(matrix, row, column):
        new = jnp.where(here[:, None], row[None, :], matrix)
        return jnp.where(keep, jnp.where(here[None, :], column[:, None], new), matrix)

    products = _times(steps, step)
    step_products = renew(history.step_products, products, products)
    mixed = renew(history.mixed_products, _times(changes, step), _times(steps, change))
    theta = squared / jnp.where(keep, curvature, 1)
    return BoxHistory(
        steps,
        changes,
        step_products,
        mixed,
        jnp.where(keep, theta, history.theta),
        history.count + keep.astype(jnp.int32),
    )


def compact(history: BoxHistory) -> tuple[jax.Array, jax.Array]:
    """Wᵀ of shape (2m, n) and M of shape (2m, 2m); empty slots are zero in both."""
    memory = history.steps.shape[0]
    slots = jnp.arange(memory)
    valid = slots < history.count
    # Chronological rank of each slot: 0 is the oldest.
    rank = jnp.where(history.count < memory, slots, (slots - history.count) % memory)
    both = valid[:, None] & valid[None, :]
    younger = (rank[:, None] > rank[None, :]) & both
    lower = jnp.where(younger, history.mixed_products, 0)
    diagonal = jnp.where(valid, -jnp.diagonal(history.mixed_products), 1)
    squares = jnp.where(both, history.theta * history.step_products, 0)
    squares = squares + jnp.diag(jnp.where(valid, 0.0, 1.0).astype(squares.dtype))
    block = jnp.block([[jnp.diag(diagonal), lower.T], [lower, squares]])
    # Pairs of very different length: scaled to a unit diagonal, the inverse keeps its digits.
    unit = 1 / jnp.sqrt(jnp.abs(jnp.diagonal(block)))
    middle = unit[:, None] * jnp.linalg.inv(unit[:, None] * block * unit) * unit
    rows = jnp.concatenate([history.changes, history.theta * history.steps])
    return jnp.where(jnp.tile(valid, 2)[:, None], rows, 0), middle


def cauchy_point(
    x: jax.Array,
    gradient: jax.Array,
    low: jax.Array,
    high: jax.Array,
    theta: jax.Array,
    rows: jax.Array,
    middle: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """The first minimizer of the model along P(x - t g), t ≥ 0 (Byrd et al., algorithm CP).

    Args:
        x, gradient, low, high: shape (n,), low ≤ x ≤ high.
        theta: θ of B = θI - W M Wᵀ.
        rows: Wᵀ, (2m, n).
        middle: M, (2m, 2m).

    Returns:
        The Cauchy point, (n,), and c = Wᵀ(x_c - x), (2m,).
    """
    wall = jnp.where(gradient < 0, high, low)
    breaks = jnp.where(gradient != 0, (x - wall) / jnp.where(gradient == 0, 1, gradient), jnp.inf)
    moving = breaks > 0
    direction = jnp.where(moving, -gradient, 0)
    order = jnp.argsort(jnp.where(moving, breaks, jnp.inf))
    tiny = jnp.finfo(x.dtype).tiny

    p = _times(rows, direction)
    slope = -jnp.vdot(direction, direction, precision=EXACT)
    bend = -theta * slope - jnp.vdot(p, _times(middle, p), precision=EXACT)
    zero = jnp.zeros((), x.dtype)
    # `order` puts the resting variables last, so the moving ones start at index 0.
    begin = (jnp.zeros((), jnp.int32), zero, p, jnp.zeros_like(p), slope, bend)
    moving_count = jnp.sum(moving)
    least = jnp.finfo(x.dtype).eps * jnp.maximum(bend, tiny)

    def next_break(index):
        which = order[jnp.minimum(index, x.size - 1)]
        return which, jnp.where(index < moving_count, breaks[which], jnp.inf)

    def passes(carry):
        index, t, _, _, slope, bend = carry
        _, until = next_break(index)
        return jnp.isfinite(until) & (-slope / jnp.maximum(bend, least) >= until - t) & (slope < 0)

    def cross(carry):
        index, t, p, c, slope, bend = carry
        which, until = next_break(index)
        stretch = until - t
        g = gradient[which]
        row = jax.lax.dynamic_index_in_dim(rows, which, 1, keepdims=False)
        image = _times(middle, row)
        c = c + stretch * p
        offset = wall[which] - x[which]
        slope = slope + stretch * bend + g * g + theta * g * offset - g * jnp.vdot(image, c)
        bend = bend - theta * g * g - 2 * g * jnp.vdot(image, p) - g * g * jnp.vdot(image, row)
        return index + 1, until, p + g * row, c, slope, jnp.maximum(bend, least)

    _, t, _, _, slope, bend = jax.lax.while_loop(passes, cross, begin)
    t = t + jnp.maximum(-slope / jnp.maximum(bend, least), 0)
    point = jnp.where(moving, jnp.clip(x + t * direction, low, high), x)
    point = jnp.where(moving & (breaks <= t), wall, point)
    return point, _times(rows, point - x)


def subspace_minimum(x, gradient, low, high, theta, rows, middle, cauchy, c) -> jax.Array:
    """Minimize the model over the variables that are free at the Cauchy point, inside the box.

    The unconstrained minimizer over the free variables is projected onto the box; where that is
    no descent direction, the step toward it is cut at the first bound instead.
    """
    free = (cauchy > low) & (cauchy < high)
    reduced = gradient + theta * (cauchy - x) - _times(_times(middle, c), rows)
    reduced = jnp.where(free, reduced, 0)
    free_rows = jnp.where(free[None, :], rows, 0)
    weights = _times(middle, _times(free_rows, reduced))
    system = (
        jnp.eye(rows.shape[0], dtype=x.dtype)
        - _times(middle, _times(free_rows, free_rows.T)) / theta
    )
    weights = jnp.linalg.solve(system, weights)
    move = -reduced / theta - _times(weights, free_rows) / theta**2
    move = jnp.where(jnp.all(jnp.isfinite(move)), move, 0)
    projected = jnp.clip(cauchy + move, low, high)
    room = jnp.where(move > 0, high - cauchy, jnp.where(move < 0, low - cauchy, jnp.inf))
    share = jnp.min(jnp.where(move != 0, room / jnp.where(move == 0, 1, move), jnp.inf), initial=1)
    cut = jnp.clip(cauchy + jnp.maximum(share, 0) * move, low, high)
    descends = jnp.vdot(gradient, projected - x, precision=EXACT) < 0
    return jnp.where(descends, projected, cut)


def model(memory: int, low: jax.Array, high: jax.Array) -> Model:
    """L-BFGS-B as a `Model`; convergence is judged by the projected gradient."""

    def empty(x):
        blank = jnp.zeros((memory, x.size), x.dtype)
        small = jnp.zeros((memory, memory), x.dtype)
        return BoxHistory(
            blank, blank, small, small, jnp.ones((), x.dtype), jnp.zeros((), jnp.int32)
        )

    def forget(history, when):
        return history._replace(
            theta=jnp.where(when, 1, history.theta), count=jnp.where(when, 0, history.count)
        )

    def learn(history, step, change, x, gradient):
        history = _push(history, step, change)
        rows, middle = compact(history)
        box = (x, gradient, low, high, history.theta, rows, middle)
        goal = subspace_minimum(*box, *cauchy_point(*box))
        return history, goal - x, history.count == 0, 0

    def longest(x, direction, fresh):
        room = jnp.where(direction > 0, high - x, low - x)
        ratio = jnp.where(direction != 0, room / jnp.where(direction == 0, 1, direction), jnp.inf)
        # Rounding may put a bound a hair below step 1; `place` clips anyway.
        return jnp.maximum(jnp.min(ratio), 1)

    return Model(
        empty=empty,
        forget=forget,
        learn=learn,
        norm=lambda x, gradient: jnp.max(jnp.abs(jnp.clip(x - gradient, low, high) - x)),
        longest=longest,
        place=lambda x, direction, step: jnp.clip(x + step * direction, low, high),
        steepest=lambda x, gradient: jnp.clip(x - gradient, low, high) - x,
    )
