"""Arrays in few bytes, and back with all their bits; places of sparse ones."""

import numpy as np
import pytest

from jaxnets.compress import (
    EncodedArray,
    RelativeIndex,
    decoded,
    encode_array,
    encode_entries,
    places_of,
    relative_index,
)
from jaxnets.errors import JaxnetsError


def one_after_the_other(places, bits):
    """Figure 2 of the paper, in a loop."""
    gaps, filler, last = [], [], -1
    for place in places:
        while place - last - 1 > 2**bits - 1:
            gaps.append(2**bits - 1)
            filler.append(True)
            last += 2**bits
        gaps.append(place - last - 1)
        filler.append(False)
        last = place
    return gaps, filler


@pytest.mark.parametrize("bits", [1, 3, 4, 8])
def test_gaps_and_fillers(bits):
    random = np.random.default_rng(bits)
    places = np.sort(random.choice(5000, 60, replace=False))
    found = relative_index(places, bits)
    gaps, filler = one_after_the_other(places.tolist(), bits)
    assert isinstance(found, RelativeIndex)
    assert found.gaps.tolist() == gaps and found.filler.tolist() == filler
    np.testing.assert_array_equal(places_of(found.gaps)[~found.filler], places)


def test_wrong_places_are_refused():
    with pytest.raises(JaxnetsError, match="from 1 to 8, got 9"):
        relative_index(np.array([1]), 9)
    with pytest.raises(JaxnetsError, match="ascend"):
        relative_index(np.array([3, 3]), 4)
    assert len(relative_index(np.zeros(0, int), 4).gaps) == 0


@pytest.mark.parametrize("kept", [0.0, 0.01, 0.1, 0.5, 1.0])
def test_every_bit_comes_back(kept):
    random = np.random.default_rng(0)
    table = random.standard_normal(30).astype(np.float32)
    array = table[random.integers(0, 30, (40, 11, 7))]
    array[random.random(array.shape) >= kept] = 0
    array.ravel()[[5, 900]] = -0.0, np.float32(np.nan)
    encoded = encode_array(array)
    assert isinstance(encoded, EncodedArray) and encoded.size < array.nbytes / 2
    assert decoded(encoded).tobytes() == array.tobytes()
    assert (encoded.index_bits > 0) == (
        kept < 0.5
    )  # at a half, every entry with a short code for 0 is smaller


def test_more_sparse_is_smaller():
    random = np.random.default_rng(0)
    base = random.integers(1, 16, 20_000).astype(np.float32)
    sizes = [
        encode_array(np.where(random.random(20_000) < kept, base, 0).astype(np.float32)).size
        for kept in (1.0, 0.5, 0.2, 0.05, 0.01)
    ]
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] < sizes[0] / 15


def test_what_has_many_values_stays():
    assert encode_array(np.random.default_rng(0).random(100).astype(np.float32)) is None
    assert encode_array(np.zeros(0, np.float32)) is None
    assert encode_array(np.arange(70_000, dtype=np.float32)) is None


def test_entries_that_are_sparse_already():
    table = np.float32([0, 2, 9])
    encoded = encode_entries((2, 5), table, np.array([1, 0, 2]), np.array([0, 3, 1]), 2)
    assert decoded(encoded).tolist() == [[2, 0, 0, 0, 0], [0, 9, 0, 0, 0]]
