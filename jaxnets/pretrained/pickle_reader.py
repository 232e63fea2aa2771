"""Read the data in a pickle without running anything that it says.

A pickle is a program: `pickle.load` calls whatever function the file names. This reader goes
through the same opcodes, but builds plain values only. Of the names that a file may mention
(`GLOBAL`) it knows those that PyTorch writes for tensors and containers, and what it makes of them
are records of its own (`jaxnets.pretrained.pickle_names`); any other name, and every opcode that
would make, call or change something else, ends the reading with a message. Nothing is imported by
name and no attribute is ever set. A budget of steps bounds time and memory.

Source: CPython's ``Lib/pickletools.py`` (meaning of the opcodes), ``torch/_utils.py`` and
``torch/serialization.py`` (what PyTorch writes).
"""

import pickletools
import struct
import warnings
from collections import OrderedDict
from io import BytesIO
from typing import Any

from jaxnets.errors import printable
from jaxnets.pretrained.pickle_names import (
    NotPlain,
    NumberType,
    Refused,
    known_name,
    make,
    plain_key,
    storage_of,
)

# What one pickle may cost: opcodes, and the entries of what is copied. A state dict takes about 40
# a tensor; with the states of its optimizer, 200. Some seconds and 200 MB at most.
MAX_STEPS = 2_000_000
# Memo numbers count up from 0 in every file; larger ones may all have one hash.
MAX_MEMO = 2**32


def read_pickle(stream: BytesIO) -> Any:
    """Read one pickle from where the stream stands to its STOP.

    Args:
        stream: the file's bytes.

    Returns:
        Nested dict, list, tuple, set, numbers, strings, `Tensor` and `Storage` records.

    Raises:
        Refused: the pickle names a global that is not known, or would call or build something.
        NotPlain: truncated, not a pickle, or more than `MAX_STEPS`.

    >>> read_pickle(BytesIO(b"\\x80\\x02}U\\x01aK\\x07s."))
    {'a': 7}
    >>> read_pickle(BytesIO(b"cos\\nsystem\\n(U\\x04exittR."))
    Traceback (most recent call last):
    jaxnets.pretrained.pickle_names.Refused: the file asks for os.system; ...
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
        raise NotPlain(printable(error) or type(error).__name__) from None
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


class _Mark:
    pass


_MARK = _Mark()


class _Machine:
    """The stack, the memo, and one method a kind of opcode."""

    def __init__(self):
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.steps_left = MAX_STEPS

    def spend(self, steps: int) -> None:
        """Pay for opcodes and copies.

        Raises:
            NotPlain: the budget is used up.
        """
        self.steps_left -= steps
        if self.steps_left < 0:
            raise NotPlain(f"more than {MAX_STEPS:,} steps: no weights take so many")

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
        """Carry out one opcode."""
        self.spend(1)
        if name in _PUSH:
            self.stack.append(argument)
        elif name in _METHODS:
            _METHODS[name](self, argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            self.stack.append(_EMPTY[name]())
        elif name in _TUPLES:
            values = [self.pop() for _ in range(_TUPLES[name])]
            self.stack.append(tuple(reversed(values)))
        elif name in _FROM_MARK:
            values = self.pop_mark()
            members = map(plain_key, values) if name == "FROZENSET" else values
            self.stack.append(_FROM_MARK[name](members))
        elif name not in ("PROTO", "FRAME"):
            shown = "" if argument is None else f" {_start(argument)}"
            raise Refused(
                f"the file holds the pickle opcode {name}{shown}, which is not needed for "
                "tensors and can run code. It was not run."
            )

    def _mark(self, _):
        self.stack.append(_MARK)

    def _pop(self, _):
        self.stack.pop()

    def _pop_mark(self, _):
        self.pop_mark()

    def _dup(self, _):
        self.stack.append(self.stack[-1])

    def _put(self, index):
        if not 0 <= index < MAX_MEMO:
            raise NotPlain("a memo of more than 32 bits")
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
            target[plain_key(key)] = value

    def _append(self, _):
        value = self.pop()
        self.top(list).append(value)

    def _appends(self, _):
        values = self.pop_mark()
        self.top(list).extend(values)

    def _additems(self, _):
        values = self.pop_mark()
        self.top(set).update(map(plain_key, values))

    def _global(self, argument):
        # genops joins module and name, one line each, by a space.
        module, _, name = argument.partition(" ")
        self.stack.append(known_name(module, name))

    def _stack_global(self, _):
        name, module = self.pop(), self.pop()
        self.stack.append(known_name(module, name))

    def _reduce(self, _):
        arguments, function = self.pop(), self.pop()
        if isinstance(arguments, tuple):
            # What is made is a copy; a small file may ask for a large one again and again.
            self.spend(4 * sum(len(a) for a in arguments if hasattr(a, "__len__")))
        self.stack.append(make(function, arguments))

    def _build(self, _):
        state = self.pop()
        if isinstance(self.stack[-1], NumberType):
            # (version, byte order, …) of a NumPy dtype.
            self.stack[-1].order = str(state[1])[:1] if isinstance(state, tuple) else ""
        # The state of an OrderedDict is PyTorch's note of module versions: not needed, not set.
        elif type(self.stack[-1]) is not OrderedDict:
            raise Refused(
                f"the file sets the state of a {type(self.stack[-1]).__name__} (opcode BUILD), "
                "which is not needed for tensors and can run code. It was not done."
            )

    def _binpersid(self, _):
        self.stack.append(storage_of(self.pop()))


# The opcodes that have a method: MARK is `_Machine._mark`, and so on.
_METHODS = {
    opcode.name: getattr(_Machine, f"_{opcode.name.lower()}")
    for opcode in pickletools.opcodes
    if hasattr(_Machine, f"_{opcode.name.lower()}")
}


def _start(argument: Any) -> str:
    """The beginning of what a file holds, for a message."""
    return printable(repr(argument[:60] if isinstance(argument, str | bytes) else argument))
