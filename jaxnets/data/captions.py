"""Photographs with several captions each: Flickr8k, and pictures drawn from a seed."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxnets.data.archives import unpacked
from jaxnets.data.image_file import read_image
from jaxnets.data.text.files import read_lines
from jaxnets.errors import JaxnetsError

SPLITS = {"train": "train", "dev": "validation", "test": "test"}


class Captions(NamedTuple):
    """Pictures and what people wrote about them.

    Attributes:
        pictures: (N, …), as the reader was asked to read them.
        texts: (N,) of each picture several captions, words with spaces between them.

    >>> Captions(np.zeros((1, 8, 8, 3), np.uint8), [("a dog",)]).texts
    [('a dog',)]
    """

    pictures: np.ndarray
    texts: list[tuple[str, ...]]


def plain_caption(text: str) -> str:
    """A caption's words in lower case, without punctuation.

    Args:
        text: as people write it.

    Returns:
        The words with spaces between them.

    >>> plain_caption("A dog 's ball , in the snow .")
    "a dog 's ball in the snow"
    """
    return " ".join(re.findall(r"[\w']+", text.lower()))


def read_flickr8k(
    path: str | Path, *, read: Callable[[Path], np.ndarray] | None = None
) -> dict[str, Captions]:
    """Flickr8k as its authors publish it, or a part of it.

    Args:
        path: a folder or a .tar.gz of it with the photographs; the captions, lines of
            ``name.jpg#number``, a tab and a sentence, in ``captions.txt`` or
            ``Flickr8k.token.txt``; and the splits, lines of a name, a tab and "train", "dev" or
            "test" in ``split.txt``, or names in ``Flickr_8k.trainImages.txt`` and the like.
        read: a photograph's file → the array to keep; None for uint8 (224, 224, 3).

    Returns:
        "train", "validation" and "test" → `Captions` with `plain_caption`.

    Raises:
        JaxnetsError: nothing there, a line that is no caption, a photograph without captions, or
            photographs with different numbers of them.

    Source: Hodosh et al. 2013 (Framing Image Description as a Ranking Task).

    >>> read_flickr8k("/nowhere")
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: no Flickr8k at /nowhere; expected a folder or a .tar.gz with ...
    """
    read = read or (lambda file: read_image(file, 224))
    with unpacked(path) as folder:
        token_files = [*folder.rglob("captions.txt"), *folder.rglob("Flickr8k.token.txt")]
        if not token_files:
            raise JaxnetsError(
                f"no Flickr8k at {path}; expected a folder or a .tar.gz with captions.txt or "
                "Flickr8k.token.txt"
            )
        said: dict[str, list[str]] = {}
        for number, line in enumerate(read_lines(token_files[0]), start=1):
            match = re.fullmatch(r"(.+)#\d+\t(.+)", line)
            if match is None:
                raise JaxnetsError(
                    f"{token_files[0].name}, line {number}: expected NAME.jpg#0, tab, caption"
                )
            said.setdefault(match[1], []).append(plain_caption(match[2]))
        files = {file.name: file for file in folder.rglob("*.jpg")}
        found = {}
        for split, names in _read_splits(token_files[0].parent).items():
            if lost := [name for name in names if name not in said or name not in files]:
                raise JaxnetsError(f"{path}: {lost[0]} has no captions, or is not there")
            if len({len(said[name]) for name in names}) != 1:
                raise JaxnetsError(f"{path}: expected as many captions of each photograph")
            pictures = np.stack([read(files[name]) for name in names])
            found[split] = Captions(pictures, [tuple(said[name]) for name in names])
        return found


def _read_splits(folder: Path) -> dict[str, list[str]]:
    names: dict[str, list[str]] = {split: [] for split in SPLITS.values()}
    if (folder / "split.txt").exists():
        for number, line in enumerate(read_lines(folder / "split.txt"), start=1):
            name, _, split = line.partition("\t")
            if not split:
                raise JaxnetsError(f"split.txt, line {number}: expected a name, a tab and a split")
            if split in SPLITS:
                names[SPLITS[split]].append(name)
    else:
        for short, split in SPLITS.items():
            names[split] = read_lines(folder / f"Flickr_8k.{short}Images.txt")
    if empty := [split for split, found in names.items() if not found]:
        raise JaxnetsError(f"{folder.name}: no photographs of the split {empty[0]}")
    return names


_COLORS = {"red": (220, 30, 30), "green": (20, 200, 40), "blue": (30, 40, 220)}


def drawn_captions(count: int, *, size: int = 16, seed: int = 0) -> Captions:
    """Pictures with two squares, one in the left half and one in the right, and a sentence.

    Args:
        count: of pictures.
        size: side of a picture, in pixels.
        seed: of the draw.

    Returns:
        `Captions`, one of each picture, such as "a red square left of a blue square".

    >>> drawn_captions(1).texts
    [('a ... square left of a ... square',)]
    """
    draw = np.random.default_rng(seed)
    pictures, texts = np.full((count, size, size, 3), 235, np.uint8), []
    side = size // 4
    for picture in pictures:
        colors = [str(color) for color in draw.choice([*_COLORS], 2)]
        for half, color in enumerate(colors):
            y, x = draw.integers(0, size - side + 1), draw.integers(0, size // 2 - side + 1)
            x += half * size // 2
            picture[y : y + side, x : x + side] = _COLORS[color]
        texts.append((f"a {colors[0]} square left of a {colors[1]} square",))
    return Captions(pictures, texts)
