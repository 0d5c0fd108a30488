"""numpy arrays in pickles, read as data.

Whoever can write a pickle decides what ``pickle.loads`` calls. Nothing is called here: the
instructions of a pickle are gone through one by one, and the few that numpy's pickles of arrays are
made of leave a description of the array, from which it is built at the end. Everything else is
refused when it is met.

The instructions are those of :mod:`pickletools`; what numpy says with them it says in
``ndarray.__reduce_ex__`` and ``dtype.__reduce__``. Version 1 of numpy names the module
``numpy.core``, version 2 ``numpy._core``.
"""

from __future__ import annotations

import pickletools
from typing import Any, NamedTuple

import numpy as np

from lume_services.errors import SerializationError
from lume_services.serialization import decode

__all__ = ["array_from_pickle"]

# Instructions in one pickle. That of an array has some 70, and one more for each dimension.
_MOST = 200

_ARRAY = "numpy.core.multiarray._reconstruct"
_SCALAR = "numpy.core.multiarray.scalar"
_BUFFER = "numpy.core.numeric._frombuffer"
_DTYPE = "numpy.dtype"
_BYTES = "_codecs.encode"
_NO_BYTES = ("builtins.bytes", "__builtin__.bytes")
_NAMES = {_ARRAY, _SCALAR, _BUFFER, _DTYPE, _BYTES, *_NO_BYTES, "numpy.ndarray"}
_VALUES = {
    *("BININT", "BININT1", "BININT2", "LONG1"),
    *("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_CONSTANTS: dict[str, Any] = {
    "NONE": None,
    "NEWTRUE": True,
    "NEWFALSE": False,
    "EMPTY_TUPLE": (),
}
_ONLY_IN = {
    "EMPTY_LIST": "as arrays of Python objects have, which are not read",
    "SETITEM": "as arrays of records have, which are not read",
    "SETITEMS": "as arrays of records have, which are not read",
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def array_from_pickle(data: bytes) -> Any:
    """The array, or the numpy scalar, in a pickle of protocol 2 to 5.

    Nothing that the pickle names is imported or called.

    Args:
        data: The pickle, of numpy 1.x or 2.x.

    Raises:
        SerializationError: It holds anything else, or an array of a dtype that is not stored
            (objects, records, extended precision).
    """
    try:
        found = _Reader().read(data)
        if isinstance(found, _Array):
            return found.build()
    except (ValueError, TypeError, LookupError, OverflowError, AttributeError) as error:
        if isinstance(error, SerializationError):
            raise
        raise SerializationError(f"It is not the pickle of an array: {error!s:.200}.") from None
    raise SerializationError(f"It is the pickle of a {type(found).__name__}, not of an array.")


class _Name(NamedTuple):
    """What a pickle names; it is never looked up."""

    name: str


class _DType:
    """A dtype as numpy describes it; ``set_state`` completes it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.order = "|"
        self.unit = ""

    def set_state(self, state: Any) -> None:
        _, order, subarray, names, fields, _, _, _, *more = state
        if subarray is not None or names is not None or fields is not None:
            raise ValueError("it has fields")
        if order not in ("<", ">", "|"):
            raise ValueError("a byte order that is not stored")
        self.order = order
        if more and self.text in ("M8", "m8"):
            unit, count, divisor, _ = more[0][1]
            name = unit.decode() if isinstance(unit, bytes) else unit
            if divisor != 1 or not isinstance(count, int):
                raise ValueError("a unit of time that is not stored")
            if name != "generic":
                self.unit = f"[{'' if count == 1 else count}{name}]"

    def little_endian(self, data: bytes) -> bytes:
        if self.order != ">" or not data:
            return data
        kind, size = self.text[0], int(self.text[1:])
        width = {"U": 4, "c": size // 2}.get(kind, size)
        return np.frombuffer(data, f"u{width}").byteswap().tobytes()


class _Array:
    """An array as numpy describes it; ``set_state`` completes it."""

    def __init__(self) -> None:
        self.dtype: Any = None
        self.shape: Any = None
        self.data: Any = b""
        self.axes: tuple[int, ...] | None = None
        """The axes in the order in which they are in memory; C order when None."""
        self.scalar = False

    def set_state(self, state: Any) -> None:
        _, self.shape, self.dtype, is_fortran, self.data = state
        if is_fortran:
            self.axes = tuple(reversed(range(len(self.shape))))

    def build(self) -> Any:
        """The array, checked as one in a document of this version is."""
        if not isinstance(self.dtype, _DType) or not isinstance(self.shape, tuple):
            raise ValueError("its dtype or shape is missing")
        if not isinstance(self.data, (bytes, bytearray)):
            raise ValueError("its data are not bytes")
        axes = range(len(self.shape)) if self.axes is None else self.axes
        document = {
            "%kind": "ndarray",
            "dtype": f"{self.dtype.order}{self.dtype.text}{self.dtype.unit}",
            "shape": [self.shape[axis] for axis in axes],
            "data": self.dtype.little_endian(bytes(self.data)),
        }
        array = decode(document).transpose(np.argsort(axes))
        return array[()] if self.scalar else array


class _Reader:
    """A stack and a memo, as ``pickle`` has them, of values and descriptions only."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.bytes_left = 0
        """What may still be made of text: each of an array's is in its pickle once."""

    def read(self, data: bytes) -> Any:
        self.bytes_left = len(data)
        for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if count > _MOST:
                raise SerializationError(f"It has over {_MOST} instructions, no array has so many.")
            if opcode.name == "STOP":
                return self.stack.pop()
            self.step(opcode.name, argument)
        raise ValueError("it has no end")

    def step(self, instruction: str, argument: Any) -> None:
        stack = self.stack
        if instruction in _VALUES:
            stack.append(argument)
        elif instruction in _CONSTANTS:
            stack.append(_CONSTANTS[instruction])
        elif instruction == "EMPTY_DICT":
            stack.append({})
        elif instruction in ("PROTO", "FRAME"):
            pass
        elif instruction == "MARK":
            self.marks.append(len(stack))
        elif instruction == "TUPLE":
            self.tuple(len(stack) - self.marks.pop())
        elif instruction in _TUPLES:
            self.tuple(_TUPLES[instruction])
        elif instruction == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif instruction in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = stack[-1]
        elif instruction in ("BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument])
        elif instruction == "GLOBAL":
            stack.append(_name(*argument.split(" ", 1)))
        elif instruction == "STACK_GLOBAL":
            name, module = stack.pop(), stack.pop()
            stack.append(_name(module, name))
        elif instruction == "REDUCE":
            arguments, name = stack.pop(), stack.pop()
            stack.append(_described(name, arguments))
            self.bytes_left -= len(stack[-1]) if isinstance(stack[-1], bytes) else 0
            if self.bytes_left < 0:
                raise SerializationError("It copies its text over and over, as no array does.")
        elif instruction == "BUILD":
            state = stack.pop()
            stack[-1].set_state(state)
        else:
            hint = _ONLY_IN.get(instruction, "which no array's pickle has")
            raise SerializationError(f"It has the instruction {instruction}, {hint}.")

    def tuple(self, length: int) -> None:
        if not 0 <= length <= len(self.stack):
            raise ValueError("it takes what is not there")
        start = len(self.stack) - length
        self.stack[start:] = [tuple(self.stack[start:])]


def _name(module: Any, name: Any) -> _Name:
    full = f"{module}.{name}".replace("numpy._core.", "numpy.core.", 1)
    if full not in _NAMES:
        raise SerializationError(
            f"It names {full!r:.100}, which no pickle of an array does. It was not run."
        )
    return _Name(full)


def _described(called: Any, arguments: Any) -> Any:
    """What numpy would make of a call, as a description."""
    if not isinstance(called, _Name):
        raise ValueError("it calls what cannot be called")
    name = called.name
    if name == _BYTES and arguments[1:] == ("latin1",):  # protocol 2 has no bytes of its own
        return arguments[0].encode("latin1")
    if name in _NO_BYTES and arguments == ():
        return b""
    if name == _DTYPE and isinstance(arguments[0], str):
        return _DType(arguments[0])
    array = _Array()
    if name == _ARRAY and arguments[0] == _Name("numpy.ndarray"):
        return array
    if name == _SCALAR:
        array.dtype, array.data = arguments
        array.shape, array.scalar = (), True
        return array
    if name == _BUFFER:
        array.data, array.dtype, array.shape, order, *axes = arguments
        if order == "F":
            array.axes = tuple(reversed(range(len(array.shape))))
        elif order == "K":
            # Shape as it is in memory, and for each axis of the array its place there.
            array.shape = tuple(array.shape[place] for place in axes[0])
            array.axes = tuple(np.argsort(axes[0]).tolist())
        return array
    raise SerializationError(f"It calls {name}, with what no pickle of an array has.")
