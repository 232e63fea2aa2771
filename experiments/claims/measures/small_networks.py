"""The network of the claims on activations and batch normalization, dense or convolutional."""

from collections.abc import Callable
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp

from jaxnets.nn import BatchNorm, Conv, Dense, PReLU
from jaxnets.ops import elu, he_normal, leaky_relu, relu, sigmoid, tanh, xavier_normal

Kind = Literal["dense", "convolutional"]

# PReLU's slope is learned, and Maxout takes the larger of two products: they are not functions.
ACTIVATIONS: dict[str, Callable | None] = {
    "ReLU": relu,
    "leaky ReLU": leaky_relu,
    "ELU": elu,
    "PReLU": None,
    "Maxout": None,
    "tanh": tanh,
    "sigmoid": sigmoid,
}


class SmallNetwork(nn.Module):
    """Hidden layers with the named activation, behind batch norm where asked, and a classifier.

    Convolutions have stride 2, the first 5×5 and the others 3×3. Weights after He, before tanh and
    sigmoid after Xavier.

    Attributes:
        kind: of the hidden layers.
        widths: units or channels of each.
        activation: of `ACTIVATIONS`.
        norm: batch normalization before each activation.
    """

    kind: Kind
    widths: tuple[int, ...]
    activation: str = "ReLU"
    norm: bool = False

    @nn.compact
    def __call__(self, x, *, train: bool = False):
        dense, pieces = self.kind == "dense", 2 if self.activation == "Maxout" else 1
        if dense:
            x = x.reshape(x.shape[0], -1)
        init = xavier_normal if self.activation in ("tanh", "sigmoid") else he_normal
        for i, width in enumerate(self.widths):
            options = {"kernel_init": init, "name": f"hidden{i}"}
            if dense:
                x = Dense(pieces * width, **options)(x)
            else:
                side = 5 if i == 0 else 3
                x = Conv(pieces * width, (side, side), strides=2, padding="SAME", **options)(x)
            if self.norm:
                x = BatchNorm(name=f"norm{i}")(x, train=train)
            x = self._activate(x, i)
        return Dense(10, name="classifier")(x.reshape(x.shape[0], -1))

    def _activate(self, x, i: int):
        if self.activation == "Maxout":
            return jnp.max(x.reshape(*x.shape[:-1], -1, 2), axis=-1)
        function = ACTIVATIONS[self.activation]
        return PReLU(name=f"prelu{i}")(x) if function is None else function(x)
