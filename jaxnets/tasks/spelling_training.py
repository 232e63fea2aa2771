"""Training of a speller on spoken digits, alone and in a row."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import numpy as np

from jaxnets.data import shuffle
from jaxnets.data.buckets import SequencePairs
from jaxnets.data.sound import SpokenDigits
from jaxnets.data.text import TextTokenizer
from jaxnets.metrics import character_error_rate, word_error_rate
from jaxnets.tasks.small_training import workdir_of
from jaxnets.tasks.spelling import HEARS, WORDS, digit_strings, encode_sounds
from jaxnets.tasks.writing import write
from jaxnets.tasks.writing_training import train_writer
from jaxnets.train import RunOptions
from jaxnets.train.run import Fitted


def train_speller(
    model: nn.Module,
    digits: SpokenDigits,
    letters: TextTokenizer,
    *,
    options: RunOptions,
    strings: int = 3000,
    epochs: int = 20,
    batch_size: int = 32,
    learning_rate: float = 3e-3,
    sampling: float = 0.0,
    seed: int = 0,
    buckets: int = 3,
    longest: int = 24,
    beams: int = 1,
    settings: Mapping[str, Any] | None = None,
) -> Fitted:
    """Train a network to spell digits and strings of three, choose by what it spells, and test it.

    A tenth of the training recordings is held out for choosing. Strings are made of recordings of
    one speaker, of the training's, the held-out ones and the test's apart.

    Args:
        model: such as `jaxnets.models.sequence.Speller`.
        digits: the recordings.
        letters: the tokenizer; it is saved with the run, as ``letters.json``.
        options: how the run is carried out; its ``workdir`` holds the run.
        strings: of three digits each, to learn from beside the single ones.
        epochs: passes over the examples.
        batch_size: examples an update.
        learning_rate: the greatest.
        sampling: of `jaxnets.tasks.writing_training.train_writer`; the paper's is 0.1.
        seed: of weights, order and dropout.
        buckets: of lengths; each is compiled once.
        longest: letters at most.
        beams: of the search in the test.
        settings: further JSON values that decide what is learned.

    Returns:
        `jaxnets.train.run.Fitted`; its summary has ``test_digits`` and ``test_strings``, the shares
        without a fault (strings: as many as there are test recordings), and error rates of words
        and characters.

    Raises:
        JaxnetsError: as `jaxnets.train.fit`.

    >>> train_speller(None, None, None, options=RunOptions())
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: workdir: got none; a run needs a directory, --workdir DIRECTORY
    """
    workdir = workdir_of(options)
    test, rows = np.flatnonzero(digits.test), np.flatnonzero(~digits.test)
    rows = rows[shuffle.permutation(len(rows), 0, use=shuffle.VALIDATION)]
    held, rows = rows[: len(rows) // 10], rows[len(rows) // 10 :]

    def sounds(rows: np.ndarray, strings: int, seed: int) -> tuple[list[str], SequencePairs]:
        waves, words = digit_strings(digits, rows, strings, 3, seed=seed)
        waves = [digits.waves[row] for row in rows] + waves
        words = [WORDS[digits.digits[row]] for row in rows] + words
        pairs = encode_sounds(waves, words, letters, rate=digits.rate, buckets=buckets)
        return words, pairs

    _, source = sounds(rows, strings, 0)
    said, held_out = sounds(held, max(1, strings // 10), 1)

    def score(written):
        made = [letters.decode(tokens) for tokens in written]
        return {"spelled": float(np.mean([m == s for m, s in zip(made, said, strict=True)]))}

    def summarize(fitted: Fitted) -> dict[str, Any]:
        letters.save(workdir / "letters.json")
        found: dict[str, Any] = dict(fitted.measured)
        words, pairs = sounds(test, len(test), 2)
        limits: dict[str, Any] = {"reads": HEARS, "max_length": longest, "beams": beams}
        made = [letters.decode(t) for t in write(model.apply, fitted.variables, pairs, **limits)]
        for name, part in (("digits", slice(len(test))), ("strings", slice(len(test), None))):
            both = made[part], words[part]
            right = [m == w for m, w in zip(*both, strict=True)]
            found[f"test_{name}"] = float(np.mean(right))
            found[f"test_{name}_word_error_rate"] = word_error_rate(*both)
            found[f"test_{name}_character_error_rate"] = character_error_rate(*both)
        return found

    return train_writer(
        model,
        source,
        held_out,
        options=options,
        score=score,
        monitor="spelled",
        longest=longest,
        reads=HEARS,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        sampling=sampling,
        seed=seed,
        settings={"strings": strings, **(settings or {})},
        meta={"letters": letters.fingerprint},
        summarize=summarize,
    )
