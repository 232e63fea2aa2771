"""Read one image file as the array that a network takes."""

from pathlib import Path

import numpy as np

from jaxnets.data.pixels import to_8_bits
from jaxnets.errors import JaxnetsError, printable


def read_image(
    path: Path | str, size: int | tuple[int, int] | None = None, channels: int = 3
) -> np.ndarray:
    """Read an image file as uint8 (H, W, channels), upright.

    Other than 8-bit pixels become so by the rule of `jaxnets.data.pixels`; the EXIF orientation
    that cameras write is applied. With ``size`` the image is scaled until it just covers that size,
    then cropped around the center.

    Args:
        path: any file that Pillow reads.
        size: side of a square or (height, width), in pixels; None keeps the file's own.
        channels: 3 for RGB, 1 for gray (ITU-R 601 luma).

    Returns:
        uint8 (H, W, channels).

    Raises:
        JaxnetsError: the file is missing, damaged, no image, larger than
            `jaxnets.data.pixels.MAX_PIXELS`, or has pixels without a known scale; the message names
            it and says why.
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

    width_height = (size, size) if isinstance(size, int) else size and (size[1], size[0])
    try:
        path = Path(path).expanduser()
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise ValueError("that is a pipe or a device")  # which may never end
        with Image.open(path) as file:
            image = to_8_bits(file, channels, width_height)
    except FileNotFoundError:
        raise JaxnetsError(f"can't read the image {path}: there is no such file") from None
    except IsADirectoryError:
        raise JaxnetsError(f"can't read the image {path}: that is a folder") from None
    except UnidentifiedImageError:
        raise JaxnetsError(f"can't read the image {path}: Pillow knows no such format") from None
    except Exception as error:  # damaged files make Pillow's decoders raise nearly anything
        reason = printable(error, 300) or type(error).__name__
        raise JaxnetsError(f"can't read the image {path}: {reason}") from error
    if width_height is not None:
        image = ImageOps.fit(image, width_height, method=Image.Resampling.BICUBIC)
    return np.asarray(image).reshape(image.height, image.width, channels)
