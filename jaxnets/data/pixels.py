"""Whatever an image file holds as 8-bit gray or RGB, by one rule for all who read images.

| pixels | become |
|---|---|
| 8 bits, palettes, CMYK and the like; 1 bit | as Pillow converts them |
| 16 bits v | 255·v/65535, rounded |
| 32-bit integers in 0 … 255 | as they are; others are refused, because their scale is unknown |
| floating, in 0 … 1 | 255·v, rounded; others are refused, NaN too |
| transparent | laid over white |

The EXIF orientation that cameras write is applied.
"""

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

# Above this many pixels Pillow itself warns of a decompression bomb: 256 MB as RGB.
MAX_PIXELS: Final = 89_478_485


def to_8_bits(
    file: "Image.Image", channels: int, at_least: tuple[int, int] | None = None
) -> "Image.Image":
    """An opened image file as 8-bit gray or RGB, upright.

    Args:
        file: as `PIL.Image.open` returns it.
        channels: 3 for RGB, 1 for gray (ITU-R 601 luma).
        at_least: (width, height) that will be used of it: a JPEG with more than `MAX_PIXELS` is
            then decoded at a smaller scale, but at no smaller size.

    Returns:
        The image in Pillow's mode RGB or L.

    Raises:
        ValueError: more pixels than `MAX_PIXELS`, or values without a known scale.

    >>> from PIL import Image
    >>> to_8_bits(Image.new("F", (1, 1), 0.2), 1).getpixel((0, 0))
    51
    """
    from PIL import Image, ImageOps

    if _pixels(file) > MAX_PIXELS and at_least is not None:
        file.draft(None, at_least)  # of JPEG alone
    if _pixels(file) > MAX_PIXELS:
        raise ValueError(
            f"it has {_pixels(file) / 1e6:.0f} megapixels; up to {MAX_PIXELS / 1e6:.0f} are read"
        )
    image = ImageOps.exif_transpose(file)
    image.load()
    if image.mode.startswith("I") or image.mode == "F":
        # A PNG's integers have 16 bits at most, also where Pillow shows them as 32.
        sixteen = image.mode.startswith("I;16") or file.format == "PNG"
        image = Image.fromarray(gray_levels(np.asarray(image), bits=16 if sixteen else None))
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB" if channels == 3 else "L")


def _pixels(image: Any) -> int:
    return image.size[0] * image.size[1]


def gray_levels(values: np.ndarray, bits: int | None = None) -> np.ndarray:
    """Pixel values of any dtype as uint8 0 … 255, by the rule of this module.

    Args:
        values: any shape.
        bits: what integers fill, where that is known: 8 or 16. None: 8 and 16 for dtypes of that
            width; wider ones must lie in 0 … 255.

    Returns:
        uint8 of the same shape.

    Raises:
        ValueError: values without a known scale, NaN, or a dtype that is no number.

    >>> gray_levels(np.array([0.0, 0.5, 1.0])).tolist()
    [0, 128, 255]
    >>> gray_levels(np.array([0, 257, 65535], np.uint16)).tolist()
    [0, 1, 255]
    >>> gray_levels(np.array([0.0, 127.0]))
    Traceback (most recent call last):
    ValueError: floating pixels must lie in 0 … 1, found 0 to 127; divide them by their white
    """
    values = np.asarray(values)
    if values.dtype == np.uint8:
        return values
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * np.uint8(255)
    if values.dtype.kind not in "iuf":
        raise ValueError(f"pixels must be numbers, found {values.dtype}")
    low, high = (values.min(), values.max()) if values.size else (0, 0)
    if values.dtype.kind == "f":
        if not (low >= 0 and high <= 1):  # NaN is neither
            raise ValueError(
                f"floating pixels must lie in 0 … 1, found {low:g} to {high:g}; divide them by "
                "their white"
            )
        return np.floor(255 * values.astype(np.float64) + 0.5).astype(np.uint8)
    if bits == 16 or (bits is None and values.dtype == np.uint16):
        if low < 0 or high > 65535:
            raise ValueError(f"16-bit pixels must lie in 0 … 65535, found {low} to {high}")
        return ((255 * values.astype(np.uint32) + 32767) // 65535).astype(np.uint8)
    if low < 0 or high > 255:
        raise ValueError(
            f"{values.dtype} pixels must lie in 0 … 255, found {low} to {high}: their scale is "
            "unknown"
        )
    return values.astype(np.uint8)
