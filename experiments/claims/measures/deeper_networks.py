"""A deep plain network that begins with the layers of a trained, shallower one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from jaxnets import optim
from jaxnets.nn import Conv, Dense
from jaxnets.ops import he_normal, max_pool, relu
from jaxnets.study.claims import Outcome, TrainingSettings
from jaxnets.study.effects import above, at_least, points
from jaxnets.study.figures import curves_and_dots
from jaxnets.study.sweep import make_keys
from jaxnets.study.training import Runs, best

# Convolutions in each block, as VGG's configurations A and B have them.
SHALLOW, DEEP = (1, 1, 2), (2, 2, 4)
# Of He's deviation: each layer halves the signal. N(0, 0.01²), with which VGG began, is 0.48 of it
# for its widest layers, of 512 channels.
SMALL = 0.5
FROM_SHALLOWER, FRESH, HE = "from the shallower one", "small weights", "He's weights"


class Plain(nn.Module):
    """Blocks of 3×3 convolutions, max pooling behind each, a classifier: VGG in small.

    Attributes:
        depths: convolutions in each block; ``conv2_1`` is the first of the second block.
        widths: their channels.
    """

    depths: tuple[int, ...]
    widths: tuple[int, ...]

    @nn.compact
    def __call__(self, x, *, train: bool = False):
        for block, (depth, width) in enumerate(zip(self.depths, self.widths, strict=True), start=1):
            for layer in range(1, depth + 1):
                name = f"conv{block}_{layer}"
                x = relu(Conv(width, (3, 3), padding=1, kernel_init=he_normal, name=name)(x))
            x = max_pool(x, (2, 2), strides=2)
        return Dense(10, kernel_init=he_normal, name="classifier")(x.reshape(x.shape[0], -1))


@dataclass(frozen=True, kw_only=True)
class Depths(TrainingSettings):
    """Training of the shallow and the deep networks; each way to begin gets its better rate.

    Attributes:
        widths: of `Plain`.
        rates: learning rates of momentum.
    """

    widths: tuple[int, ...] = (12, 24, 48)
    rates: tuple[float, ...] = (0.01, 0.03)
    steps: int = 250
    evaluations: int = 5


def _momentum(value):
    return optim.momentum(value["rate"])


def begin(params: Mapping[str, Any], value: Mapping[str, Any]) -> dict[str, Any]:
    """He's weights × scale, and in their place the layers that ``value`` has of another network.

    Args:
        params: He's first parameters.
        value: ``scale``, and ``layers``: name → parameters.
    """
    scaled = jax.tree.map(lambda w: w * value["scale"] if w.ndim > 1 else w, dict(params))
    return {name: value["layers"].get(name, layer) for name, layer in scaled.items()}


def train(settings: Depths, depths: tuple[int, ...], scale: float, layers: Any = None) -> Runs:
    """The runs at the rate with the best test accuracy.

    Args:
        settings: of the training.
        depths: of `Plain`.
        scale: of the first weights.
        layers: name → parameters that a network begins with, leaves (keys, …).
    """
    count, each = len(settings.rates), []
    for number, key in enumerate(make_keys(settings.keys)):
        # One key at a time: what a network begins with is its own.
        own = jax.tree.map(lambda leaf, k=number: np.stack([leaf[k]] * count), layers or {})
        scales = np.full(count, scale, np.float32)
        values = {"rate": np.float32(settings.rates), "scale": scales, "layers": own}
        network = Plain(depths, settings.widths)
        each.append(settings.runs(network, _momentum, values, keys=[key], start=begin))
    steps = each[0].steps
    parts = [runs._replace(steps=None) for runs in each]
    joined = jax.tree.map(lambda *leaves: np.concatenate(leaves, axis=1), *parts)
    runs = joined._replace(steps=steps)
    return runs.take(best(100 - runs.accuracy))


def first_layers(params: Mapping[str, Any], depths: tuple[int, ...]) -> dict[str, Any]:
    """The first four convolutions and the classifier, which VGG took from configuration A.

    Args:
        params: of a trained network.
        depths: of it.
    """
    names = [f"conv{b}_{i}" for b, depth in enumerate(depths, 1) for i in range(1, depth + 1)]
    return {name: params[name] for name in (*names[:4], "classifier")}


def deeper(settings: Depths) -> Outcome:
    """Does a deep network need the layers of a shallower one to begin with?"""
    shallow = train(settings, SHALLOW, SMALL)
    layers = first_layers(shallow.variables["params"], SHALLOW)
    runs = {
        FROM_SHALLOWER: train(settings, DEEP, SMALL, layers),
        FRESH: train(settings, DEEP, SMALL),
        HE: train(settings, DEEP, 1.0),
    }
    accuracy = {name: found.accuracy for name, found in runs.items()}
    figure = curves_and_dots(
        shallow.steps,
        {name: found.train_loss for name, found in runs.items()},
        {**accuracy, "shallower, small weights": shallow.accuracy},
        left={"xlabel": "step", "ylabel": "training loss", "ylim": (0, None)},
        right={"xlabel": "test accuracy, %"},
    )
    return Outcome(
        effects=[
            points(
                f"test accuracy, {FROM_SHALLOWER} minus {FRESH}",
                accuracy[FROM_SHALLOWER] - accuracy[FRESH],
                above(0),
            ),
            points(
                f"test accuracy, {HE} minus {FROM_SHALLOWER}",
                accuracy[HE] - accuracy[FROM_SHALLOWER],
                at_least(-1),
            ),
        ],
        figure=figure,
        remarks=[
            f"The shallower networks reach {shallow.accuracy.mean():.1f} %; beginning with their "
            "layers takes their training as well."
        ],
    )
