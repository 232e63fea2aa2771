"""Ragged sequences as one padded array with a mask."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def pad_sequences(
    sequences: Sequence[Any],
    length: int | None = None,
    *,
    pad: float = 0,
    vocabulary: int | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Sequences of different lengths, filled up to one length.

    Args:
        sequences: each (t,) tokens, or (t, …) features; NumPy arrays or lists.
        length: T; the longest one's where None. Buckets of a few lengths compile once each.
        pad: what they are filled up with.
        vocabulary: number of tokens that there are, to refuse others.

    Returns:
        (padded (B, T, …), mask (B, T) booleans: True where there is a step).

    Raises:
        ValueError: no sequences, one of length 0, one longer than ``length``, sequences whose
            features differ, or a token outside the vocabulary; the message says which one.

    >>> tokens, mask = pad_sequences([[5, 6, 7], [8]])
    >>> tokens.tolist(), mask.sum(1).tolist()
    ([[5, 6, 7], [8, 0, 0]], [3, 1])
    """
    if not len(sequences):
        raise ValueError("sequences: got none; expected at least one")
    arrays = []
    for number, sequence in enumerate(sequences):
        try:
            arrays.append(np.asarray(sequence))
        except ValueError:
            raise ValueError(
                f"sequences[{number}]: its steps have different shapes; expected the same number "
                "of features at each step"
            ) from None
    first = arrays[0]
    for number, array in enumerate(arrays):
        place = f"sequences[{number}]"
        if array.ndim == 0:
            raise ValueError(f"{place}: got a single {array.dtype}; expected a sequence")
        if array.shape[0] == 0:
            raise ValueError(f"{place}: has length 0; leave it out, it has nothing to learn from")
        if length is not None and array.shape[0] > length:
            raise ValueError(
                f"{place}: has {array.shape[0]} steps, more than the {length} of its bucket; cut "
                "it, or choose a longer bucket"
            )
        if array.shape[1:] != first.shape[1:]:
            raise ValueError(
                f"{place}: its steps have shape {array.shape[1:]}; expected {first.shape[1:]}, as "
                "those of the first"
            )
        if array.dtype.kind not in "iufb":
            raise ValueError(f"{place}: got {array.dtype}; expected numbers: encode text first")
        if vocabulary is not None and (array.min() < 0 or array.max() >= vocabulary):
            wrong = array[(array < 0) | (array >= vocabulary)][0]
            raise ValueError(
                f"{place}: token {wrong} is unknown; expected 0 to {vocabulary - 1}. A vocabulary "
                "of another run, perhaps?"
            )
    size = max(map(len, arrays)) if length is None else length
    dtype = np.result_type(*arrays)
    padded = np.full((len(arrays), size, *first.shape[1:]), pad, dtype)
    mask = np.zeros((len(arrays), size), bool)
    for row, array in enumerate(arrays):
        padded[row, : len(array)] = array
        mask[row, : len(array)] = True
    return padded, mask
