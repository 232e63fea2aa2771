"""Descent on random ill-conditioned quadratics: shared by the claims on SGD and momentum."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from experiments.claims.framework import Settings, make_keys


@dataclass(frozen=True, kw_only=True)
class Valley(Settings):
    """f(u, v) = ½(u² + v²/κ) in the axes of the valley, κ and the start drawn for each key.

    Every method here is invariant under rotation, so the axes need not be random.

    Attributes:
        conditions: lowest and highest κ, uniform in its logarithm.
        steps: of each run.
    """

    conditions: tuple[float, float] = (20.0, 100.0)
    steps: int = 300


def valleys(settings: Valley) -> tuple[np.ndarray, np.ndarray]:
    """Starts far along the valley and off its bottom (keys, 2), and condition numbers (keys,)."""
    rng = [np.random.default_rng(int(key)) for key in make_keys(settings.keys)]
    starts = [[r.uniform(0.3, 1), r.uniform(3, 10)] for r in rng]
    conditions = [np.exp(r.uniform(*np.log(settings.conditions))) for r in rng]
    return np.float32(starts), np.float32(conditions)


def fastest_rate(settings: Valley) -> np.ndarray:
    """2/(λ_max + λ_min): both directions shrink alike, the best constant rate; (keys,)."""
    return 2 / (1 + 1 / valleys(settings)[1])


def paths(
    settings: Valley, rule: Callable[[Any], optax.GradientTransformation], value: Any
) -> np.ndarray:
    """The points of a run from every start, (keys, steps + 1, 2): steep axis, flat axis.

    ``value`` is a pytree whose leaves have an entry a key.
    """

    @jax.jit
    @jax.vmap
    def run(x, condition, value):
        method, curvature = rule(value), jnp.stack([jnp.ones(()), 1 / condition])

        def step(carry, _):
            x, state = carry
            updates, state = method.update(curvature * x, state, x)
            x = optax.apply_updates(x, updates)
            return (x, state), x

        _, seen = lax.scan(step, (x, method.init(x)), None, length=settings.steps)
        return jnp.concatenate([x[None], seen])

    return np.asarray(run(*valleys(settings), value))


def loss(settings: Valley, path: np.ndarray) -> np.ndarray:
    """f along each path."""
    conditions = valleys(settings)[1][:, None]
    return 0.5 * (path[..., 0] ** 2 + path[..., 1] ** 2 / conditions)


def steps_to_share(settings: Valley, path: np.ndarray, share: float = 1e-4) -> np.ndarray:
    """Steps until f stays below that share of its start; twice the run's length if never."""
    values = loss(settings, path)
    above = values > share * values[:, :1]
    last = above.shape[1] - np.argmax(above[:, ::-1], axis=1)
    return np.where(above[:, -1], 2 * settings.steps, last).astype(float)
