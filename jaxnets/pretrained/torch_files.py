"""PyTorch's two file formats without PyTorch: zip (since 1.6) and the older run of pickles."""

import math
import struct
import zipfile
import zlib
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np

from jaxnets.errors import JaxnetsError, printable
from jaxnets.pretrained.pickle_names import DTYPES, NotPlain, Refused, Storage, Tensor
from jaxnets.pretrained.pickle_reader import read_pickle

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_VERSION = 1001
# Finds the values of a storage: its key → its bytes.
Find = Callable[[Storage], memoryview]


def read_zip(path: str, content: bytes, archive: zipfile.ZipFile) -> Any:
    """The object of a zip file of `torch.save`: ROOT/data.pkl, values in ROOT/data/KEY.

    Members lie in the file as they are, not compressed, so all together are smaller than the file.
    """
    members = {info.filename: info for info in archive.infolist()}
    if len(members) < len(archive.infolist()):
        raise JaxnetsError(f"{path}: holds several members of one name: forged or damaged")
    if sum(info.file_size for info in members.values()) > len(content):
        raise JaxnetsError(
            f"{path}: its members are together larger than the file, which only compressed or "
            "overlapping ones can be; PyTorch writes none. Truncated or forged"
        )
    pickles = [name for name in members if name == "data.pkl" or name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise JaxnetsError(f"{path}: a zip file without one data.pkl is no PyTorch checkpoint")
    root = pickles[0].removesuffix("data.pkl")
    if f"{root}constants.pkl" in members:
        raise JaxnetsError(
            f"{path}: is a TorchScript archive, which holds code beside weights. Save its state "
            "dict alone: torch.save(torch.jit.load(path).state_dict(), new_path)"
        )
    order = members.get(f"{root}byteorder")
    if order is not None and bytes(stored(path, content, order)) != b"little":
        raise JaxnetsError(f"{path}: was written on a big-endian machine, which is not read")

    def find(storage: Storage) -> memoryview:
        info = members.get(f"{root}data/{storage.key}")
        if info is None:
            raise JaxnetsError(f"{path}: storage {storage.key!r} is missing in the file")
        return stored(path, content, info)

    with _explained(path):
        value = read_pickle(BytesIO(stored(path, content, members[pickles[0]])))
    return _with_arrays(path, value, find)


def stored(path: str, content: bytes, info: zipfile.ZipInfo) -> memoryview:
    """The bytes of an uncompressed member, where they lie in the file, checked by their CRC."""
    name = printable(info.filename)
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
        how = "encrypted" if info.flag_bits & 1 else "compressed"
        raise JaxnetsError(f"{path}: {name} is {how}, which PyTorch never does; not unpacked")
    header = info.header_offset
    if not 0 <= header <= len(content) - 30:
        raise JaxnetsError(f"{path}: {name} lies outside the file: truncated or forged")
    length, extra = struct.unpack_from("<HH", content, header + 26)
    local = content[header + 30 : header + 30 + length]
    if content[header : header + 4] != b"PK\x03\x04" or local != _as_written(info):
        raise JaxnetsError(
            f"{path}: {name} does not lie where the file's directory says: damaged or forged"
        )
    start = header + 30 + length + extra
    if info.compress_size != info.file_size or start + info.file_size > len(content):
        raise JaxnetsError(
            f"{path}: {name} declares {info.file_size:,} bytes, but the file has only "
            f"{max(0, len(content) - start):,} from there on: truncated or forged"
        )
    values = memoryview(content)[start : start + info.file_size]
    if zlib.crc32(values) != info.CRC:
        raise JaxnetsError(
            f"{path}: {name} does not match its checksum: damaged. Fetch or copy the file again. "
            "(Files that PyTorch wrote without checksums, set_crc32_options(False), are not read.)"
        )
    return values


def _as_written(info: zipfile.ZipInfo) -> bytes:
    """A member's name as its bytes stand in the file (bit 11: UTF-8)."""
    return info.orig_filename.encode("utf-8" if info.flag_bits & 0x800 else "cp437")


def read_legacy(path: str, content: bytes) -> Any:
    """The object of a file of `torch.save` before 1.6.

    Pickles of a magic number, the format's version, the machine, the object and the keys of its
    storages; then, for each key, the number of values (int64) and the values.
    """
    stream = BytesIO(content)
    with _explained(path):
        magic = read_pickle(stream)
        if magic != LEGACY_MAGIC:
            raise JaxnetsError(
                f"{path}: is a pickle of a {type(magic).__name__}, not a PyTorch checkpoint"
            )
        version, machine = read_pickle(stream), read_pickle(stream)
        if version != LEGACY_VERSION:
            raise JaxnetsError(f"{path}: has an unknown version of the format before PyTorch 1.6")
        if isinstance(machine, dict) and machine.get("little_endian") is False:
            raise JaxnetsError(f"{path}: was written on a big-endian machine, which is not read")
        value = read_pickle(stream)
        keys = read_pickle(stream)
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise NotPlain("no list of storages behind the object")
    places = _legacy_places(path, content, stream.tell(), keys, value)

    def find(storage: Storage) -> memoryview:
        if storage.key not in places:
            raise JaxnetsError(f"{path}: storage {storage.key!r} is missing in the file")
        return places[storage.key]

    return _with_arrays(path, value, find)


def _legacy_places(path, content, position, keys, value) -> dict[str, memoryview]:
    """Where each storage lies. Its count is in front of it, the size of a value in the pickle."""
    sizes = {t.storage.key: _item_size(t.storage) for t in _tensors(value)}
    places, view = {}, memoryview(content)
    for key in keys:
        if key not in sizes:
            raise JaxnetsError(f"{path}: storage {key!r} belongs to no tensor; not read")
        if position + 8 > len(content):
            raise JaxnetsError(f"{path}: ends before storage {key!r}: truncated")
        (count,) = struct.unpack_from("<q", content, position)
        end = position + 8 + count * sizes[key]
        if count < 0 or end > len(content):
            raise JaxnetsError(
                f"{path}: storage {key!r} declares {count:,} values of {sizes[key]} bytes, but the "
                f"file has only {len(content) - position - 8:,} bytes from there on: truncated or "
                "forged"
            )
        places[key] = view[position + 8 : end]
        position = end
    return places


def _item_size(storage: Storage) -> int:
    return np.dtype(DTYPES[storage.dtype]).itemsize if storage.dtype else 1


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list | tuple) else []


def _tensors(value: Any) -> list[Tensor]:
    """All tensors in nested containers; a container that holds itself is entered once."""
    found, seen, waiting = [], set(), [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, Tensor):
            found.append(item)
        elif id(item) not in seen:
            seen.add(id(item))
            waiting.extend(_children(item))
    return found


def _with_arrays(path: str, value: Any, find: Find) -> Any:
    """Put arrays in the places of tensors, in every dict that can be reached through dicts."""
    arrays: dict[int, np.ndarray] = {}

    def array(tensor: Tensor) -> np.ndarray:
        if id(tensor) not in arrays:
            arrays[id(tensor)] = _array(path, tensor, find(tensor.storage))
        return arrays[id(tensor)]

    seen, waiting = set(), [value]
    while waiting:
        item = waiting.pop()
        if not isinstance(item, dict) or id(item) in seen:
            continue
        seen.add(id(item))
        for key, child in item.items():
            if isinstance(child, Tensor):
                item[key] = array(child)
            elif isinstance(child, dict):
                waiting.append(child)
    return value


def _array(path: str, tensor: Tensor, values: memoryview) -> np.ndarray:
    """A read-only view of the file's bytes: no declared shape can take memory."""
    storage, dtype = tensor.storage, np.dtype(DTYPES[tensor.dtype])
    if storage.count * _item_size(storage) > len(values):
        raise JaxnetsError(
            f"{path}: storage {storage.key!r} declares {storage.count:,} values, but has only "
            f"{len(values):,} bytes: truncated or forged"
        )
    offset = tensor.offset + storage.view_offset
    last = offset + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.strides, strict=True))
    room = len(values) // dtype.itemsize
    elements = math.prod(tensor.shape)
    # An expanded tensor (stride 0) may have more elements than its storage; no weights are that.
    beyond = elements > room or (elements > 0 and last >= room)
    if beyond or math.prod(filter(None, tensor.shape)) > 2**40:
        raise JaxnetsError(
            f"{path}: a tensor of shape {tensor.shape}, strides {tensor.strides}, offset {offset} "
            f"reaches beyond its storage of {room:,} values"
        )
    if not elements:
        return np.zeros(tensor.shape, dtype)
    strides = [s * dtype.itemsize for s in tensor.strides]
    return np.ndarray(tensor.shape, dtype, values, offset * dtype.itemsize, strides)


class _explained:
    """Turn what the pickle reader found into a message that names the file."""

    def __init__(self, path: str):
        self.path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind, error, trace) -> None:
        if isinstance(error, Refused):
            raise JaxnetsError(f"{self.path}: {error}") from None
        if isinstance(error, NotPlain):
            raise JaxnetsError(
                f"{self.path}: is no PyTorch checkpoint, or it is damaged or truncated ({error})"
            ) from None
