"""Files that attack or lie: pickles that would run something, sizes that are not true."""

import copy
import io
import json
import os
import pickle
import re
import struct
import time
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save_file

from jaxnets.errors import JaxnetsError
from jaxnets.pretrained import read_state_dict

# ---- files that ask for something to be run ------------------------------------------------


class Attack:
    """Unpickling it runs a shell command."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        import os

        return os.system, (self.command,)


def zip_of(data: bytes, **members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/version", "3\n")
        for name, content in members.items():
            archive.writestr(f"archive/{name}", content)
    return buffer.getvalue()


def legacy_of(data: bytes) -> bytes:
    head = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    return b"".join(pickle.dumps(part, 2) for part in head) + data + pickle.dumps([], 2)


@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
@pytest.mark.parametrize("wrap", [zip_of, legacy_of, lambda data: data])
def test_a_file_that_would_run_a_command_is_refused_and_runs_nothing(wrap, protocol, tmp_path):
    marker = tmp_path / "marker"
    data = pickle.dumps({"state_dict": Attack(f"touch {marker}")}, protocol)
    pickle.loads(data)
    assert marker.exists()  # the attack is a real one
    marker.unlink()
    path = tmp_path / "evil.pt"
    path.write_bytes(wrap(data))
    with pytest.raises(JaxnetsError) as caught:
        read_state_dict(path)
    assert not marker.exists()
    # Bare pickles of protocols 0 and 1 do not even start like one that PyTorch wrote.
    if protocol >= 2 or wrap in (zip_of, legacy_of):
        assert "system" in str(caught.value)


EXIT = b"(S'touch %s'\nt"
OPCODES = {
    "GLOBAL and REDUCE": b"cos\nsystem\n" + EXIT + b"R.",
    "INST": b"(S'touch %s'\nios\nsystem\n.",
    "OBJ": b"(cos\nsystem\nS'touch %s'\no.",
    "STACK_GLOBAL": b"\x8c\x02os\x8c\x06system\x93" + EXIT + b"R.",
    "NEWOBJ": b"csubprocess\nPopen\n" + EXIT + b"\x81.",
    "an allowed module's other name": b"ctorch._utils\n_import_dotted_name\n" + EXIT + b"R.",
    "builtins": b"cbuiltins\neval\n" + EXIT + b"R.",
    "a dotted name": b"\x8c\x05torch\x8c\x0ftorch.os.system\x93" + EXIT + b"R.",
    "EXT1": b"\x82\x01" + EXIT + b"R.",
    "EXT2": b"\x83\x01\x00" + EXIT + b"R.",
    "EXT4": b"\x84\x01\x00\x00\x00" + EXIT + b"R.",
    "BUILD of a list": b"](S'append'\nS'x'\ndb.",
    "BUILD of a known name": b"ccollections\nOrderedDict\n(S'x'\nS'y'\ndb.",
    "REDUCE of a string": b"S'os.system'\n" + EXIT + b"R.",
    "REDUCE of a dtype": b"ctorch\nfloat32\n" + EXIT + b"R.",
    "PERSID": b"Pstorage\n.",
    "NEXT_BUFFER": b"\x97.",
}


@pytest.mark.parametrize("opcode", OPCODES)
def test_opcodes_that_could_run_something(opcode, tmp_path):
    marker = tmp_path / "marker"
    data = OPCODES[opcode].replace(b"%s", str(marker).encode())
    for wrap in (zip_of, legacy_of):
        path = tmp_path / "evil.pt"
        path.write_bytes(wrap(b"\x80\x04" + data))
        with pytest.raises(JaxnetsError, match=r"evil\.pt: the file (asks|holds|sets|calls)"):
            read_state_dict(path)
        assert not marker.exists()


def test_the_refused_name_is_in_the_message(tmp_path):
    path = tmp_path / "w.pt"
    path.write_bytes(zip_of(b"\x80\x02cargparse\nNamespace\n)R."))
    with pytest.raises(JaxnetsError, match=r"asks for argparse\.Namespace.*save its state dict"):
        read_state_dict(path)


def test_containers_that_hold_themselves_or_are_deep_end(tmp_path):
    path = tmp_path / "w.pt"
    deep = b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b"."
    itself = b"\x80\x02}q\x00U\nstate_dicth\x00s."
    tuple_as_key = b"\x80\x02})" + b"\x85" * 200_000 + b"K\x01s."
    for data in (deep, itself, tuple_as_key):
        path.write_bytes(zip_of(data))
        with pytest.raises(JaxnetsError):
            read_state_dict(path)


# ---- sizes that are not true -----------------------------------------------------------------


def tensor_pickle(count=4, offset=0, shape=(4,), strides=(1,), kind=b"FloatStorage") -> bytes:
    """{"w": tensor} as PyTorch pickles it, with sizes of one's choice."""
    number = lambda n: b"\x8a\x08" + struct.pack("<q", n)  # noqa: E731
    sizes = lambda ns: b"(" + b"".join(map(number, ns)) + b"t"  # noqa: E731
    storage = (
        b"(X\x07\x00\x00\x00storagectorch\n" + kind + b"\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
    )
    storage += number(count) + b"tQ"
    rest = number(offset) + sizes(shape) + sizes(strides) + b"\x89ccollections\nOrderedDict\n)R"
    return (
        b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n("
        + storage
        + rest
        + b"tRs."
    )


def test_the_written_pickle_is_one(tmp_path):
    path = tmp_path / "w.pt"
    values = np.arange(4, dtype=np.float32)
    path.write_bytes(zip_of(tensor_pickle(), **{"data/0": values.tobytes()}))
    np.testing.assert_array_equal(read_state_dict(path)["w"], values)


@pytest.mark.parametrize(
    "sizes",
    [
        {"count": 5},
        {"count": 2**60},
        {"shape": (5,)},
        {"offset": 1},
        {"offset": 2**62},
        {"strides": (2,)},
        {"shape": (2**31, 2**31), "strides": (0, 0)},
        {"shape": (2**40,), "strides": (0,)},
        {"shape": (0, 2**62, 2**62), "strides": (1, 1, 1)},
        {"shape": (-1,)},
        {"shape": (4, 1), "strides": (1,)},
        {"shape": (1,) * 70, "strides": (1,) * 70},
        {"kind": b"float32"},
        {"kind": b"Size"},
    ],
    ids=str,
)
def test_declared_sizes_are_held_against_the_file(sizes, tmp_path):
    path = tmp_path / "w.pt"
    path.write_bytes(zip_of(tensor_pickle(**sizes), **{"data/0": bytes(16)}))
    with pytest.raises(JaxnetsError, match=str(path)):
        read_state_dict(path)


def test_legacy_declared_sizes(tmp_path):
    path = tmp_path / "w.pt"
    head = legacy_of(tensor_pickle())[: -len(pickle.dumps([], 2))] + pickle.dumps(["0"], 2)
    path.write_bytes(head + struct.pack("<q", 4) + np.arange(4, dtype=np.float32).tobytes())
    np.testing.assert_array_equal(read_state_dict(path)["w"], np.arange(4))
    for count in (5, 2**40, -1, 3):
        path.write_bytes(head + struct.pack("<q", count) + bytes(16))
        with pytest.raises(JaxnetsError, match="declares"):
            read_state_dict(path)


def test_compressed_members_of_a_pytorch_file_are_not_unpacked(tmp_path):
    path = tmp_path / "w.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", tensor_pickle(count=2**26))
        archive.writestr("archive/data/0", bytes(2**28))
    assert path.stat().st_size < 2**20
    with pytest.raises(JaxnetsError, match="compressed"):
        read_state_dict(path)


def test_npz_bombs_and_lies(tmp_path):
    bomb = tmp_path / "bomb.npz"
    np.savez_compressed(bomb, w=np.zeros(2**25, np.float32))
    with pytest.raises(JaxnetsError, match=r"would unpack to 134,217,\d+ bytes"):
        read_state_dict(bomb)
    lie = tmp_path / "lie.npz"
    array = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        array, {"shape": (2**40,), "fortran_order": False, "descr": "<f4"}
    )
    with zipfile.ZipFile(lie, "w") as archive:
        archive.writestr("w.npy", array.getvalue() + bytes(16))
    with pytest.raises(JaxnetsError, match="declares shape"):
        read_state_dict(lie)
    objects = tmp_path / "objects.npz"
    np.savez(objects, w=np.array([Attack(f"touch {tmp_path / 'marker'}")], object))
    with pytest.raises(JaxnetsError, match="pickled Python objects"):
        read_state_dict(objects)
    assert not (tmp_path / "marker").exists()


def test_safetensors_lies(tmp_path):
    path = tmp_path / "w.safetensors"
    save_file({"w": np.zeros(64, np.float32)}, path)
    content = path.read_bytes()
    for damaged in (
        content[:-1],
        content[:40],
        struct.pack("<Q", 2**50) + content[8:],
        content.replace(b"[64]", b"[65]"),
        content.replace(b'"F32"', b'"F99"'),
    ):
        path.write_bytes(damaged)
        with pytest.raises(JaxnetsError, match=str(path)):
            read_state_dict(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"hello world, no weights here", "not a checkpoint"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1", "Git LFS pointer"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"\x93NUMPY\x01\x00", "single array"),
        (bytes(257) + b"ustar", "tar archive"),
        (pickle.dumps({"a": 1}, 2), "is a pickle of a dict, not a PyTorch checkpoint"),
        (zip_of(pickle.dumps([1, 2], 2)), "holds no weights"),
        (zip_of(pickle.dumps({"epoch": 3}, 2)), r"found \['epoch'\]"),
        (zip_of(pickle.dumps({}, 2), **{"constants.pkl": b""}), "TorchScript"),
        (zip_of(tensor_pickle(), byteorder=b"big"), "big-endian"),
        (zip_of(tensor_pickle()), "storage '0' is missing"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_a_checkpoint(content, message, tmp_path):
    path = tmp_path / "w.pt"
    path.write_bytes(content)
    with pytest.raises(JaxnetsError, match=message):
        read_state_dict(path)


@pytest.mark.parametrize("container", ["state_dict", "model", "net"])
def test_containers_and_prefixes_are_opened(container, tmp_path):
    path = tmp_path / "w.pt"
    data = tensor_pickle().replace(b"X\x01\x00\x00\x00w", b"X\x08\x00\x00\x00module.w")
    inner = data.removeprefix(b"\x80\x02").removesuffix(b".")
    outer = b"\x80\x02}(U\x05epochK\x03U" + bytes([len(container)]) + container.encode()
    path.write_bytes(zip_of(outer + inner + b"u.", **{"data/0": bytes(16)}))
    assert list(read_state_dict(path)) == ["w"]


# ---- a few bytes that would take all memory or time ------------------------------------------


def colliding(n: int) -> bytes:
    """n integer keys that Python hashes to one number."""
    numbers = ((k * (2**61 - 1)).to_bytes(12, "little", signed=True) for k in range(1, n))
    return b"}(" + b"".join(b"\x8a\x0c" + number + b"N" for number in numbers) + b"u."


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


TENSOR = tensor_pickle()[9:]  # behind the name "w", with SETITEM and STOP
MEMO_NUMBERS = b"".join(b"p%d\n" % (k * (2**61 - 1)) for k in range(1, 30_000))
PAIRS = b"".join(b"J" + struct.pack("<i", k) + b"N\x86" for k in range(5_000))
AGAIN = b"l\x85q\x01" + b"h\x00h\x01R" * 3_000 + b"."
BOMBS = {
    "nested tuples as a module's name": b"\x8c\x03lol" + b"2\x86" * 40 + b"\x8c\x01x\x93.",
    "a deep list as a name": b"\x8c\x01x" + b"]" * 50_000 + b"a" * 49_999 + b"\x93.",
    "integer keys of one hash": colliding(30_000),
    "memo numbers of one hash": b"N" + MEMO_NUMBERS + b".",
    "a big list, copied again and again": b"ccollections\nOrderedDict\nq\x00(" + PAIRS + AGAIN,
    "a big size, copied again and again": b"ctorch\nSize\nq\x00(" + b"K\x01" * 20_000 + AGAIN,
    "a name of 400,000 modules": b"}" + text("module." * 400_000 + "w") + TENSOR,
    "a tensor under a number": b"}K\x01" + TENSOR,
    "a tensor under bytes": b"}C\x01w" + TENSOR,
    "megabytes in the message": b"\x96" + struct.pack("<Q", 500_000) + b"\x1b" * 500_000 + b".",
    "a long name in the message": b"c" + b"x" * 500_000 + b"\nsystem\n.",
    "a terminal's escapes in the message": b"c\x1b]0;title\x07\x1b[2J\nsystem\n.",
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_small_files_take_little(bomb, tmp_path, monkeypatch):
    monkeypatch.setattr("jaxnets.pretrained.pickle_reader.MAX_STEPS", 200_000)
    path = tmp_path / "w.pt"
    content = b"\x80\x04" + BOMBS[bomb]
    values = {"data/0": np.arange(4, dtype=np.float32).tobytes()}
    for data in (zip_of(content, **values), legacy_of(content)):
        path.write_bytes(data)
        clock = time.process_time()
        with pytest.raises(JaxnetsError) as caught:
            read_state_dict(path)
        assert time.process_time() - clock < 5
        assert len(str(caught.value)) < 1_000 and "\x1b" not in str(caught.value)


@pytest.mark.slow
def test_the_budget_of_steps_is_seconds(tmp_path):
    path = tmp_path / "w.pt"
    path.write_bytes(b"\x80" * 20_000_000)
    clock = time.process_time()
    with pytest.raises(JaxnetsError, match="more than 2,000,000 steps"):
        read_state_dict(path)
    assert time.process_time() - clock < 20


def test_a_packed_file_within_the_small_limit_and_beyond(tmp_path):
    path = tmp_path / "w.npz"
    np.savez_compressed(path, w=np.zeros(2**20, np.float32))
    assert read_state_dict(path)["w"].size == 2**20
    # Twenty times its size, and more than any small file: no weights shrink so much.
    noise = np.random.default_rng(0).integers(0, 256, 2**22, np.uint8)
    np.savez_compressed(path, noise=noise, w=np.zeros(20 * 2**20, np.float32))
    with pytest.raises(JaxnetsError, match="would unpack to"):
        read_state_dict(path)


# ---- headers and dtypes that no weights have ---------------------------------------------------


def npy(header: str = "", shape=(4,), descr="<f4", data=bytes(16)) -> bytes:
    header = header or repr({"descr": descr, "fortran_order": False, "shape": shape})
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + data


PARSE, SHAPE, NUMBERS = "does not parse", "a shape that no array has", "weights are numbers"
HEADERS = {
    "unclosed bracket": (npy("{'descr': '<f4', 'shape': (4,"), PARSE),
    "unclosed string": (npy('"""abc'), PARSE),
    "backslash": (npy("{'descr': \\"), PARSE),
    "indented": (npy("  {\n 1\n   2\n"), PARSE),
    "nested": (npy("[" * 3000 + "]" * 3000), PARSE),
    "digits": (npy("{'shape': (" + "9" * 5000 + ",)}"), PARSE),
    "unknown version": (npy().replace(b"\x01\x00", b"\x09\x09", 1), "format version (9, 9)"),
    "huge axis": (npy(shape=(10**3000,)), SHAPE),
    "boolean axis": (npy(shape=(True,)), SHAPE),
    "negative axes": (npy(shape=(-2, -2)), SHAPE),
    "65 axes": (npy(shape=(1,) * 65, data=bytes(4)), SHAPE),
    "zero times 2^63": (npy(shape=(0, 2**63), data=b""), SHAPE),
    "2^62 of nothing": (npy(shape=(2**62,), descr="|V0", data=b""), NUMBERS),
    "text": (npy(descr="<U1"), "holds <U1, and weights are numbers"),
    "bytes": (npy(descr="|S4"), "holds |S4, and weights are numbers"),
    "dates": (npy(descr="<M8[s]", data=bytes(32)), NUMBERS),
    "durations": (npy(descr="<m8[D]", data=bytes(32)), NUMBERS),
    "records": (npy(descr=[("a", "<f2"), ("b", "<f2")]), NUMBERS),
    "bfloat16": (npy(descr="|V2", data=bytes(8)), "bfloat16, which .npz cannot hold"),
}


@pytest.mark.parametrize("case", HEADERS)
def test_arrays_that_are_no_weights(case, tmp_path):
    content, message = HEADERS[case]
    path = tmp_path / "w.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("w.npy", content)
    with pytest.raises(JaxnetsError, match=re.escape(message)) as caught:
        read_state_dict(path)
    assert len(str(caught.value)) < 1_000


def test_other_byte_orders_and_fortran_order_are_read(tmp_path):
    values = np.arange(6, dtype=">f4").reshape(2, 3)
    path = tmp_path / "w.npz"
    np.savez(path, big=values, fortran=np.asfortranarray(values.astype("<f4")))
    for array in read_state_dict(path).values():
        np.testing.assert_array_equal(array, np.arange(6).reshape(2, 3))
        assert array.dtype == np.dtype("float32") and array.dtype.isnative


@pytest.mark.parametrize("shape", [[1] * 65, [0, 2**63], [2**62, 0]], ids=str)
def test_safetensors_shapes_that_no_array_has(shape, tmp_path):
    size = 0 if 0 in shape else 4
    header = json.dumps({"w": {"dtype": "F32", "shape": shape, "data_offsets": [0, size]}}).encode()
    path = tmp_path / "w.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(size))
    with pytest.raises(JaxnetsError, match=r"w\.safetensors"):
        read_state_dict(path)


def test_strides_of_single_entries_do_not_matter(tmp_path):
    path = tmp_path / "w.pt"
    data = tensor_pickle(shape=(1, 4), strides=(2**63 - 1, 1))
    path.write_bytes(zip_of(data, **{"data/0": np.arange(4, dtype=np.float32).tobytes()}))
    np.testing.assert_array_equal(read_state_dict(path)["w"], [[0, 1, 2, 3]])


# ---- ZIP: the directory, the members and their checksums must agree ----------------------------


def patched(content: bytes, name: str, *, local: bool, offset: int, fmt: str, value: int) -> bytes:
    """A field of a member's local header, or of its entry in the directory, overwritten."""
    find = content.index if local else content.rindex
    start = find(name.encode()) - (30 if local else 46)
    assert content[start : start + 4] == (b"PK\x03\x04" if local else b"PK\x01\x02")
    changed = bytearray(content)
    struct.pack_into(fmt, changed, start + offset, value)
    return bytes(changed)


@pytest.mark.parametrize("member", ["archive/data/0", "archive/data.pkl"])
@pytest.mark.parametrize(
    ("local", "offset", "fmt", "value"),
    [
        (True, 0, "<I", 0),  # the signature
        (True, 26, "<H", 2),  # the length of the name
        (True, 28, "<H", 4),  # the length of the extra field
        (False, 42, "<I", 0),  # where the member lies: where the first one does
        (False, 8, "<H", 1),  # encrypted
        (False, 16, "<I", 1),  # the checksum
    ],
)
def test_zip_headers_that_disagree(member, local, offset, fmt, value, tmp_path):
    content = zip_of(tensor_pickle(), **{"data/0": bytes(range(16)), "data/1": bytes(64)})
    if offset == 42 and member.endswith("pkl"):
        value = content.index(b"PK\x03\x04", 10)
    path = tmp_path / "w.pt"
    path.write_bytes(content)
    read_state_dict(path)
    path.write_bytes(patched(content, member, local=local, offset=offset, fmt=fmt, value=value))
    with pytest.raises(JaxnetsError, match=r"w\.pt"):
        read_state_dict(path)


def test_a_flipped_bit_in_the_values_is_noticed(tmp_path):
    values = np.arange(4, dtype=np.float32).tobytes()
    content = zip_of(tensor_pickle(), **{"data/0": values})
    path = tmp_path / "w.pt"
    path.write_bytes(content.replace(values, values[:6] + b"\xc0" + values[7:]))
    with pytest.raises(JaxnetsError, match="data/0 does not match its checksum"):
        read_state_dict(path)


def test_members_twice_or_over_one_another(tmp_path):
    path = tmp_path / "w.pt"
    path.write_bytes(zip_of(tensor_pickle(), **{"data/0": bytes(100_000)}))
    with zipfile.ZipFile(path, "a") as archive:
        again = copy.copy(archive.getinfo("archive/data/0"))
        again.filename = again.orig_filename = "archive/data/1"
        archive.filelist.append(again)
        archive.NameToInfo["archive/data/1"] = again
        archive._didModify = True
    with pytest.raises(JaxnetsError, match="together larger than the file"):
        read_state_dict(path)
    path.write_bytes(zip_of(tensor_pickle(), **{"data/0": bytes(16)}))
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("archive/data.pkl", tensor_pickle(shape=(2,)))
    with pytest.raises(JaxnetsError, match="several members of one name"):
        read_state_dict(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_pipe_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.pt")
    with pytest.raises(JaxnetsError, match="a pipe or a device is none"):
        read_state_dict(tmp_path / "pipe.pt")
