"""Text to numbers and back, by the `tokenizers` library; a vocabulary is saved with its run."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from jaxnets.errors import JaxnetsError, printable, suggest, writing

# The first numbers of every vocabulary.
PAD, START, END, UNKNOWN = 0, 1, 2, 3
SPECIAL: Final = ("<pad>", "<s>", "</s>", "<unk>")
KINDS: Final = ("bpe", "word", "character")


class TextTokenizer:
    """A trained tokenizer and its vocabulary: `encode`, `decode`, and what identifies it.

    Args:
        description: the tokenizer as the `tokenizers` library writes it, JSON.

    Raises:
        JaxnetsError: the library is not installed, or the description is none of its.

    >>> tokenizer = train_tokenizer(["a dog", "a cat", "a dog"], 20, kind="word", min_frequency=1)
    >>> tokenizer.encode("a cat"), tokenizer.decode([4, 6, 2, 5])
    ([4, 6, 2], 'a cat')
    >>> tokenizer.pieces([4, 3]), tokenizer.unknown("a bird"), tokenizer.size
    (['a', '<unk>'], ['bird'], 7)
    """

    def __init__(self, description: str):
        library = _library()
        try:
            self._tokenizer = library.Tokenizer.from_str(description)
        except Exception as error:  # the library raises Exception itself
            raise JaxnetsError(f"no tokenizer of the tokenizers library: {error}") from None
        names = [self._tokenizer.id_to_token(number) for number in range(len(SPECIAL))]
        if names != list(SPECIAL):
            raise JaxnetsError(
                f"the tokenizer's first tokens are {names}; expected {list(SPECIAL)}. "
                "jaxnets.data.text.train_tokenizer makes such a one"
            )
        self.description = description
        self.size: int = self._tokenizer.get_vocab_size()

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the description: two runs with one fingerprint share a vocabulary."""
        return hashlib.sha256(self.description.encode()).hexdigest()

    def encode(self, text: str) -> list[int]:
        """A text's numbers and `END`; pieces that the vocabulary lacks become `UNKNOWN`.

        Raises:
            JaxnetsError: a text without anything to read.
        """
        numbers = self._tokenizer.encode(text).ids
        if not numbers:
            raise JaxnetsError(f"{text!r} holds nothing to read; expected a sentence")
        return [*numbers, END]

    def encode_all(self, texts: Iterable[str]) -> list[list[int]]:
        """`encode` of many texts."""
        return [self.encode(text) for text in texts]

    def unknown(self, text: str) -> list[str]:
        """The parts of a text that the vocabulary lacks."""
        found = self._tokenizer.encode(text)
        spans = zip(found.ids, found.offsets, strict=True)
        return [text[a:b].strip() for number, (a, b) in spans if number == UNKNOWN]

    def decode(self, numbers: Sequence[int]) -> str:
        """The text of numbers up to the first `END`; `PAD` and `START` are left out."""
        kept: list[int] = []
        for number in numbers:
            if number == END:
                break
            if number not in (PAD, START):
                kept.append(int(number))
        return self._tokenizer.decode(kept, skip_special_tokens=False)

    def pieces(self, numbers: Sequence[int]) -> list[str]:
        """The name of each number, for the axes of a figure."""
        return [str(self._tokenizer.id_to_token(int(n))).replace("▁", " ").strip() for n in numbers]

    def save(self, path: str | Path) -> Path:
        """Write the description to a file, which `load_tokenizer` reads."""
        path = Path(path)
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.description, encoding="utf-8")
        return path


def train_tokenizer(
    lines: Iterable[str],
    size: int,
    *,
    kind: str = "bpe",
    lowercase: bool = False,
    min_frequency: int = 2,
) -> TextTokenizer:
    """Learn a vocabulary from text.

    Text is normalized (Unicode NFC, one space between words). A vocabulary of pieces of words
    ("bpe", byte pair encoding) begins with the characters and joins the pair that is most frequent
    until it has ``size`` entries; punctuation stays apart, and decoding restores the spaces.

    Args:
        lines: the text.
        size: entries at most, the four of `SPECIAL` among them.
        kind: "bpe", "word" (whatever stands between spaces) or "character".
        lowercase: ignore case.
        min_frequency: how often a pair or word must occur.

    Returns:
        A `TextTokenizer`.

    Raises:
        JaxnetsError: the library is not installed, an unknown kind, a size without room for
            anything, or text without words.

    Source: Sennrich et al. 2016 (Neural Machine Translation of Rare Words with Subword Units),
    §3.2.

    >>> tokenizer = train_tokenizer(["low lower lowest"] * 9, 16)
    >>> tokenizer.decode(tokenizer.encode("lower, slow"))  # it never saw a comma
    'lower<unk> slow'
    >>> len(tokenizer.encode("low"))
    2
    """
    library = _library()
    if size <= len(SPECIAL):
        raise JaxnetsError(f"size: got {size}; expected more than the {len(SPECIAL)} of SPECIAL")
    from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers

    steps: list[Any] = [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " ")]
    steps += [normalizers.Strip()] + ([normalizers.Lowercase()] if lowercase else [])
    fields: dict[str, Any] = {
        "vocab_size": size,
        "special_tokens": list(SPECIAL),
        "show_progress": False,
    }
    if kind == "bpe":
        tokenizer = library.Tokenizer(models.BPE(unk_token=SPECIAL[UNKNOWN]))
        words = pre_tokenizers.Split(Regex(r"▁?\w+|▁?[^\w▁]|▁"), "isolated")
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), words])
        tokenizer.decoder = decoders.Metaspace()
        trainer = trainers.BpeTrainer(min_frequency=min_frequency, **fields)
    elif kind in ("word", "character"):
        tokenizer = library.Tokenizer(models.WordLevel(unk_token=SPECIAL[UNKNOWN]))
        if kind == "word":
            tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        else:
            tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r".|\n"), "isolated")
            tokenizer.decoder = decoders.Fuse()
        trainer = trainers.WordLevelTrainer(min_frequency=min_frequency, **fields)
    else:
        raise JaxnetsError(f"unknown kind of tokenizer {kind!r}. {suggest(kind, KINDS)}")
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.train_from_iterator(lines, trainer)
    found = TextTokenizer(tokenizer.to_str())
    if found.size <= len(SPECIAL):
        raise JaxnetsError(f"lines: no {kind} occurs {min_frequency} times; expected some text")
    return found


def load_tokenizer(path: str | Path, *, fingerprint: str | None = None) -> TextTokenizer:
    """Read a tokenizer that `TextTokenizer.save` wrote.

    Args:
        path: of the file.
        fingerprint: of the vocabulary that a network was trained with (a run keeps it), to refuse
            any other: its numbers would mean other words.

    Returns:
        The `TextTokenizer`.

    Raises:
        JaxnetsError: no such file, no tokenizer in it, or another run's.

    >>> import tempfile
    >>> made = train_tokenizer(["a b a b"], 9, kind="character")
    >>> path = made.save(f"{tempfile.mkdtemp()}/letters.json")
    >>> load_tokenizer(path, fingerprint=made.fingerprint).size
    7
    >>> load_tokenizer(path, fingerprint="0")
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: ...letters.json holds the vocabulary of another run...
    """
    path = Path(path)
    try:
        tokenizer = TextTokenizer(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise JaxnetsError(f"cannot read the vocabulary {path}: {printable(error)}") from None
    if fingerprint is not None and tokenizer.fingerprint != fingerprint:
        raise JaxnetsError(
            f"{path} holds the vocabulary of another run: its numbers mean other words than those "
            "that the network learned. Use the file of the run's own directory"
        )
    return tokenizer


def _library() -> Any:
    try:
        import tokenizers
    except ImportError:
        raise JaxnetsError(
            "text needs the tokenizers library: pip install 'jaxnets[text]'"
        ) from None
    return tokenizers
