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

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxnets.optim.second_order import bounds
from jaxnets.optim.second_order._xla import dot, matmul, write_row
from jaxnets.optim.second_order.direction import Direction, SearchDirection
from jaxnets.optim.second_order.lbfgs import curvature_condition


class BoxHistory(NamedTuple):
    """The last m pairs with their products, in a ring of slots.

    Attributes:
        steps: S, (m, n), one s a row.
        changes: Y, (m, n), one y a row.
        step_products: SSᵀ, (m, m).
        mixed_products: SYᵀ, (m, m).
        theta: θ = yᵀy / sᵀy of the newest pair, a scalar; 1 before the first.
        count: pairs taken in so far, an int32 scalar; the next goes to slot count mod m.
    """

    steps: jax.Array
    changes: jax.Array
    step_products: jax.Array
    mixed_products: jax.Array
    theta: jax.Array
    count: jax.Array


def push(history: BoxHistory, step: jax.Array, change: jax.Array) -> BoxHistory:
    """Take in a pair, in place of the oldest; one without positive curvature is left out.

    Args:
        history: the pairs so far.
        step: s, shape (n,).
        change: y, shape (n,).
    """
    memory_size = history.steps.shape[0]
    slot = history.count % memory_size
    curvature, squared, keep = curvature_condition(step, change)
    (steps,) = write_row((history.steps,), slot, step, keep)
    (changes,) = write_row((history.changes,), slot, change, keep)
    here = jnp.arange(memory_size) == slot

    def renew(matrix, row, column):
        new = jnp.where(here[:, None], row[None, :], matrix)
        return jnp.where(keep, jnp.where(here[None, :], column[:, None], new), matrix)

    products = matmul(steps, step)
    step_products = renew(history.step_products, products, products)
    mixed = renew(history.mixed_products, matmul(changes, step), matmul(steps, change))
    theta = squared / jnp.where(keep, curvature, 1)
    return BoxHistory(
        steps=steps,
        changes=changes,
        step_products=step_products,
        mixed_products=mixed,
        theta=jnp.where(keep, theta, history.theta),
        count=history.count + keep.astype(jnp.int32),
    )


def compact(history: BoxHistory) -> tuple[jax.Array, jax.Array]:
    """Wᵀ of shape (2m, n) and M of shape (2m, 2m); empty slots are zero in both."""
    memory_size = history.steps.shape[0]
    slots = jnp.arange(memory_size)
    valid = slots < history.count
    # Chronological rank of each slot: 0 is the oldest.
    rank = jnp.where(history.count < memory_size, slots, (slots - history.count) % memory_size)
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


class BoxModel(NamedTuple):
    """The quadratic model around a point x of the box, in moves from there.

    Where x is large, x + d - x has lost the digits of d: so all is said of d itself.

    Attributes:
        gradient: ∇f(x), shape (n,).
        lower: the lower bounds minus x, shape (n,), at most 0.
        upper: the upper bounds minus x, shape (n,), at least 0.
        theta: θ of B = θI - W M Wᵀ.
        rows: Wᵀ, (2m, n).
        middle: M, (2m, 2m).
    """

    gradient: jax.Array
    lower: jax.Array
    upper: jax.Array
    theta: jax.Array
    rows: jax.Array
    middle: jax.Array


def cauchy_move(model: BoxModel) -> tuple[jax.Array, jax.Array]:
    """The move to the first minimizer of the model along P(x - t g), t ≥ 0.

    The path is a polygon: at each breakpoint another variable meets its bound. Piece by piece the
    model's slope and curvature along it are updated, until the slope turns positive.

    Returns:
        x_c - x for the Cauchy point x_c, (n,), and c = Wᵀ(x_c - x), (2m,).

    Source: Byrd et al. (1995), algorithm CP.
    """
    gradient, lower, upper, theta, rows, middle = model
    wall = jnp.where(gradient < 0, upper, lower)
    breaks = jnp.where(gradient != 0, -wall / jnp.where(gradient == 0, 1, gradient), jnp.inf)
    moving = breaks > 0
    direction = jnp.where(moving, -gradient, 0)
    order = jnp.argsort(jnp.where(moving, breaks, jnp.inf))
    tiny = jnp.finfo(gradient.dtype).tiny

    p = matmul(rows, direction)
    slope = -dot(direction, direction)
    bend = -theta * slope - dot(p, matmul(middle, p))
    zero = jnp.zeros((), gradient.dtype)
    # `order` puts the resting variables last, so the moving ones start at index 0.
    begin = (jnp.zeros((), jnp.int32), zero, p, jnp.zeros_like(p), slope, bend)
    moving_count = jnp.sum(moving)
    least = jnp.finfo(gradient.dtype).eps * jnp.maximum(bend, tiny)

    def next_break(index):
        which = order[jnp.minimum(index, gradient.size - 1)]
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
        image = matmul(middle, row)
        c = c + stretch * p
        slope = slope + stretch * bend + g * g + theta * g * wall[which] - g * jnp.vdot(image, c)
        bend = bend - theta * g * g - 2 * g * jnp.vdot(image, p) - g * g * jnp.vdot(image, row)
        return index + 1, until, p + g * row, c, slope, jnp.maximum(bend, least)

    _, t, _, _, slope, bend = jax.lax.while_loop(passes, cross, begin)
    t = t + jnp.maximum(-slope / jnp.maximum(bend, least), 0)
    move = jnp.where(moving, jnp.clip(t * direction, lower, upper), 0)
    move = jnp.where(moving & (breaks <= t), wall, move)
    return move, matmul(rows, move)


def subspace_minimum(model: BoxModel, cauchy: jax.Array, c: jax.Array) -> jax.Array:
    """Minimize the model over the variables that are free at the Cauchy point, inside the box.

    The unconstrained minimizer over the free variables is projected onto the box; where that is
    no descent direction, the step toward it is cut at the first bound instead.

    Args:
        model: the quadratic model.
        cauchy: x_c - x for the Cauchy point x_c, (n,).
        c: Wᵀ(x_c - x), (2m,).

    Returns:
        The move from x to a point of the box, (n,).

    Source: Byrd et al. (1995), section 5.1, "direct primal method"; Morales and Nocedal (2011).
    """
    gradient, lower, upper, theta, rows, middle = model
    free = (cauchy > lower) & (cauchy < upper)
    reduced = gradient + theta * cauchy - matmul(matmul(middle, c), rows)
    reduced = jnp.where(free, reduced, 0)
    free_rows = jnp.where(free[None, :], rows, 0)
    weights = matmul(middle, matmul(free_rows, reduced))
    system = (
        jnp.eye(rows.shape[0], dtype=rows.dtype)
        - matmul(middle, matmul(free_rows, free_rows.T)) / theta
    )
    weights = jnp.linalg.solve(system, weights)
    move = -reduced / theta - matmul(weights, free_rows) / theta**2
    move = jnp.where(jnp.all(jnp.isfinite(move)), move, 0)
    projected = jnp.clip(cauchy + move, lower, upper)
    room = jnp.where(move > 0, upper - cauchy, jnp.where(move < 0, lower - cauchy, jnp.inf))
    share = jnp.min(jnp.where(move != 0, room / jnp.where(move == 0, 1, move), jnp.inf), initial=1)
    cut = jnp.clip(cauchy + jnp.maximum(share, 0) * move, lower, upper)
    descends = dot(gradient, projected) < 0
    return jnp.where(descends, projected, cut)


@dataclasses.dataclass(frozen=True, eq=False)
class LBFGSB(SearchDirection):
    """The direction of L-BFGS-B, towards the model's minimum in the box.

    Attributes:
        memory_size: m, pairs kept; an iteration solves systems of size 2m.
        lower: shape (n,), -inf where there is no bound.
        upper: shape (n,), +inf where there is no bound.

    >>> import jax, jax.numpy as jnp
    >>> method, x = LBFGSB(3, jnp.zeros(2), jnp.ones(2)), jnp.array([0.5, 0.5])
    >>> gradient = jnp.array([2.0, -0.25])
    >>> _, direction = jax.jit(method.update)(method.init(x), 0 * x, 0 * x, x, gradient)
    >>> method.move(x, direction.vector, 1.0).tolist()
    [0.0, 0.75]
    """

    memory_size: int
    lower: jax.Array
    upper: jax.Array

    def init(self, x: jax.Array) -> BoxHistory:
        blank = jnp.zeros((self.memory_size, x.size), x.dtype)
        small = jnp.zeros((self.memory_size, self.memory_size), x.dtype)
        return BoxHistory(
            blank, blank, small, small, jnp.ones((), x.dtype), jnp.zeros((), jnp.int32)
        )

    def reset(self, state: BoxHistory, when: jax.Array) -> BoxHistory:
        return state._replace(
            theta=jnp.where(when, 1, state.theta), count=jnp.where(when, 0, state.count)
        )

    def update(self, state, step, change, x, gradient) -> tuple[BoxHistory, Direction]:
        history = push(state, step, change)
        rows, middle = compact(history)
        low, high = self.lower - x, self.upper - x
        model = BoxModel(gradient, low, high, history.theta, rows, middle)
        move = subspace_minimum(model, *cauchy_move(model))
        return history, Direction(move, history.count == 0, 0)

    def gradient_norm(self, x: jax.Array, gradient: jax.Array) -> jax.Array:
        return jnp.max(jnp.abs(self.steepest_descent(x, gradient)))

    def max_step(self, x: jax.Array, direction: jax.Array) -> jax.Array:
        # Rounding may put a bound a hair below step 1; `move` clips anyway.
        return jnp.maximum(bounds.max_step_inside(x, direction, self.lower, self.upper), 1)

    def move(self, x: jax.Array, direction: jax.Array, step: jax.Array) -> jax.Array:
        return bounds.move_inside(x, step * direction, self.lower, self.upper)

    def steepest_descent(self, x: jax.Array, gradient: jax.Array) -> jax.Array:
        return bounds.projected_gradient_step(x, gradient, self.lower, self.upper)
