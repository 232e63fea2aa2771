"""Correspondence analysis: does hiding the same part of several objects change features alike?"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.interpret.program import check_images, compiled, names
from jaxnets.models import features


class Correspondence(NamedTuple):
    """How consistently features change, Δ, for one hidden part.

    Attributes:
        mean: of Δ over all pairs of images.
        std: over the images, of each one's mean Δ with all others.
        pairs: Δ of each pair, (N, N), zeros on the diagonal.

    >>> Correspondence._fields
    ('mean', 'std', 'pairs')
    """

    mean: float
    std: float
    pairs: np.ndarray


def sign_distance(changes: jax.Array) -> jax.Array:
    """Share of units in which the signs of two changes differ, for all pairs.

    .. math:: Δ_{ij} = \\frac{1}{U} Σ_u [\\mathrm{sign}(ε_i) ≠ \\mathrm{sign}(ε_j)]_u

    The sign of a unit that does not change is 0, so that two units that do not change agree.

    Args:
        changes: ε, (N, U).

    Returns:
        (N, N).

    >>> sign_distance(jnp.array([[1.0, 2.0], [1.0, -1.0]])).tolist()
    [[0.0, 0.5], [0.5, 0.0]]
    """
    changes = jnp.asarray(changes)
    # Two signs agree where both are positive, both negative or both zero: three matrix products.
    kinds = [changes > 0, changes < 0, changes == 0]
    wide = jnp.result_type(changes.dtype, jnp.float32)
    agree = sum(jnp.matmul(k.astype(wide), k.astype(wide).T, precision="highest") for k in kinds)
    return 1 - agree / changes.shape[1]


def correspondence(
    model: nn.Module,
    variables: Mapping[str, Any],
    images: jax.Array,
    parts: Mapping[str, np.ndarray],
    layers: str | Sequence[str],
    *,
    fill: float | Sequence[float] = 0.0,
) -> dict[str, dict[str, Correspondence]]:
    """Hide the same part in every image, and see whether the features change alike.

    .. math:: ε_i = f(x_i) − f(\\tilde{x}_i), \\quad Δ = \\mathrm{mean}_{i ≠ j} \\,
        \\frac{1}{U} H(\\mathrm{sign}(ε_i), \\mathrm{sign}(ε_j))

    with H the Hamming distance over U units. The paper sums over pairs and does not say by what its
    table is divided; here Δ is the mean over pairs and units, between 0 and 1. A Δ that is smaller
    for a part than for random places says that the network establishes a correspondence.

    Args:
        model: any Flax module that takes images first.
        variables: its variables.
        images: (N, H, W, C), at least two, as the network takes them.
        parts: name → boxes to hide, (N, 4) or (4,): x and y of the upper left corner and of the
            lower right one, just outside. The control is a part of random boxes.
        layers: endpoints or paths of submodules.
        fill: what hides the parts, a number or one for each color.

    Returns:
        Layer → part → `Correspondence`.

    Raises:
        UnknownNameError: no such layer; the message offers the nearest names.
        ValueError: fewer than two images, or boxes that do not fit.

    Source: Zeiler & Fergus 2014, §4.3, table 1.

    >>> model, x = nn.Sequential([nn.Conv(4, (3, 3))]), jnp.ones((3, 8, 8, 1))
    >>> variables, box = model.init(jax.random.key(0), x), np.array([2, 2, 5, 5])
    >>> correspondence(model, variables, x, {"middle": box}, "layers_0")["layers_0"]["middle"].mean
    0.0
    """
    images, layers = check_images(images), names(layers)
    count, height, width = images.shape[:3]
    if count < 2:
        raise ValueError(f"images: got {count}; expected at least two, to compare")
    run = compiled(_all_features, model, layers)
    own = run(variables, images)
    color = jnp.broadcast_to(jnp.asarray(fill, images.dtype), images.shape[-1:])
    found: dict[str, dict[str, Correspondence]] = {layer: {} for layer in layers}
    for part, boxes in parts.items():
        boxes = np.asarray(boxes)
        if boxes.shape not in ((4,), (count, 4)):
            raise ValueError(
                f"parts: got boxes of shape {boxes.shape} for {part!r}; expected (4,) or "
                f"({count}, 4)"
            )
        left, upper, right, lower = (b[:, None] for b in np.broadcast_to(boxes, (count, 4)).T)
        rows, columns = np.arange(height), np.arange(width)
        inside = ((rows >= upper) & (rows < lower))[:, :, None]
        inside = inside & ((columns >= left) & (columns < right))[:, None, :]
        if not inside.any((1, 2)).all():
            which = int(np.argmin(inside.any((1, 2))))
            raise ValueError(f"parts: the box of {part!r} hides nothing in image {which}")
        hidden = run(variables, jnp.where(jnp.asarray(inside)[..., None], color, images))
        for layer in layers:
            change = (own[layer] - hidden[layer]).reshape(count, -1)
            pairs = np.asarray(sign_distance(change), float)
            np.fill_diagonal(pairs, 0)
            each = pairs.sum(1) / (count - 1)
            found[layer][part] = Correspondence(float(each.mean()), float(each.std()), pairs)
    return found


def _all_features(model, layers, variables, images):
    return dict(features(model, variables, images, taps=layers))


def random_boxes(
    key: jax.Array, count: int, size: tuple[int, int], extent: tuple[int, int]
) -> np.ndarray:
    """Boxes of one size at uniformly random places: the control of `correspondence`.

    Args:
        key: a JAX random key.
        count: boxes.
        size: (height, width) of a box in pixels.
        extent: (H, W) of the images.

    Returns:
        (count, 4), x and y of the upper left corner and of the lower right one, just outside.

    Raises:
        ValueError: a box larger than the image.

    >>> random_boxes(jax.random.key(0), 5, (2, 3), (8, 8)).shape
    (5, 4)
    """
    if size[0] > extent[0] or size[1] > extent[1]:
        raise ValueError(f"size: got {tuple(size)}; expected at most the image's {tuple(extent)}")
    room = jnp.array([extent[0] - size[0] + 1, extent[1] - size[1] + 1])
    upper, left = np.asarray(jax.random.randint(key, (count, 2), 0, room)).T
    return np.stack([left, upper, left + size[1], upper + size[0]], axis=1)
