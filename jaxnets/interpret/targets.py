"""What is looked at: a class, a whole map of a layer, or one unit of it."""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

WHOLE, STRONGEST, GIVEN = "whole", "strongest", "given"


@dataclass(frozen=True)
class Unit:
    """A number for each image: the activation of a unit, or of a map as a whole.

    Attributes:
        layer: an endpoint or the path of a submodule; None: the network's output.
        channel: a number, or one for each image; None: in each image the channel with the largest
            activation, for the output the predicted class.
        position: (row, column); "strongest": where the channel is largest; None: the sum over all
            positions.

    >>> Unit("conv5", 3, "strongest")
    Unit(layer='conv5', channel=3, position='strongest')
    """

    layer: str | None = None
    channel: Any = None
    position: Any = None


# What functions take as target: a class, classes (one an image), a layer's name, a `Unit`, None.
Target = Any


def as_unit(target: Target) -> Unit:
    """A target as a `Unit`: a number is a class, a string a layer, None the predicted class.

    Args:
        target: see above.

    Returns:
        A `Unit`.

    >>> as_unit(7), as_unit("conv5").layer
    (Unit(layer=None, channel=7, position=None), 'conv5')
    """
    if isinstance(target, Unit):
        return target
    return Unit(layer=target) if isinstance(target, str) else Unit(channel=target)


def split(unit: Unit, count: int) -> tuple[tuple[str | None, str], tuple[Any, Any]]:
    """What of a unit decides on the program, and what are numbers in it.

    Args:
        unit: what to look at.
        count: N, the number of images.

    Returns:
        ((layer, kind of position), (channels (N,), positions (N, 2))); a channel of −1 stands for
        the strongest one.

    Raises:
        ValueError: a channel or position of another form.

    >>> split(Unit("conv5", 3), 2)[0]
    ('conv5', 'whole')
    """
    channel = jnp.asarray(-1 if unit.channel is None else unit.channel)
    wrong = channel.ndim > 1 or (channel.ndim == 1 and len(channel) != count)
    if wrong or not jnp.issubdtype(channel.dtype, jnp.integer):
        raise ValueError(
            f"channel: got {channel.dtype} of shape {channel.shape}; expected one integer, or one "
            f"for each of {count} images"
        )
    if unit.channel is not None and not isinstance(channel, jax.core.Tracer):
        lowest = int(channel.min())
        if lowest < 0:
            raise ValueError(f"channel: got {lowest}; expected a number from 0")
    kind, position = WHOLE, np.zeros((count, 2), np.int32)
    if isinstance(unit.position, str):
        if unit.position != STRONGEST:
            raise ValueError(
                f"position: got {unit.position!r}; expected (row, column), 'strongest' or None"
            )
        kind = STRONGEST
    elif unit.position is not None:
        kind, position = GIVEN, jnp.asarray(unit.position, jnp.int32)
        if position.shape not in ((2,), (count, 2)):
            raise ValueError(
                f"position: got shape {position.shape}; expected (row, column), or one such pair "
                f"for each of {count} images"
            )
    channels = jnp.broadcast_to(channel.astype(jnp.int32), (count,))
    return (unit.layer, kind), (channels, jnp.broadcast_to(position, (count, 2)))


def pick(value: jax.Array, kind: str, channels: jax.Array, positions: jax.Array) -> jax.Array:
    """The activation of each image's unit, (N,).

    Args:
        value: a layer's value, (N, H, W, C) or (N, C).
        kind: of the position, as `split` gives it.
        channels, positions: as `split` gives them.

    Returns:
        (N,).

    Raises:
        ValueError: the layer's value is no array of 2 or 4 axes.

    >>> value = jnp.arange(8.0).reshape(1, 2, 2, 2)
    >>> pick(value, "given", jnp.array([1]), jnp.array([[0, 1]])).tolist()
    [3.0]
    """
    value = as_map(value)
    channels, positions = locate(value, kind, channels, positions)
    rows = jnp.arange(len(value))
    if kind == WHOLE:
        return value.sum((1, 2))[rows, channels]
    return value[rows, positions[:, 0], positions[:, 1], channels]


def locate(value, kind, channels, positions) -> tuple[jax.Array, jax.Array]:
    """The channel and position of each image's unit, where those of `split` leave them open.

    Args:
        value: (N, H, W, C).
        kind: of the position.
        channels, positions: as `split` gives them.

    Returns:
        (channels (N,), positions (N, 2)).

    >>> value = jnp.arange(8.0).reshape(1, 2, 2, 2)
    >>> [x.tolist() for x in locate(value, "strongest", jnp.array([-1]), jnp.zeros((1, 2), int))]
    [[1], [[1, 1]]]
    """
    value = jax.lax.stop_gradient(value)
    count, _, width, depth = value.shape
    channels = jnp.where(channels < 0, value.max((1, 2)).argmax(-1), channels)
    if kind == STRONGEST:
        flat = value.reshape(count, -1, depth)[jnp.arange(count), :, channels].argmax(-1)
        positions = jnp.stack([flat // width, flat % width], axis=-1)
    return channels, positions


def as_map(value: Any) -> jax.Array:
    """A layer's value with two spatial axes; vectors get axes of length 1.

    Args:
        value: (N, H, W, C) or (N, C).

    Returns:
        (N, H, W, C).

    Raises:
        ValueError: anything else.

    >>> as_map(jnp.ones((2, 5))).shape
    (2, 1, 1, 5)
    """
    if not isinstance(value, (jax.Array, np.ndarray)) or value.ndim not in (2, 4):
        got = f"shape {value.shape}" if hasattr(value, "shape") else type(value).__name__
        raise ValueError(
            f"target: the layer gives {got}; expected a map (N, H, W, C) or a vector (N, C). A "
            "backbone has no classes: name a layer"
        )
    return value[:, None, None, :] if value.ndim == 2 else value


def check_fits(unit: Unit, shape: Any) -> None:
    """Refuse a channel or a position that the layer does not have.

    Args:
        unit: what was asked for.
        shape: (H, W, C) of the layer's value.

    Raises:
        ValueError: the message says what there is.

    >>> check_fits(Unit("conv5", 9), (4, 4, 8))
    Traceback (most recent call last):
    ValueError: channel: got 9; 'conv5' has 8 channels
    """
    height, width, depth = (int(n) for n in shape)
    layer = "the output" if unit.layer is None else repr(unit.layer)
    if unit.channel is not None and not isinstance(unit.channel, jax.core.Tracer):
        highest = int(np.max(np.asarray(unit.channel)))
        if highest >= depth:
            raise ValueError(f"channel: got {highest}; {layer} has {depth} channels")
    if unit.position is not None and not isinstance(unit.position, (str, jax.core.Tracer)):
        position = np.asarray(unit.position).reshape(-1, 2)
        outside = (position < 0) | (position >= (height, width))
        if outside.any():
            wrong = tuple(position[outside.any(1)][0].tolist())
            raise ValueError(f"position: got {wrong}; {layer} has {height}×{width} positions")
