"""Translation: pairs of texts as a source, and a trained network as a function of sentences."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np

from jaxnets.data import ArraySource, pad_sequences
from jaxnets.data.buckets import SequencePairs, choose_buckets
from jaxnets.data.text import START, TextTokenizer, load_tokenizer, train_tokenizer
from jaxnets.data.text.files import Pairs
from jaxnets.errors import JaxnetsError
from jaxnets.metrics import Bleu, corpus_bleu
from jaxnets.tasks.writing import write
from jaxnets.train import reopen

FILES = ("source_vocabulary.json", "target_vocabulary.json")


class Vocabularies(NamedTuple):
    """The tokenizers of both sides.

    Attributes:
        source: of what is read.
        target: of what is written.

    >>> tokenizer = train_tokenizer(["aa"], 9, kind="character")
    >>> Vocabularies(tokenizer, tokenizer).source.size
    5
    """

    source: TextTokenizer
    target: TextTokenizer

    def save(self, workdir: str | Path) -> None:
        """Write both into a run's directory."""
        for tokenizer, name in zip(self, FILES, strict=True):
            tokenizer.save(Path(workdir) / name)

    @property
    def meta(self) -> dict[str, str]:
        """What a run keeps to know its vocabularies again."""
        return {name: tokenizer.fingerprint for name, tokenizer in zip(FILES, self, strict=True)}


def train_vocabularies(pairs: Pairs, size: int, **options: Any) -> Vocabularies:
    """A tokenizer for each side of a corpus.

    Args:
        pairs: (sources, targets).
        size: tokens of each at most.
        options: of `jaxnets.data.text.train_tokenizer`.

    Returns:
        `Vocabularies`.

    Raises:
        JaxnetsError: as `jaxnets.data.text.train_tokenizer`.

    >>> train_vocabularies((["ja ja"], ["yes yes"]), 9, kind="word").target.pieces([4])
    ['yes']
    """
    return Vocabularies(*(train_tokenizer(side, size, **options) for side in pairs))


def load_vocabularies(workdir: str | Path, meta: dict[str, Any] | None = None) -> Vocabularies:
    """The tokenizers of a run.

    Args:
        workdir: the run's directory.
        meta: of the run's checkpoint; vocabularies of another run are refused.

    Returns:
        `Vocabularies`.

    Raises:
        JaxnetsError: no files, or those of another run.

    >>> load_vocabularies("/nowhere")
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: cannot read the vocabulary /nowhere/source_vocabulary.json...
    """
    return Vocabularies(
        *(
            load_tokenizer(Path(workdir) / name, fingerprint=(meta or {}).get(name))
            for name in FILES
        )
    )


def encode_pairs(
    pairs: Pairs, vocabularies: Vocabularies, *, buckets: int = 5, longest: int = 50
) -> tuple[SequencePairs, int]:
    """Pairs of texts as tokens in buckets.

    Args:
        pairs: (sources, targets).
        vocabularies: of both sides.
        buckets: how many; each is compiled once.
        longest: tokens, the end among them; pairs with more on a side are left out.

    Returns:
        (the source of batches, how many pairs were left out).

    Raises:
        JaxnetsError: nothing is left.

    >>> pairs = (["ja ja", "nein"], ["yes yes", "no"])
    >>> words = train_vocabularies(pairs, 9, kind="word", min_frequency=1)
    >>> found, left_out = encode_pairs(pairs, words, buckets=1)
    >>> found.take(np.array([1]))["targets"].tolist(), left_out
    ([[5, 2, 0, 0]], 0)
    """
    sides = [t.encode_all(side) for t, side in zip(vocabularies, pairs, strict=True)]
    kept = [
        row for row, pair in enumerate(zip(*sides, strict=True)) if max(map(len, pair)) <= longest
    ]
    if not kept:
        raise JaxnetsError(f"all {len(sides[0])} pairs have more than {longest} tokens")
    sources, targets = ([side[row] for row in kept] for side in sides)
    bounds = choose_buckets([*map(len, sources)], [*map(len, targets)], buckets, multiple=2)
    rows = {"row": np.array(kept)}
    return SequencePairs(sources, targets, bounds, extra=rows), len(pairs[0]) - len(kept)


def bleu_score(
    references: Sequence[str], source: SequencePairs, vocabularies: Vocabularies, tokenize: str
) -> Callable[[Sequence[np.ndarray]], dict[str, float]]:
    """What `jaxnets.tasks.writing.sequence_to_sequence` takes as ``score`` to watch BLEU.

    Args:
        references: the right translations, of all pairs that `encode_pairs` was given.
        source: what it made of them, in any order.
        vocabularies: of both sides.
        tokenize: see `jaxnets.metrics.corpus_bleu`.

    Returns:
        (tokens written for each example of ``source``) → {"bleu": 0 to 100}.

    >>> pairs = (["ja ja", "nein"], ["yes yes yes yes", "no"])
    >>> words = train_vocabularies(pairs, 9, kind="word", min_frequency=1)
    >>> source, _ = encode_pairs(pairs, words)
    >>> bleu_score(pairs[1], source, words, "none")([[4, 4, 4, 4, 2], [5, 2]])["bleu"]
    100.0...
    """
    wanted = [references[row] for row in source.extra["row"]]

    def score(written: Sequence[np.ndarray]) -> dict[str, float]:
        made = [vocabularies.target.decode(tokens) for tokens in written]
        return {"bleu": corpus_bleu(made, wanted, tokenize=tokenize).score}

    return score


class Translator:
    """A trained network as a function from sentences to sentences.

    Args:
        model: with the methods ``encode`` and ``step``, see `jaxnets.tasks.writing.write`.
        variables: its parameters.
        vocabularies: those that it was trained with.
        max_length: tokens that it writes at most.

    >>> from jaxnets.models.sequence import RNNSearch
    >>> words = train_vocabularies((["ja ja"], ["yes yes"]), 9, kind="word")
    >>> model, one = RNNSearch(5, 5, 2, embedding=2), np.ones((1, 1), int)
    >>> translate = Translator(model, model.init(jax.random.key(0), one, one), words, 3)
    >>> len(translate(["ja", "ja ja ja"]))
    2
    >>> weights, read, written = translate.attention("ja ja", "yes")
    >>> weights.shape, read, written
    ((2, 3), ['ja', 'ja', '</s>'], ['yes', '</s>'])
    """

    def __init__(
        self, model: nn.Module, variables: Any, vocabularies: Vocabularies, max_length: int
    ):
        self.model, self.variables = model, variables
        self.vocabularies, self.max_length = vocabularies, max_length

    def __call__(
        self, sentences: Sequence[str], *, beams: int = 1, length_penalty: float = 0.0
    ) -> list[str]:
        """Translate.

        Args:
            sentences: (N,).
            beams: 1 for the likeliest token at each step.
            length_penalty: of `jaxnets.ops.beam_search`.

        Returns:
            (N,) translations.

        Raises:
            JaxnetsError: no sentences, or one without words.
        """
        if not sentences:
            raise JaxnetsError("no sentences to translate; expected at least one")
        # Few shapes: sentences of similar length together, padded to multiples of eight.
        read = self.vocabularies.source.encode_all(sentences)
        rows = np.argsort([len(tokens) for tokens in read], kind="stable")
        written: list[str] = [""] * len(read)
        for size in sorted({-(-len(tokens) // 8) * 8 for tokens in read}):
            own = [row for row in rows if size - 8 < len(read[row]) <= size]
            tokens, mask = pad_sequences([read[row] for row in own], size)
            made = write(
                self.model.apply,
                self.variables,
                ArraySource({"tokens": tokens.astype(np.int32), "token_mask": mask}),
                max_length=self.max_length,
                beams=beams,
                length_penalty=length_penalty,
            )
            for row, numbers in zip(own, made, strict=True):
                written[row] = self.vocabularies.target.decode(numbers)
        return written

    def bleu(
        self, pairs: Pairs, *, tokenize: str = "13a", beams: int = 1, length_penalty: float = 0.0
    ) -> tuple[Bleu, list[str]]:
        """Translate the sources of pairs and compare with the targets.

        Args:
            pairs: (sources, targets).
            tokenize: see `jaxnets.metrics.corpus_bleu`.
            beams: 1 for the likeliest token at each step.
            length_penalty: of `jaxnets.ops.beam_search`.

        Returns:
            (BLEU, the translations).
        """
        made = self(pairs[0], beams=beams, length_penalty=length_penalty)
        return corpus_bleu(made, pairs[1], tokenize=tokenize), made

    def attention(
        self, sentence: str, translation: str
    ) -> tuple[np.ndarray, list[str], list[str]] | None:
        """Where the network looked while it wrote.

        Args:
            sentence: that was read.
            translation: that was written.

        Returns:
            (weights (T, S), or (H, T, S) of the last decoder layer's heads; names of what was read,
            of what was written); None for a network without attention.
        """
        read = self.vocabularies.source.encode(sentence)
        said = self.vocabularies.target.encode(translation)
        target = np.array([[START, *said[:-1]]])
        _, stored = self.model.apply(
            self.variables, np.array([read]), target, mutable=["attention"]
        )
        found = [
            (jax.tree_util.keystr(path), leaf)
            for path, leaf in jax.tree_util.tree_leaves_with_path(stored.get("attention", {}))
        ]
        # From what is written to what is read: of several layers the last one's.
        maps = [leaf for name, leaf in found if "self_attention" not in name]
        if not maps:
            return None
        pieces = self.vocabularies.source.pieces(read), self.vocabularies.target.pieces(said)
        return np.asarray(maps[-1][0]), *pieces


def load_translator(
    workdir: str | Path, build: Callable[[Vocabularies], nn.Module], max_length: int
) -> Translator:
    """The translator of a run of `jaxnets.train.fit` that kept `Vocabularies.meta`.

    Args:
        workdir: the run's directory.
        build: vocabularies → the network that was trained.
        max_length: tokens that it writes at most.

    Returns:
        `Translator`.

    Raises:
        JaxnetsError: no run there, or its vocabularies are those of another run.

    >>> load_translator("/nowhere", lambda vocabularies: None, 9)
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: /nowhere holds no run (no config.json)...
    """
    found = reopen(workdir)
    vocabularies = load_vocabularies(workdir, found.meta)
    return Translator(build(vocabularies), found.variables, vocabularies, max_length)
