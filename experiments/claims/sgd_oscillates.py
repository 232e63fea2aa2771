"""Does gradient descent swing across a narrow valley, and stay long at a saddle point?"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from experiments.claims._quadratic import Valley, fastest_rate, paths, valleys
from experiments.claims.framework import Claim, Outcome, above, effect, figures, make_keys
from jaxnets import optim


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


def measure(settings: Valley) -> Outcome:
    path = paths(settings, optim.sgd, fastest_rate(settings))
    seeds = make_keys(settings.keys)
    waits = {
        "SGD": escape(optim.sgd(0.05), seeds),
        "momentum": escape(optim.momentum(0.05), seeds),
    }
    figure, (left, right) = figures.new(2)
    grid = np.linspace(-11, 11, 200), np.linspace(-1.2, 1.2, 100)
    height = 0.5 * (grid[1][:, None] ** 2 + grid[0][None] ** 2 / valleys(settings)[1][0])
    left.contour(*grid, height, levels=np.geomspace(0.02, 1.5, 8), colors="0.8", linewidths=0.8)
    left.plot(path[0, :60, 1], path[0, :60, 0], "o-", color=figures.COLORS[0], ms=2.5, lw=1)
    left.set(xlabel="flat direction", ylabel="steep direction", title="one key, 60 steps")
    figures.dots(right, list(waits), list(waits.values()))
    right.set(xlabel="steps to leave the saddle", xlim=(0, None))
    return Outcome(
        effects=[
            effect("steps across the steep direction", turns(path, 0), above(50), unit="%"),
            effect("steps across the flat direction", turns(path, 1), unit="%"),
            effect(
                "steps to leave a saddle, SGD / momentum",
                waits["SGD"] / waits["momentum"],
                above(1),
                unit="×",
                method="log",
            ),
        ],
        figure=figure,
    )


CLAIM = Claim(
    sentence="Gradient descent swings across steep directions and lingers at saddle points",
    notes="L60",
    row="B01",
    experiment="Gradient descent from random points of valleys, one direction 20 to 100 times "
    "steeper, at its fastest constant rate: how many of the first 30 steps jump over the valley's "
    "bottom. And steps to leave the saddle x² − y² from within about 1e-6 of its ridge, against "
    "momentum at the same rate.",
    measure=measure,
    full=Valley(keys=20),
    quick=Valley(keys=8),
    tiny=Valley(keys=2, steps=40),
)
