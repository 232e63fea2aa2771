"""Descent on random ill-conditioned quadratics: oscillation, overshoot, saddle points."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from jaxnets import optim
from jaxnets.study.claims import Outcome, Settings
from jaxnets.study.effects import above, below, effect, points, ratio
from jaxnets.study.figures import COLORS, band, dots, new_figure
from jaxnets.study.sweep import make_keys

# Per cent.
SHARE = (0.0, 100.0)


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
    higher = values > share * values[:, :1]
    last = higher.shape[1] - np.argmax(higher[:, ::-1], axis=1)
    return np.where(higher[:, -1], 2 * settings.steps, last).astype(float)


def turns(path: np.ndarray, axis: int, steps: int = 30) -> np.ndarray:
    """Share of the first steps, in per cent, that end on the other side of the minimum."""
    side = np.sign(path[:, : steps + 1, axis])
    return 100 * (side[:, 1:] != side[:, :-1]).mean(1)


def escape(rule, seeds: np.ndarray, steps: int = 400) -> np.ndarray:
    """Steps from near the saddle of x² − y² until |y| > 1, started at |y| of about 1e-6."""

    @jax.jit
    def run(y):
        x = jnp.stack([jnp.float32(1), y])

        def step(carry, _):
            x, state = carry
            updates, state = rule.update(jnp.array([2.0, -2.0]) * x, state, x)
            x = optax.apply_updates(x, updates)
            return (x, state), jnp.abs(x[1])

        return lax.scan(step, (x, rule.init(x)), None, length=steps)[1]

    y = [np.float32(1e-6 * abs(np.random.default_rng(int(s)).normal())) for s in seeds]
    far = np.stack([run(v) for v in y]) > 1
    return np.where(far.any(1), far.argmax(1) + 1, 2 * steps).astype(float)


def oscillation(settings: Valley) -> Outcome:
    """Does gradient descent swing across a narrow valley, and stay long at a saddle point?"""
    path = paths(settings, optim.sgd, fastest_rate(settings))
    seeds = make_keys(settings.keys)
    waits = {
        "SGD": escape(optim.sgd(0.05), seeds),
        "momentum": escape(optim.momentum(0.05), seeds),
    }
    figure, (left, right) = new_figure(2)
    grid = np.linspace(-11, 11, 200), np.linspace(-1.2, 1.2, 100)
    height = 0.5 * (grid[1][:, None] ** 2 + grid[0][None] ** 2 / valleys(settings)[1][0])
    left.contour(*grid, height, levels=np.geomspace(0.02, 1.5, 8), colors="0.8", linewidths=0.8)
    left.plot(path[0, :60, 1], path[0, :60, 0], "o-", color=COLORS[0], ms=2.5, lw=1)
    left.set(xlabel="flat direction", ylabel="steep direction", title="one key, 60 steps")
    dots(right, list(waits), list(waits.values()))
    right.set(xlabel="steps to leave the saddle", xlim=(0, None))
    return Outcome(
        effects=[
            effect(
                "steps across the steep direction",
                turns(path, 0),
                above(50),
                unit="%",
                bounds=SHARE,
            ),
            effect("steps across the flat direction", turns(path, 1), unit="%", bounds=SHARE),
            ratio(
                "steps to leave a saddle, SGD / momentum",
                waits["SGD"] / waits["momentum"],
                above(1),
            ),
        ],
        figure=figure,
    )


def heavy_ball(value):
    """Momentum without Nesterov's look ahead."""
    return optim.momentum(value["rate"], momentum=value["momentum"])


def nesterov(value):
    """Momentum with Nesterov's look ahead."""
    return optim.nesterov(value["rate"], momentum=value["momentum"])


def overshoot(path: np.ndarray) -> np.ndarray:
    """How far beyond the minimum a run gets along the valley, in per cent of its start."""
    return 100 * np.maximum(-path[..., 1].min(1), 0) / path[:, 0, 1]


def momentum(settings: Valley) -> Outcome:
    """Is momentum smoother and faster than gradient descent, at the price of overshooting?"""
    ones = np.ones(settings.keys, np.float32)
    value = {"rate": ones, "momentum": 0.9 * ones}
    found = {
        "gradient descent": paths(settings, optim.sgd, fastest_rate(settings)),
        "momentum 0.9": paths(settings, heavy_ball, value),
        "Nesterov 0.9": paths(settings, nesterov, value),
    }
    over = {name: overshoot(path) for name, path in found.items()}
    needed = {name: steps_to_share(settings, path) for name, path in found.items()}
    figure, (left, right) = new_figure(2)
    shown = min(120, settings.steps)
    for color, (name, path) in zip(COLORS, found.items(), strict=False):
        along = (path[..., 1] / path[:, :1, 1])[:, : shown + 1]
        values = np.log10(loss(settings, path)[:, : shown + 1])
        band(left, np.arange(shown + 1), along, name, color)
        band(right, np.arange(shown + 1), values, name, color)
    left.axhline(0, color="0.5", lw=1, ls="--")
    left.set(xlabel="step", ylabel="place along the valley / start", title="overshoot")
    right.set(xlabel="step", ylabel="log₁₀ of f", title="speed", ylim=(-8, 1))
    left.legend(fontsize=8)
    return Outcome(
        effects=[
            effect(
                "momentum: overshoot, share of the start", over["momentum 0.9"], above(10), unit="%"
            ),
            points(
                "Nesterov's overshoot minus momentum's",
                over["Nesterov 0.9"] - over["momentum 0.9"],
                below(0),
            ),
            ratio(
                "steps to 1e-4 of f, gradient descent / momentum",
                needed["gradient descent"] / needed["momentum 0.9"],
                above(1),
            ),
            effect("gradient descent: overshoot", over["gradient descent"], unit="%"),
        ],
        figure=figure,
    )
