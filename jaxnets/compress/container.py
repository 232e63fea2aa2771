"""The file of a compressed network: magic, version, checksums; reading it runs nothing.

All numbers are little-endian::

    "JXNC"  version u16  name u8 + UTF-8  records u32
    a record, as often as that:  length u32  CRC-32 u32  body
        body: path u16 + UTF-8, kind u8, axes u8, each axis u32, then by kind
        0 raw: dtype u8, the array
        1 shared: values u32, index bits u8, entries u32, 25 counts of code lengths u32 where they
          are not 0 (a bit each in u32 says which), the table f32, with index bits the gaps' counts
          and their symbols u8; chunk bits u16 and data of the values, then of the gaps
    SHA-256 of everything before

A file may claim anything: what it claims is compared with its own size, with the network that is
expected or with a limit, before memory is taken.
"""

import hashlib
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxnets.compress.arrays import (
    MOST_VALUES,
    EncodedArray,
    assemble_array,
    encode_array,
    entries_of,
)
from jaxnets.compress.bit_stream import CHUNK, BitStream, decode_symbols
from jaxnets.compress.huffman import LONGEST, HuffmanCode
from jaxnets.errors import JaxnetsError, writing

MAGIC, VERSION = b"JXNC", 1
RAW, SHARED = 0, 1
DTYPES = ("<f4", "<f2", "<i4", "<i8", "|i1", "|u1", "|b1", "<u4")
# More entries than this are not read unless the caller expects them: 1 GiB of float32.
MOST_ENTRIES = 1 << 28


class CompressedFile(NamedTuple):
    """What `read_compressed` found.

    Attributes:
        name: of the network, as it was given to `write_compressed`.
        variables: nested dict of NumPy arrays, ``{"params": …, "batch_stats": …}``.
        bytes: of the file.

    >>> CompressedFile("mlp", {"params": {}}, 100).name
    'mlp'
    """

    name: str
    variables: dict[str, Any]
    bytes: int


def encode_variables(variables: Mapping[str, Any]) -> dict[str, EncodedArray | np.ndarray]:
    """Each array in its smallest form that keeps all bits.

    Args:
        variables: nested dict of arrays; those of float32 may be encoded, others stay.

    Returns:
        Path such as ``"params/fc1/kernel"`` → `EncodedArray`, or the array.

    >>> list(encode_variables({"params": {"fc": {"bias": np.zeros(3, np.float32)}}}))
    ['params/fc/bias']
    """
    found: dict[str, EncodedArray | np.ndarray] = {}
    for path, leaf in flatten_dict(dict(variables), sep="/").items():
        array = np.asarray(leaf)
        encoded = encode_array(array) if array.dtype == np.float32 else None
        found[path] = array if encoded is None else encoded
    return found


def write_compressed(
    path: str | Path,
    variables: Mapping[str, Any],
    *,
    name: str = "",
    encoded: Mapping[str, EncodedArray | np.ndarray] | None = None,
) -> int:
    """Write a network's variables in as few bytes as their values allow; nothing is lost.

    Weights that were pruned and share values (`share_weights`) become small; others are kept as
    they are.

    Args:
        path: the file.
        variables: nested dict of arrays.
        name: of the network, for whoever reads it.
        encoded: of `encode_variables`, where it is known already.

    Returns:
        The file's size in bytes.

    Raises:
        JaxnetsError: an array of a dtype that the format does not have, or the file cannot be
            written.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "net.jxnc"
    >>> variables = {"params": {"fc": {"kernel": np.eye(100, dtype=np.float32)}}}
    >>> write_compressed(file, variables, name="mlp") < 300
    True
    >>> bool((read_compressed(file).variables["params"]["fc"]["kernel"] == np.eye(100)).all())
    True
    """
    records = encode_variables(variables) if encoded is None else encoded
    title = name.encode()[:255]
    parts = [MAGIC, struct.pack("<HB", VERSION, len(title)), title, struct.pack("<I", len(records))]
    for where, record in records.items():
        body = _body(where, record)
        parts += [struct.pack("<II", len(body), zlib.crc32(body)), body]
    data = b"".join(parts)
    path = Path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data + hashlib.sha256(data).digest())
    return len(data) + 32


def _body(where: str, record: EncodedArray | np.ndarray) -> bytes:
    name, shape = where.encode(), record.shape
    kind = SHARED if isinstance(record, EncodedArray) else RAW
    head = (
        struct.pack("<H", len(name))
        + name
        + struct.pack(f"<BB{len(shape)}I", kind, len(shape), *shape)
    )
    if not isinstance(record, EncodedArray):
        dtype = record.dtype.newbyteorder("<").str.replace("=", "<")
        if dtype not in DTYPES:
            raise JaxnetsError(
                f"{where}: the format has no {record.dtype}; it has {', '.join(DTYPES)}"
            )
        return head + struct.pack("<B", DTYPES.index(dtype)) + record.astype(dtype).tobytes()
    parts = [head, struct.pack("<IBI", len(record.table), record.index_bits, record.values.count)]
    parts += [_pack_counts(record.code), record.table.astype("<f4").tobytes()]
    streams = [record.values]
    if record.gaps is not None and record.gap_code is not None:
        parts += [_pack_counts(record.gap_code), record.gap_code.order.astype("u1").tobytes()]
        streams.append(record.gaps)
    for stream in streams:
        parts += [stream.chunk_bits.astype("<u2").tobytes(), stream.data]
    return b"".join(parts)


def _pack_counts(code: HuffmanCode) -> bytes:
    used = np.flatnonzero(code.counts)
    return (
        struct.pack("<I", sum(1 << int(u) for u in used))
        + code.counts[used].astype("<u4").tobytes()
    )


def read_compressed(
    path: str | Path, *, like: Mapping[str, Any] | None = None, most_entries: int = MOST_ENTRIES
) -> CompressedFile:
    """Read a file of `write_compressed`; nothing in it is executed.

    Args:
        path: the file.
        like: the variables that are expected, or their shapes (`jax.eval_shape`).
        most_entries: refuse a file with more weights, where ``like`` does not say how many.

    Returns:
        `CompressedFile`; what the file holds in 16 bits has ``like``'s dtype.

    Raises:
        JaxnetsError: the file cannot be read, is of another kind or version, truncated, changed,
            claims what it cannot hold, or is of another network than ``like``.

    >>> read_compressed("none.jxnc")
    Traceback (most recent call last):
    jaxnets.errors.JaxnetsError: none.jxnc: cannot be read ([Errno 2] No such file or directory: ...
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise JaxnetsError(f"{path}: cannot be read ({error})") from None
    try:
        name, records = _parse(data, like, most_entries)
        variables = _decode(records)
    except _Refused as refused:
        raise JaxnetsError(f"{path}: {refused}") from None
    if like is not None:
        _require(path, {where: record.shape for where, record in records.items()}, like)
        wide = {w: leaf.dtype for w, leaf in flatten_dict(dict(like), sep="/").items()}
        for where, array in variables.items():
            if array.dtype == np.float16 and wide[where] == np.float32:
                variables[where] = array.astype(np.float32)
    return CompressedFile(name, unflatten_dict(variables, sep="/"), len(data))


class _Refused(Exception):
    """Why a file is not read."""


class _Reader:
    """Takes numbers and arrays from bytes, and never more than there are."""

    def __init__(self, data: bytes, what: str):
        self.data, self.place, self.what = memoryview(data), 0, what

    def bytes(self, count: int) -> bytes:
        if count > len(self.data) - self.place:
            raise _Refused(
                f"{self.what} is truncated: {count} bytes are needed at {self.place}, "
                f"{len(self.data) - self.place} are left"
            )
        self.place += count
        return bytes(self.data[self.place - count : self.place])

    def numbers(self, form: str) -> tuple:
        return struct.unpack(f"<{form}", self.bytes(struct.calcsize(f"<{form}")))

    def array(self, dtype: str, count: int) -> np.ndarray:
        return np.frombuffer(self.bytes(count * np.dtype(dtype).itemsize), dtype)

    def text(self, length: int) -> str:
        try:
            return self.bytes(length).decode()
        except UnicodeDecodeError:
            raise _Refused(f"{self.what} has a name that is no UTF-8") from None


def _parse(data: bytes, like, most_entries) -> tuple[str, dict[str, EncodedArray | np.ndarray]]:
    if data[:4] != MAGIC:
        raise _Refused(
            f"no compressed network: it begins with {data[:4]!r}, expected {MAGIC!r} "
            "(write_compressed makes such files)"
        )
    reader = _Reader(data[:-32], "the file")
    reader.bytes(4)
    (version,) = reader.numbers("H")
    if version != VERSION:
        raise _Refused(f"version {version} of the format; this program reads version {VERSION}")
    if hashlib.sha256(data[:-32]).digest() != data[-32:]:
        raise _Refused("it is damaged: its contents do not match their SHA-256; fetch it again")
    name = reader.text(*reader.numbers("B"))
    (count,) = reader.numbers("I")
    left = most_entries if like is None else _entries(like)
    records: dict[str, EncodedArray | np.ndarray] = {}
    for number in range(count):
        length, checksum = reader.numbers("II")
        body = reader.bytes(length)
        if zlib.crc32(body) != checksum:
            raise _Refused(f"record {number} does not match its checksum; fetch the file again")
        where, record = _parse_body(_Reader(body, f"record {number}"), left)
        if where in records:
            raise _Refused(f"{where} is there twice")
        if any(other.startswith(f"{where}/") or where.startswith(f"{other}/") for other in records):
            raise _Refused(f"{where} is an array and a folder of arrays at once")
        left -= entries_of(record.shape)
        records[where] = record
    if reader.place != len(data) - 32:
        raise _Refused(f"{len(data) - 32 - reader.place} bytes are left over")
    return name, records


def _entries(like: Mapping[str, Any]) -> int:
    return sum(entries_of(leaf.shape) for leaf in flatten_dict(dict(like)).values())


def _parse_body(reader: _Reader, left: int) -> tuple[str, EncodedArray | np.ndarray]:
    where = reader.text(*reader.numbers("H"))
    reader.what = repr(where)[1:-1][:200]
    kind, axes = reader.numbers("BB")
    shape = reader.numbers(f"{axes}I")
    total = 1
    for side in shape:
        total *= side
    if total > left:
        raise _Refused(
            f"{reader.what} claims {total:,} entries, {left:,} are expected at most; if you trust "
            "the file, pass most_entries"
        )
    if kind == RAW:
        (number,) = reader.numbers("B")
        if number >= len(DTYPES):
            raise _Refused(
                f"{reader.what} has dtype number {number}, known are 0 to {len(DTYPES) - 1}"
            )
        record = reader.array(DTYPES[number], total).reshape(shape)
    elif kind == SHARED:
        record = _parse_shared(reader, shape, total)
    else:
        raise _Refused(f"{reader.what} is of kind {kind}; known are 0 and 1")
    if reader.place != len(reader.data):
        raise _Refused(f"{reader.what}: {len(reader.data) - reader.place} bytes are left over")
    return where, record


def _parse_shared(reader: _Reader, shape: tuple[int, ...], total: int) -> EncodedArray:
    values, index_bits, entries = reader.numbers("IBI")
    fits = entries <= total if index_bits else entries == total
    if not (1 <= values <= min(MOST_VALUES, max(entries, 1)) and index_bits <= 8 and fits):
        raise _Refused(
            f"{reader.what} claims {entries} entries of {values} values with {index_bits}-bit gaps "
            f"in an array of {total}, which cannot be"
        )
    code = _parse_counts(reader, values)
    table = reader.array("<f4", values)
    gap_code = None
    if index_bits:
        gap_code = _parse_counts(reader, None)
        symbols = reader.array("u1", len(gap_code.order)).astype(np.int32)
        gap_code = HuffmanCode(symbols, gap_code.counts)
    streams = []
    for _ in range(2 if index_bits else 1):
        chunk_bits = reader.array("<u2", -(-entries // CHUNK))
        data = reader.bytes((int(chunk_bits.sum(dtype=np.int64)) + 7) // 8)
        streams.append(BitStream(data, chunk_bits, entries))
    return EncodedArray(
        shape, table, code, streams[0], gap_code, *streams[1:], index_bits=index_bits
    )


def _parse_counts(reader: _Reader, values: int | None) -> HuffmanCode:
    (used,) = reader.numbers("I")
    lengths = [length for length in range(32) if used >> length & 1]
    counts = np.zeros(LONGEST + 1, np.int64)
    found = reader.array("<u4", len(lengths))
    if lengths and lengths[-1] > LONGEST:
        raise _Refused(f"{reader.what} has codes of {lengths[-1]} bits, {LONGEST} are the most")
    counts[lengths] = found
    total, most = int(counts.sum()), MOST_VALUES if values is None else values
    if not 1 <= total <= min(most, 256 if values is None else most) or total != (values or total):
        raise _Refused(f"{reader.what} has {total} codes, expected {values or '1 to 256'}")
    code = HuffmanCode(np.arange(total, dtype=np.int32), counts)
    if code.kraft != 1:
        raise _Refused(
            f"{reader.what} has no complete code: its lengths add up to {code.kraft:.6g}"
        )
    return code


def _decode(records: Mapping[str, EncodedArray | np.ndarray]) -> dict[str, np.ndarray]:
    shared = {w: r for w, r in records.items() if isinstance(r, EncodedArray)}
    streams = [s for r in shared.values() for s in (r.values, r.gaps) if s is not None]
    codes = [c for r in shared.values() for c in (r.code, r.gap_code) if c is not None]
    try:
        decoded = iter(decode_symbols(streams, codes))
    except JaxnetsError as error:
        raise _Refused(str(error)) from None
    found: dict[str, np.ndarray] = {}
    for where, record in records.items():
        if not isinstance(record, EncodedArray):
            found[where] = record
            continue
        numbers, gaps = next(decoded), None if record.gaps is None else next(decoded)
        try:
            found[where] = assemble_array(record.shape, record.table, numbers, gaps)
        except ValueError as error:
            raise _Refused(f"{where} has entries beyond its end ({error})") from None
    return found


def _require(path: Path, found: Mapping[str, tuple], like: Mapping[str, Any]) -> None:
    wanted = {w: tuple(leaf.shape) for w, leaf in flatten_dict(dict(like), sep="/").items()}
    for where in sorted(wanted.keys() | found.keys()):
        if wanted.get(where) != found.get(where):
            raise JaxnetsError(
                f"{path}: of another network: {where} has shape {found.get(where, 'none')}, "
                f"expected {wanted.get(where, 'none')}"
            )
