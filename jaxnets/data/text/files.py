"""Files of sentences, one a line, and pairs of files whose lines belong together."""

from collections.abc import Sequence
from pathlib import Path

from jaxnets.data import shuffle
from jaxnets.errors import JaxnetsError

Pairs = tuple[list[str], list[str]]


def read_lines(path: str | Path) -> list[str]:
    """The lines of a UTF-8 text file, without spaces around them; a byte-order mark is left out.

    Args:
        path: of the file.

    Returns:
        The lines; empty ones are kept, so that line numbers are those of the file.

    Raises:
        JaxnetsError: no such file, bytes that are no UTF-8 (the message names the line), or no
            line at all.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.txt"
    >>> _ = path.write_bytes("ein Hund\\nzwei Männer\\n".encode())
    >>> read_lines(path)
    ['ein Hund', 'zwei Männer']
    >>> _ = path.write_bytes(b"ein Hund\\nzwei M\\xe4nner\\n")
    >>> read_lines(path)
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: ...a.txt, line 2: byte 0xe4 is no UTF-8...
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise JaxnetsError(f"cannot read {path}: {error.strerror}") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise JaxnetsError(
            f"{path}, line {line}: byte 0x{data[error.start]:02x} is no UTF-8. Save the file as "
            "UTF-8, for example by: iconv -f latin1 -t utf-8"
        ) from None
    # Only line feeds end a line: str.splitlines also cuts at characters within sentences.
    lines = [line.strip() for line in text.split("\n")]
    if lines and not lines[-1]:
        lines.pop()
    if not lines:
        raise JaxnetsError(f"{path} has no lines; expected one sentence a line")
    return lines


def read_pairs(source: str | Path, target: str | Path) -> Pairs:
    """Two files whose lines belong together, such as sentences and their translations.

    Args:
        source: the file that is read from.
        target: the file that is to be written.

    Returns:
        (sources, targets), without the pairs of which a side is empty.

    Raises:
        JaxnetsError: files of different lengths, without any whole pair, or as `read_lines`.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "de").write_text("ein Hund\\n\\n")
    >>> _ = (folder / "en").write_text("a dog\\n?\\n")
    >>> read_pairs(folder / "de", folder / "en")
    (['ein Hund'], ['a dog'])
    """
    sources, targets = read_lines(source), read_lines(target)
    if len(sources) != len(targets):
        raise JaxnetsError(
            f"{source} has {len(sources):,} lines and {target} has {len(targets):,}; expected "
            "line n of one to belong to line n of the other"
        )
    kept = [(s, t) for s, t in zip(sources, targets, strict=True) if s and t]
    if not kept:
        raise JaxnetsError(f"{source} and {target} have no pair of lines that both hold text")
    return [s for s, _ in kept], [t for _, t in kept]


def split_pairs(pairs: Pairs, share: float, *, seed: int = 0) -> tuple[Pairs, Pairs]:
    """Hold out some of the pairs.

    Args:
        pairs: (sources, targets).
        share: of the pairs that is held out, at least one of them.
        seed: which.

    Returns:
        (the others, the held-out pairs).

    Raises:
        JaxnetsError: a share outside (0, 1), or fewer than two pairs.

    >>> rest, held_out = split_pairs((["a", "b", "c"], ["A", "B", "C"]), 0.3)
    >>> len(rest[0]), [x.upper() for x in held_out[0]] == held_out[1]
    (2, True)
    """
    count = len(pairs[0])
    if not 0 < share < 1 or count < 2:
        raise JaxnetsError(
            f"cannot hold out a share of {share} of {count} pairs; expected a share between 0 and "
            "1 of at least two pairs"
        )
    order = shuffle.permutation(count, seed, use=shuffle.HOLDOUT).tolist()
    size = min(count - 1, max(1, round(share * count)))

    def take(rows: Sequence[int]) -> Pairs:
        return [pairs[0][row] for row in rows], [pairs[1][row] for row in rows]

    return take(sorted(order[size:])), take(sorted(order[:size]))


def split_corpus(pairs: Pairs, share: float = 0.05) -> dict[str, Pairs]:
    """Pairs of one's own in three: always the same ones are held out.

    Args:
        pairs: (sources, targets).
        share: for the test; the same share of the rest is for choosing.

    Returns:
        "train", "validation" and "test" → pairs.

    Raises:
        JaxnetsError: fewer than three pairs, or as `split_pairs`.

    >>> corpus = split_corpus((["a", "b", "c"], ["A", "B", "C"]))
    >>> {name: len(pairs[0]) for name, pairs in corpus.items()}
    {'train': 1, 'validation': 1, 'test': 1}
    """
    rest, test = split_pairs(pairs, share, seed=0)
    training, validation = split_pairs(rest, share, seed=1)
    return {"train": training, "validation": validation, "test": test}
