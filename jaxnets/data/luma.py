"""What super-resolution is measured on: luminance, and MATLAB's bicubic resizing."""

import numpy as np

# Rec. 601, of red, green and blue from 0 to 1, to 16 … 235.
_LUMA = np.array([65.481, 128.553, 24.966])


def luminance(image: np.ndarray) -> np.ndarray:
    """The Y of YCbCr, as MATLAB's ``rgb2ycbcr`` has it: 16 for black, 235 for white.

    Args:
        image: uint8 (H, W, 3), or (H, W) of luminance already.

    Returns:
        float64 (H, W), from 0 to 1 for 0 to 255, rounded to whole levels.

    Source: ITU-R BT.601.

    >>> luminance(np.full((1, 1, 3), 255, np.uint8)).item() * 255
    235.0
    """
    image = np.asarray(image)
    if image.ndim == 2:
        return image.astype(np.float64) / 255
    return np.round(image.astype(np.float64) / 255 @ _LUMA + 16) / 255


def bicubic(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize as MATLAB's ``imresize`` does: Keys' kernel, widened where the image shrinks.

    Args:
        image: floating (H, W).
        size: height and width of the result.

    Returns:
        float64 (*size,); beyond the border the image is mirrored.

    Raises:
        ValueError: not (H, W).

    Source: Keys, "Cubic Convolution Interpolation for Digital Image Processing", 1981, a = −½.

    >>> bicubic(np.arange(4.0)[None].repeat(4, 0), (2, 2)).round(4).tolist()
    [[0.4609, 2.5391], [0.4609, 2.5391]]
    """
    image = np.asarray(image, np.float64)
    if image.ndim != 2:
        raise ValueError(f"image: got shape {image.shape}; expected (H, W)")
    rows, columns = (_weights(n, m) for n, m in zip(image.shape, size, strict=True))
    return rows @ image @ columns.T


def to_gray_levels(image: np.ndarray) -> np.ndarray:
    """The nearest of 256 gray levels, as storing an image has it.

    Args:
        image: floating, from 0 to 1; what lies beyond is cut off.

    Returns:
        float64, multiples of 1/255.

    >>> (to_gray_levels(np.array([-1.0, 0.1, 2.0])) * 255).tolist()
    [0.0, 26.0, 255.0]
    """
    return np.round(np.clip(np.asarray(image, np.float64), 0, 1) * 255) / 255


def _weights(length: int, count: int) -> np.ndarray:
    """(count, length): the shares of the pixels in each of the result's."""
    scale = count / length
    shrink = min(scale, 1.0)
    width = 4 / shrink
    centers = (np.arange(count) + 0.5) / scale - 0.5
    taps = int(np.ceil(width)) + 2
    places = np.floor(centers - width / 2)[:, None].astype(int) + np.arange(taps)
    d = np.abs(centers[:, None] - places) * shrink
    near = (1.5 * d - 2.5) * d * d + 1
    far = ((-0.5 * d + 2.5) * d - 4) * d + 2
    shares = np.where(d <= 1, near, np.where(d <= 2, far, 0.0))
    shares /= shares.sum(1, keepdims=True)
    mirrored = places % (2 * length)
    mirrored = np.where(mirrored < length, mirrored, 2 * length - 1 - mirrored)
    weights = np.zeros((count, length))
    np.add.at(weights, (np.arange(count)[:, None], mirrored), shares)
    return weights
