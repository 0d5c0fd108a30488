"""Values to documents.

Bytes longer than ``BLOB_THRESHOLD`` go to a blob at once, so that they are hashed once and never
copied. Everything else stays where it is: the document is what hashes are made of, and says
nothing about where its parts are kept. ``fit`` makes it small enough to be stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, NoReturn

import numpy as np

from lume_services._moments import as_stored
from lume_services.errors import SerializationError
from lume_services.serialization._arrays import is_storable
from lume_services.serialization._blobs import BLOB_THRESHOLD, PutBlob, hash_only, reference
from lume_services.serialization._codecs import codec_for
from lume_services.serialization._names import encode_name

__all__ = ["encode"]

# MongoDB refuses documents nested deeper than 100 levels.
_MAX_DEPTH = 64
_INT64 = range(-(1 << 63), 1 << 63)

# Stored as they are, without a look at the value.
_PLAIN = frozenset({float, bool, type(None)})
_NUMPY_NUMBERS = frozenset(np.dtype(code).type for code in "?bBhHiIlLqQefd")


def encode(value: Any, put_blob: PutBlob = hash_only, *, path: str = "") -> Any:
    """A value as a document value.

    Numpy scalars become Python's, tuples lists, datetimes UTC in milliseconds (naive ones are
    taken to be UTC). Further types are stored tagged: complex numbers, integers over 64 bits,
    dates, arrays, frames, series, tensors, particle groups, and what was registered.

    What is stored goes through :func:`fit` as well, once its hash is made.

    Args:
        value: What to store. Names of dicts are text.
        put_blob: Where long buffers go. The default only hashes them: the document is the same,
            and what it refers to is not stored.
        path: Where the value stands, for messages.

    Raises:
        SerializationError: A part of it cannot be stored; the message says which, and what to do.
    """
    return _Encoder(put_blob, path).value(value)


class _Encoder:
    """One pass over a value."""

    def __init__(self, put_blob: PutBlob, path: str) -> None:
        self.put_blob = put_blob
        self._path: list[Any] = [path] if path else []
        self._depth = 0

    def value(self, value: Any) -> Any:
        kind = type(value)
        if kind in _PLAIN:
            return value
        if kind is int:
            return value if value in _INT64 else self._bigint(value)
        if kind is str:
            return self._text(value)
        if kind is dict:
            return self._dict(value)
        if kind is list or kind is tuple:
            return self._list(value)
        return self._other(value)

    def _dict(self, value: dict[str, Any]) -> Any:
        self._enter()
        document: dict[str, Any] = {}
        if _PLAIN.issuperset(map(type, value.values())):
            try:
                document = dict(zip(map(encode_name, value), value.values(), strict=True))
            except SerializationError as error:
                self._refuse(str(error))
            self._depth -= 1
            return document
        for name, member in value.items():
            self._path.append(name)
            try:
                encoded = encode_name(name)
            except SerializationError as error:
                self._path.pop()
                self._refuse(str(error))
            document[encoded] = self.value(member)
            self._path.pop()
        self._depth -= 1
        return document

    def _list(self, value: list[Any] | tuple[Any, ...]) -> Any:
        self._enter()
        document = []
        if _PLAIN.issuperset(map(type, value)):
            self._depth -= 1
            return list(value)
        for index, member in enumerate(value):
            self._path.append(index)
            document.append(self.value(member))
            self._path.pop()
        self._depth -= 1
        return document

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            self._refuse(f"it is nested deeper than {_MAX_DEPTH} levels. Make it an array or flat.")

    def _other(self, value: Any) -> Any:
        if type(value) in _NUMPY_NUMBERS:
            return self.value(value.item())
        if isinstance(value, np.generic):
            return self._scalar(value)
        if isinstance(value, (bytes, bytearray, memoryview)):
            return self._buffer(value)
        if isinstance(value, complex):
            return {"%kind": "complex", "data": [value.real, value.imag]}
        if isinstance(value, datetime):
            return self._datetime(value)
        if isinstance(value, date):
            return {"%kind": "date", "data": value.isoformat()}
        # Subclasses, IntEnum and StrEnum among them.
        if isinstance(value, str):
            return self._text(str.__str__(value))
        if isinstance(value, int):
            return self.value(int(value))
        if isinstance(value, float):
            return self.value(float(value))
        if isinstance(value, Mapping):
            return self._dict(dict(value))
        if isinstance(value, (list, tuple)):
            return self._list(value)
        return self._tagged(value)

    def _scalar(self, value: np.generic) -> Any:
        if not is_storable(value.dtype):
            self._refuse(f"a number of dtype {value.dtype} cannot be stored. Convert it: float(x).")
        if value.dtype.kind in "mM":  # Python's types have no nanoseconds.
            return self._tagged(np.asarray(value))
        return self.value(value.item())

    def _tagged(self, value: Any) -> Any:
        codec = codec_for(value)
        if codec is None:
            remedy = (
                "Make it a list."
                if isinstance(value, (set, frozenset))
                else "Convert it to numbers, text, lists, dicts, arrays or frames, or save it as a "
                "file and store that."
            )
            kind = type(value)
            self._refuse(
                f"a value of type {kind.__module__}.{kind.__qualname__} cannot be stored. {remedy}"
            )
        try:
            fields = codec.encode(value, self.put_blob)
        except SerializationError as error:
            self._refuse(str(error))
        document: dict[str, Any] = {"%kind": codec.kind}
        for name, field in fields.items():
            buffer = isinstance(field, (bytes, bytearray, memoryview))
            document[name] = self._buffer(field) if buffer else field
        return document

    def _buffer(self, value: bytes | bytearray | memoryview) -> Any:
        if memoryview(value).nbytes > BLOB_THRESHOLD:
            return reference(value, self.put_blob)
        return bytes(value)

    def _text(self, value: str) -> Any:
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                self._refuse(f"the text is not valid Unicode ({error}). Encode it to bytes.")
        return value

    def _datetime(self, value: datetime) -> datetime:
        try:
            return as_stored(value)
        except ValueError as error:
            self._refuse(f"{error}. Store None or text.")

    def _bigint(self, value: int) -> dict[str, str]:
        try:
            digits = str(value)
        except ValueError as error:
            self._refuse(f"the integer is too long ({error}). Store it as bytes.")
        return {"%kind": "bigint", "data": digits}

    def _refuse(self, reason: str) -> NoReturn:
        where = ".".join(map(str, self._path))
        raise SerializationError(f"{where}: {reason}" if where else reason[:1].upper() + reason[1:])
