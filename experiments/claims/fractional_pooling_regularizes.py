"""Does the randomness of fractional max pooling regularize?"""

from dataclasses import dataclass

import flax.linen as nn
import numpy as np

from experiments.claims.framework import (
    Claim,
    Outcome,
    Settings,
    above,
    effect,
    figures,
    make_keys,
    train_many,
)
from jaxnets import optim
from jaxnets.nn import Conv, Dense, FractionalMaxPool
from jaxnets.ops import relu


class Net(nn.Module):
    """Three 3×3 convolutions, behind each a pooling by √2, in random or in fixed regions."""

    random: bool
    width: int

    @nn.compact
    def __call__(self, x, *, train: bool = False):
        for i in range(3):
            x = relu(Conv(self.width * (i + 1), (3, 3), padding=1, name=f"conv{i}")(x))
            pool = FractionalMaxPool(2**0.5, sequence="random", name=f"pool{i}")
            x = pool(x, train=train and self.random)
        return Dense(10, name="classifier")(x.reshape(x.shape[0], -1))


@dataclass(frozen=True, kw_only=True)
class Pooling(Settings):
    """A small convolutional network and its training."""

    width: int = 16
    rate: float = 0.02
    steps: int = 300
    batch: int = 32
    evaluations: int = 15


def measure(settings: Pooling) -> Outcome:
    data = settings.data()
    found = {
        name: train_many(
            Net(random, settings.width),
            optim.momentum,
            np.float32(settings.rate),
            data,
            make_keys(settings.keys),
            steps=settings.steps,
            batch_size=settings.batch,
            evaluations=settings.evaluations,
        )
        for name, random in (("random regions", True), ("fixed regions", False))
    }
    noisy, fixed = found.values()
    figure, (left, right) = figures.new(2)
    for color, (name, runs) in zip(figures.COLORS, found.items(), strict=False):
        figures.band(left, runs.steps, 100 * (1 - runs.test_accuracy), name, color)
    top = max((100 - runs.accuracy).max() for runs in found.values())
    left.set(xlabel="step", ylabel="test error, %", ylim=(0, min(100, 3 * top)))
    left.legend(fontsize=9)
    figures.dots(right, list(found), [runs.accuracy for runs in found.values()])
    right.set(xlabel="test accuracy, %")
    return Outcome(
        effects=[
            effect(
                "test accuracy, random minus fixed regions",
                noisy.accuracy - fixed.accuracy,
                above(0),
                unit="points",
            )
        ],
        figure=figure,
        remarks=[
            f"{name}: training accuracy {100 * runs.train_accuracy[:, -1].mean():.1f} %, test "
            f"accuracy {runs.accuracy.mean():.2f} %."
            for name, runs in found.items()
        ],
    )


CLAIM = Claim(
    sentence="Fractional max pooling regularizes: random regions generalize better than fixed ones",
    notes="L105",
    row="C10",
    experiment="Networks with three poolings by √2 learn few images; in training the regions of "
    "each image are drawn at random, or are always the even ones of the test pass. Same first "
    "weights, batches and learning rate for both.",
    measure=measure,
    full=Pooling(train=200, keys=6),
    quick=Pooling(train=150, keys=2, width=8, steps=40, evaluations=2),
    tiny=Pooling(train=64, test=64, keys=2, width=4, steps=2, evaluations=1),
)
