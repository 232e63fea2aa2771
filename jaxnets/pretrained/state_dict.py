"""A file of weights to a dict of arrays, whatever library wrote it: safetensors, PyTorch, NumPy."""

import math
import struct
import zipfile
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from jaxnets.errors import JaxnetsError
from jaxnets.pretrained import download, hub
from jaxnets.pretrained.torch_files import read_legacy, read_zip

# Where training scripts keep the weights among other things, the likeliest first.
CONTAINERS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "params")
# What wrappers put in front of every name: DataParallel, torch.compile, Lightning.
PREFIXES = ("module.", "_orig_mod.", "model.")
SAFETENSORS_DTYPES = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "F8_E4M3": ml_dtypes.float8_e4m3fn,
    "F8_E5M2": ml_dtypes.float8_e5m2,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U64": np.uint64,
    "U32": np.uint32,
    "U16": np.uint16,
    "U8": np.uint8,
    "BOOL": np.bool_,
    "C64": np.complex64,
}
# A compressed .npz may unpack to this many bytes, or to a hundred times its size: no weights are
# smaller, a zip bomb is a thousand times larger than its file.
NPZ_SMALL, NPZ_RATIO = 2**26, 100


def read_state_dict(path: str | Path) -> dict[str, np.ndarray]:
    """Read the weights of a file, without PyTorch and without running anything in it.

    Formats, told apart by content: ``.safetensors``; PyTorch's ``.pth``, ``.pt``, ``.th`` in the
    zip format and in the one before 1.6; ``.npz``. A dict around the weights ("state_dict",
    "model", …) is opened, a prefix that all names share ("module.") is taken off; what is not a
    tensor is left out.

    Args:
        path: a file, ``hf://owner/repo[/file]``, or ``https://…`` (see `download.fetch`).

    Returns:
        Name as in the file → array in the file's layout and dtype; read-only views where possible.

    Raises:
        JaxnetsError: no such file, no checkpoint, truncated, or a pickle that asks for anything
            but tensors and plain containers; the message names what.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "weights.npz")
    ...     np.savez(file, **{"module.fc.weight": np.zeros((2, 3)), "module.fc.bias": np.zeros(2)})
    ...     weights = read_state_dict(file)
    >>> {name: array.shape for name, array in weights.items()}
    {'fc.weight': (2, 3), 'fc.bias': (2,)}
    """
    if str(path).startswith(download.SCHEME):
        path = download.fetch(str(path))
    file = hub.fetch(path) if str(path).startswith(hub.SCHEME) else Path(path)
    name = str(path)
    if not file.is_file():
        raise JaxnetsError(f"{name}: no such file")
    content = file.read_bytes()
    weights = _weights(name, _read(name, content))
    while prefix := next((p for p in PREFIXES if all(k.startswith(p) for k in weights)), None):
        weights = {key.removeprefix(prefix): value for key, value in weights.items()}
    return weights


def _read(path: str, content: bytes) -> Any:
    if content[:2] == b"PK":
        return _read_archive(path, content)
    length = int.from_bytes(content[:8], "little")
    if content[8:9] == b"{" and (length < len(content) or b'"data_offsets"' in content[:4096]):
        return _read_safetensors(path, content)
    if content[:1] == b"\x80":
        return read_legacy(path, content)
    raise JaxnetsError(f"{path}: {_what(content)}, not a checkpoint. {_FORMATS}")


_FORMATS = "Known are .safetensors, .pth/.pt/.th (PyTorch) and .npz (NumPy)."


def _what(content: bytes) -> str:
    """What a file looks like that is none of the formats."""
    if not content:
        return "the file is empty"
    for start, kind in ((b"\x89HDF", "an HDF5 file (Keras?)"), (b"\x93NUMPY", "a single array")):
        if content.startswith(start):
            return f"is {kind}"
    if content[257:262] == b"ustar":
        return "is a tar archive"
    if content.lstrip()[:1] == b"<":
        return "is a web page"
    if content.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer (the weights themselves were not fetched)"
    return f"starts with {content[:8]!r}"


def _read_archive(path: str, content: bytes) -> Any:
    try:
        archive = zipfile.ZipFile(BytesIO(content))
    except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as error:
        raise JaxnetsError(f"{path}: is a damaged or truncated zip file ({error})") from None
    names = archive.namelist()
    if any(name.endswith("data.pkl") for name in names):
        return read_zip(path, content, archive)
    if names and all(name.endswith(".npy") for name in names):
        return _read_npz(path, content, archive)
    raise JaxnetsError(f"{path}: is a zip file, but neither of PyTorch nor of NumPy. {_FORMATS}")


def _read_npz(path: str, content: bytes, archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
    total = sum(info.file_size for info in archive.infolist())
    if total > max(NPZ_SMALL, NPZ_RATIO * len(content)):
        raise JaxnetsError(
            f"{path}: would unpack to {total:,} bytes from {len(content):,}; refused"
        )
    arrays = {}
    for info in archive.infolist():
        name = info.filename.removesuffix(".npy")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise JaxnetsError(f"{path}: {name!r} is packed as NumPy never does; not unpacked")
        try:
            # Never more than what it declares, which has been judged above.
            with archive.open(info) as member:
                data = BytesIO(member.read(info.file_size))
            version = np.lib.format.read_magic(data)
            header = np.lib.format.read_array_header_1_0
            shape, _, dtype = (header if version == (1, 0) else _header_2_0)(data)
            if dtype.hasobject:
                raise JaxnetsError(
                    f"{path}: {name!r} holds pickled Python objects, which may run code; not read"
                )
            if math.prod(shape) * dtype.itemsize != info.file_size - data.tell():
                raise JaxnetsError(
                    f"{path}: {name!r} declares shape {shape} of {dtype}, but has "
                    f"{info.file_size - data.tell():,} bytes"
                )
            data.seek(0)
            arrays[name] = np.lib.format.read_array(data, allow_pickle=False)
        except (zipfile.BadZipFile, ValueError, EOFError, OSError, OverflowError) as error:
            raise JaxnetsError(f"{path}: {name!r} is damaged or truncated ({error})") from None
        # An unknown way of packing, encryption, damaged packed data.
        except (NotImplementedError, RuntimeError, zlib.error) as error:
            raise JaxnetsError(f"{path}: {name!r} cannot be unpacked ({error})") from None
    return arrays


_header_2_0 = np.lib.format.read_array_header_2_0


def _read_safetensors(path: str, content: bytes) -> dict[str, np.ndarray]:
    import safetensors

    try:
        # Checks every declared size and offset against the file before it hands anything out.
        entries = safetensors.deserialize(content)
    except safetensors.SafetensorError as error:
        raise JaxnetsError(f"{path}: is a damaged or truncated safetensors file: {error}") from None
    arrays = {}
    for name, entry in entries:
        if entry["dtype"] not in SAFETENSORS_DTYPES:
            raise JaxnetsError(f"{path}: {name!r} has the unknown dtype {entry['dtype']}")
        array = np.frombuffer(entry["data"], SAFETENSORS_DTYPES[entry["dtype"]])
        arrays[name] = array.reshape(entry["shape"])
        arrays[name].flags.writeable = False
    return arrays


def _weights(path: str, value: Any) -> dict[str, np.ndarray]:
    """The dict of tensors in what a file holds."""
    outer = value
    for _ in range(4):
        if not isinstance(value, dict):
            break
        tensors = {k: v for k, v in value.items() if isinstance(v, np.ndarray)}
        inner = [k for k in CONTAINERS if isinstance(value.get(k), dict)]
        if inner and not tensors:
            value = value[inner[0]]
            continue
        if tensors:
            return {str(key): array for key, array in tensors.items()}
        break
    keys = list(outer)[:8] if isinstance(outer, dict) else type(outer).__name__
    raise JaxnetsError(
        f"{path}: holds no weights: expected a dict of tensors, or one under "
        f"{', '.join(CONTAINERS)}; found {keys}"
    )
