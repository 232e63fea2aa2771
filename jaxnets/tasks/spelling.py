"""Spelling what is heard: recordings as features and letters, and a network that spells a sound."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from jaxnets.data import ArraySource
from jaxnets.data.buckets import SequencePairs, choose_buckets
from jaxnets.data.sound import SpokenDigits, log_mel
from jaxnets.data.text import END, START, TextTokenizer, train_tokenizer
from jaxnets.errors import JaxnetsError
from jaxnets.tasks.writing import write

HEARS = {"sequence": "source", "sequence_mask": "source_mask"}
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
MELS = 40


def features(waves: Sequence[np.ndarray], *, rate: int = 8000) -> list[np.ndarray]:
    """Log-mel features of sounds of different lengths, each minus its own mean over time.

    Args:
        waves: each (L,) samples.
        rate: samples a second; a step is a hundredth of one.

    Returns:
        For each (T, 40) float32.

    Raises:
        JaxnetsError: a sound without samples.

    >>> [x.shape for x in features([np.zeros(800), np.ones(81)])]
    [(11, 40), (2, 40)]
    """
    if empty := [number for number, wave in enumerate(waves) if len(wave) == 0]:
        raise JaxnetsError(f"sound {empty[0]} has length 0; expected some samples")
    hop = rate // 100
    compute = jax.jit(lambda wave: log_mel(wave, rate=rate, hop=hop, mels=MELS))
    found: list[np.ndarray] = [np.zeros(0)] * len(waves)
    # Few shapes: whole seconds, up to 64 sounds at a time.
    seconds = np.array([-(-len(wave) // rate) for wave in waves])
    for size in np.unique(seconds):
        rows = np.flatnonzero(seconds == size)
        for start in range(0, len(rows), 64):
            part = rows[start : start + 64]
            padded = np.zeros((64, size * rate), np.float32)
            for place, row in enumerate(part):
                padded[place, : len(waves[row])] = waves[row]
            for row, all_frames in zip(part, np.asarray(compute(padded)), strict=False):
                frames = all_frames[: 1 + len(waves[row]) // hop]
                found[row] = frames - frames.mean(0)
    return found


def digit_strings(
    digits: SpokenDigits, rows: np.ndarray, count: int, length: int, *, seed: int = 0
) -> tuple[list[np.ndarray], list[str]]:
    """Recordings of one speaker behind each other, and the words that are said.

    Args:
        digits: the recordings.
        rows: which of them.
        count: of strings.
        length: digits of each.
        seed: of the draw.

    Returns:
        (waves, words with spaces between them).

    >>> digits = SpokenDigits([np.ones(3), np.ones(4)], np.array([7, 1]), np.zeros(2, int), None)
    >>> waves, words = digit_strings(digits, np.array([0]), 1, 2)
    >>> waves[0].shape, words
    ((6,), ['seven seven'])
    """
    draw = np.random.default_rng(seed)
    waves, words = [], []
    for _ in range(count):
        speaker = digits.speakers[draw.choice(rows)]
        chosen = draw.choice(rows[digits.speakers[rows] == speaker], length)
        waves.append(np.concatenate([digits.waves[row] for row in chosen]))
        words.append(" ".join(WORDS[digits.digits[row]] for row in chosen))
    return waves, words


def encode_sounds(
    waves: Sequence[np.ndarray],
    words: Sequence[str],
    tokenizer: TextTokenizer,
    *,
    rate: int = 8000,
    buckets: int = 3,
) -> SequencePairs:
    """Sounds as features, and what is said as letters, in buckets.

    Args:
        waves: each (L,) samples.
        words: what is said in each.
        tokenizer: of letters.
        rate: samples a second.
        buckets: how many; each is compiled once.

    Returns:
        The source of batches, with ``row``, the number of the sound.

    Raises:
        JaxnetsError: a sound without samples, or words without letters.

    >>> letters = letters_of_digits()
    >>> encode_sounds([np.ones(800)], ["one"], letters).take(np.array([0]))["sequence"].shape
    (1, 16, 40)
    """
    heard, said = features(waves, rate=rate), tokenizer.encode_all(words)
    # Multiples of eight: a pyramid of three layers leaves no step over.
    bounds = choose_buckets([*map(len, heard)], [*map(len, said)], buckets, multiple=8)
    return SequencePairs(heard, said, bounds, extra={"row": np.arange(len(said))})


def letters_of_digits() -> TextTokenizer:
    """The letters of the ten words, and the space.

    Returns:
        The tokenizer.

    >>> letters_of_digits().size
    20
    """
    return train_tokenizer([" ".join(WORDS)], 99, kind="character", min_frequency=1)


def spell(
    model: nn.Module,
    variables: Any,
    wave: np.ndarray,
    tokenizer: TextTokenizer,
    *,
    rate: int = 8000,
    longest: int = 24,
    beams: int = 1,
) -> tuple[str, np.ndarray]:
    """Spell one sound.

    Args:
        model: the network.
        variables: its parameters.
        wave: (L,) samples, such as `jaxnets.data.sound.read_sound` gives.
        tokenizer: of letters.
        rate: samples a second.
        longest: letters at most.
        beams: 1 for the likeliest letter at each step.

    Returns:
        (what is said, weights (letters and end, steps) of the attention).

    Raises:
        JaxnetsError: a sound without samples.

    >>> from jaxnets.models.sequence import Speller
    >>> letters, one = letters_of_digits(), np.ones((1, 1), int)
    >>> model = Speller(MELS, letters.size, 2, embedding=2)
    >>> variables = model.init(jax.random.key(0), np.ones((1, 8, MELS)), one)
    >>> said, weights = spell(model, variables, np.ones(800), letters, longest=3)
    >>> weights.shape[1]
    2
    """
    (heard,) = features([wave], rate=rate)
    steps = -(-len(heard) // 8) * 8
    sequence = np.zeros((1, steps, MELS), np.float32)
    sequence[0, : len(heard)] = heard
    mask = np.arange(steps)[None] < len(heard)
    source = ArraySource({"sequence": sequence, "sequence_mask": mask})
    limits: dict[str, Any] = {"reads": HEARS, "max_length": longest, "beams": beams}
    (made,) = write(model.apply, variables, source, **limits)
    said = [int(token) for token in made if token != END]
    target = np.array([[START, *said]])
    _, stored = model.apply(variables, sequence, target, source_mask=mask, mutable=["attention"])
    (weights,) = jax.tree.leaves(stored)
    return tokenizer.decode(said), np.asarray(weights[0])
