"""From the tokens of the convolutional space to a network.

A layer without inputs sees the image; outputs that no layer uses meet before the classifier; where
inputs differ in size, the smaller ones are padded with zeros.

Source: Zoph, Le, "Neural Architecture Search with Reinforcement Learning", 2017, section 3.3.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxnets.nas.space import SearchSpace
from jaxnets.nn import BatchNorm, Conv, Dense
from jaxnets.ops import relu

IMAGE = -1


class ConvLayer(NamedTuple):
    """One layer of a found network.

    Attributes:
        height, width: of its filters.
        strides: of both axes.
        filters: how many.
        inputs: the layers that it sees, `IMAGE` for the image.

    >>> ConvLayer(3, 3, (1, 1), 24, (IMAGE,)).inputs
    (-1,)
    """

    height: int
    width: int
    strides: tuple[int, int]
    filters: int
    inputs: tuple[int, ...]


class ConvPlan(NamedTuple):
    """A found network.

    Attributes:
        layers: in the order of computation.
        outputs: the layers that the classifier sees.

    >>> ConvPlan((ConvLayer(3, 3, (1, 1), 8, (IMAGE,)),), (0,)).outputs
    (0,)
    """

    layers: tuple[ConvLayer, ...]
    outputs: tuple[int, ...]


def decode_conv(space: SearchSpace, architecture: Sequence[int]) -> ConvPlan:
    """The network of an architecture.

    Args:
        space: of `conv_space`.
        architecture: one of it.

    Returns:
        `ConvPlan`.

    Raises:
        JaxnetsError: an architecture out of the space.

    >>> from jaxnets.nas.space import conv_space
    >>> plan = decode_conv(conv_space(2), (0, 0, 0, 0, 1, 1, 1))
    >>> [layer.inputs for layer in plan.layers], plan.outputs  # the second is not connected
    ([(-1,), (-1,)], (0, 1))
    """
    count = max(token.layer for token in space.tokens) + 1
    chosen: list[dict[str, Any]] = [{} for _ in range(count)]
    skips: list[list[int]] = [[] for _ in range(count)]
    has_skips = any(token.source >= 0 for token in space.tokens)
    for token, value in zip(space.tokens, space.decode(architecture), strict=True):
        if token.source >= 0:
            if value:
                skips[token.layer].append(token.source)
        else:
            chosen[token.layer][token.slot] = value
    layers, used = [], set()
    for number, one in enumerate(chosen):
        inputs = tuple(skips[number]) if has_skips else tuple(range(number - 1, number))
        if not inputs or inputs == (-1,):
            inputs = (IMAGE,)
        used |= set(inputs)
        strides = (one.get("stride_h", 1), one.get("stride_w", 1))
        layers.append(ConvLayer(one["height"], one["width"], strides, one["filters"], inputs))
    return ConvPlan(tuple(layers), tuple(n for n in range(count) if n not in used))


def join(maps: Sequence[jax.Array]) -> jax.Array:
    """Maps side by side, the smaller ones padded with zeros to the largest.

    Args:
        maps: (B, H_i, W_i, C_i).

    Returns:
        (B, max H, max W, Σ C); zeros are added behind.

    >>> join([jnp.ones((1, 2, 2, 1)), jnp.ones((1, 1, 2, 3))]).shape
    (1, 2, 2, 4)
    """
    height, width = (max(m.shape[axis] for m in maps) for axis in (1, 2))
    padded = [
        jnp.pad(m, [(0, 0), (0, height - m.shape[1]), (0, width - m.shape[2]), (0, 0)])
        for m in maps
    ]
    return jnp.concatenate(padded, -1)


class ConvChild(nn.Module):
    """A network of the convolutional space.

    Attributes:
        plan: of `decode_conv`.
        num_classes: width of the classifier.
        norm: between convolution and ReLU, called with ``name`` and ``dtype``; None for none.
        conv: convolution layer.
        dtype: compute dtype.

    Call: images (B, H, W, C) → logits (B, num_classes), float32: the mean over all places of the
    outputs that no layer uses, then a dense layer.

    >>> plan = ConvPlan((ConvLayer(3, 3, (2, 2), 8, (IMAGE,)),), (0,))
    >>> child = ConvChild(plan, num_classes=10)
    >>> shapes = jax.eval_shape(child.init, jax.random.key(0), jnp.ones((1, 8, 8, 1)))["params"]
    >>> sorted(shapes)
    ['bn0', 'head', 'layer0']
    """

    plan: ConvPlan
    num_classes: int = 10
    norm: Callable[..., nn.Module] | None = BatchNorm
    conv: Callable[..., nn.Module] = Conv
    dtype: Any = None

    @nn.compact
    def __call__(self, x: jax.Array, *, train: bool = False) -> jax.Array:
        maps = {IMAGE: x}
        for number, layer in enumerate(self.plan.layers):
            y = join([maps[source] for source in layer.inputs])
            sides = (layer.height, layer.width)
            padding = [((k - 1) // 2, k // 2) for k in sides]
            y = self.conv(
                layer.filters,
                sides,
                strides=layer.strides,
                padding=padding,
                dtype=self.dtype,
                name=f"layer{number}",
            )(y)
            if self.norm is not None:
                y = self.norm(dtype=self.dtype, name=f"bn{number}")(y, train=train)
            maps[number] = relu(y)
        y = join([maps[number] for number in self.plan.outputs]).mean((1, 2))
        return Dense(self.num_classes, dtype=self.dtype, name="head")(y).astype(jnp.float32)
