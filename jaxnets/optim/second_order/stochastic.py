"""Multi-batch L-BFGS: curvature from the examples that two batches in a row share.

On mini-batches the difference of two gradients is mostly the difference of two batches. So each
step sees some examples of the step before again: on those alone the change of the gradient is
the function's, y = g_O(x_{k+1}) - g_O(x_k). Two more guards make it train networks: a pair whose
curvature is not clearly positive is damped toward the present matrix (Powell), and a step is
never longer than a given length.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxnets.optim.second_order._xla import dot
from jaxnets.optim.second_order.lbfgs import (
    History,
    init_history,
    push,
    times_inverse_hessian,
)
from jaxnets.optim.second_order.objective import flatten


class MultiBatchState(NamedTuple):
    """State of `multi_batch_lbfgs`.

    Attributes:
        history: the pairs.
        move: the last update, shape (n,).
        shared: the gradient, before that update, on the examples that the next step sees again,
            shape (n,).
        count: updates so far, int32.
    """

    history: History
    move: jax.Array
    shared: jax.Array
    count: jax.Array


def damp(step: jax.Array, change: jax.Array, scale: jax.Array, least: float) -> jax.Array:
    """Powell's damping of y toward B₀s = s / γ so that sᵀy ≥ least · sᵀB₀s.

    Args:
        step: s, shape (n,).
        change: y, shape (n,).
        scale: γ, a scalar.
        least: the share of the model's curvature, between 0 and 1.

    Returns:
        The damped y, shape (n,).

    Source: Nocedal and Wright (2006), procedure 18.2, with B₀ = I / γ.

    >>> damp(jnp.array([1.0]), jnp.array([-1.0]), jnp.float32(1.0), 0.25).tolist()
    [0.25]
    """
    curvature = dot(step, change)
    model = dot(step, step) / scale
    gap = model - curvature
    weight = jnp.where(
        curvature < least * model, (1 - least) * model / jnp.where(gap == 0, 1, gap), 1
    )
    return weight * change + (1 - weight) * step / scale


def multi_batch_lbfgs(
    learning_rate: optax.ScalarOrSchedule = 0.5,
    memory_size: int = 10,
    *,
    damping: float = 0.2,
    max_norm: float = 1.0,
) -> optax.GradientTransformationExtraArgs:
    """Stochastic L-BFGS as an Optax transform; pair it with `multi_batch_gradients`.

    ``update(grads, state, params, shared=…, following=…)``: grads is the gradient of the whole
    batch; shared is the gradient now on the examples that the last step also saw; following is
    the gradient now on those examples that the next step will see again.

    Args:
        learning_rate: a number or a schedule; near 1 for large batches.
        memory_size: pairs kept.
        damping: sᵀy is brought up to this share of the model's curvature.
        max_norm: length that no update exceeds.

    Returns:
        A transform for ``optax.apply_updates``. It keeps 2 memory_size + 2 vectors of n numbers.

    Raises:
        ValueError: the damping outside (0, 1), fewer than one pair, or an update without ``shared``
            and ``following``.

    Source: Berahas, Nocedal, Takáč, "A multi-batch L-BFGS method for machine learning" (2016).

    >>> rule, x = multi_batch_lbfgs(0.5), jnp.array([2.0])
    >>> state, update = rule.init(x), jax.jit(rule.update)
    >>> for _ in range(20):  # f(x) = 4x² on every batch
    ...     updates, state = update(8 * x, state, x, shared=8 * x, following=8 * x)
    ...     x = x + updates
    >>> bool(abs(x[0]) < 1e-3)
    True
    """
    if not 0 < damping < 1:
        raise ValueError(f"damping must lie between 0 and 1, got {damping}")
    if memory_size < 1:
        raise ValueError(f"memory_size must be at least 1, got {memory_size}")

    def init(params: Any) -> MultiBatchState:
        vector = flatten(params, "params").vector
        blank = jnp.zeros_like(vector)
        history = init_history(vector.size, memory_size, vector.dtype)
        return MultiBatchState(history, blank, blank, jnp.zeros((), jnp.int32))

    def update(updates, state, params=None, *, shared=None, following=None, **_):
        if shared is None or following is None:
            raise ValueError(
                "multi_batch_lbfgs needs shared=… and following=…, the gradients on the examples "
                "shared with the last and with the next batch; see multi_batch_gradients"
            )
        gradient = flatten(updates, "updates").vector
        restore = flatten(updates if params is None else params, "params").restore
        shared, following = flatten(shared).vector, flatten(following).vector

        change = jnp.where(state.count > 0, shared - state.shared, 0)
        finite = jnp.all(jnp.isfinite(change))
        change = jnp.where(finite, change, 0)
        move = jnp.where(finite & (state.count > 0), state.move, 0)
        # With no pair yet there is no scale to damp toward: take y as it is.
        known = state.history.count > 0
        damped = damp(move, change, state.history.scale, damping)
        change = jnp.where(known, damped, change)
        history = push(state.history, move, change)
        direction = -times_inverse_hessian(history, gradient)

        rate = learning_rate(state.count) if callable(learning_rate) else learning_rate
        length = jnp.sqrt(dot(direction, direction)) * rate
        rate = rate * jnp.minimum(1, max_norm / jnp.where(length > 0, length, 1))
        move = jnp.where(jnp.isfinite(rate), rate, 0) * jnp.where(
            jnp.isfinite(direction), direction, 0
        )
        return restore(move), MultiBatchState(history, move, following, state.count + 1)

    return optax.GradientTransformationExtraArgs(init, update)


def multi_batch_gradients(loss: Callable, params: Any, previous: Any, batch: Any, overlap: int):
    """The gradients that `multi_batch_lbfgs` wants, for a mean loss and batches of examples.

    Args:
        loss: ``loss(params, batch) -> scalar``, a mean over the batch's leading axis.
        params: the parameters.
        previous: the examples kept from the last step, leading axis `overlap`.
        batch: the fresh examples, leading axis B > overlap.
        overlap: how many of the fresh examples the next step sees again.

    Returns:
        (value, grads, shared, following, kept): the mean loss and gradient over all B + overlap
        examples, the two gradients for `update`, and the examples to hand in next time.

    Raises:
        ValueError: unless 0 < overlap < B, and as many examples kept as ``overlap``.

    >>> import jax.numpy as jnp
    >>> def loss(p, x):
    ...     return jnp.mean((p - x) ** 2)
    >>> out = multi_batch_gradients(loss, jnp.float32(0.0), jnp.ones(2), jnp.ones(6), 2)
    >>> float(out[1]), out[4].shape
    (-2.0, (2,))
    """
    sizes = {jnp.shape(leaf)[0] for leaf in jax.tree.leaves(batch)}
    held = {jnp.shape(leaf)[0] for leaf in jax.tree.leaves(previous)}
    if len(sizes) != 1 or not 0 < overlap < min(sizes) or held != {overlap}:
        raise ValueError(
            f"needs 0 < overlap < fresh examples and `overlap` kept ones: overlap={overlap}, "
            f"fresh {sorted(sizes)}, kept {sorted(held)}"
        )
    size = sizes.pop()
    kept = jax.tree.map(lambda leaf: leaf[-overlap:], batch)
    rest = jax.tree.map(lambda leaf: leaf[:-overlap], batch)
    both = jax.value_and_grad(loss)
    parts = [both(params, part) for part in (previous, rest, kept)]
    weights = [overlap, size - overlap, overlap]
    total = sum(weights)

    def mean(*leaves):
        return sum(w * leaf for w, leaf in zip(weights, leaves, strict=True)) / total

    value, grads = jax.tree.map(mean, *parts)
    return value, grads, parts[0][1], parts[2][1], kept
