"""The Weizmann actions as silhouettes: 93 videos, ten actions of nine people."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxnets.errors import JaxnetsError


class Silhouettes(NamedTuple):
    """Videos of black and white silhouettes.

    Attributes:
        videos: each (T, size, size, 1) uint8, 0 or up to 255.
        labels: (N,) action of each.
        people: (N,) person of each.
        actions: names of the actions.
        names: names of the people.

    >>> Silhouettes([], np.zeros(0), np.zeros(0), ("run",), ("ido",)).actions
    ('run',)
    """

    videos: list[np.ndarray]
    labels: np.ndarray
    people: np.ndarray
    actions: tuple[str, ...]
    names: tuple[str, ...]


def read_weizmann(path: str | Path, *, size: int = 32) -> Silhouettes:
    """The masks of the Weizmann actions, each frame centered on its silhouette and made smaller.

    Args:
        path: ``weizmann_masks.npz``: packed bits, (height, width), lengths, people and actions.
        size: side of the pictures, which are the means over areas of a square of 96 pixels around
            the silhouette's center (its own height is about 70 pixels). A divisor of 96.

    Returns:
        `Silhouettes`.

    Raises:
        JaxnetsError: not such a file.
        ValueError: ``size`` does not divide 96.

    Source: Gorelick, Blank, Shechtman, Irani, Basri 2007 (Actions as Space-Time Shapes).

    >>> import tempfile
    >>> masks = np.zeros((4, 144, 180), np.uint8)
    >>> masks[:, 40:100, 80:100] = 1
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "masks.npz")
    ...     np.savez(path, bits=np.packbits(masks.reshape(4, -1), axis=1), shape=[144, 180],
    ...              length=[3, 1], person=["a", "b"], action=["run", "run"])
    ...     found = read_weizmann(path)
    >>> [video.shape for video in found.videos], found.people.tolist()
    ([(3, 32, 32, 1), (1, 32, 32, 1)], [0, 1])
    """
    window = 96
    if size < 1 or window % size:
        raise ValueError(f"size: got {size}; expected a divisor of {window}")
    try:
        with np.load(path, allow_pickle=False) as file:
            shape, lengths = tuple(map(int, file["shape"])), np.asarray(file["length"], np.int64)
            flat = np.unpackbits(file["bits"], axis=1)[:, : shape[0] * shape[1]]
            frames = flat.reshape(-1, *shape)
            actions, labels = np.unique(file["action"], return_inverse=True)
            names, people = np.unique(file["person"], return_inverse=True)
    except (OSError, KeyError, ValueError) as error:
        raise JaxnetsError(f"{path}: are no masks of the Weizmann actions ({error})") from None
    half = window // 2
    padded = np.pad(frames, ((0, 0), (half, half), (half, half)))
    small = np.empty((len(frames), size, size, 1), np.uint8)
    for i, frame in enumerate(frames):
        y, x = (
            int(v.mean()) if len(v) else n // 2
            for v, n in zip(np.nonzero(frame), shape, strict=True)
        )
        part = padded[i, y : y + window, x : x + window]
        cells = part.reshape(size, window // size, size, window // size).mean((1, 3))
        small[i, ..., 0] = np.rint(255 * cells)
    videos = np.split(small, np.cumsum(lengths)[:-1])
    return Silhouettes(videos, labels, people, tuple(map(str, actions)), tuple(map(str, names)))
