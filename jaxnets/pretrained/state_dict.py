"""A file of weights to a dict of arrays, whatever library wrote it: safetensors, PyTorch, NumPy."""

import re
import struct
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from jaxnets.errors import JaxnetsError, printable
from jaxnets.pretrained import download, hub
from jaxnets.pretrained.deep_compression import network_of_file, read_deep_compression
from jaxnets.pretrained.npz_files import read_npz
from jaxnets.pretrained.torch_files import read_legacy, read_zip

# Where training scripts keep the weights among other things, the likeliest first.
CONTAINERS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "params")
# What wrappers put in front of every name: DataParallel, torch.compile, Lightning modules.
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.")
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
# A wrapper's own tensors beside a network whose names all carry the wrapper's prefix: counters of
# averaged weights, losses and metrics with buffers.
BESIDE = re.compile(
    r"n_averaged|(criterion|losses|loss|loss_fn|loss_func|metrics?|(train|val|valid|test)_\w+)\..*"
)
# Names are paths of modules; a longer one is none.
MAX_NAME = 1000
MAX_WRAPPERS = 8


def read_state_dict(
    path: str | Path, *, container: str | None = None, prefix: str | None = None
) -> dict[str, np.ndarray]:
    """Read the weights of a file, without PyTorch and without running anything in it.

    Formats, told apart by content: ``.safetensors``; PyTorch's ``.pth``, ``.pt``, ``.th`` in the
    zip format and in the one before 1.6; ``.npz``; Deep Compression's ``.net``, by its name. A dict
    around the weights ("state_dict", "model", …) is opened. A prefix of a wrapper ("module.",
    "model.", …) that all names share is taken off, also where the wrapper keeps tensors of its own
    beside ("n_averaged", "criterion.…"), which are then left out. So is what is not a tensor.

    Args:
        path: a file, ``hf://owner/repo[/file]``, or ``https://…`` with a checksum, which is
            downloaded once.
        container: the key of the dict to take the weights from, such as "model_ema"; dots lead
            further inside (default: the likeliest of `CONTAINERS`).
        prefix: take the names that begin with it, and take it off; "" leaves names as they are.

    Returns:
        Name → array in the file's layout and dtype; read-only views where possible.

    Raises:
        JaxnetsError: no such file, no checkpoint, damaged, a pickle that asks for anything but
            tensors and plain containers, or more steps or bytes than weights take; the message
            names what. No such container or prefix; the message names those there are.

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
    file = hub.fetch(path) if str(path).startswith(hub.SCHEME) else Path(path).expanduser()
    name = str(path)
    if not file.is_file():
        hint = " (a folder, a pipe or a device is none)" if file.exists() else ""
        raise JaxnetsError(f"{name}: no such file{hint}")
    if network_of_file(file):
        return read_deep_compression(file)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise JaxnetsError(f"{name}: cannot be read ({error.strerror})") from None
    weights = _weights(name, _read(name, content), container)
    return weights if prefix == "" else unwrap(name, weights, prefix)


def unwrap(
    path: str, weights: Mapping[str, np.ndarray], prefix: str | None = None
) -> dict[str, np.ndarray]:
    """Take a wrapper's prefix off the names of a state dict; see `read_state_dict`.

    >>> sorted(unwrap("w.pth", {"module.net.w": 1, "module.net.b": 2, "n_averaged": 3}))
    ['b', 'w']
    >>> sorted(unwrap("w.pth", {"model.w": 1, "critic.w": 2}, prefix="critic."))
    ['w']
    """
    if prefix is not None:
        found = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
        if not found:
            first = sorted({f"{k.partition('.')[0]}." for k in weights if "." in k})[:20]
            raise JaxnetsError(
                f"{path}: no name begins with {prefix!r}; names begin with {', '.join(first)}"
            )
        return found
    for _ in range(MAX_WRAPPERS):
        wrapped = next((p for p in PREFIXES if _all_wrapped(weights, p)), None)
        if wrapped is None:
            break
        weights = {
            key.removeprefix(wrapped): v for key, v in weights.items() if key.startswith(wrapped)
        }
    return dict(weights)


def _all_wrapped(weights: Mapping[str, Any], prefix: str) -> bool:
    others = [key for key in weights if not key.startswith(prefix)]
    return len(others) < len(weights) and all(map(BESIDE.fullmatch, others))


def _read(path: str, content: bytes) -> Any:
    if content[:2] == b"PK":
        return _read_archive(path, content)
    length = int.from_bytes(content[:8], "little")
    if content[8:9] == b"{" and (length < len(content) or b'"data_offsets"' in content[:4096]):
        return _read_safetensors(path, content)
    if content[:1] == b"\x80":
        return read_legacy(path, content)
    raise JaxnetsError(f"{path}: {_what(content)}, not a checkpoint. {_FORMATS}")


_FORMATS = (
    "Known are .safetensors, .pth/.pt/.th (PyTorch), .npz (NumPy) and .net (Deep Compression)."
)


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
        return read_npz(path, content, archive)
    raise JaxnetsError(f"{path}: is a zip file, but neither of PyTorch nor of NumPy. {_FORMATS}")


def _read_safetensors(path: str, content: bytes) -> dict[str, np.ndarray]:
    import safetensors

    try:
        # Checks every declared size and offset against the file before it hands anything out.
        entries = safetensors.deserialize(content)
    except safetensors.SafetensorError as error:
        raise JaxnetsError(
            f"{path}: is a damaged or truncated safetensors file: {printable(error, 400)}"
        ) from None
    arrays = {}
    for name, entry in entries:
        dtype = SAFETENSORS_DTYPES.get(entry["dtype"])
        if dtype is None:
            raise JaxnetsError(
                f"{path}: {printable(repr(name))} has the unknown dtype {printable(entry['dtype'])}"
            )
        try:
            arrays[name] = np.frombuffer(entry["data"], dtype).reshape(entry["shape"])
        except (ValueError, OverflowError) as error:  # more axes than NumPy has, 0 times 2⁶³
            raise JaxnetsError(
                f"{path}: {printable(repr(name))} has a shape of {len(entry['shape'])} axes that "
                f"no array can have ({error})"
            ) from None
        arrays[name].flags.writeable = False
    return arrays


def _weights(path: str, value: Any, container: str | None) -> dict[str, np.ndarray]:
    """The dict of tensors in what a file holds."""
    outer = value
    if container is not None:
        value = _inside(path, value, container)
    for _ in range(4):
        if not isinstance(value, dict):
            break
        inner = [k for k in CONTAINERS if isinstance(value.get(k), dict)]
        if container is None and inner:
            # Before loose tensors: beside the weights may stand a counter or a best score.
            value = value[inner[0]]
            continue
        tensors = {k: v for k, v in value.items() if isinstance(v, np.ndarray)}
        for key in tensors:
            if not isinstance(key, str):
                raise JaxnetsError(
                    f"{path}: holds a tensor under {printable(repr(key))}, a "
                    f"{type(key).__name__}; names of weights are strings"
                )
            if len(key) > MAX_NAME:
                raise JaxnetsError(
                    f"{path}: a tensor has a name of {len(key):,} characters, {printable(key, 40)}"
                )
        if tensors:
            return tensors
        break
    raise JaxnetsError(
        f"{path}: holds no weights: expected a dict of tensors, or one under "
        f"{', '.join(CONTAINERS)} (or container=…); found {_keys(outer)}"
    )


def _inside(path: str, value: Any, container: str) -> Any:
    outer = value
    for key in (container,) if _holds_dict(value, container) else container.split("."):
        if not _holds_dict(value, key):
            raise JaxnetsError(f"{path}: has no dict under {container!r}; it has {_keys(outer)}")
        value = value[key]
    return value


def _holds_dict(value: Any, key: str) -> bool:
    return isinstance(value, dict) and isinstance(value.get(key), dict)


def _keys(value: Any) -> str:
    if not isinstance(value, dict):
        return type(value).__name__
    shown = [printable(key, 40) for key in list(value)[:12]]
    return f"{shown}{', …' if len(value) > 12 else ''}"
