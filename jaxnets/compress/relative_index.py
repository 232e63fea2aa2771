"""Where the weights of a sparse layer are: how many zeros lie before each, in few bits.

Where more zeros follow one another than the bits can say, an entry with the value 0 is put between.

Source: Han, Mao, Dally, "Deep Compression", 2016, section 2 and figure 2.
"""

from typing import NamedTuple

import numpy as np

from jaxnets.errors import JaxnetsError


class RelativeIndex(NamedTuple):
    """Entries of a sparse array.

    Attributes:
        gaps: (E,) zeros before each entry, from 0 to 2^b − 1.
        filler: (E,) whether an entry is a 0 put between.

    >>> relative_index(np.array([0, 3, 20]), 2).gaps.tolist()
    [0, 2, 3, 3, 3, 3, 0]
    """

    gaps: np.ndarray
    filler: np.ndarray


def relative_index(places: np.ndarray, bits: int) -> RelativeIndex:
    """Gaps between places, with fillers where a gap is 2^b or more.

    Args:
        places: (K,) ascending numbers of the entries that are not 0.
        bits: b, from 1 to 8.

    Returns:
        `RelativeIndex`.

    Raises:
        JaxnetsError: bits outside 1 … 8, or places that do not ascend.

    Source: Han, Mao, Dally, 2016, section 2: 8 bits for convolutions, 5 for dense layers; 4 in the
    published SqueezeNet.

    >>> relative_index(np.array([17]), 4).filler.tolist()
    [True, False]
    """
    if not 1 <= bits <= 8:
        raise JaxnetsError(f"relative_index: bits must be from 1 to 8, got {bits}")
    steps = np.diff(np.asarray(places, np.int64), prepend=-1)
    if len(steps) and steps.min() < 1:
        raise JaxnetsError("relative_index: places must ascend, and the first be 0 or more")
    reach = 1 << bits
    fillers, rest = np.divmod(steps - 1, reach)
    ends = np.cumsum(fillers + 1) - 1
    gaps = np.full(int(ends[-1]) + 1 if len(ends) else 0, reach - 1, np.uint8)
    filler = np.ones(len(gaps), bool)
    gaps[ends], filler[ends] = rest, False
    return RelativeIndex(gaps, filler)


def places_of(gaps: np.ndarray) -> np.ndarray:
    """Where the entries are, fillers among them.

    Args:
        gaps: (E,) zeros before each entry.

    Returns:
        (E,) ascending numbers.

    >>> places_of(np.array([0, 2, 3])).tolist()
    [0, 3, 7]
    """
    return np.cumsum(np.asarray(gaps, np.int64) + 1) - 1
