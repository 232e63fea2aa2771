"""Huffman codes beside a textbook's, with a heap."""

import heapq
import itertools

import numpy as np
import pytest

from jaxnets.compress import HuffmanCode, entropy, huffman_code, mean_bits
from jaxnets.errors import JaxnetsError


def heap_cost(frequencies):
    """Total bits of Huffman's code: the sum of all merged weights."""
    heap = [int(f) for f in frequencies if f]
    heapq.heapify(heap)
    total = 0
    while len(heap) > 1:
        merged = heapq.heappop(heap) + heapq.heappop(heap)
        total += merged
        heapq.heappush(heap, merged)
    return total


def distributions():
    random = np.random.default_rng(0)
    yield np.array([1, 1])
    yield np.array([5, 0, 0, 1, 0, 2])
    yield np.full(256, 7)
    for n in (3, 16, 37, 256, 1000):
        yield np.floor(np.exp(3 * random.standard_normal(n))).astype(int) + 1
        yield random.integers(0, 50, n)


@pytest.mark.parametrize("frequencies", list(distributions()))
def test_as_short_as_huffmans_complete_and_near_entropy(frequencies):
    code = huffman_code(frequencies)
    bits = mean_bits(code, frequencies)
    assert round(bits * frequencies.sum()) == heap_cost(frequencies)
    assert code.kraft == 1
    # H in float64, with n terms.
    assert entropy(frequencies) <= bits + 1e-12 and bits < entropy(frequencies) + 1
    assert sorted(code.order.tolist()) == np.flatnonzero(frequencies).tolist()


def test_codes_are_canonical_and_no_code_begins_another():
    code = huffman_code(np.array([10, 1, 5, 2, 2, 1]))
    words = [f"{w:0{n}b}" for w, n in zip(code.codewords, code.lengths, strict=True)]
    assert words == sorted(words) and words[0] == "0" * len(words[0])
    for i, one in enumerate(words):
        assert not any(other.startswith(one) for other in words[i + 1 :])
    for before, after in itertools.pairwise(words):  # one more, then shifted
        assert int(after, 2) == (int(before, 2) + 1) << (len(after) - len(before))


def test_limited_codes_are_the_best_within_the_limit():
    frequencies = np.array([1, 1, 2, 3, 5, 8, 13, 21])
    assert huffman_code(frequencies).lengths.max() == 7
    short = huffman_code(frequencies, longest=4)
    assert short.kraft == 1 and short.lengths.max() == 4

    def complete(n, left, deepest):
        """All ascending tuples of n lengths up to the limit with Σ 2^−ℓ = left."""
        if n == 0:
            yield from [()] if left == 0 else []
            return
        for length in range(deepest, 5):
            if left >= 2.0**-length:
                for rest in complete(n - 1, left - 2.0**-length, length):
                    yield (length, *rest)

    costs = [np.dot(lengths, frequencies[::-1]) for lengths in complete(8, 1.0, 1)]
    assert mean_bits(short, frequencies) * frequencies.sum() == pytest.approx(min(costs))


def test_one_symbol_takes_no_bits():
    code = huffman_code(np.array([0, 9]))
    assert isinstance(code, HuffmanCode)
    assert code.lengths.tolist() == [0] and code.kraft == 1 and code.order.tolist() == [1]
    assert entropy(np.array([0, 9])) == mean_bits(code, np.array([0, 9])) == 0


def test_wrong_frequencies_are_refused():
    for wrong in (np.zeros(3, int), np.array([1, -1]), np.ones((2, 2), int)):
        with pytest.raises(JaxnetsError, match="frequencies"):
            huffman_code(wrong)
    with pytest.raises(JaxnetsError, match="5 symbols do not fit into codes of at most 2"):
        huffman_code(np.ones(5, int), longest=2)
