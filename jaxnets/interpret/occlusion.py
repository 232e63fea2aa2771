"""Occlusion maps: what a network says while a square hides one part of the image after another."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.interpret.backward import check_count
from jaxnets.interpret.program import check_images, compiled, run_network
from jaxnets.interpret.targets import Unit, as_map, check_fits, split


class OcclusionMaps(NamedTuple):
    """What the network says for every place of the square; R rows and S columns of places.

    Attributes:
        probability: of the target class, (N, R, S).
        label: the most probable class, (N, R, S).
        activation: sum over the positions of ``channel`` of the layer, (N, R, S); None without.
        channel: the layer's strongest one in each image without a square, (N,); None without layer.
        drop: (N, H, W): by how much the probability falls when a pixel is hidden, the mean over all
            places of the square that hide it.
        rows, columns: of the upper left corners of the square, (R,) and (S,).

    >>> OcclusionMaps._fields[0]
    'probability'
    """

    probability: jax.Array
    label: jax.Array
    activation: jax.Array | None
    channel: jax.Array | None
    drop: jax.Array
    rows: np.ndarray
    columns: np.ndarray


def occlusion_map(
    model: nn.Module,
    variables: Mapping[str, Any],
    images: jax.Array,
    target: Any = None,
    *,
    size: int | tuple[int, int],
    stride: int | tuple[int, int] | None = None,
    fill: float | Sequence[float] = 0.0,
    layer: str | None = None,
    batch_size: int = 32,
) -> OcclusionMaps:
    """Slide a square over the image and note what the network then says.

    The three maps of the paper: the activation of a layer's strongest map, the probability of the
    true class, and the most probable class. Places begin at the upper left corner, a stride apart,
    as many as it takes to hide every pixel; at the right and lower edge squares are cut off.

    Args:
        model: any Flax module that takes images first and returns logits (N, K).
        variables: its variables.
        images: (N, H, W, C), as the network takes them.
        target: the true class, or one for each image; None: the predicted one.
        size: of the square, or (height, width), in pixels.
        stride: pixels between places (default: half the size).
        fill: what the square shows, a number or one for each color: 0 is the mean color of images
            that are standardized.
        layer: an endpoint or the path of a submodule, for the first map.
        batch_size: places that are computed together.

    Returns:
        See `OcclusionMaps`.

    Raises:
        UnknownNameError: no such layer; the message offers the nearest names.
        ValueError: a square larger than the image, a stride larger than the square, or there is
            no such class.

    Source: Zeiler & Fergus 2014, §4.2, figure 7.

    >>> model, x = nn.Sequential([lambda x: x.mean((1, 2)), nn.Dense(3)]), jnp.ones((1, 6, 6, 2))
    >>> found = occlusion_map(model, model.init(jax.random.key(0), x), x, size=4, stride=2)
    >>> found.probability.shape, found.drop.shape, found.rows.tolist()
    ((1, 2, 2), (1, 6, 6), [0, 2])
    """
    images = check_images(images)
    unit = target if target is None else Unit(channel=target)
    _, (channels, _) = split(unit or Unit(), len(images))
    check_count("batch_size", batch_size)
    extent = images.shape[1:3]
    square = _pair("size", size)
    steps = tuple(max(1, n // 2) for n in square) if stride is None else _pair("stride", stride)
    if square[0] > extent[0] or square[1] > extent[1]:
        raise ValueError(
            f"size: got {square[0]}×{square[1]} pixels; expected at most the image's "
            f"{extent[0]}×{extent[1]}"
        )
    if steps[0] > square[0] or steps[1] > square[1]:
        raise ValueError(f"stride: got {steps}; expected at most the size, {square}")
    color = jnp.broadcast_to(jnp.asarray(fill, images.dtype), images.shape[-1:])
    rows, columns = (
        np.arange(1 + -(-(n - k) // s)) * s for n, k, s in zip(extent, square, steps, strict=True)
    )
    corners = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)
    plain = compiled(_plain, model, layer)(variables, images)
    check_fits(Unit(channel=target), (1, 1, plain[0].shape[-1]))
    channels = jnp.where(channels < 0, plain[0].argmax(-1), channels)
    count = min(batch_size, len(corners))
    padded = np.concatenate([corners, np.repeat(corners[-1:], -len(corners) % count, axis=0)])
    program = compiled(_occluded, model, layer, square)
    parts = [
        [
            program(variables, images[i], color, padded[k : k + count], channels[i], plain[2][i])
            for k in range(0, len(padded), count)
        ]
        for i in range(len(images))
    ]
    shape = (len(images), len(rows), len(columns))

    def collect(which):
        found = [jnp.concatenate([part[which] for part in row])[: len(corners)] for row in parts]
        return jnp.stack(found).reshape(shape)

    probability = collect(0)
    before = plain[1][jnp.arange(len(images)), channels]
    return OcclusionMaps(
        probability,
        collect(1),
        None if layer is None else collect(2),
        None if layer is None else plain[2],
        _drop(before, probability, rows, columns, square, extent),
        rows,
        columns,
    )


def _plain(model, layer, variables, images):
    """(logits, probabilities, the layer's strongest channel) of the images as they are."""
    logits, value = run_network(model, variables, images, layer=layer)
    if getattr(logits, "ndim", 0) != 2:
        raise ValueError(f"model: {type(model).__name__} returns no logits (N, K)")
    if layer is None:
        strongest = jnp.zeros(len(images), jnp.int32)
    else:
        strongest = as_map(value).max((1, 2)).argmax(-1)
    return logits, _probabilities(logits, images), strongest


def _probabilities(logits, images):
    # Networks give float32 logits; a fall from almost 1 needs more, where the images have more.
    return jax.nn.softmax(logits.astype(jnp.result_type(logits, images)))


def _occluded(model, layer, square, variables, image, color, corners, channel, strongest):
    height, width = image.shape[:2]
    rows = jnp.arange(height) - corners[:, :1]
    columns = jnp.arange(width) - corners[:, 1:]
    hidden = ((rows >= 0) & (rows < square[0]))[:, :, None] & (
        (columns >= 0) & (columns < square[1])
    )[:, None, :]
    images = jnp.where(hidden[..., None], color, image)
    logits, value = run_network(model, variables, images, layer=layer)
    probabilities = _probabilities(logits, images)
    label = logits.argmax(-1)
    if layer is None:
        return probabilities[:, channel], label, label
    return probabilities[:, channel], label, as_map(value).sum((1, 2))[:, strongest]


def _drop(before, probability, rows, columns, square, extent) -> jax.Array:
    """The mean drop over all squares that hide a pixel: two small matrices, one for each axis."""
    cover = [
        (np.arange(n) >= starts[:, None]) & (np.arange(n) < starts[:, None] + k)
        for starts, k, n in zip((rows, columns), square, extent, strict=True)
    ]
    down, right = (c.astype(probability.dtype) for c in cover)
    drops = before[:, None, None] - probability
    total = jnp.einsum("nrs,rh,sw->nhw", drops, down, right, precision="highest")
    return total / (down.sum(0)[:, None] * right.sum(0))


def _pair(name: str, value: int | tuple[int, int]) -> tuple[int, int]:
    pair = (value, value) if isinstance(value, (int, np.integer)) else tuple(value)
    if len(pair) != 2 or any(int(v) < 1 for v in pair):
        raise ValueError(f"{name}: got {value!r}; expected pixels, an int or two, of at least 1")
    return int(pair[0]), int(pair[1])
