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
    """f(x) = ½(λ_steep·u² + λ_flat·v²) in two dimensions, in the axes of the valley.

    Every method here is invariant under rotation, so only the start is random.
    """

    condition: float = 50.0
    steps: int = 300


def starts(settings: Valley) -> np.ndarray:
    """One start a key, far along the valley and off its bottom: (keys, 2)."""
    rng = [np.random.default_rng(int(key)) for key in make_keys(settings.keys)]
    return np.float32([[r.uniform(0.3, 1), r.uniform(3, 10)] for r in rng])


def paths(
    settings: Valley, rule: Callable[[Any], optax.GradientTransformation], value: Any
) -> np.ndarray:
    """The points of a run from every start, (keys, steps + 1, 2): steep axis, flat axis."""
    curvature = jnp.array([1.0, 1.0 / settings.condition])

    @jax.jit
    def run(x, value):
        method = rule(value)

        def step(carry, _):
            x, state = carry
            updates, state = method.update(curvature * x, state, x)
            x = optax.apply_updates(x, updates)
            return (x, state), x

        _, seen = lax.scan(step, (x, method.init(x)), None, length=settings.steps)
        return jnp.concatenate([x[None], seen])

    return np.stack([run(x, value) for x in starts(settings)])


def loss(settings: Valley, path: np.ndarray) -> np.ndarray:
    """f along each path."""
    return 0.5 * (path[..., 0] ** 2 + path[..., 1] ** 2 / settings.condition)


def steps_to_share(settings: Valley, path: np.ndarray, share: float = 1e-4) -> np.ndarray:
    """Steps until f stays below that share of its start; twice the run's length if never."""
    values = loss(settings, path)
    above = values > share * values[:, :1]
    last = above.shape[1] - np.argmax(above[:, ::-1], axis=1)
    return np.where(above[:, -1], 2 * settings.steps, last).astype(float)
