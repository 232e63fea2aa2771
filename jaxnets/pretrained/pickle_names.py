"""The names that a PyTorch file's pickle may mention, and the records that are made of them.

None of the things that have these names is ever imported or called: a tensor becomes a `Tensor`, a
storage a `Storage`, a device a string, a NumPy number a Python number.
"""

import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from jaxnets.errors import JaxnetsError, printable

DTYPES = {
    "float64": np.float64,
    "float32": np.float32,
    "float16": np.float16,
    "bfloat16": ml_dtypes.bfloat16,
    "float8_e4m3fn": ml_dtypes.float8_e4m3fn,
    "float8_e5m2": ml_dtypes.float8_e5m2,
    "complex64": np.complex64,
    "complex128": np.complex128,
    "int64": np.int64,
    "int32": np.int32,
    "int16": np.int16,
    "int8": np.int8,
    "uint64": np.uint64,
    "uint32": np.uint32,
    "uint16": np.uint16,
    "uint8": np.uint8,
    "bool": np.bool_,
}
STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
# NumPy has no more axes.
MAX_AXES = 64
# Larger numbers may all have one hash (Python takes them modulo 2⁶¹ − 1), and a dictionary of
# them would take forever.
MAX_INTEGER_KEY = 2**60

REBUILD = {
    *("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3"),
    *("_rebuild_parameter", "_rebuild_parameter_with_state"),
}
NUMPY_SCALAR = ("numpy.core.multiarray", "numpy._core.multiarray")


class Refused(JaxnetsError):
    """The pickle asks for something that is not data."""


class NotPlain(ValueError):
    """The pickle's opcodes make no sense; the caller says which file."""


@dataclass(frozen=True)
class Storage:
    """A run of values in the file: ``count`` of ``dtype`` under ``key``; bytes if dtype is None."""

    dtype: str | None
    key: str
    count: int
    view_offset: int = 0


@dataclass(frozen=True)
class Tensor:
    """What the file says of a tensor: a strided view of a storage, all in elements."""

    storage: Storage
    dtype: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class Name:
    """A global that the file mentions and that is known; never the thing itself."""

    module: str
    name: str


@dataclass
class NumberType:
    """A NumPy dtype of single numbers, with its byte order."""

    code: str
    order: str = "<"


def known_name(module: Any, name: Any) -> Name:
    """The record of a global, if a state dict may mention it.

    Raises:
        NotPlain: one of both is no string.
        Refused: any other global.
    """
    if not isinstance(module, str) or not isinstance(name, str):
        raise NotPlain(f"a global named by a {type(module).__name__} and a {type(name).__name__}")
    known = (
        (module == "collections" and name in ("OrderedDict", "Counter", "defaultdict"))
        or (module == "torch" and (name in STORAGES or name in DTYPES or name in _TORCH))
        or (module == "torch._utils" and name in REBUILD)
        or (module == "torch._tensor" and name in ("_rebuild_from_type_v2", "Tensor"))
        or (module == "torch.nn.parameter" and name in ("Parameter", "Buffer"))
        or (module == "torch.storage" and name in ("UntypedStorage", "_UntypedStorage"))
        or (module in NUMPY_SCALAR and name == "scalar")
        or (module == "numpy" and name == "dtype")
        or (module == "_codecs" and name == "encode")
        or (module in ("builtins", "__builtin__") and name in _CONTAINERS)
    )
    if not known:
        raise Refused(
            f"the file asks for {printable(module)}.{printable(name)}; a state dict needs tensors "
            "and plain containers only, and whatever else a pickle names may run code. Nothing was "
            "run. If you trust the file, save its state dict alone: "
            "torch.save(model.state_dict(), path)."
        )
    return Name(module, name)


_TORCH = ("Size", "device", "Tensor")
# What protocol 2 writes for sets and defaultdicts.
_CONTAINERS = {"set": set, "frozenset": frozenset, "list": list, "dict": dict, "int": int}


def storage_of(identity: Any) -> Storage:
    """("storage", type, key, place, count[, view]) as `torch.save` marks a storage."""
    if not isinstance(identity, tuple) or len(identity) < 5 or identity[0] != "storage":
        raise NotPlain("a persistent id that is no storage")
    _, kind, key, _, count, *view = identity
    if not isinstance(kind, Name) or not isinstance(key, str) or not _is_count(count):
        raise NotPlain("a storage without type, key or size")
    if len(key) > 200:
        raise NotPlain("a storage with a key of more than 200 characters")
    if kind.name not in STORAGES and "UntypedStorage" not in kind.name:
        raise NotPlain(f"{kind.name} is no storage")
    dtype = STORAGES.get(kind.name)
    if view and view[0] is not None:
        # (key of the view, offset, size): the oldest files cut storages out of one another.
        _, offset, count_of_view = view[0]
        if not _is_count(offset) or not _is_count(count_of_view):
            raise NotPlain("a view without offset or size")
        if offset + count_of_view > count:
            raise NotPlain("a view beyond its storage")
        return Storage(dtype, key, count, offset)
    return Storage(dtype, key, count)


def make(function: Any, arguments: Any) -> Any:
    """What REDUCE makes of a known name.

    Raises:
        NotPlain: arguments that it does not take.
        Refused: a name that is no function.
    """
    if not isinstance(function, Name) or not isinstance(arguments, tuple):
        raise Refused(
            f"the file calls a {type(function).__name__} (opcode REDUCE). It was not called."
        )
    name = function.name
    if name == "OrderedDict":
        pairs = arguments[0] if arguments else ()
        return OrderedDict((plain_key(key), value) for key, value in pairs)
    if name == "Counter":
        counts = arguments[0] if arguments else {}
        if not isinstance(counts, dict):
            raise NotPlain("a Counter without counts")
        return dict(counts)
    if name == "defaultdict":
        return {}
    if name == "Size":
        return _counts(arguments[0])
    if name == "device":
        return ":".join(printable(part, 20) for part in arguments[:2])
    if name in ("set", "frozenset"):
        return _CONTAINERS[name](map(plain_key, arguments[0] if arguments else ()))
    if name == "dtype" and isinstance(arguments[0], str):
        return NumberType(arguments[0])
    if name == "scalar":
        return _number(*arguments[:2])
    if name == "encode":
        text, encoding = arguments
        if not isinstance(text, str) or encoding != "latin1":
            raise NotPlain("bytes in an unknown encoding")
        return text.encode("latin1")
    if name == "_rebuild_from_type_v2":
        # (function, type, arguments, state): a tensor that had attributes of its own.
        return make(arguments[0], arguments[2])
    if name.startswith("_rebuild_parameter"):
        if not isinstance(arguments[0], Tensor):
            raise NotPlain("a parameter without tensor")
        return arguments[0]
    if name.startswith("_rebuild_tensor"):
        return _tensor(name, arguments)
    raise Refused(f"the file calls {function.module}.{name}, which is no function; nothing was run")


def _tensor(name: str, arguments: tuple) -> Tensor:
    storage, offset, shape, strides = arguments[:4]
    if not isinstance(storage, Storage) or not _is_count(offset):
        raise NotPlain("a tensor without storage or offset")
    dtype = storage.dtype
    if name == "_rebuild_tensor_v3":
        kind = arguments[6]
        dtype = kind.name if isinstance(kind, Name) and kind.name in DTYPES else None
    if dtype is None:
        raise NotPlain("a tensor without dtype")
    shape, strides = _counts(shape), _counts(strides)
    if len(shape) != len(strides) or len(shape) > MAX_AXES:
        raise NotPlain(f"{len(shape)} axes with {len(strides)} strides")
    # The stride of an axis of one entry is never used, and may be any number.
    strides = tuple(s if n > 1 else 0 for n, s in zip(shape, strides, strict=True))
    return Tensor(storage, dtype, offset, shape, strides)


def _number(kind: Any, data: Any) -> Any:
    """A NumPy scalar as a Python number."""
    if not isinstance(kind, NumberType) or not isinstance(data, bytes):
        raise NotPlain("a NumPy number without dtype or bytes")
    if not re.fullmatch(r"[biufc](1|2|4|8|16)", kind.code) or kind.order not in "<>|=":
        raise NotPlain(f"a NumPy number of dtype {printable(kind.code)}")
    return np.frombuffer(data, np.dtype(kind.code).newbyteorder(kind.order))[0].item()


def plain_key(value: Any) -> Any:
    """A dictionary's key or a set's member: plain, so that hashing it runs nothing deep.

    Raises:
        NotPlain: of another kind, or a number of which many may have one hash.
    """
    if not isinstance(value, str | bytes | int | float | type(None)):
        raise NotPlain(f"a {type(value).__name__} as key")
    if isinstance(value, int) and abs(value) >= MAX_INTEGER_KEY:
        raise NotPlain("a key of more than 60 bits")
    return value


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _counts(values: Any) -> tuple[int, ...]:
    if not isinstance(values, tuple | list) or not all(map(_is_count, values)):
        raise NotPlain(f"sizes expected, found a {type(values).__name__}")
    return tuple(values)
