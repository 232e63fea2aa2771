"""Read the data in a pickle without running anything that it says.

A pickle is a program: `pickle.load` calls whatever function the file names. This reader goes
through the same opcodes, but builds plain values only. Of the names that a file may mention
(`GLOBAL`) it knows those that PyTorch writes for tensors and containers, and what it makes of them
are records of its own; any other name, and every opcode that would make, call or change something
else, ends the reading with a message. Nothing is imported by name and no attribute is ever set.

Source: CPython's ``Lib/pickletools.py`` (meaning of the opcodes), ``torch/_utils.py`` and
``torch/serialization.py`` (what PyTorch writes).
"""

import pickletools
import struct
import warnings
from collections import OrderedDict
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import ml_dtypes
import numpy as np

from jaxnets.errors import JaxnetsError

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
class _Name:
    """A global that the file mentions and that is known; never the thing itself."""

    module: str
    name: str


class _Mark:
    pass


class Refused(JaxnetsError):
    """The pickle asks for something that is not data."""


class NotPlain(ValueError):
    """The pickle's opcodes make no sense; the caller says which file."""


def read_pickle(stream: BytesIO) -> Any:
    """Read one pickle from where the stream stands to its STOP.

    Args:
        stream: the file's bytes.

    Returns:
        Nested dict, list, tuple, set, numbers, strings, `Tensor` and `Storage` records.

    Raises:
        Refused: the pickle names a global that is not known, or would call or build something.
        NotPlain: truncated, or not a pickle.

    >>> read_pickle(BytesIO(b"\\x80\\x02}U\\x01aK\\x07s."))
    {'a': 7}
    >>> read_pickle(BytesIO(b"cos\\nsystem\\n(U\\x04exittR."))
    Traceback (most recent call last):
    jaxnets.pretrained.pickle_reader.Refused: the file asks for os.system; ...
    """
    machine = _Machine()
    try:
        with warnings.catch_warnings():
            # Python's decoder of old string literals warns of odd backslashes in damaged files.
            warnings.simplefilter("ignore", DeprecationWarning)
            for opcode, argument, _ in pickletools.genops(stream):
                if opcode.name == "STOP":
                    return machine.pop()
                machine.step(opcode.name, argument)
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, struct.error) as error:
        raise NotPlain(str(error) or type(error).__name__) from None
    raise NotPlain("no STOP")


_PUSH = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE"),
    *("BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_SET": set}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_FROM_MARK = {"TUPLE": tuple, "LIST": list, "FROZENSET": frozenset}


class _Machine:
    """The stack, the memo, and one method a kind of opcode."""

    def __init__(self):
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def pop(self) -> Any:
        value = self.stack.pop()
        if isinstance(value, _Mark):
            raise NotPlain("a mark where a value should be")
        return value

    def pop_mark(self) -> list[Any]:
        """The values above the last mark, and take the mark away."""
        for place in range(len(self.stack) - 1, -1, -1):
            if isinstance(self.stack[place], _Mark):
                values = self.stack[place + 1 :]
                del self.stack[place:]
                return values
        raise NotPlain("no mark")

    def top(self, kind: type) -> Any:
        if not isinstance(self.stack[-1], kind):
            raise NotPlain(f"{kind.__name__} expected, found {type(self.stack[-1]).__name__}")
        return self.stack[-1]

    def step(self, name: str, argument: Any) -> None:
        push = self.stack.append
        if name in _PUSH:
            push(argument)
        elif name in _CONSTANTS:
            push(_CONSTANTS[name])
        elif name in _EMPTY:
            push(_EMPTY[name]())
        elif name in _TUPLES:
            values = [self.pop() for _ in range(_TUPLES[name])]
            push(tuple(reversed(values)))
        elif name in _FROM_MARK:
            values = self.pop_mark()
            push(_FROM_MARK[name](map(_key, values) if name == "FROZENSET" else values))
        elif name in ("PROTO", "FRAME"):
            pass
        else:
            method = getattr(self, f"_{name.lower()}", None)
            if method is None:
                shown = "" if argument is None else f" {argument!r}"
                raise Refused(
                    f"the file holds the pickle opcode {name}{shown}, which is not needed for "
                    "tensors and can run code. It was not run."
                )
            method(argument)

    def _mark(self, _):
        self.stack.append(_Mark())

    def _pop(self, _):
        self.stack.pop()

    def _pop_mark(self, _):
        self.pop_mark()

    def _dup(self, _):
        self.stack.append(self.stack[-1])

    def _put(self, index):
        self.memo[index] = self.stack[-1]

    _binput = _long_binput = _put

    def _memoize(self, _):
        self.memo[len(self.memo)] = self.stack[-1]

    def _get(self, index):
        self.stack.append(self.memo[index])

    _binget = _long_binget = _get

    def _dict(self, _):
        values = self.pop_mark()
        self.stack.append({})
        self._fill(values)

    def _setitem(self, _):
        value, key = self.pop(), self.pop()
        self._fill([key, value])

    def _setitems(self, _):
        self._fill(self.pop_mark())

    def _fill(self, values):
        target = self.top(dict)
        for key, value in zip(values[::2], values[1::2], strict=True):
            target[_key(key)] = value

    def _append(self, _):
        value = self.pop()
        self.top(list).append(value)

    def _appends(self, _):
        values = self.pop_mark()
        self.top(list).extend(values)

    def _additems(self, _):
        values = self.pop_mark()
        self.top(set).update(map(_key, values))

    def _global(self, argument):
        # genops joins module and name, one line each, by a space.
        module, _, name = argument.partition(" ")
        self.stack.append(_known(module, name))

    def _stack_global(self, _):
        name, module = self.pop(), self.pop()
        self.stack.append(_known(str(module), str(name)))

    def _reduce(self, _):
        arguments, function = self.pop(), self.pop()
        self.stack.append(_make(function, arguments))

    def _build(self, _):
        # The state of an OrderedDict is PyTorch's note of module versions: not needed, not set.
        self.pop()
        if type(self.stack[-1]) is not OrderedDict:
            raise Refused(
                f"the file sets the state of a {type(self.stack[-1]).__name__} (opcode BUILD), "
                "which is not needed for tensors and can run code. It was not done."
            )

    def _binpersid(self, _):
        self.stack.append(_storage(self.pop()))


def _key(value: Any) -> Any:
    """A dictionary's key or a set's member: plain, so that hashing it runs nothing deep."""
    if not isinstance(value, str | bytes | int | float | type(None)):
        raise NotPlain(f"a {type(value).__name__} as key")
    return value


_REBUILD = {
    *("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3"),
    *("_rebuild_parameter", "_rebuild_parameter_with_state"),
}


def _known(module: str, name: str) -> _Name:
    known = (
        (module == "collections" and name == "OrderedDict")
        or (module == "torch" and (name in STORAGES or name in DTYPES or name == "Size"))
        or (module == "torch._utils" and name in _REBUILD)
        or (module == "torch.storage" and name in ("UntypedStorage", "_UntypedStorage"))
    )
    if not known:
        raise Refused(
            f"the file asks for {module}.{name}; a state dict needs tensors and plain containers "
            "only, and whatever else a pickle names may run code. Nothing was run. If you trust "
            "the file, save its state dict alone: torch.save(model.state_dict(), path)."
        )
    return _Name(module, name)


def _storage(identity: Any) -> Storage:
    """("storage", type, key, place, count[, view]) as `torch.save` marks a storage."""
    if not isinstance(identity, tuple) or len(identity) < 5 or identity[0] != "storage":
        raise NotPlain("a persistent id that is no storage")
    _, kind, key, _, count, *view = identity
    if not isinstance(kind, _Name) or not isinstance(key, str) or not _is_count(count):
        raise NotPlain("a storage without type, key or size")
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


def _make(function: Any, arguments: Any) -> Any:
    if not isinstance(function, _Name) or not isinstance(arguments, tuple):
        raise Refused(
            f"the file calls a {type(function).__name__} (opcode REDUCE). It was not called."
        )
    name = function.name
    if name == "OrderedDict":
        pairs = arguments[0] if arguments else ()
        return OrderedDict((_key(key), value) for key, value in pairs)
    if name == "Size":
        return _counts(arguments[0])
    if name.startswith("_rebuild_parameter"):
        if not isinstance(arguments[0], Tensor):
            raise NotPlain("a parameter without tensor")
        return arguments[0]
    if name.startswith("_rebuild_tensor"):
        storage, offset, shape, strides = arguments[:4]
        if not isinstance(storage, Storage) or not _is_count(offset):
            raise NotPlain("a tensor without storage or offset")
        dtype = storage.dtype
        if name == "_rebuild_tensor_v3":
            kind = arguments[6]
            dtype = kind.name if isinstance(kind, _Name) and kind.name in DTYPES else None
        if dtype is None:
            raise NotPlain("a tensor without dtype")
        shape, strides = _counts(shape), _counts(strides)
        if len(shape) != len(strides) or len(shape) > MAX_AXES:
            raise NotPlain(f"shape {shape} with strides {strides}")
        return Tensor(storage, dtype, offset, shape, strides)
    raise Refused(f"the file calls {function.module}.{name}, which is no function; nothing was run")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _counts(values: Any) -> tuple[int, ...]:
    if not isinstance(values, tuple | list) or not all(map(_is_count, values)):
        raise NotPlain(f"sizes expected, found a {type(values).__name__}")
    return tuple(values)
