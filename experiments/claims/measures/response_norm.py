"""A small network after AlexNet, with and without local response normalization."""

from dataclasses import dataclass
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxnets import optim
from jaxnets.nn import Conv, Dense
from jaxnets.ops import he_normal, local_response_norm, max_pool, relu
from jaxnets.study.claims import Outcome, TrainingSettings
from jaxnets.study.effects import above, at_most, points, ratio
from jaxnets.study.figures import curves_and_dots
from jaxnets.study.repeated_training import plain_state
from jaxnets.study.timing import time_calls
from jaxnets.study.training import Runs, best, loss_only
from jaxnets.train import train_step

NAMES = {True: "with LRN", False: "without"}


class SmallAlexNet(nn.Module):
    """Three 5×5 convolutions, each behind it ReLU and overlapping max pooling; a classifier.

    As in AlexNet the first two have local response normalization between ReLU and pooling.

    Attributes:
        normalize: whether they do.
        widths: channels of each.
    """

    normalize: bool
    widths: tuple[int, ...] = (16, 32, 32)

    @nn.compact
    def __call__(self, x, *, train: bool = False):
        for i, width in enumerate(self.widths):
            x = Conv(width, (5, 5), padding=2, kernel_init=he_normal, name=f"conv{i + 1}")(x)
            x = relu(x)
            if self.normalize and i < 2:
                x = local_response_norm(x)
            x = max_pool(x, (3, 3), strides=2, padding=1)
        return Dense(10, name="classifier")(x.reshape(x.shape[0], -1))


@dataclass(frozen=True, kw_only=True)
class Normalized(TrainingSettings):
    """Both get the better of the same rates.

    Attributes:
        widths: of `SmallAlexNet`.
        rates: learning rates of momentum.
        rounds: in which a step of each is timed, in turn.
    """

    widths: tuple[int, ...] = (16, 32, 32)
    rates: tuple[float, ...] = (0.01, 0.03)
    steps: int = 320
    evaluations: int = 4
    rounds: int = 15


def train(settings: Normalized, normalize: bool) -> Runs:
    """The runs at the rate with the best test accuracy."""
    network = SmallAlexNet(normalize, settings.widths)
    runs = settings.runs(network, optim.momentum, np.float32(settings.rates))
    return runs.take(best(100 - runs.accuracy))


def step_seconds(settings: Normalized) -> dict[bool, np.ndarray]:
    """What a training step takes, (rounds,), of both in turn."""
    data, calls = settings.data(), {}
    size = min(settings.batch_size, len(data.train.labels))
    batch = {"image": data.train.images[:size], "label": data.train.labels[:size]}
    blank = jnp.zeros((2, *data.image_shape))
    for normalize in NAMES:
        network = SmallAlexNet(normalize, settings.widths)
        variables = jax.jit(network.init)(jax.random.key(0, impl="rbg"), blank)
        state = plain_state(network, variables, optim.momentum(0.01), key=jax.random.key(0))
        step = jax.jit(partial(train_step, task=loss_only()))
        calls[str(normalize)] = partial(step, state, batch)
    # Not only the rounds in which the machine was at rest: in every round both met the same.
    found = time_calls(calls, rounds=settings.rounds)
    return {normalize: np.array(found[str(normalize)].seconds) for normalize in NAMES}


def accuracy_and_time(settings: Normalized) -> Outcome:
    """Does local response normalization gain anything, and what does it cost?"""
    runs = {normalize: train(settings, normalize) for normalize in NAMES}
    seconds = step_seconds(settings)
    figure = curves_and_dots(
        runs[True].steps,
        {NAMES[n]: 100 * (1 - found.test_accuracy) for n, found in runs.items()},
        {NAMES[n]: found.accuracy for n, found in runs.items()},
        left={"xlabel": "step", "ylabel": "test error, %"},
        right={"xlabel": "test accuracy, %"},
    )
    return Outcome(
        effects=[
            points(
                "test accuracy, with LRN minus without",
                runs[True].accuracy - runs[False].accuracy,
                at_most(1),
            ),
            ratio(
                "time of a training step, with LRN / without",
                seconds[True] / seconds[False],
                above(1),
            ),
        ],
        figure=figure,
        remarks=[
            "; ".join(
                f"{NAMES[n]}: test accuracy {found.accuracy.mean():.2f} %, a step "
                f"{1e3 * np.median(seconds[n]):.1f} ms"
                for n, found in runs.items()
            )
            + "."
        ],
    )
