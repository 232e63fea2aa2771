"""Canonical Huffman codes: which symbol gets how many bits, and which.

A canonical code is known by the order of its symbols and how many of them have each length; the
codes themselves are counted up, so that a file needs to hold nothing else.
"""

from typing import NamedTuple

import numpy as np

from jaxnets.errors import JaxnetsError

LONGEST = 24


class HuffmanCode(NamedTuple):
    """A canonical code of symbols 0 … n − 1.

    Attributes:
        order: symbols that have a code, by length and then by number; int32.
        counts: (25,), how many codes of 0, 1, …, 24 bits there are.

    >>> code = huffman_code(np.array([5, 1, 0, 2]))
    >>> code.order.tolist(), code.counts[:4].tolist()
    ([0, 1, 3], [0, 1, 2, 0])
    """

    order: np.ndarray
    counts: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """Bits of each of ``order``."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    @property
    def codewords(self) -> np.ndarray:
        """The code of each of ``order``, uint32: one more than the one before, then shifted."""
        lengths = self.lengths
        steps = np.left_shift(np.uint64(1), (LONGEST - lengths).astype(np.uint64))
        ends = np.cumsum(steps, dtype=np.uint64)
        return ((ends - steps) >> (LONGEST - lengths).astype(np.uint64)).astype(np.uint32)

    @property
    def kraft(self) -> float:
        """Σ 2^(−length), which is 1 for a complete code; exact."""
        return float(np.sum(self.counts * 2.0 ** -np.arange(len(self.counts))))


def huffman_code(frequencies: np.ndarray, *, longest: int = LONGEST) -> HuffmanCode:
    """The code with the fewest bits for symbols of given frequencies.

    .. math:: \\min_\\ell \\sum_s f_s \\ell_s \\quad \\text{with} \\quad \\sum_s 2^{-\\ell_s} = 1,
        \\; \\ell_s \\leq 24

    By packages and merges, which is Huffman's code where that has no longer codes, and the best
    one within the limit otherwise. A single symbol takes no bits.

    Args:
        frequencies: (n,) whole numbers; symbols of frequency 0 get no code.
        longest: the most bits of a code.

    Returns:
        `HuffmanCode`.

    Raises:
        JaxnetsError: negative frequencies, none above 0, or more symbols than ``longest`` bits
            can tell apart.

    Source: Huffman, "A Method for the Construction of Minimum-Redundancy Codes", 1952; Larmore,
    Hirschberg, "A fast algorithm for optimal length-limited Huffman codes", 1990.

    >>> code = huffman_code(np.array([8, 1, 1, 2]))
    >>> code.lengths.tolist(), code.kraft
    ([1, 2, 3, 3], 1.0)
    """
    frequencies = np.asarray(frequencies, np.int64)
    symbols = np.flatnonzero(frequencies)
    if frequencies.ndim != 1 or not len(symbols) or frequencies.min() < 0:
        raise JaxnetsError(
            f"huffman_code: expected (n,) frequencies of 0 or more, not all 0; got shape "
            f"{frequencies.shape}, {len(symbols)} of them not 0"
        )
    if not 1 <= longest <= LONGEST or len(symbols) > 2**longest:
        raise JaxnetsError(
            f"huffman_code: {len(symbols)} symbols do not fit into codes of at most {longest} bits "
            f"(1 to {LONGEST})"
        )
    symbols = symbols[np.argsort(frequencies[symbols], kind="stable")]
    lengths = _package_merge(frequencies[symbols], longest)
    order = symbols[np.lexsort((symbols, lengths))].astype(np.int32)
    return HuffmanCode(order, np.bincount(lengths, minlength=LONGEST + 1))


def _package_merge(leaves: np.ndarray, longest: int) -> np.ndarray:
    """Code lengths of ascending frequencies.

    In each round neighbors are packed in pairs and merged with the leaves; of the last round the
    2n − 2 cheapest are taken, and of each earlier one what its packages hold. A leaf's length is
    the number of rounds in which it is taken.
    """
    n = len(leaves)
    lengths = np.zeros(n, np.int64)
    if n == 1:
        return lengths
    rounds, items = [np.ones(n, bool)], leaves
    for _ in range(longest - 1):
        pairs = items[: len(items) // 2 * 2].reshape(-1, 2).sum(1)
        both = np.concatenate([leaves, pairs])
        order = np.argsort(both, kind="stable")
        rounds.append(order < n)
        items = both[order]
    taken = 2 * n - 2
    for is_leaf in reversed(rounds):
        own = int(is_leaf[:taken].sum())
        lengths[:own] += 1
        taken = 2 * (taken - own)
    return lengths


def entropy(frequencies: np.ndarray) -> float:
    """Bits a symbol that no code can go below: H = −Σ p log₂ p.

    Args:
        frequencies: (n,), not all 0.

    Returns:
        H.

    >>> entropy(np.array([1, 1, 2]))
    1.5
    """
    p = np.asarray(frequencies, np.float64)
    p = p[p > 0] / p.sum()
    return float(-(p * np.log2(p)).sum()) + 0.0


def mean_bits(code: HuffmanCode, frequencies: np.ndarray) -> float:
    """Bits a symbol of a code: L̄ = Σ p ℓ, with H ≤ L̄ < H + 1 for Huffman's.

    Args:
        code: the code.
        frequencies: (n,) of its symbols.

    Returns:
        L̄.

    >>> frequencies = np.array([1, 1, 2])
    >>> mean_bits(huffman_code(frequencies), frequencies)
    1.5
    """
    frequencies = np.asarray(frequencies)
    return float((frequencies[code.order] * code.lengths).sum() / frequencies.sum())
