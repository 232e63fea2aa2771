"""The layers that darknet's cfg files name."""

from typing import Any, Final

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.errors import JaxnetsError, UnknownNameError
from jaxnets.nn import BatchNorm, Conv
from jaxnets.ops import max_pool

# Beside the variance, as cuDNN has it, with which the published weights were trained.
EPSILON = 1e-5
ACTIVATIONS: Final = {
    "linear": lambda x: x,
    "leaky": lambda x: jnp.where(x > 0, x, 0.1 * x),
    "relu": jax.nn.relu,
    "relu6": jax.nn.relu6,
    "logistic": jax.nn.sigmoid,
    "swish": jax.nn.silu,
    "mish": lambda x: x * jnp.tanh(jax.nn.softplus(x)),
    "tanh": jnp.tanh,
}
SECTIONS: Final = (
    *("net", "convolutional", "maxpool", "avgpool", "route", "shortcut", "upsample", "dropout"),
    *("reorg", "softmax", "yolo", "region"),
)
# Sections that are a detector's outputs.
HEADS: Final = ("yolo", "region")


class Layers(nn.Module):
    """What each section but [yolo] does to the result of the one before."""

    def layer(
        self, section: Any, number: int, x: jax.Array, results: list[jax.Array], train: bool
    ) -> jax.Array:
        """The result of one section.

        Args:
            section: its kind and options.
            number: of the layer.
            x: the result of the one before, (N, H, W, C).
            results: of all before.
            train: whether statistics are those of the batch and dropout drops.

        Returns:
            (N, H', W', C').

        Raises:
            JaxnetsError: a layer that does not exist, or shapes that do not fit.
        """
        kind = section.kind
        if kind == "convolutional":
            x = self._convolution(section, number, x, train)
        elif kind == "maxpool":
            x = _max_pool(section, x)
        elif kind == "avgpool":
            x = x.mean((1, 2), keepdims=True)
        elif kind == "route":
            x = _route(section, number, results)
        elif kind == "shortcut":
            other = _earlier(section, number, section.get("from", 0), results)
            if other.shape != x.shape:
                raise JaxnetsError(
                    f"[shortcut] in line {section.line} adds {other.shape[1:]} to {x.shape[1:]}"
                )
            x = x + other
        elif kind == "upsample":
            stride = section.get("stride", 2)
            x = jnp.repeat(jnp.repeat(x, stride, 1), stride, 2)
        elif kind == "reorg":
            x = _reorganize(x, section.get("stride", 1))
        elif kind == "softmax":
            x = jax.nn.softmax(x, -1)
        elif kind == "dropout":
            rate = section.get("probability", 0.5)
            x = nn.Dropout(rate, deterministic=not train, name=f"layer{number}")(x)
        if kind in ("convolutional", "shortcut"):
            name = section.get("activation", "linear" if kind == "shortcut" else "logistic")
            if name not in ACTIVATIONS:
                raise UnknownNameError("activation", name, ACTIVATIONS)
            x = ACTIVATIONS[name](x)
        return x

    def _convolution(self, section, number, x, train):
        size = section.get("size", 1)
        padding = size // 2 if section.get("pad", 0) else section.get("padding", 0)
        normalized = bool(section.get("batch_normalize", 0))
        dtype = getattr(self, "dtype", None)
        x = Conv(
            section.get("filters", 1),
            (size, size),
            strides=section.get("stride", 1),
            padding=padding,
            groups=section.get("groups", 1),
            use_bias=not normalized,
            dtype=dtype,
            name=f"layer{number}",
        )(x)
        if normalized:
            x = BatchNorm(epsilon=EPSILON, dtype=dtype, name=f"layer{number}_bn")(x, train=train)
        return x


def _max_pool(section, x):
    stride = section.get("stride", 1)
    size = section.get("size", stride)
    total = section.get("padding", size - 1)
    pairs = []
    for extent in x.shape[1:3]:
        steps = (extent + total - size) // stride
        # What the last window reaches beyond the border, at least nothing.
        before = total // 2
        pairs.append((before, max(0, steps * stride + size - extent - before)))
    return max_pool(x, size, strides=stride, padding=tuple(pairs))


def _route(section, number, results):
    parts = [
        _earlier(section, number, int(layer), results) for layer in section.get("layers", (-1.0,))
    ]
    groups = section.get("groups", 1)
    if groups > 1:
        chosen = section.get("group_id", 0)
        parts = [jnp.split(part, groups, -1)[chosen] for part in parts]
    if len({part.shape[1:3] for part in parts}) > 1:
        sizes = [part.shape[1:3] for part in parts]
        raise JaxnetsError(f"[route] in line {section.line} joins maps of sizes {sizes}")
    return jnp.concatenate(parts, -1)


def _earlier(section, number, layer, results):
    """The result of a layer, counted from the first or, below 0, back from this one."""
    place = number + layer if layer < 0 else layer
    if not 0 <= place < number:
        raise JaxnetsError(
            f"[{section.kind}] in line {section.line} names layer {layer}; expected one before it"
        )
    return results[place]


def _reorganize(x, stride):
    """Passthrough: darknet moves squares of pixels into channels, in an order of its own."""
    batch, height, width, channels = x.shape
    if channels % stride**2 or height % stride or width % stride:
        raise JaxnetsError(f"[reorg] gets {x.shape[1:]}, which {stride}² does not divide")
    # Its memory is (C, H, W), read as (C/s², H·s, W·s).
    x = x.transpose(0, 3, 1, 2).reshape(batch, channels // stride**2, height, stride, width, stride)
    x = x.transpose(0, 3, 5, 1, 2, 4).reshape(
        batch, channels * stride**2, height // stride, width // stride
    )
    return x.transpose(0, 2, 3, 1)
