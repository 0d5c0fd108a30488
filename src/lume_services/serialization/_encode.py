"""Values to documents.

Sizes. Three rules keep documents small, and depend on nothing but the value, so that its hash
does not either:

* a text or a run of bytes longer than ``BLOB_THRESHOLD`` is a blob;
* a list or dict inside the value that is larger than that has its largest members made blobs
  until it fits, and is one blob of JSON itself if it does not fit even so;
* the value as a whole may have ``_DOCUMENT_LIMIT``, by the same means.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from lume_services._moments import as_stored
from lume_services.errors import SerializationError
from lume_services.serialization._arrays import is_storable
from lume_services.serialization._blobs import (
    BLOB_THRESHOLD,
    PutBlob,
    blob_digests,
    hash_only,
    reference,
    to_json,
)
from lume_services.serialization._codecs import codec_for
from lume_services.serialization._names import encode_name

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["encode"]

# Bytes. MongoDB refuses a document of 16 MiB; a result has inputs and outputs of this size at most.
_DOCUMENT_LIMIT = 4 << 20
# Bytes. Below this a blob is more trouble than it saves.
_SMALLEST_BLOB = 4096
# MongoDB refuses documents nested deeper than 100 levels.
_MAX_DEPTH = 64
_INT64 = range(-(1 << 63), 1 << 63)

# Stored as they are, without a look at the value.
_PLAIN = frozenset({float, bool, type(None)})
_NUMPY_NUMBERS = frozenset(np.dtype(code).type for code in "?bBhHiIlLqQefd")
# Bytes, about: a number, and a tagged value with its tag.
_NUMBER = 9
_TAGGED = 60


def encode(value: Any, put_blob: PutBlob = hash_only, *, path: str = "") -> Any:
    """A value as a document value.

    Numpy scalars become Python's, tuples lists, datetimes UTC in milliseconds (naive ones are
    taken to be UTC). Further types are stored tagged: complex numbers, integers over 64 bits,
    dates, arrays, frames, series, tensors, particle groups, and what was registered.

    Args:
        value: What to store. Names of dicts are text.
        put_blob: Where long buffers go. The default only hashes them: the document is the same,
            and what it refers to is not stored.
        path: Where the value stands, for messages.

    Raises:
        SerializationError: A part of it cannot be stored; the message says which, and what to do.
    """
    encoder = _Encoder(put_blob, path)
    document = encoder.value(value)
    if encoder.size > _DOCUMENT_LIMIT and isinstance(document, (dict, list)):
        return encoder.fit(document, _DOCUMENT_LIMIT)
    return document


class _Encoder:
    """One pass over a value. ``size`` is about the length in bytes of the document so far."""

    def __init__(self, put_blob: PutBlob, path: str) -> None:
        self.put_blob = put_blob
        self.size = 0
        self._path: list[Any] = [path] if path else []
        self._depth = 0

    def value(self, value: Any) -> Any:
        kind = type(value)
        if kind in _PLAIN:
            self.size += _NUMBER
            return value
        if kind is int:
            self.size += _NUMBER
            return value if value in _INT64 else self._bigint(value)
        if kind is str:
            return self._text(value)
        if kind is dict:
            return self._dict(value)
        if kind is list or kind is tuple:
            return self._list(value)
        return self._other(value)

    def fit(self, document: Any, limit: int) -> Any:
        """Make blobs of the largest members of a dict or list until it fits, or of all of it."""
        members = document if isinstance(document, dict) else dict(enumerate(document))
        sizes = {name: _size(member) for name, member in members.items()}
        total = _size(document)
        # Ties are broken by name: the order of a dict must not show in the hash.
        for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
            if total <= limit or sizes[name] < _SMALLEST_BLOB:
                break
            document[name] = self._offload(document[name])
            total += _size(document[name]) - sizes[name]
        return document if total <= limit else self._offload(document)

    def _dict(self, value: dict[str, Any]) -> Any:
        before = self._enter()
        document: dict[str, Any] = {}
        if _PLAIN.issuperset(map(type, value.values())):
            try:
                document = dict(zip(map(encode_name, value), value.values(), strict=True))
            except SerializationError as error:
                self._refuse(str(error))
            self.size += _NUMBER * len(document) + _names_size(document)
            return self._leave(document, before)
        for name, member in value.items():
            self._path.append(name)
            try:
                encoded = encode_name(name)
            except SerializationError as error:
                self._path.pop()
                self._refuse(str(error))
            document[encoded] = self.value(member)
            self._path.pop()
        self.size += _names_size(document)
        return self._leave(document, before)

    def _list(self, value: list[Any] | tuple[Any, ...]) -> Any:
        before = self._enter()
        if _PLAIN.issuperset(map(type, value)):
            self.size += _NUMBER * len(value)
            return self._leave(list(value), before)
        document = []
        for index, member in enumerate(value):
            self._path.append(index)
            document.append(self.value(member))
            self._path.pop()
        return self._leave(document, before)

    def _enter(self) -> int:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            self._refuse(f"it is nested deeper than {_MAX_DEPTH} levels. Make it an array or flat.")
        return self.size

    def _leave(self, document: Any, before: int) -> Any:
        self._depth -= 1
        if self._depth and self.size - before > BLOB_THRESHOLD:
            document = self.fit(document, BLOB_THRESHOLD)
            self.size = before + _size(document)
        return document

    def _other(self, value: Any) -> Any:
        if type(value) in _NUMPY_NUMBERS:
            return self.value(value.item())
        if isinstance(value, np.generic):
            return self._scalar(value)
        if isinstance(value, (bytes, bytearray, memoryview)):
            return self._buffer(value)
        if isinstance(value, complex):
            self.size += _TAGGED
            return {"%kind": "complex", "data": [value.real, value.imag]}
        if isinstance(value, datetime):
            self.size += _NUMBER
            return self._datetime(value)
        if isinstance(value, date):
            self.size += _TAGGED
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
        self.size += _TAGGED
        return document

    def _buffer(self, value: bytes | bytearray | memoryview) -> Any:
        if memoryview(value).nbytes > BLOB_THRESHOLD:
            return self._blob(value)
        document = bytes(value)
        self.size += len(document)
        return document

    def _text(self, value: str) -> Any:
        try:
            size = len(value) if value.isascii() else len(value.encode())
        except UnicodeEncodeError as error:
            self._refuse(f"the text is not valid Unicode ({error}). Encode it to bytes.")
        if size > BLOB_THRESHOLD:
            return self._offload(value)
        self.size += size
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
        self.size += _TAGGED + len(digits)
        return {"%kind": "bigint", "data": digits}

    def _offload(self, document: Any) -> dict[str, Any]:
        if isinstance(document, bytes):
            return self._blob(document)
        if isinstance(document, str):
            return {"%kind": "text", "data": self._blob(document.encode())}
        if isinstance(document, dict) and isinstance(document.get("data"), bytes):
            return {**document, "data": self._blob(document["data"])}
        tagged: dict[str, Any] = {"%kind": "json", "data": self._blob(to_json(document))}
        # Whoever looks for blobs that nothing refers to does not look into blobs.
        if inner := sorted(blob_digests(document)):
            tagged["blobs"] = [{"%blob": digest} for digest in inner]
        return tagged

    def _blob(self, buffer: Buffer) -> dict[str, Any]:
        self.size += _TAGGED
        return reference(buffer, self.put_blob)

    def _refuse(self, reason: str) -> NoReturn:
        where = ".".join(map(str, self._path))
        raise SerializationError(f"{where}: {reason}" if where else reason[:1].upper() + reason[1:])


def _names_size(document: dict[str, Any]) -> int:
    return sum(map(len, document)) + 8 * len(document)


def _size(document: Any) -> int:
    """About the length in bytes of a document value in any store."""
    if isinstance(document, (str, bytes)):
        return len(document)
    if isinstance(document, dict):
        return _names_size(document) + sum(map(_size, document.values()))
    if isinstance(document, list):
        return sum(map(_size, document))
    return _NUMBER
