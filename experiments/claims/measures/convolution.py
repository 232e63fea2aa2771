"""Small convolutional networks whose kernels or poolings are exchanged."""

from dataclasses import dataclass

import flax.linen as nn
import numpy as np

from jaxnets import optim
from jaxnets.models.counting import count_macs
from jaxnets.nn import BatchNorm, Conv, Dense, FractionalMaxPool
from jaxnets.ops import relu
from jaxnets.study.claims import Outcome, TrainingSettings
from jaxnets.study.effects import above, at_least, below, effect, points, within
from jaxnets.study.figures import curves_and_dots
from jaxnets.study.training import Runs, best

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
class Bodies(TrainingSettings):
    """Two bodies, the same rates for both."""

    channels: int = 16
    rates: tuple[float, ...] = (0.03, 0.1)
    steps: int = 200
    evaluations: int = 4


def train(settings: Bodies, body: str) -> tuple[Runs, float]:
    """The runs at the rate with the best test accuracy, and that rate."""
    runs = settings.runs(Net(body, settings.channels), optim.momentum, np.float32(settings.rates))
    chosen = best(-runs.accuracy)
    return runs.take(chosen), settings.rates[chosen]


def kernel_weights(runs: Runs) -> int:
    """Weights in the convolutions of the body, from the trained parameters of all keys."""
    params = runs.variables["params"]
    return sum(
        int(np.prod(layer["kernel"].shape[1:]))
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


def draw(runs: dict[str, tuple[Runs, float]], costs: dict[str, str]):
    """Test accuracy of the bodies over the steps, and at the end beside what they cost."""
    steps = next(iter(runs.values()))[0].steps
    return curves_and_dots(
        steps,
        {f"{body}, rate {rate:g}": 100 * r.test_accuracy for body, (r, rate) in runs.items()},
        {f"{body}\n{costs[body]}": r.accuracy for body, (r, _) in runs.items()},
        left={"xlabel": "step", "ylabel": "test accuracy, %", "ylim": (0, None)},
        right={"xlabel": "test accuracy, %"},
        legend={"loc": "lower right"},
    )


def receptive_field(body: str) -> int:
    """Of the body, in pixels of its input: 1 + Σ (k − 1)."""
    return 1 + sum(size - 1 for size, _ in BODIES[body])


LARGE, STACK = "7×7", "3×3 three times"


def stack_of_small_kernels(settings: Bodies) -> Outcome:
    """Three 3×3 convolutions instead of one 7×7: cheaper, and as good?"""
    runs = {body: train(settings, body) for body in (LARGE, STACK)}
    accuracy = {body: found.accuracy for body, (found, _) in runs.items()}
    weights = {body: kernel_weights(found) for body, (found, _) in runs.items()}
    figure = draw(runs, {body: f"{weights[body]:,} weights" for body in runs})
    return Outcome(
        effects=[
            points(
                "test accuracy, three 3×3 minus one 7×7",
                accuracy[STACK] - accuracy[LARGE],
                at_least(-0.5),
            ),
            effect(
                "weights, three 3×3 / one 7×7",
                weights[STACK] / weights[LARGE],
                below(1),
                unit="×",
                method="exact",
            ),
            effect(
                "receptive field, three 3×3 / one 7×7",
                receptive_field(STACK) / receptive_field(LARGE),
                within(1, 1),
                unit="×",
                method="exact",
            ),
        ],
        figure=figure,
    )


PLAIN, NARROW = "3×3 twice", "bottleneck"


def bottleneck(settings: Bodies) -> Outcome:
    """What do 1×1 convolutions around a narrow 3×3 save, and what do they cost?"""
    runs = {body: train(settings, body) for body in (PLAIN, NARROW)}
    accuracy = {body: found.accuracy for body, (found, _) in runs.items()}
    work = {body: macs(settings, body) for body in runs}
    figure = draw(runs, {body: f"{work[body] / 1e6:.2f} M MACs" for body in runs})
    return Outcome(
        effects=[
            effect(
                "multiply-accumulates, two 3×3 / bottleneck",
                work[PLAIN] / work[NARROW],
                above(1),
                unit="×",
                method="exact",
            ),
            points(
                "test accuracy, bottleneck minus two 3×3",
                accuracy[NARROW] - accuracy[PLAIN],
                at_least(-0.5),
            ),
        ],
        figure=figure,
    )


class PooledNet(nn.Module):
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
class Pooling(TrainingSettings):
    """A small convolutional network and its training."""

    width: int = 16
    rate: float = 0.02
    steps: int = 300
    batch_size: int = 32
    evaluations: int = 15


def fractional_pooling(settings: Pooling) -> Outcome:
    """Does the randomness of fractional max pooling regularize?"""
    found = {
        name: settings.runs(
            PooledNet(random, settings.width), optim.momentum, np.float32(settings.rate)
        )
        for name, random in (("random regions", True), ("fixed regions", False))
    }
    noisy, fixed = found.values()
    limits = (0, min(100, 3 * max((100 - runs.accuracy).max() for runs in found.values())))
    figure = curves_and_dots(
        noisy.steps,
        {name: 100 * (1 - runs.test_accuracy) for name, runs in found.items()},
        {name: runs.accuracy for name, runs in found.items()},
        left={"xlabel": "step", "ylabel": "test error, %", "ylim": limits},
        right={"xlabel": "test accuracy, %"},
    )
    return Outcome(
        effects=[
            points(
                "test accuracy, random minus fixed regions",
                noisy.accuracy - fixed.accuracy,
                above(0),
            )
        ],
        figure=figure,
        remarks=[
            f"{name}: training accuracy {100 * runs.train_accuracy[:, -1].mean():.1f} %, test "
            f"accuracy {runs.accuracy.mean():.2f} %."
            for name, runs in found.items()
        ],
    )
