"""One array in as few bytes as its values allow, and back, bit for bit.

An array of few different values becomes a table of them and one Huffman-coded number an entry;
where most entries are 0, only the others are kept, each with the zeros before it. What has too many
different values is kept as it is.
"""

from typing import NamedTuple

import numpy as np

from jaxnets.compress.bit_stream import CHUNK, BitStream, encode_symbols
from jaxnets.compress.huffman import HuffmanCode, huffman_code, mean_bits
from jaxnets.compress.relative_index import places_of, relative_index

# More different values than this are not worth a table.
MOST_VALUES = 1 << 16
GAP_BITS = tuple(range(1, 9))


class EncodedArray(NamedTuple):
    """An array of shared values.

    Attributes:
        shape: of the array.
        table: (k,) float32: its different values, those with short codes first.
        code: of places in the table.
        values: the entries' places in the table.
        gap_code: of gaps; None where every entry of the array is there.
        gaps: zeros before each entry.
        index_bits: bits a gap had before Huffman coding; 0 without gaps.

    >>> encode_array(np.float32([[1, 1, 2, 1]])).table.tolist()
    [1.0, 2.0]
    """

    shape: tuple[int, ...]
    table: np.ndarray
    code: HuffmanCode
    values: BitStream
    gap_code: HuffmanCode | None = None
    gaps: BitStream | None = None
    index_bits: int = 0

    @property
    def size(self) -> int:
        """Bytes in a file, without name and shape."""
        chunks = len(self.values.chunk_bits) + (
            0 if self.gaps is None else len(self.gaps.chunk_bits)
        )
        data = len(self.values.data) + (0 if self.gaps is None else len(self.gaps.data))
        gap_symbols = 0 if self.gap_code is None else len(self.gap_code.order)
        return 4 * len(self.table) + gap_symbols + 2 * chunks + data


def encode_array(array: np.ndarray) -> EncodedArray | None:
    """The smallest form of an array of few different values.

    Args:
        array: float32.

    Returns:
        `EncodedArray`; None where there are more than 65,536 different values, or where the array
        itself is as small.

    Source: Han, Mao, Dally, "Deep Compression", 2016, sections 2 to 4. That the table is in the
    order of the codes, so that a file needs no lengths, is ours, as is the choice of index bits.

    >>> weights = np.zeros(1000, np.float32)
    >>> weights[::100] = 0.5
    >>> encoded = encode_array(weights)
    >>> encoded.index_bits, encoded.size < 60
    (7, True)
    """
    array = np.ascontiguousarray(array, np.float32)
    bits = array.ravel().view(np.uint32)
    if not len(bits):
        return None
    if len(np.unique(bits[:: max(1, len(bits) // 200_000)])) > MOST_VALUES:
        return None
    table, numbers = np.unique(bits, return_inverse=True)
    if len(table) > MOST_VALUES:
        return None
    numbers = numbers.astype(np.int32)
    counts = np.bincount(numbers, minlength=len(table))
    code = huffman_code(counts)
    dense_bits = mean_bits(code, counts) * len(numbers)
    zero = int(np.searchsorted(table, 0))
    places = np.zeros(0, int)
    if len(table) > 1 and table[min(zero, len(table) - 1)] == 0 and counts[zero] > len(bits) // 8:
        places = np.flatnonzero(bits)
    best = None
    for index_bits in GAP_BITS if len(places) else ():
        option = _sparse_cost(places, numbers, counts, zero, index_bits)
        best = min(filter(None, (best, option)), key=lambda x: x[0])
    if best is None or best[0] >= dense_bits:
        found = EncodedArray(
            array.shape,
            _in_order(table, code),
            _by_place(code),
            encode_symbols(numbers, code),
        )
    else:
        found = _sparse(array.shape, table, places, numbers, zero, best[1])
    return found if found.size < array.nbytes else None


def _sparse_cost(places, numbers, counts, zero, index_bits) -> tuple[float, int]:
    """Bits of both streams, exact, and the bits of an index."""
    index = relative_index(places, index_bits)
    gap_counts = np.bincount(index.gaps, minlength=1)
    counts = counts.copy()
    counts[zero] = index.filler.sum()
    value_bits = mean_bits(huffman_code(counts), counts)
    gap_bits = mean_bits(huffman_code(gap_counts), gap_counts)
    chunks = 2 * -(-len(index.gaps) // CHUNK) * 16
    return (value_bits + gap_bits) * len(index.gaps) + chunks, index_bits


def _sparse(shape, table, places, numbers, zero, index_bits) -> EncodedArray:
    index = relative_index(places, index_bits)
    kept = np.full(len(index.gaps), zero, np.int32)
    kept[~index.filler] = numbers[places]
    return encode_entries(shape, table.view(np.float32), kept, index.gaps, index_bits)


def encode_entries(
    shape: tuple[int, ...], table: np.ndarray, numbers: np.ndarray, gaps: np.ndarray, bits: int
) -> EncodedArray:
    """Encode entries that are sparse already.

    Args:
        shape: of the array.
        table: (k,) float32 values.
        numbers: (E,) the number of each entry's value.
        gaps: (E,) zeros before each entry.
        bits: of a gap.

    Returns:
        `EncodedArray`, with the used values of the table only.

    >>> table = np.float32([0, 5])
    >>> encode_entries((9,), table, np.array([1, 1]), np.array([0, 4]), 4).table.tolist()
    [5.0]
    """
    value_code = huffman_code(np.bincount(numbers, minlength=len(table)))
    gap_code = huffman_code(np.bincount(gaps, minlength=1))
    return EncodedArray(
        tuple(shape),
        _in_order(np.ascontiguousarray(table, np.float32).view(np.uint32), value_code),
        _by_place(value_code),
        encode_symbols(numbers, value_code),
        gap_code,
        encode_symbols(gaps, gap_code),
        bits,
    )


def _in_order(table: np.ndarray, code: HuffmanCode) -> np.ndarray:
    return table[code.order].view(np.float32)


def _by_place(code: HuffmanCode) -> HuffmanCode:
    """The same code words for places in its order."""
    return HuffmanCode(np.arange(len(code.order), dtype=np.int32), code.counts)


def entries_of(shape: tuple[int, ...]) -> int:
    """The number of entries of an array of this shape.

    >>> entries_of((2, 3))
    6
    """
    return int(np.prod(shape, dtype=np.int64))


def assemble_array(
    shape: tuple[int, ...], table: np.ndarray, numbers: np.ndarray, gaps: np.ndarray | None
) -> np.ndarray:
    """The array of decoded streams.

    Args:
        shape: of the array.
        table: (k,) values.
        numbers: (E,) places in the table.
        gaps: (E,) zeros before each entry, or None where all entries are there.

    Returns:
        float32 array.

    Raises:
        ValueError: entries beyond the array's end.

    >>> assemble_array((4,), np.float32([7]), np.array([0]), np.array([2])).tolist()
    [0.0, 0.0, 7.0, 0.0]
    """
    if gaps is None:
        return table[numbers].reshape(shape)
    flat, places = np.zeros(entries_of(shape), np.float32), places_of(gaps)
    if len(places) and places[-1] >= len(flat):
        raise ValueError(f"entry {places[-1]} of {len(flat)}")
    flat[places] = table[numbers]
    return flat.reshape(shape)
