"""A multi-layer perceptron: fully connected layers over the flattened image."""

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.models import papers
from jaxnets.models.checks import check_images, stem_channels
from jaxnets.models.registry import register
from jaxnets.nn import Dense, Dropout
from jaxnets.ops import relu


class MLP(nn.Module):
    """h ← dropout(activation(W h + b)) for every hidden layer, then a linear classifier.

    Attributes:
        num_classes: width of the classifier; None returns the hidden activations by name.
        hidden: width of each hidden layer.
        activation: the nonlinearity.
        dropout_rate: share of hidden units dropped in training.
        dtype: compute dtype.

    Call: images (N, H, W, C), any size → logits (N, num_classes), float32. Needs the rng
    "dropout" in training where ``dropout_rate`` > 0. Layers: fc1, fc2, …, classifier.

    Source: Rumelhart, Hinton, Williams, "Learning representations by back-propagating errors",
    1986.
    """

    num_classes: int | None = 10
    hidden: Sequence[int] = (256, 128)
    activation: Callable[[jax.Array], jax.Array] = relu
    dropout_rate: float = 0.0
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False):
        check_images(self, x)
        values, expected = math.prod(x.shape[1:]), stem_channels(self, "fc1")
        if expected not in (None, values):
            raise ValueError(
                f"MLP: expected images of {expected} values, as the parameters were made for, "
                f"got {values} (shape {x.shape})."
            )
        x = x.reshape(x.shape[0], -1)
        endpoints = OrderedDict()
        for i, width in enumerate(self.hidden, start=1):
            x = self.activation(Dense(width, dtype=self.dtype, name=f"fc{i}")(x))
            endpoints[f"fc{i}"] = x
            x = Dropout(self.dropout_rate, name=f"dropout{i}")(x, train=train)
        if self.num_classes is None:
            return endpoints
        logits = Dense(self.num_classes, dtype=self.dtype, name="classifier")(x)
        return logits.astype(jnp.float32)


@register(paper=papers.MLP, parameters=235_146, macs=234_752, input_size=28, channels=1)
def mlp(*, num_classes: int | None = 10, name: str | None = None, **fields: Any) -> MLP:
    """A perceptron with two hidden layers, of 256 and 128 units; ``fields`` of `MLP`."""
    return MLP(num_classes=num_classes, name=name, **fields)


@register(paper=papers.LENET, parameters=266_610, macs=266_200, input_size=28, channels=1)
def lenet_300_100(*, num_classes: int | None = 10, name: str | None = None, **fields: Any) -> MLP:
    """LeNet-300-100, two hidden layers of 300 and 100 units; ``fields`` of `MLP`."""
    return MLP(num_classes=num_classes, name=name, **{"hidden": (300, 100), **fields})
