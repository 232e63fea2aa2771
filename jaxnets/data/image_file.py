"""Read one image file as the array that a network takes."""

from pathlib import Path

import numpy as np

from jaxnets.errors import JaxnetsError


def read_image(
    path: Path | str, size: int | tuple[int, int] | None = None, channels: int = 3
) -> np.ndarray:
    """Read an image file as uint8 (H, W, channels), upright.

    The EXIF orientation that cameras write is applied. Transparency is laid over white. With
    ``size`` the image is scaled until it just covers that size, then cropped around the center.

    Args:
        path: any file that Pillow reads.
        size: side of a square or (height, width), in pixels; None keeps the file's own.
        channels: 3 for RGB, 1 for gray (ITU-R 601 luma).

    Returns:
        uint8 (H, W, channels).

    Raises:
        JaxnetsError: the file is missing, damaged, or no image; the message names it and says why.
        ValueError: ``channels`` is neither 1 nor 3.

    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.NamedTemporaryFile(suffix=".png") as file:
    ...     Image.new("RGB", (6, 4), "red").save(file.name)
    ...     read_image(file.name, size=2)[0, 0].tolist()
    [255, 0, 0]
    """
    if channels not in (1, 3):
        raise ValueError(f"channels is {channels}; expected 3 (RGB) or 1 (gray)")
    from PIL import Image, ImageOps, UnidentifiedImageError

    path = Path(path)
    try:
        with Image.open(path) as file:
            image = ImageOps.exif_transpose(file)
            image.load()
            if image.mode.startswith("I"):  # 16-bit gray, which Pillow would clip instead of scale
                gray = np.asarray(image).astype(np.uint32)
                image = Image.fromarray(((255 * gray + 32767) // 65535).astype(np.uint8))
            if "A" in image.getbands() or "transparency" in image.info:
                image = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
            image = image.convert("RGB" if channels == 3 else "L")
    except FileNotFoundError:
        raise JaxnetsError(f"can't read the image {path}: there is no such file") from None
    except IsADirectoryError:
        raise JaxnetsError(f"can't read the image {path}: that is a folder") from None
    except UnidentifiedImageError:
        raise JaxnetsError(f"can't read the image {path}: Pillow knows no such format") from None
    except Exception as error:  # damaged files make Pillow's decoders raise nearly anything
        reason = str(error) or type(error).__name__
        raise JaxnetsError(f"can't read the image {path}: {reason}") from error
    if size is not None:
        width_height = (size, size) if isinstance(size, int) else (size[1], size[0])
        image = ImageOps.fit(image, width_height, method=Image.Resampling.BICUBIC)
    return np.asarray(image).reshape(image.height, image.width, channels)
