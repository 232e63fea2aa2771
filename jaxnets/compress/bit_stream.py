"""Symbols to bits and back, for many streams at once, without a loop over symbols.

A stream is cut into chunks of 2,048 symbols whose numbers of bits are kept, 2 bytes each. So all
chunks of all layers are decoded side by side: one step reads the next symbol of every chunk.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxnets.compress.huffman import LONGEST, HuffmanCode
from jaxnets.errors import JaxnetsError

CHUNK = 2048
# Codes up to so many bits are found by one look into a table.
_TABLE_BITS = 12
# Symbols that are encoded, and chunks that are decoded, at a time: what bounds the memory.
_BLOCK, _LANES = 1 << 20, 1 << 13


class BitStream(NamedTuple):
    """Encoded symbols.

    Attributes:
        data: the bits, the first one highest in its byte; the last byte is filled with zeros.
        chunk_bits: bits of each `CHUNK` symbols, uint16.
        count: number of symbols.

    >>> from jaxnets.compress.huffman import huffman_code
    >>> stream = encode_symbols(np.array([0, 0, 1, 2]), huffman_code(np.array([2, 1, 1])))
    >>> f"{stream.data[0]:08b}", stream.chunk_bits.tolist(), stream.count
    ('00101100', [6], 4)
    """

    data: bytes
    chunk_bits: np.ndarray
    count: int

    @property
    def bits(self) -> int:
        """Bits without the filling."""
        return int(self.chunk_bits.sum(dtype=np.int64))


def encode_symbols(symbols: np.ndarray, code: HuffmanCode) -> BitStream:
    """Write symbols by a code.

    Args:
        symbols: (N,) whole numbers that have codes.
        code: of `huffman_code`.

    Returns:
        `BitStream`.

    Raises:
        JaxnetsError: a symbol without a code.

    >>> from jaxnets.compress.huffman import huffman_code
    >>> symbols = np.array([2, 0, 1, 0])
    >>> code = huffman_code(np.bincount(symbols))
    >>> decode_symbols([encode_symbols(symbols, code)], [code])[0].tolist()
    [2, 0, 1, 0]
    """
    symbols = np.asarray(symbols).ravel()
    size = int(max(code.order.max(), symbols.max(initial=0))) + 1
    lengths = np.full(size, -1, np.int16)
    words = np.zeros(size, np.uint64)
    lengths[code.order], words[code.order] = code.lengths, code.codewords
    chunk_bits = []
    written = np.zeros(16, np.uint32)
    start = 0
    for block in range(0, len(symbols), _BLOCK):
        part = symbols[block : block + _BLOCK]
        bits = lengths[part]
        if len(bits) and bits.min() < 0:
            raise JaxnetsError(f"symbol {part[np.argmin(bits)]} has no code")
        chunk_bits.append(np.add.reduceat(bits, np.arange(0, len(bits), CHUNK), dtype=np.int64))
        ends = start + np.cumsum(bits, dtype=np.int64)
        places = ends - bits
        # Left-aligned in 64 bits at its place within a word of 32; codes never overlap: + is or.
        shift = (64 - bits - (places & 31)).astype(np.uint64)
        aligned = np.where(bits > 0, words[part] << (shift & np.uint64(63)), np.uint64(0))
        first = start >> 5
        number = (places >> 5) - first
        span = int((int(ends[-1]) >> 5) - first) + 2
        high = np.bincount(number, (aligned >> np.uint64(32)).astype(np.float64), span)
        low = np.bincount(number + 1, (aligned & np.uint64(0xFFFFFFFF)).astype(np.float64), span)
        while len(written) < first + span:
            written = np.concatenate([written, np.zeros_like(written)])
        written[first : first + span] += (high + low).astype(np.uint32)
        start = int(ends[-1])
    data = written[: (start + 31) // 32].astype(">u4").tobytes()[: (start + 7) // 8]
    counts = np.concatenate(chunk_bits) if chunk_bits else np.zeros(0)
    return BitStream(data, counts.astype(np.uint16), len(symbols))


class _Tables(NamedTuple):
    """What decoding looks up, one row a code."""

    entries: np.ndarray  # (codes, 4096): place in the order · 32 + length, 0 for a longer code
    first: np.ndarray  # (codes, 25): the first code of each length
    place: np.ndarray  # (codes, 25): where the codes of each length begin in the order
    counts: np.ndarray  # (codes, 25)


def _tables(codes: Sequence[HuffmanCode]) -> _Tables:
    entries = np.zeros((len(codes), 1 << _TABLE_BITS), np.uint32)
    first = np.zeros((len(codes), LONGEST + 1), np.int64)
    place, counts = np.zeros_like(first), np.zeros_like(first)
    for row, code in enumerate(codes):
        if code.kraft != 1:
            raise JaxnetsError(f"no complete code: its lengths add up to {code.kraft}, expected 1")
        lengths, words = code.lengths, code.codewords
        counts[row] = code.counts
        place[row] = np.cumsum(code.counts) - code.counts
        used = np.flatnonzero(code.counts)
        first[row, used] = words[place[row, used]]
        short = lengths <= _TABLE_BITS
        repeats = 1 << (_TABLE_BITS - lengths[short])
        values = (np.arange(len(lengths))[short] << 5 | lengths[short]).astype(np.uint32)
        filled = np.repeat(values, repeats)
        entries[row, : len(filled)] = filled
        if not lengths[0]:  # one symbol of no bits: mark it as found
            entries[row] = 0
    return _Tables(entries, first, place, counts)


def decode_symbols(
    streams: Sequence[BitStream], codes: Sequence[HuffmanCode], *, places: bool = False
) -> list[np.ndarray]:
    """Read streams back, all at once.

    Args:
        streams: of `encode_symbols`, or read from a file.
        codes: one for each stream.
        places: give each symbol's place in its code's ``order`` instead of the symbol.

    Returns:
        (N,) int32 symbols of each stream.

    Raises:
        JaxnetsError: a code that is not complete, a chunk that does not end where it should, or
            less data than its chunks need.

    >>> from jaxnets.compress.huffman import huffman_code
    >>> code = huffman_code(np.array([3, 1]))
    >>> stream = encode_symbols(np.array([0, 1, 0, 0]), code)
    >>> decode_symbols([stream, stream], [code, code])[1].tolist()
    [0, 1, 0, 0]
    """
    tables = _tables(codes)
    lanes = []
    for row, stream in enumerate(streams):
        chunks = -(-stream.count // CHUNK)
        if len(stream.chunk_bits) != chunks or stream.bits > 8 * len(stream.data):
            raise JaxnetsError(
                f"a stream of {stream.count} symbols has {len(stream.chunk_bits)} chunks of "
                f"{stream.bits} bits in {len(stream.data)} bytes; expected {chunks} chunks"
            )
        lengths = np.full(chunks, CHUNK)
        if chunks:
            lengths[-1] = stream.count - CHUNK * (chunks - 1)
        ends = np.cumsum(stream.chunk_bits, dtype=np.int64)
        lanes.append((np.full(chunks, row), ends - stream.chunk_bits, ends, lengths))
    # All data in one row, each stream with 4 bytes behind it, so that a look never goes too far.
    sizes = np.array([len(s.data) + 4 for s in streams])
    base = np.concatenate([[0], np.cumsum(sizes)[:-1]]) if len(sizes) else np.zeros(0)
    data = np.frombuffer(b"".join(s.data + bytes(4) for s in streams) + bytes(4), np.uint8)
    if not lanes:
        return []
    rows, start, end, count = (np.concatenate(x) for x in zip(*lanes, strict=True))
    rows, shift = rows.astype(np.int64), 8 * np.asarray(base, np.int64)
    out = np.zeros((len(rows), CHUNK), np.uint16)
    order = np.argsort(-count, kind="stable")
    for block in range(0, len(order), _LANES):
        chosen = order[block : block + _LANES]
        began, ends = start[chosen] + shift[rows[chosen]], end[chosen] + shift[rows[chosen]]
        out[chosen] = _decode_lanes(data, tables, rows[chosen], began, ends, count[chosen])
    found, lane = [], 0
    for stream, code in zip(streams, codes, strict=True):
        chunks = len(stream.chunk_bits)
        own = out[lane : lane + chunks].reshape(-1)[: stream.count]
        found.append(own.astype(np.int32) if places else code.order[own])
        lane += chunks
    return found


def _decode_lanes(data, tables, row, place, end, count) -> np.ndarray:
    """(lanes, CHUNK): the symbols' places in their orders; lanes have the most symbols first."""
    # A damaged lane reads at most a chunk of the longest codes beyond its place.
    low, high = int(place.min()) >> 3, (int(end.max()) >> 3) + CHUNK * LONGEST // 8
    part = np.zeros(high - low + 8, np.uint32)
    inside = data[low : high + 8]
    part[: len(inside)] = inside
    words = part[:-3] << 24 | part[1:-2] << 16 | part[2:-1] << 8 | part[3:]
    place, end = (place - 8 * low).astype(np.int32), (end - 8 * low).astype(np.int32)
    steps = int(count[0]) if len(count) else 0
    out = np.zeros((max(steps, 1), len(row)), np.uint16)
    offset = (row << _TABLE_BITS).astype(np.uint32)
    entries = tables.entries.ravel()
    by_step = np.searchsorted(-count, -np.arange(steps), side="left")
    for step in range(steps):
        active = int(by_step[step])
        here = place[:active]
        window = words.take(here >> 3)
        window >>= (20 - (here & 7)).view(np.uint32)
        window &= 0xFFF
        window += offset[:active]
        entry = entries.take(window)
        np.right_shift(entry, 5, out=out[step, :active], casting="unsafe")
        here += (entry & 31).view(np.int32)
        if not entry.all():
            longer = np.flatnonzero(entry == 0)
            _decode_longer(tables, words, row, place, longer, out[step])
    wrong = np.flatnonzero(place != end)
    if len(wrong):
        raise JaxnetsError(
            f"{len(wrong)} of {len(place)} chunks do not end where they should: damaged data"
        )
    full = np.zeros((len(row), CHUNK), np.uint16)
    full[:, :steps] = out[:steps].T
    return full


def _decode_longer(tables, words, row, place, lanes, out) -> None:
    """Codes of more bits than the table has, and the one of none: length by length."""
    here = place[lanes]
    window = (words[here >> 3].astype(np.int64) << (here & 7)) & 0xFFFFFFFF
    for length in (0, *range(_TABLE_BITS + 1, LONGEST + 1)):
        beyond = (window >> (32 - length)) - tables.first[row[lanes], length]
        found = (beyond >= 0) & (beyond < tables.counts[row[lanes], length])
        if found.any():
            chosen = lanes[found]
            out[chosen] = tables.place[row[chosen], length] + beyond[found]
            place[chosen] += length
            lanes, window = lanes[~found], window[~found]
        if not len(lanes):
            return
