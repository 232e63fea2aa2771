"""Color spaces in which regions are compared, each channel from 0 to 255.

Source: Uijlings et al., "Selective Search for Object Recognition", 2013, section 3.2,
"Complementary Color Spaces".
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from jaxnets.errors import JaxnetsError, UnknownNameError

# ITU-R BT.601, as most programs make gray of colors.
LUMA: Final = np.array([0.299, 0.587, 0.114])
# sRGB to XYZ, and its white (IEC 61966-2-1; daylight of 6,504 K, observer of 2°).
TO_XYZ: Final = np.array(
    [
        [0.412453, 0.357580, 0.180423],
        [0.212671, 0.715160, 0.072169],
        [0.019334, 0.119193, 0.950227],
    ]
)
WHITE: Final = np.array([0.95047, 1.0, 1.08883])


def _rgb(image):
    return image


def _gray(image):
    return (image @ LUMA)[..., None]


def _rgi(image):
    """Shares of red and green in the sum of all, which shadows leave alone, and the intensity."""
    total = image.sum(-1, keepdims=True)
    shares = 255 * image[..., :2] / np.maximum(total, 1e-9)
    return np.concatenate([shares, _gray(image)], -1)


def _hsv(image):
    value = image.max(-1)
    span = value - image.min(-1)
    red, green, blue = np.moveaxis(image, -1, 0)
    divisor = np.where(span > 0, span, 1.0)
    # Of equal channels the later one decides.
    sector = np.where(value == red, (green - blue) / divisor, 0.0)
    sector = np.where(value == green, 2 + (blue - red) / divisor, sector)
    sector = np.where(value == blue, 4 + (red - green) / divisor, sector)
    hue = np.where(span > 0, sector / 6 % 1, 0.0)
    saturation = span / np.where(value > 0, value, 1.0)
    return np.stack([255 * hue, 255 * saturation, value], -1)


def _hue(image):
    return _hsv(image)[..., :1]


def _lab(image):
    linear = image / 255
    low = linear <= 0.04045
    linear = np.where(low, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4)
    xyz = linear @ TO_XYZ.T / WHITE
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = np.moveaxis(f, -1, 0)
    lightness = 116 * y - 16
    return np.stack([2.55 * lightness, 500 * (x - y) + 128, 200 * (y - z) + 128], -1)


COLOR_SPACES: Final[dict[str, Callable[[np.ndarray], np.ndarray]]] = {
    "rgb": _rgb,
    "gray": _gray,
    "rgi": _rgi,
    "hsv": _hsv,
    "hue": _hue,
    "lab": _lab,
}


def to_color_space(image: np.ndarray, name: str) -> np.ndarray:
    """An image in another color space.

    "rgb"; "gray"; "rgi": the shares of red and green, and gray; "hsv"; "hue" alone; "lab": CIE
    L*a*b* under daylight. Every channel is scaled to 0 … 255; a* and b* have their zero at 128.

    Args:
        image: (H, W, 3), sRGB gray levels 0 … 255 of any dtype.
        name: one of `COLOR_SPACES`.

    Returns:
        float64 (H, W, C), C = 1 or 3.

    Raises:
        JaxnetsError: an image of another shape.
        UnknownNameError: an unknown color space.

    >>> red = np.array([[[255, 0, 0]]], np.uint8)
    >>> to_color_space(red, "hsv").tolist(), to_color_space(red, "lab").round().tolist()
    ([[[0.0, 255.0, 255.0]]], [[[136.0, 208.0, 195.0]]])
    """
    if name not in COLOR_SPACES:
        raise UnknownNameError("color space", name, COLOR_SPACES)
    if image.ndim != 3 or image.shape[-1] != 3:
        raise JaxnetsError(f"image: got shape {image.shape}; expected (H, W, 3)")
    return COLOR_SPACES[name](np.asarray(image, np.float64))
