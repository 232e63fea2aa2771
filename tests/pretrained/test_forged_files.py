"""Files that attack or lie: pickles that would run something, sizes that are not true."""

import io
import pickle
import struct
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
