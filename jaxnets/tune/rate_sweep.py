"""Training with given learning rates, step by step: what range test and rate grid are made of."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax

from jaxnets.optim import create_optimizer, global_norm
from jaxnets.optim.traced import Program, trace

LossOf = Callable[[Any, Any], jax.Array]


def needs_loop(params: Any) -> bool:
    """Whether to train step by step instead of in one scan: convolutions on a CPU.

    XLA's CPU backend runs convolutions inside a scan 7 to 20 times slower (measured).

    Args:
        params: a network's parameters.

    Returns:
        True where a scan would be slow.

    >>> needs_loop({"dense": jnp.ones((3, 4))})
    False
    """
    has_kernels = any(jnp.ndim(leaf) >= 4 for leaf in jax.tree.leaves(params))
    return has_kernels and jax.default_backend() == "cpu"


def prepare_sweep(
    loss_of: LossOf, params: Any, batches: Any, *, optimizer: str, steps: int, loop: bool | None
) -> Callable[[jax.Array], jax.Array]:
    """One training in which every step has a rate of its own.

    The loss is traced here, as it is now; it is compiled only where that gives another program
    than before. Another start, other batches and other rates compile nothing.

    Args:
        loss_of: (params, batch) → scalar loss.
        params: the start.
        batches: a tree of arrays with a leading axis of steps, or None.
        optimizer: a name of `jaxnets.optim.list_optimizers()`.
        steps: of the training.
        loop: step by step instead of one scan; None: where `needs_loop` says so.

    Returns:
        rates (steps,) → (steps,) the loss before each step.

    >>> options = {"optimizer": "sgd", "steps": 3, "loop": False}
    >>> run = prepare_sweep(lambda w, _: 0.5 * w**2, jnp.float32(2.0), None, **options)
    >>> run(jnp.array([0.5, 1.0, 1.0])).tolist()
    [2.0, 0.5, 0.0]
    """
    loop = needs_loop(params) if loop is None else loop
    batch = jax.eval_shape(lambda tree: jax.tree.map(lambda array: array[0], tree), batches)
    traced = trace(jax.value_and_grad(loss_of), params, batch)
    run = _compiled(traced.program, optimizer, steps, loop)
    return functools.partial(run, traced.constants, params, batches)


@functools.lru_cache(maxsize=16)
def _compiled(loss_and_gradient: Program, optimizer: str, steps: int, loop: bool) -> Callable:
    """(constants, params, batches, rates) → losses, for one program of the loss."""

    def rule_of(rates):
        return create_optimizer(optimizer, lambda count: rates[jnp.minimum(count, steps - 1)])

    def advance(carry, constants, rates, batch):
        params, state = carry
        loss, grads = loss_and_gradient(constants, params, batch)
        # A compiled relu may make 0 of NaN: a training that has diverged must not look calm.
        loss = jnp.where(jnp.isfinite(global_norm((grads, params))), loss, jnp.nan)
        updates, state = rule_of(rates).update(grads, state, params)
        return (optax.apply_updates(params, updates), state), loss

    if not loop:

        @jax.jit
        def run(constants, params, batches, rates):
            start = (params, rule_of(rates).init(params))

            def step(carry, batch):
                return advance(carry, constants, rates, batch)

            return lax.scan(step, start, batches, length=steps)[1]

        return run

    advance_once = jax.jit(advance)

    def run_steps(constants, params, batches, rates):
        carry, losses = (params, rule_of(rates).init(params)), []
        for index in range(steps):
            batch = jax.tree.map(lambda array: array[index], batches)  # noqa: B023
            carry, loss = advance_once(carry, constants, rates, batch)
            losses.append(loss)
        return jnp.stack(losses)

    return run_steps
