"""The pixels of an object: from polygons, run-length codes, or an image of numbers."""

from pathlib import Path
from typing import Any

import numpy as np

from jaxnets.errors import JaxnetsError


def object_mask(outline: Any, size: tuple[int, int]) -> np.ndarray:
    """The mask of an object.

    Args:
        outline: polygons [[x, y, x, y, …], …], COCO's run-length code {"size": …, "counts": …}, or
            (file, number): the pixels of that number in an image.
        size: height and width of the image.

    Returns:
        uint8 (H, W), 1 inside.

    Raises:
        JaxnetsError: pycocotools is not installed, which polygons need; a code of another size; a
            damaged file.

    >>> object_mask([[1.0, 1, 3, 1, 3, 3, 1, 3]], (4, 4)).tolist()
    [[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    """
    if isinstance(outline, tuple):
        path, number = outline
        return (read_numbers(path) == number).astype(np.uint8)
    if isinstance(outline, list):
        try:
            from pycocotools import mask as codes
        except ImportError:
            raise JaxnetsError(
                "masks of polygons need pycocotools: pip install 'jaxnets[detection]'"
            ) from None
        outline = codes.merge(codes.frPyObjects(outline, *size))
    if tuple(outline["size"]) != tuple(size):
        raise JaxnetsError(
            f"a run-length code is of size {list(outline['size'])}; expected {list(size)}, that of "
            "its image"
        )
    runs = np.array(run_lengths(outline["counts"]), np.int64)
    if runs.sum() != size[0] * size[1] or (runs < 0).any():
        raise JaxnetsError(
            f"a run-length code covers {runs.sum()} pixels; expected {size[0] * size[1]}, those of "
            "its image"
        )
    values = np.repeat(np.arange(len(runs)) % 2, runs).astype(np.uint8)
    return values.reshape(size[1], size[0]).T


def run_lengths(counts: list[int] | str | bytes) -> list[int]:
    """The lengths of runs of 0 and 1 in turn, column by column, from COCO's code of them.

    A number is written in groups of five bits, the lowest first, each as the letter of code 48 and
    up, with a sixth bit where more follow; from the fourth number on it is the difference to the
    last but one.

    Args:
        counts: the lengths themselves, or their code.

    Returns:
        the lengths.

    Source: Lin et al., "Microsoft COCO: Common Objects in Context", 2014, and its mask code.

    >>> run_lengths("52d1"), run_lengths([1, 2])
    ([5, 2, 52], [1, 2])
    """
    if isinstance(counts, list):
        return counts
    text = counts.encode() if isinstance(counts, str) else counts
    lengths: list[int] = []
    value = shift = 0
    for letter in text:
        group = letter - 48
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << shift
        lengths.append(value + lengths[-2] if len(lengths) > 2 else value)
        value = shift = 0
    return lengths


def read_numbers(path: Path | str) -> np.ndarray:
    """An image whose pixels are numbers, of classes or objects, as it is stored.

    Args:
        path: a PNG of one channel, gray or with a palette.

    Returns:
        int32 (H, W).

    Raises:
        JaxnetsError: the file is missing or damaged, or has colors.

    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.NamedTemporaryFile(suffix=".png") as file:
    ...     Image.fromarray(np.array([[0, 7]], np.uint8)).save(file.name)
    ...     read_numbers(file.name).tolist()
    [[0, 7]]
    """
    from PIL import Image

    try:
        with Image.open(path) as file:
            numbers = np.asarray(file)
    except FileNotFoundError:
        raise JaxnetsError(f"can't read the mask {path}: there is no such file") from None
    except Exception as error:  # damaged files make Pillow's decoders raise nearly anything
        reason = str(error) or type(error).__name__
        raise JaxnetsError(f"can't read the mask {path}: {reason}") from error
    if numbers.ndim != 2:
        raise JaxnetsError(
            f"the mask {path} has colors; expected numbers of classes, one channel or a palette"
        )
    return numbers.astype(np.int32)
