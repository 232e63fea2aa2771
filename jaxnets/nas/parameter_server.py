"""The search as it was distributed: controller replicas, their children, and a parameter server.

Each replica reads the controller's parameters, writes m architectures, trains these children, and
sends the mean of their gradients; meanwhile others have moved the parameters. The times are those
of a virtual clock, so that a simulation repeats itself bit for bit.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnets.nas.controller import write
from jaxnets.nas.space import SearchSpace
from jaxnets.nas.strategies import reinforce_loss
from jaxnets.optim.asynchronous import replay, virtual_cluster
from jaxnets.optim.staleness import Events


class Simulated(NamedTuple):
    """What a simulation came to.

    Attributes:
        params: of the controller at the end.
        rewards: (updates,), mean reward of the architectures that the newest parameters write.
        events: who read and wrote when.

    >>> Simulated({}, np.zeros(3), None).rewards.shape
    (3,)
    """

    params: Any
    rewards: np.ndarray
    events: Events


def simulate_parameter_server(
    key: jax.Array,
    params: Any,
    reward: Callable[[jax.Array], jax.Array],
    *,
    space: SearchSpace,
    replicas: int,
    children: int,
    updates: int,
    learning_rate: float = 6e-4,
    entropy_weight: float = 0.0,
    spread: float = 0.3,
    seed: int = 0,
    observed: int = 64,
) -> Simulated:
    """Teach a controller by asynchronous replicas.

    The baseline of a child is the mean reward of the replica's other children, which does not
    depend on it.

    Args:
        key: of what the replicas write.
        params: of the controller, see `init_controller`.
        reward: (m, T) tokens → (m,) rewards, in JAX: a table, or a trained predictor.
        space: what the controller writes.
        replicas: K, at work at the same time.
        children: m of each, at least 2.
        updates: gradients that the server applies, with Adam.
        learning_rate: of the server.
        entropy_weight: of the bonus for undecided controllers.
        spread: of the time that a replica takes, see `jaxnets.optim.asynchronous`.
        seed: of the times.
        observed: architectures that are written after each update to measure it.

    Returns:
        `Simulated`.

    Raises:
        ValueError: counts that are no whole numbers or too small.

    Source: Zoph, Le, 2017, section 3.2 (S = 20 servers, K = 100 replicas, m = 8 children).

    >>> from jaxnets.nas.controller import init_controller
    >>> from jaxnets.nas.space import Token
    >>> space = SearchSpace("one", (Token("a", (0, 1)),))
    >>> params = init_controller(jax.random.key(0), space, hidden=4, layers=1)
    >>> found = simulate_parameter_server(
    ...     jax.random.key(1),
    ...     params,
    ...     lambda tokens: tokens[:, 0].astype(jnp.float32),
    ...     space=space,
    ...     replicas=2,
    ...     children=4,
    ...     updates=3,
    ... )
    >>> found.rewards.shape, int(found.events.staleness.max())
    ((3,), 1)
    """
    if children < 2:
        raise ValueError(
            f"children must be at least 2, for a baseline of the others; got {children}"
        )
    events = virtual_cluster(replicas, updates, max(0, replicas - 1), seed=seed, spread=spread)

    def gradient(params, own):
        tokens = write(own, params, space=space, count=children).tokens
        rewards = reward(tokens)
        others = (rewards.sum() - rewards) / (children - 1)
        return jax.grad(reinforce_loss)(
            params, tokens, rewards - others, space=space, entropy_weight=entropy_weight
        )

    @jax.jit
    def measure(own, params):
        return reward(write(own, params, space=space, count=observed).tokens).mean()

    seen: list[jax.Array] = []

    def observe(number, params):
        seen.append(measure(jax.random.fold_in(key, -number & 0x7FFFFFFF), params))

    keys = jax.random.split(key, updates)
    last = replay(
        gradient, params, optax.adam(learning_rate), lambda i: keys[i], events, observe=observe
    )
    return Simulated(last, np.asarray(jnp.stack(seen)), events)
