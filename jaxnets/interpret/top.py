"""The strongest activations of every map over a data set, in one pass that keeps nothing else."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.inspect import Layer, trace_network
from jaxnets.interpret.backward import check_count
from jaxnets.interpret.program import check_images, compiled, names
from jaxnets.interpret.targets import as_map
from jaxnets.models import features


class TopActivations(NamedTuple):
    """The k strongest images of each of C maps, the strongest first; at most one unit an image.

    Attributes:
        values: activations, (C, k); −∞ where the data set has fewer than k images.
        images: their places in the data set, (C, k); −1 there.
        positions: row and column in the map, (C, k, 2).
        boxes: what the units see, (C, k, 4): x and y of the upper left and lower right corner in
            pixels of the image; beyond its edges where the receptive field reaches there.

    >>> TopActivations._fields
    ('values', 'images', 'positions', 'boxes')
    """

    values: np.ndarray
    images: np.ndarray
    positions: np.ndarray
    boxes: np.ndarray


def top_activations(
    model: nn.Module,
    variables: Mapping[str, Any],
    images: "jax.Array | np.ndarray | Iterable[Any]",
    layers: str | Sequence[str],
    *,
    k: int = 9,
    batch_size: int = 128,
    preprocess: Any = None,
) -> dict[str, TopActivations]:
    """Find the k images that activate each map of some layers most, in one pass.

    Nothing but the k best of each map is kept, so that the data set may be of any size. Of equally
    strong images the first one in the data set wins.

    Args:
        model: any Flax module that takes images first.
        variables: its variables.
        images: (N, H, W, C), or batches of such arrays, all of one image size.
        layers: endpoints or paths of submodules, one or several.
        k: images to keep for each map.
        batch_size: images that are computed together, where ``images`` is one array.
        preprocess: images as stored → as the network takes them, compiled with it.

    Returns:
        Layer → `TopActivations`.

    Raises:
        UnknownNameError: no such layer; the message offers the nearest names.
        ValueError: no images, or ``k`` below 1.

    Source: Zeiler & Fergus 2014, §4, figure 2.

    >>> model, x = nn.Sequential([nn.Conv(4, (3, 3))]), np.ones((5, 8, 8, 1), np.float32)
    >>> top = top_activations(model, model.init(jax.random.key(0), x), x, "layers_0", k=2)
    >>> top["layers_0"].values.shape, top["layers_0"].boxes.shape
    ((4, 2), (4, 2, 4))
    """
    layers = names(layers)
    check_count("k", k)
    check_count("batch_size", batch_size)
    step = compiled(_step, model, layers, k, preprocess)
    best, start, shape = None, 0, None
    for batch in _batches(images, batch_size):
        count = len(batch)
        if shape is None:
            shape, size = batch.shape[1:], count
            x = batch if preprocess is None else jax.eval_shape(preprocess, batch)
            best = _nothing_yet(model, variables, x, layers, k)
        if count < size:  # padded, so that the last batch compiles nothing anew
            batch = np.concatenate([batch, np.repeat(batch[-1:], size - count, axis=0)])
        best = step(variables, batch, best, start, count)
        start += count
    if best is None:
        raise ValueError("images: got none; expected at least one")
    x_shape = shape if preprocess is None else jax.eval_shape(preprocess, batch).shape[1:]
    fields = trace_network(model, x_shape, layers).outputs
    return {layer: _finish(best[layer], fields[layer]) for layer in layers}


def _batches(images, batch_size):
    if hasattr(images, "shape"):
        if images.ndim != 4:
            check_images(images)
        for start in range(0, len(images), batch_size):
            yield np.asarray(images[start : start + batch_size])
    else:
        for batch in images:
            yield np.asarray(batch)


def _values(model, layers, variables, x):
    found = features(model, variables, x, taps=layers)
    return {layer: as_map(value) for layer, value in found.items()}


def _nothing_yet(model, variables, x, layers, k):
    shapes = jax.eval_shape(lambda v, x: _values(model, layers, v, x), variables, x)
    return {
        layer: (
            jnp.full((s.shape[-1], k), -jnp.inf, s.dtype),
            jnp.full((s.shape[-1], k), -1, jnp.int32),
            jnp.zeros((s.shape[-1], k), jnp.int32),
            jnp.asarray(s.shape[1:3], jnp.int32),
        )
        for layer, s in shapes.items()
    }


def _step(model, layers, k, preprocess, variables, batch, best, start, count):
    """The k best so far and a batch's → the k best."""
    x = batch if preprocess is None else preprocess(batch)
    out = {}
    for layer, value in _values(model, layers, variables, x).items():
        flat = value.reshape(len(value), -1, value.shape[-1])
        rows = jnp.arange(len(value))
        strongest = jnp.where((rows < count)[:, None], flat.max(1), -jnp.inf)
        numbers = jnp.where(rows < count, start + rows, -1).astype(jnp.int32)
        # Those found before stand first: of equal values `top_k` takes the first.
        old_values, old_numbers, old_positions, size = best[layer]
        values = jnp.concatenate([old_values, strongest.T], axis=1)
        numbers = jnp.concatenate(
            [old_numbers, jnp.broadcast_to(numbers, (len(old_values), len(rows)))], axis=1
        )
        positions = jnp.concatenate([old_positions, flat.argmax(1).T.astype(jnp.int32)], axis=1)
        values, chosen = jax.lax.top_k(values, k)
        numbers, positions = (jnp.take_along_axis(a, chosen, axis=1) for a in (numbers, positions))
        out[layer] = (values, numbers, positions, size)
    return out


def _finish(found, field: Layer) -> TopActivations:
    values, numbers, positions, size = (np.asarray(a) for a in found)
    positions = np.stack([positions // size[1], positions % size[1]], axis=-1)
    return TopActivations(values, numbers, positions, unit_boxes(field, positions))


def unit_boxes(field: Layer, positions: np.ndarray) -> np.ndarray:
    """What units of a layer see of the image.

    .. math:: \\text{center} = \\text{start} + \\text{jump} · \\text{position},\\quad
        \\text{box} = \\text{center} ± \\text{field} / 2

    Args:
        field: receptive field of the layer, as `jaxnets.inspect` gives it.
        positions: (…, 2), rows and columns in its map.

    Returns:
        (…, 4), x and y of the upper left corner and of the lower right one, just outside; infinite
        where a unit sees everything.

    Source: Araujo, Norris & Sim 2019 (Computing Receptive Fields of Convolutional Neural Networks),
    §2.

    >>> field = Layer("conv", "conv", (4, 4, 1), field=(3, 3), jump=(2, 2), start=(0.0, 0.0))
    >>> unit_boxes(field, np.array([1, 0])).tolist()
    [-1.0, 1.0, 2.0, 4.0]
    """
    jump, start, reach = (np.asarray(v, float) for v in (field.jump, field.start, field.field))
    if not np.isfinite(reach).all():
        everything = [-np.inf, -np.inf, np.inf, np.inf]
        return np.broadcast_to(everything, (*positions.shape[:-1], 4)).copy()
    low = start + jump * positions - (reach - 1) / 2
    high = low + reach
    return np.concatenate([low[..., ::-1], high[..., ::-1]], axis=-1)


def crops(images: np.ndarray, top: TopActivations, *, size: int | None = None) -> np.ndarray:
    """Cut out what the strongest units see.

    Args:
        images: the data set, (N, H, W, C), as stored.
        top: of one layer.
        size: side of the crops in pixels (default: the largest box, at most the image). A smaller
            box is surrounded by zeros, and so is what lies outside of the image.

    Returns:
        (C, k, size, size, channels), of the images' dtype.

    >>> top = TopActivations(np.ones((1, 1)), np.zeros((1, 1), int), np.zeros((1, 1, 2), int),
    ...                      np.array([[[1.0, 1.0, 3.0, 3.0]]]))
    >>> crops(np.arange(16).reshape(1, 4, 4, 1), top)[0, 0, ..., 0].tolist()
    [[5, 6], [9, 10]]
    """
    height, width = images.shape[1:3]
    boxes = np.stack(
        [
            *(np.clip(top.boxes[..., i], 0, width) for i in (0, 2)),
            *(np.clip(top.boxes[..., i], 0, height) for i in (1, 3)),
        ],
        axis=-1,
    )
    lefts, rights, uppers, lowers = (np.round(boxes[..., i]).astype(int) for i in range(4))
    size = size or int(max((rights - lefts).max(), (lowers - uppers).max(), 1))
    out = np.zeros((*top.images.shape, size, size, images.shape[-1]), images.dtype)
    for place in np.ndindex(top.images.shape):
        if top.images[place] < 0:
            continue
        part = images[
            top.images[place], uppers[place] : lowers[place], lefts[place] : rights[place]
        ]
        part = part[:size, :size]
        out[place][: part.shape[0], : part.shape[1]] = part
    return out
