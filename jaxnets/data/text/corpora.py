"""Published corpora of sentence pairs."""

from pathlib import Path

from jaxnets.data.archives import unpacked
from jaxnets.data.text.files import Pairs, read_pairs
from jaxnets.errors import JaxnetsError

_SPLITS = {"train": "train", "validation": "val", "test": "test_2016_flickr"}


def read_multi30k(
    path: str | Path, *, source: str = "de", target: str = "en", tokenized: bool = True
) -> dict[str, Pairs]:
    """Multi30k: descriptions of photographs in German and English.

    Args:
        path: a folder with ``train.lc.norm.tok.de`` and the like, or a .tar.gz of it.
        source: language that is read, "de" or "en".
        target: language that is written.
        tokenized: the files in lower case with spaces between all tokens; otherwise those as they
            were written, of which there may be no training split.

    Returns:
        "train", "validation" and "test" (2016) → (sources, targets).

    Raises:
        JaxnetsError: nothing there, or a split is missing.

    Source: Elliott et al. 2016 (Multi30K: Multilingual English-German Image Descriptions).

    >>> read_multi30k("/nowhere")
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: no Multi30k at /nowhere; expected a folder or a .tar.gz ...
    """
    with unpacked(path) as folder:
        kind = "lc.norm.tok." if tokenized else ""
        found = sorted(folder.rglob(f"{_SPLITS['validation']}.{kind}{source}"))
        if not found:
            raise JaxnetsError(
                f"no Multi30k at {path}; expected a folder or a .tar.gz with "
                f"{_SPLITS['validation']}.{kind}{source}"
            )
        folder = found[0].parent
        return {
            split: read_pairs(folder / f"{name}.{kind}{source}", folder / f"{name}.{kind}{target}")
            for split, name in _SPLITS.items()
            if tokenized or (folder / f"{name}.{kind}{source}").exists()
        }
