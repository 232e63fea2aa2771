"""A small convolutional network whose middle is exchanged: shared by the claims on kernels."""

from dataclasses import dataclass

import flax.linen as nn
import numpy as np

from experiments.claims.framework import Runs, Settings, best, make_keys, train_many
from jaxnets import optim
from jaxnets.models.counting import count_macs
from jaxnets.nn import BatchNorm, Conv, Dense
from jaxnets.ops import relu

# The middle: (kernel size, share of the width) of each convolution.
BODIES: dict[str, tuple[tuple[int, float], ...]] = {
    "7×7": ((7, 1.0),),
    "3×3 three times": ((3, 1.0), (3, 1.0), (3, 1.0)),
    "3×3 twice": ((3, 1.0), (3, 1.0)),
    "bottleneck": ((1, 0.25), (3, 0.25), (1, 1.0)),
}


class Net(nn.Module):
    """Stem 3×3 of stride 2, the body at width ``channels``, global mean, classifier."""

    body: str
    channels: int = 16

    @nn.compact
    def __call__(self, x, *, train: bool = False):
        def block(x, size, features, stride, name):
            x = Conv(features, (size, size), strides=stride, padding=size // 2, name=name)(x)
            return relu(BatchNorm(name=f"{name}_bn")(x, train=train))

        x = block(x, 3, self.channels, 2, "stem")
        for i, (size, share) in enumerate(BODIES[self.body]):
            x = block(x, size, int(self.channels * share), 1, f"body{i}")
        return Dense(10, name="classifier")(x.mean((1, 2)))


@dataclass(frozen=True, kw_only=True)
class Bodies(Settings):
    """Two bodies, the same rates for both."""

    channels: int = 16
    rates: tuple[float, ...] = (0.03, 0.1)
    steps: int = 200
    evaluations: int = 4
    batch_size: int = 64


def train(settings: Bodies, body: str) -> tuple[Runs, int]:
    """The runs at all rates, and which rate has the best test accuracy."""
    runs = train_many(
        Net(body, settings.channels),
        optim.momentum,
        np.float32(settings.rates),
        settings.data(),
        make_keys(settings.keys),
        steps=settings.steps,
        batch_size=settings.batch_size,
        evaluations=settings.evaluations,
    )
    return runs, best(-runs.accuracy)


def kernel_weights(runs: Runs) -> int:
    """Weights in the convolutions of the body, from the trained parameters."""
    params = runs.variables["params"]
    return sum(
        int(np.prod(layer["kernel"].shape[2:]))
        for name, layer in params.items()
        if name.startswith("body") and not name.endswith("_bn")
    )


def macs(settings: Bodies, body: str) -> int:
    """Multiply-accumulates of the body for one image."""
    shape = settings.data().image_shape
    whole = count_macs(Net(body, settings.channels), shape)
    half = tuple(-(-n // 2) for n in shape[:2])
    stem = half[0] * half[1] * 9 * shape[2] * settings.channels
    return whole - stem - 10 * settings.channels


def receptive_field(body: str) -> int:
    """Of the body, in pixels of its input: 1 + Σ (k − 1)."""
    return 1 + sum(size - 1 for size, _ in BODIES[body])
