"""Pairs of sentences made from a seed, to try a translator on."""

import numpy as np

from jaxnets.data.text.files import Pairs
from jaxnets.errors import JaxnetsError

_GERMAN = ["null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"]
_ENGLISH = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def number_words(count: int, *, longest: int = 8, seed: int = 0, reverse: bool = True) -> Pairs:
    """German number words, and the English ones, from the last to the first or in their order.

    Reversal needs a memory of everything that was read, or attention whose maps are the
    antidiagonal; in order they are the diagonal.

    Args:
        count: of pairs.
        longest: words at most; at least one.
        seed: of the numbers.
        reverse: whether the English ones stand in reversed order.

    Returns:
        (German sentences, English ones).

    Raises:
        JaxnetsError: no pairs, or no words.

    >>> number_words(2, longest=3)
    (['...'], ['...'])
    """
    if count < 1 or longest < 1:
        raise JaxnetsError(f"got count {count} and longest {longest}; expected at least 1 of each")
    draw = np.random.default_rng(seed)
    numbers = [draw.integers(10, size=draw.integers(1, longest + 1)) for _ in range(count)]
    turn = slice(None, None, -1 if reverse else 1)
    return (
        [" ".join(_GERMAN[n] for n in row) for row in numbers],
        [" ".join(_ENGLISH[n] for n in row[turn]) for row in numbers],
    )
