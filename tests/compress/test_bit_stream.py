"""Bits: as one would write them one symbol after the other, and back."""

import numpy as np
import pytest

from jaxnets.compress import BitStream, decode_symbols, encode_symbols, huffman_code
from jaxnets.errors import JaxnetsError


def drawn(seed, n, k, spread=2.0):
    random = np.random.default_rng(seed)
    p = np.exp(spread * random.standard_normal(k))
    symbols = random.choice(k, n, p=p / p.sum())
    return symbols, huffman_code(np.bincount(symbols, minlength=k))


@pytest.mark.parametrize(
    ("n", "k"), [(1, 1), (9, 3), (2048, 5), (2049, 40), (5000, 256), (3000, 1)]
)
def test_the_bits_are_those_of_one_symbol_after_the_other(n, k):
    symbols, code = drawn(n, n, k)
    word = dict(
        zip(
            code.order.tolist(),
            (f"{w:0{b}b}"[:b] for w, b in zip(code.codewords, code.lengths, strict=True)),
            strict=True,
        )
    )
    text = "".join(word[s] for s in symbols.tolist())
    stream = encode_symbols(symbols, code)
    assert isinstance(stream, BitStream) and stream.bits == len(text)
    assert "".join(f"{b:08b}" for b in stream.data) == text.ljust(-(-len(text) // 8) * 8, "0")


def test_many_streams_are_read_at_once():
    cases = [
        drawn(0, 1, 1),
        drawn(1, 5000, 200),
        drawn(2, 4096, 2),
        drawn(3, 7000, 1),
        drawn(4, 10, 9),
    ]
    streams = [encode_symbols(*case) for case in cases] + [
        encode_symbols(np.zeros(0, int), cases[1][1])
    ]
    codes = [code for _, code in cases] + [cases[1][1]]
    for found, (symbols, _) in zip(decode_symbols(streams, codes), cases, strict=False):
        np.testing.assert_array_equal(found, symbols)
    places = decode_symbols(streams, codes, places=True)
    np.testing.assert_array_equal(codes[1].order[places[1]], cases[1][0])
    assert decode_symbols([], []) == []


def test_long_codes():
    counts = [1, 1]
    while len(counts) < 24:
        counts.append(counts[-1] + counts[-2])
    code = huffman_code(np.array(counts))
    assert code.lengths.max() == 23
    symbols = np.random.default_rng(0).permutation(
        np.repeat(np.arange(24), np.minimum(counts, 300))
    )
    np.testing.assert_array_equal(
        decode_symbols([encode_symbols(symbols, code)], [code])[0], symbols
    )


def test_across_blocks(monkeypatch):
    from jaxnets.compress import bit_stream

    symbols, code = drawn(5, 9000, 17)
    whole = encode_symbols(symbols, code)
    monkeypatch.setattr(bit_stream, "_BLOCK", 2048)
    monkeypatch.setattr(bit_stream, "_LANES", 2)
    again = encode_symbols(symbols, code)
    assert again.data == whole.data and (again.chunk_bits == whole.chunk_bits).all()
    np.testing.assert_array_equal(decode_symbols([whole], [code])[0], symbols)


def test_damage_is_noticed():
    symbols, code = drawn(6, 5000, 30)
    stream = encode_symbols(symbols, code)
    wrong = stream.chunk_bits.copy()
    wrong[0] += 1
    with pytest.raises(JaxnetsError, match="do not end where they should"):
        decode_symbols([stream._replace(chunk_bits=wrong, data=stream.data + b"\0")], [code])
    with pytest.raises(JaxnetsError, match="expected 3 chunks"):
        decode_symbols([stream._replace(data=stream.data[:-9])], [code])
    with pytest.raises(JaxnetsError, match="no complete code"):
        decode_symbols([stream], [code._replace(counts=code.counts + 1)])
    with pytest.raises(JaxnetsError, match="symbol 30 has no code"):
        encode_symbols(np.array([30]), code)
