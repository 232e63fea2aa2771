"""Files: every bit back, and damaged or hostile ones refused in one sentence and little memory."""

import hashlib
import struct
import tracemalloc
import zlib

import numpy as np
import pytest

from jaxnets.compress import CompressedFile, encode_variables, read_compressed, write_compressed
from jaxnets.compress.container import MAGIC, _body
from jaxnets.errors import JaxnetsError


def variables():
    random = np.random.default_rng(0)
    table = random.standard_normal(15).astype(np.float32)
    sparse = np.where(random.random((30, 40)) < 0.1, table[random.integers(0, 15, (30, 40))], 0)
    return {
        "params": {
            "a": {"kernel": sparse.astype(np.float32), "bias": np.float32([1, -0.0, np.inf])},
            "b": {"kernel": table[random.integers(0, 15, (20, 30))]},
        },
        "batch_stats": {"count": np.int32(7), "half": np.ones(3, np.float16)},
    }


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "net.jxnc"
    size = write_compressed(path, variables(), name="tiny")
    assert size == path.stat().st_size
    return path


def signed(data):
    """With the checksum that these bytes should have."""
    return data + hashlib.sha256(data).digest()


def of_records(*bodies, count=None):
    head = (
        MAGIC
        + struct.pack("<HB", 1, 0)
        + struct.pack("<I", len(bodies) if count is None else count)
    )
    return signed(head + b"".join(struct.pack("<II", len(b), zlib.crc32(b)) + b for b in bodies))


def shared_body(**changes):
    """A record of kind 1, with any of its numbers changed."""
    encoded = encode_variables({"w": variables()["params"]["a"]["kernel"]})["w"]
    body = bytearray(_body("w", encoded))
    for place, form, value in changes.values():
        struct.pack_into(form, body, place, value)
    return bytes(body)


def test_every_bit_comes_back(file):
    found = read_compressed(file, like=variables())
    assert isinstance(found, CompressedFile) and found.name == "tiny"
    assert found.bytes == file.stat().st_size
    for part, layer, name in (
        ("params", "a", "kernel"),
        ("params", "a", "bias"),
        ("params", "b", "kernel"),
    ):
        one, other = found.variables[part][layer][name], variables()[part][layer][name]
        assert one.dtype == other.dtype and one.tobytes() == other.tobytes()
    assert found.variables["batch_stats"]["count"] == 7
    assert found.variables["batch_stats"]["half"].dtype == np.float16


def test_every_truncation_and_every_flipped_byte_is_refused(file, tmp_path):
    data, broken = file.read_bytes(), tmp_path / "broken.jxnc"
    for end in range(0, len(data), 7):
        broken.write_bytes(data[:end])
        with pytest.raises(JaxnetsError, match=str(broken)):
            read_compressed(broken)
    for place in range(0, len(data), 5):
        changed = bytearray(data)
        changed[place] ^= 1 << place % 8
        broken.write_bytes(changed)
        with pytest.raises(JaxnetsError, match=r"damaged|no compressed network|version"):
            read_compressed(broken)


def test_forged_checksums_never_end_in_anything_else(file, tmp_path):
    """Bytes changed at random under right checksums: the same network, or a refusal."""
    random, broken = np.random.default_rng(0), tmp_path / "broken.jxnc"
    bodies = [_body(w, r) for w, r in encode_variables(variables()).items()]
    refused = 0
    for _ in range(400):
        changed = [bytearray(b) for b in bodies]
        body = changed[random.integers(len(bodies))]
        for _ in range(random.integers(1, 4)):
            body[random.integers(min(len(body), 120))] = random.integers(256)
        broken.write_bytes(of_records(*changed))
        try:
            read_compressed(broken, most_entries=100_000)
        except JaxnetsError as error:
            assert len(str(error)) < 500
            refused += 1
    assert refused > 200


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it begins with b''"),
        (b"PK\3\4" + bytes(100), "no compressed network"),
        (signed(MAGIC + struct.pack("<H", 9) + bytes(9)), "version 9"),
        (of_records(count=3), "truncated: 8 bytes are needed"),
        (of_records(b"\1\0w\7\0"), "kind 7"),
        (of_records(b"\1\0w\0\0\x63" + bytes(4)), "dtype number 99"),
        (of_records(b"\1\0w\0\2" + struct.pack("<II", 2**31, 2**31) + b"\0"), "claims 4,611,686"),
        (of_records(b"\1\0w\0\1" + struct.pack("<I", 2**27) + b"\0" + bytes(8)), "truncated"),
        (of_records(b"\1\0\xff\0\0\0" + bytes(4)), "no UTF-8"),
        (of_records(b"\1\0w\0\0\0" + bytes(5)), "1 bytes are left over"),
        (of_records(*[b"\1\0w\0\0\0" + bytes(4)] * 2), "there twice"),
        (of_records(b"\1\0w\0\0\0" + bytes(4), b"\3\0w/v\0\0\0" + bytes(4)), "a folder of arrays"),
        (of_records(shared_body(values=(13, "<I", 2**30))), "cannot be"),
        (of_records(shared_body(index=(17, "<B", 200))), "cannot be"),
        (of_records(shared_body(entries=(18, "<I", 2**31))), "cannot be"),
        (of_records(shared_body(lengths=(22, "<I", 1 << 31))), "31 bits"),
        (of_records(shared_body(lengths=(22, "<I", 0))), "0 codes"),
        (of_records(shared_body(count=(26, "<I", 9))), "codes"),
    ],
)
def test_hostile_files_are_refused_in_little_memory(data, message, tmp_path):
    path = tmp_path / "hostile.jxnc"
    path.write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(JaxnetsError, match=message):
            read_compressed(path)
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


def test_a_wrong_record_checksum_is_named(tmp_path):
    path, body = tmp_path / "x.jxnc", b"\1\0w\0\0\0" + bytes(4)
    head = MAGIC + struct.pack("<HBI", 1, 0, 1) + struct.pack("<II", len(body), 1)
    path.write_bytes(signed(head + body))
    with pytest.raises(JaxnetsError, match="record 0 does not match its checksum"):
        read_compressed(path)


def test_another_network_is_refused(file):
    other = variables()
    other["params"]["a"]["kernel"] = np.zeros((40, 30), np.float32)
    with pytest.raises(JaxnetsError, match=r"a/kernel has shape \(30, 40\), expected \(40, 30\)"):
        read_compressed(file, like=other)
    with pytest.raises(JaxnetsError, match="claims"):
        read_compressed(file, like={"params": {"a": np.zeros(3)}})
    with pytest.raises(JaxnetsError, match="claims"):
        read_compressed(file, most_entries=100)


def test_what_the_format_does_not_have_is_refused(tmp_path):
    with pytest.raises(JaxnetsError, match="no complex64"):
        write_compressed(tmp_path / "x.jxnc", {"w": np.zeros(2, np.complex64)})
    with pytest.raises(JaxnetsError, match="cannot be read"):
        read_compressed(tmp_path / "none.jxnc")
