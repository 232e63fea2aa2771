"""How far do features move when the image is shifted, scaled or turned?"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.interpret.program import check_images, compiled, names, run_network
from jaxnets.models import features


class Sensitivity(NamedTuple):
    """What a transform does at each of V settings, to N images.

    Attributes:
        values: the settings, (V,).
        distances: layer → ‖f(T x) − f(x)‖₂, (V, N).
        probability: of the true class, (V, N).

    >>> Sensitivity._fields
    ('values', 'distances', 'probability')
    """

    values: np.ndarray
    distances: dict[str, np.ndarray]
    probability: np.ndarray


def transform_images(
    images: jax.Array, kind: str, value: jax.Array | float, fill: jax.Array | float = 0.0
) -> jax.Array:
    """Shift, scale or turn images about their center, with linear interpolation.

    Args:
        images: (N, H, W, C), floating.
        kind: "translate": down by ``value`` pixels; "scale": larger by the factor ``value``;
            "rotate": counterclockwise by ``value`` degrees.
        value: a number.
        fill: what comes into view, a number or one for each color.

    Returns:
        (N, H, W, C).

    Raises:
        ValueError: another ``kind``.

    >>> x = jnp.arange(4.0).reshape(1, 2, 2, 1)
    >>> transform_images(x, "translate", 1)[0, ..., 0].tolist()
    [[0.0, 0.0], [0.0, 1.0]]
    """
    images = check_images(images)
    height, width = images.shape[1:3]
    middle = (height - 1) / 2, (width - 1) / 2
    rows, columns = jnp.meshgrid(
        jnp.arange(height, dtype=images.dtype) - middle[0],
        jnp.arange(width, dtype=images.dtype) - middle[1],
        indexing="ij",
    )
    value = jnp.asarray(value, images.dtype)
    # Where each pixel comes from.
    if kind == "translate":
        rows = rows - value
    elif kind == "scale":
        rows, columns = rows / value, columns / value
    elif kind == "rotate":
        angle = jnp.deg2rad(value)
        sine, cosine = jnp.sin(angle), jnp.cos(angle)
        rows, columns = rows * cosine + columns * sine, columns * cosine - rows * sine
    else:
        raise ValueError(f"kind: got {kind!r}; expected 'translate', 'scale' or 'rotate'")
    places = [rows + middle[0], columns + middle[1]]
    fill = jnp.broadcast_to(jnp.asarray(fill, images.dtype), images.shape[-1:])

    def move(channel):
        return jax.scipy.ndimage.map_coordinates(channel, places, order=1, cval=0.0)

    # Zero outside, so that the fill is added where nothing is seen.
    planes = jnp.moveaxis(images - fill, -1, 1).reshape(-1, height, width)
    moved = jax.vmap(move)(planes).reshape(len(images), -1, height, width)
    return jnp.moveaxis(moved, 1, -1) + fill


def transform_sensitivity(
    model: nn.Module,
    variables: Mapping[str, Any],
    images: jax.Array,
    labels: Any,
    kind: str,
    values: Sequence[float],
    layers: str | Sequence[str],
    *,
    fill: float | Sequence[float] = 0.0,
) -> Sensitivity:
    """Distances between the features of an image and of the same image transformed.

    .. math:: d_l(v) = ‖f_l(T_v x) − f_l(x)‖_2

    The distance is to the features of the image as it is, not to those at the setting before.

    Args:
        model: any Flax module that takes images first and returns logits.
        variables: its variables.
        images: (N, H, W, C), as the network takes them.
        labels: (N,), the true classes.
        kind: of `transform_images`.
        values: its settings: the paper's are −60 … 60 pixels, ×1 … ×1.8, 0° … 350°.
        layers: endpoints or paths of submodules; the paper's are the first and the seventh layer.
        fill: of `transform_images`.

    Returns:
        See `Sensitivity`.

    Raises:
        UnknownNameError: no such layer; the message offers the nearest names.
        ValueError: another ``kind``, no values, or labels that do not fit the images.

    Source: Zeiler & Fergus 2014, §4.1, figure 5.

    >>> model, x = nn.Sequential([lambda x: x.mean((1, 2)), nn.Dense(3)]), jnp.ones((2, 4, 4, 1))
    >>> variables = model.init(jax.random.key(0), x)
    >>> found = transform_sensitivity(model, variables, x, [0, 1], "rotate", [0, 90], "layers_1")
    >>> found.distances["layers_1"].shape, float(found.distances["layers_1"].max()) < 1e-4
    ((2, 2), True)
    """
    images, layers = check_images(images), names(layers)
    labels = jnp.asarray(labels)
    if labels.shape != (len(images),):
        raise ValueError(f"labels: got shape {labels.shape}; expected one for each image")
    if not len(values):
        raise ValueError("values: got none; expected at least one setting")
    run = compiled(_features_and_probabilities, model, layers)
    own, _ = run(variables, images)
    distances: dict[str, list[Any]] = {layer: [] for layer in layers}
    probability = []
    for value in values:
        moved, chances = run(variables, transform_images(images, kind, value, jnp.asarray(fill)))
        for layer in layers:
            change = (moved[layer] - own[layer]).reshape(len(images), -1)
            distances[layer].append(np.asarray(jnp.linalg.norm(change, axis=1)))
        probability.append(np.asarray(chances[jnp.arange(len(images)), labels]))
    return Sensitivity(
        np.asarray(values, float),
        {layer: np.stack(rows) for layer, rows in distances.items()},
        np.stack(probability),
    )


def _features_and_probabilities(model, layers, variables, images):
    logits = run_network(model, variables, images)[0]
    return dict(features(model, variables, images, taps=layers)), jax.nn.softmax(logits)


def linearity(values: np.ndarray, distances: np.ndarray) -> float:
    """Share of a curve's variance that a line through its origin explains, R².

    The curve is the mean distance over images against how far the setting is from the one that
    changes nothing, which is the one with the smallest distance.

    Args:
        values: settings, (V,).
        distances: (V, N), or (V,).

    Returns:
        R², at most 1.

    >>> round(linearity(np.array([-1.0, 0.0, 1.0, 2.0]), np.array([3.0, 0.0, 3.0, 6.0])), 6)
    1.0
    """
    curve = np.asarray(distances, float)
    curve = curve.mean(1) if curve.ndim == 2 else curve
    away = np.abs(np.asarray(values, float) - values[curve.argmin()])
    slope = (away @ curve) / max(away @ away, 1e-30)
    spread = ((curve - curve.mean()) ** 2).sum()
    return float(1 - ((curve - slope * away) ** 2).sum() / max(spread, 1e-30))
