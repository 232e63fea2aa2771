"""Training with given learning rates, step by step: what range test and rate grid are made of."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax

from jaxnets.optim import create_optimizer

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


# Kept, so that another start or other batches compile nothing.
@functools.lru_cache(maxsize=16)
def compile_sweep(
    loss_of: LossOf, optimizer: str, steps: int, loop: bool
) -> Callable[[Any, Any, jax.Array], jax.Array]:
    """One training in which every step has a rate of its own, compiled once for all rates.

    Args:
        loss_of: (params, batch) → scalar loss.
        optimizer: a name of `jaxnets.optim.list_optimizers()`.
        steps: of the training.
        loop: step by step instead of one scan.

    Returns:
        (params, batches, rates (steps,)) → (steps,) the loss before each step.

    >>> run = compile_sweep(lambda w, _: 0.5 * w**2, "sgd", 3, False)
    >>> run(jnp.float32(2.0), None, jnp.array([0.5, 1.0, 1.0])).tolist()
    [2.0, 0.5, 0.0]
    """

    def rule_of(rates):
        return create_optimizer(optimizer, lambda count: rates[jnp.minimum(count, steps - 1)])

    def advance(carry, rates, batch):
        params, state = carry
        loss, grads = jax.value_and_grad(loss_of)(params, batch)
        updates, state = rule_of(rates).update(grads, state, params)
        return (optax.apply_updates(params, updates), state), loss

    if not loop:

        @jax.jit
        def run(params, batches, rates):
            start = (params, rule_of(rates).init(params))
            return lax.scan(lambda c, b: advance(c, rates, b), start, batches, length=steps)[1]

        return run

    advance_once = jax.jit(advance)

    def run_steps(params, batches, rates):
        carry, losses = (params, rule_of(rates).init(params)), []
        for index in range(steps):
            batch = jax.tree.map(lambda array: array[index], batches)  # noqa: B023
            carry, loss = advance_once(carry, rates, batch)
            losses.append(loss)
        return jnp.stack(losses)

    return run_steps
