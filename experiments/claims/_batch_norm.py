"""The network and the sweep that the four claims of batch normalization share."""

from dataclasses import dataclass

import flax.linen as nn
import jax
import numpy as np

from experiments.claims.framework import Data, Runs, Settings, make_keys, train_many
from jaxnets import optim
from jaxnets.nn import BatchNorm, Dense
from jaxnets.ops import relu


class Net(nn.Module):
    """Dense, batch norm (or none), ReLU, several times."""

    norm: bool
    width: int = 64
    depth: int = 4

    @nn.compact
    def __call__(self, x, *, train: bool = False):
        x = x.reshape(x.shape[0], -1)
        for i in range(self.depth):
            x = Dense(self.width, name=f"fc{i}")(x)
            if self.norm:
                x = BatchNorm(name=f"bn{i}")(x, train=train)
            x = relu(x)
        return Dense(10, name="classifier")(x)


@dataclass(frozen=True, kw_only=True)
class Sweep(Settings):
    """Learning rates and factors on He's initial weights, in pairs."""

    rates: tuple[float, ...] = tuple(float(0.05 * 2**k) for k in range(12))
    scales: tuple[float, ...] = (1.0,)
    steps: int = 400
    evaluations: int = 40


QUICK = {"keys": 3, "train": 500, "steps": 120, "evaluations": 20}
QUICK_RATES = (0.05, 0.2, 0.8, 3.2, 12.8)
TINY = {"keys": 2, "train": 100, "steps": 4, "evaluations": 2}


def _sgd(value):
    return optim.sgd(value["rate"])


def _scaled(params, value):
    """Every hidden layer's weights × scale."""
    return {
        name: jax.tree.map(lambda w: w * value["scale"] if w.ndim > 1 else w, layer)
        if name.startswith("fc")
        else layer
        for name, layer in params.items()
    }


def train(settings: Sweep, norm: bool, data: Data | None = None) -> Runs:
    """Leading axis: rates, or scales where there is one rate."""
    count = max(len(settings.rates), len(settings.scales))
    values = {
        "rate": np.broadcast_to(np.float32(settings.rates), (count,)),
        "scale": np.broadcast_to(np.float32(settings.scales), (count,)),
    }
    return train_many(
        Net(norm),
        _sgd,
        values,
        data or settings.data(),
        make_keys(settings.keys),
        steps=settings.steps,
        evaluations=settings.evaluations,
        start=_scaled,
    )
