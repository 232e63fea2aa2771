"""Adam, and SGD with momentum, at constant and at decaying rates: shared by the claims on both."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from experiments.claims.framework import Runs, Settings, make_keys, train_many
from jaxnets import optim
from jaxnets.models.mlp import MLP

NET = MLP(10, (64, 64))


@dataclass(frozen=True, kw_only=True)
class Tuning(Settings):
    """A grid of rates, each constant and decaying to zero as a cosine."""

    rates: tuple[float, ...] = tuple(float(f"{r:.3g}") for r in np.geomspace(1e-4, 1, 9))
    steps: int = 1000
    evaluations: int = 20


QUICK = {"keys": 4, "steps": 100, "evaluations": 10, "rates": (1e-3, 1e-2, 0.1, 0.3)}
TINY = {"keys": 2, "train": 100, "steps": 4, "evaluations": 2, "rates": (1e-3, 0.1)}


def schedule(value):
    """rate × (floor + (1 − floor)·½(1 + cos πt/T)): a floor of 1 is a constant rate."""

    def at(count):
        falling = 0.5 * (1 + jnp.cos(jnp.pi * jnp.minimum(count / value["total"], 1)))
        return value["rate"] * (value["floor"] + (1 - value["floor"]) * falling)

    return at


def adam(value):
    return optim.adam(schedule(value))


def momentum(value):
    return optim.momentum(schedule(value))


def train(settings: Tuning, rule) -> dict[str, Runs]:
    """Runs at "constant" and "cosine" rates, each with leading axes (rates, keys)."""
    rates = np.float32(settings.rates)
    values = {
        "rate": np.tile(rates, 2),
        "floor": np.repeat(np.float32([1, 0]), len(rates)),
        "total": np.full(2 * len(rates), settings.steps, np.float32),
    }
    keys = make_keys(settings.keys)
    options = {"steps": settings.steps, "evaluations": settings.evaluations}
    runs = train_many(NET, rule, values, settings.data(), keys, **options)

    def part(begin):
        rest = {
            name: value if name in ("steps", "probe", "variables") else value[begin:][: len(rates)]
            for name, value in runs._asdict().items()
        }
        return Runs(**rest)

    return {"constant": part(0), "cosine": part(len(rates))}
