"""A small OverFeat that slides over images of one's own at several scales."""

from typing import Any, Final

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.models.detection.overfeat_boxes import overfeat_windows
from jaxnets.models.overfeat import Layer, OverFeat, OverFeatMaps, window_of

# Of the images' sides; those at which an image is smaller than the window are left out.
SCALES: Final = (2.0, 1.4, 1.0, 0.7, 0.5, 0.35, 0.25, 0.18)


class OverFeatPyramid(nn.Module):
    """One dense OverFeat on an image at several scales.

    Attributes:
        network: an `OverFeat` that is dense and has ``box_widths``.
        scales: of the images' sides.

    Call: images (N, H, W, C) → `OverFeatMaps` of all places of all scales, (N, P, K) and
    (N, P, K, 4); the square that each sees is in `pyramid_windows`.

    >>> network = small_overfeat(3, width=4)
    >>> x = jax.ShapeDtypeStruct((1, 64, 96, 3), "float32")
    >>> maps = jax.eval_shape(network.init_with_output, jax.random.key(0), x)[0]
    >>> maps.logits.shape[1] == len(pyramid_windows(network, (64, 96)))
    True
    """

    network: OverFeat
    scales: tuple[float, ...] = SCALES

    def __call__(self, x: jax.Array, *, train: bool = False) -> OverFeatMaps:
        parts = []
        for height, width in _sizes(self, x.shape[1:3]):
            shape = (len(x), height, width, x.shape[-1])
            scaled = x if shape == x.shape else jax.image.resize(x, shape, "linear")
            maps = self.network(scaled, train=train)
            count, classes = len(x), maps.logits.shape[-1]
            logits = maps.logits.reshape(count, -1, classes)
            parts.append((logits, maps.boxes.reshape(*logits.shape, 4)))
        return OverFeatMaps(*(jnp.concatenate(each, 1) for each in zip(*parts, strict=True)))


def pyramid_windows(pyramid: OverFeatPyramid, size: tuple[int, int]) -> np.ndarray:
    """The square of the image that each place of an `OverFeatPyramid` sees.

    Args:
        pyramid: for its scales and network.
        size: height and width of the images.

    Returns:
        float32 (P, 4), corners in pixels.

    Raises:
        ValueError: images that are smaller than the window at every scale.

    >>> pyramid_windows(small_overfeat(3, width=4).clone(scales=(1.0,)), (48, 60)).tolist()[1]
    [8.0, 0.0, 43.0, 35.0]
    """
    parts = []
    for scaled in _sizes(pyramid, size):
        factors = np.array(size, np.float32) / np.array(scaled, np.float32)
        windows = overfeat_windows(pyramid.network, scaled).reshape(-1, 4)
        parts.append(windows * np.tile(factors[::-1], 2))
    return np.concatenate(parts)


def small_overfeat(
    num_classes: int | None, *, width: int = 24, dtype: Any = None
) -> OverFeatPyramid:
    """An OverFeat of three convolutions whose window of 35 pixels moves by 8, at eight scales.

    Args:
        num_classes: K, background among them.
        width: channels of the first layer; the others have 2 and 4 times as many.
        dtype: compute dtype.

    Returns:
        A network for images of any size.

    >>> window_of(small_overfeat(3).network)
    (35, 8)
    """
    layers = (
        Layer(width, 5, 2, pool=2),
        Layer(2 * width, padding=1, pool=2),
        Layer(4 * width, padding=1, pool=2),
    )
    network = OverFeat(
        num_classes,
        layers,
        fc_widths=(128,),
        fc_window=2,
        dense=True,
        offsets=2,
        box_widths=(128, 64),
        dropout_rate=0.0,
        dtype=dtype,
    )
    return OverFeatPyramid(network)


def _sizes(pyramid, size):
    """Heights and widths of an image at the scales at which a window fits into it."""
    side, stride = window_of(pyramid.network)
    # Of the last pooling at its last offset as well.
    least = side + stride * (pyramid.network.offsets - 1)
    scaled = [tuple(round(scale * length) for length in size) for scale in pyramid.scales]
    kept = [each for each in scaled if min(each) >= least]
    if not kept:
        raise ValueError(f"size: got {tuple(size)}; expected {least} pixels or more at some scale")
    return kept
