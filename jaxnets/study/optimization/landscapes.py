"""Surfaces of two variables, and the paths that first-order rules take on them.

Source: Rosenbrock, "An automatic method for finding the greatest or least value of a function",
The Computer Journal 3 (1960); Beale, "On an iterative method of finding a local minimum of a
function of more than one variable" (Princeton, 1958).
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnets import optim


class Surface(NamedTuple):
    """A function of two variables.

    Attributes:
        title: for figures.
        value: (2,) → scalar.
        start: where the paths begin.
        window: what a figure shows: left, right, low, high.
        minimum: where it is; None if there is none.
    """

    title: str
    value: Callable[[jax.Array], jax.Array]
    start: tuple[float, float]
    window: tuple[float, float, float, float]
    minimum: tuple[float, float] | None


def _beale(p):
    x, y = p[0], p[1]
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


SURFACES = {
    "quadratic": Surface(
        "ill-conditioned quadratic, κ = 50",
        lambda p: (p[0] ** 2 + 50 * p[1] ** 2) / 2,
        (-4.0, 1.0),
        (-4.6, 2.6, -1.6, 1.6),
        (0.0, 0.0),
    ),
    "saddle": Surface(
        "saddle x² − y²",
        lambda p: p[0] ** 2 - p[1] ** 2,
        (-1.5, 1e-3),
        (-1.8, 1.2, -1.5, 1.5),
        None,
    ),
    "rosenbrock": Surface(
        "Rosenbrock",
        lambda p: (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2,
        (-1.2, 1.0),
        (-1.7, 1.5, -0.6, 1.7),
        (1.0, 1.0),
    ),
    "beale": Surface("Beale", _beale, (1.0, 1.5), (-0.6, 4.2, -1.0, 1.9), (3.0, 0.5)),
}

# Name → (label, rate → rule).
RULES: dict[str, tuple[str, Callable[[Any], optax.GradientTransformation]]] = {
    "sgd": ("gradient descent", optim.sgd),
    "momentum": ("momentum 0.9", optim.momentum),
    "nesterov": ("Nesterov 0.9", optim.nesterov),
    "adagrad": ("AdaGrad", optim.adagrad),
    "rmsprop": ("RMSProp", lambda rate: optim.rmsprop(rate, decay=0.9)),
    "adadelta": ("AdaDelta", optim.adadelta),
    "adam": ("Adam", optim.adam),
    "amsgrad": ("AMSGrad", optim.amsgrad),
}


def walk(
    value: Callable[[jax.Array], jax.Array],
    rule: optax.GradientTransformation,
    start: Any,
    steps: int,
) -> jax.Array:
    """The points that a rule visits; traceable.

    Args:
        value: what is minimized; the sum of what it returns counts.
        rule: an Optax transform.
        start: the first point, any shape.
        steps: updates.

    Returns:
        Float32, shape (steps + 1, …), the start included.

    >>> path = walk(lambda x: x**2 / 2, optim.sgd(0.5), 1.0, 3)  # halves at every step
    >>> path.tolist()
    [1.0, 0.5, 0.25, 0.125]
    """
    gradient = jax.grad(lambda p: jnp.sum(value(p)))

    def step(carry, _):
        point, state = carry
        updates, state = rule.update(gradient(point), state, point)
        point = optax.apply_updates(point, updates)
        return (point, state), point

    start = jnp.asarray(start, jnp.float32)
    _, path = jax.lax.scan(step, (start, rule.init(start)), length=steps)
    return jnp.concatenate([start[None], path])


def best_walk(
    surface: Surface,
    build: Callable[[Any], optax.GradientTransformation],
    rates: Sequence[float],
    steps: int,
) -> tuple[float, np.ndarray]:
    """The rate of a grid whose path is lowest on average, and that path.

    The average is of the logarithm of the value over all steps, among the paths that never go
    farther from the start than the figure is wide. The end alone would reward luck: a rate with
    which a rule leaps about and happens to stop low.

    Args:
        surface: with a minimum of value 0; on one without a minimum the first rate is taken.
        build: rate → rule.
        rates: the grid.
        steps: updates.

    Returns:
        The rate, and its path of shape (steps + 1, 2).
    """
    paths = jax.jit(jax.vmap(lambda rate: walk(surface.value, build(rate), surface.start, steps)))(
        jnp.asarray(rates)
    )
    if not surface.minimum:
        return rates[0], np.asarray(paths[0])
    values = np.asarray(jax.vmap(jax.vmap(surface.value))(paths), np.float64)
    left, right, _, _ = surface.window
    strayed = np.linalg.norm(np.asarray(paths) - np.array(surface.start), axis=-1).max(1)
    mean_log = np.log(np.maximum(values, 1e-14)).mean(1)
    # A path that is not a number fails the comparison, and is left out as well.
    score = np.where(strayed <= right - left, mean_log, np.inf)
    best = int(np.argmin(score))
    return rates[best], np.asarray(paths[best])


def trajectories(
    names: Sequence[str], rates: Sequence[float], saddle_rate: float, steps: int
) -> dict[str, dict[str, dict[str, Any]]]:
    """Paths and their numbers for every surface and rule.

    Args:
        names: of `SURFACES`.
        rates: the grid of learning rates (`best_walk`).
        saddle_rate: the rate where there is no minimum.
        steps: updates.

    Returns:
        By surface and rule {"rate", "path" (steps + 1, 2), "final_value"}, and with a minimum
        "distance" (steps + 1,), "final_distance" and "steps_to_0.01", else "steps_to_escape".
    """
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for key in names:
        surface = SURFACES[key]
        found[key] = {}
        for name, (_, build) in RULES.items():
            grid = rates if surface.minimum else (saddle_rate,)
            rate, path = best_walk(surface, build, grid, steps)
            values = np.asarray(jax.vmap(surface.value)(jnp.asarray(path)))
            entry = {"rate": rate, "path": path, "final_value": float(values[-1])}
            if surface.minimum:
                distance = np.linalg.norm(path - np.array(surface.minimum), axis=1)
                entry["distance"] = distance
                entry["final_distance"] = float(distance[-1])
                entry["steps_to_0.01"] = settled(distance < 0.01)
            else:
                entry["steps_to_escape"] = settled(np.abs(path[:, 1]) > 1)
            found[key][name] = entry
    return found


def settled(mask: np.ndarray) -> int | None:
    """The first step at which something holds and from which on it never ceases to.

    Args:
        mask: whether it holds, by step.

    Returns:
        The step; None where it does not hold at the end.

    >>> settled(np.array([False, True, False, True, True])), settled(np.array([True, False]))
    (3, None)
    """
    broken = np.flatnonzero(~mask)
    step = int(broken[-1]) + 1 if len(broken) else 0
    return step if step < len(mask) else None
