"""Documents to values. A document may have been written by anybody."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

from lume_services.errors import LUMEServicesError, SerializationError
from lume_services.serialization._blobs import GetBlob, from_json, load
from lume_services.serialization._codecs import codec_of_kind
from lume_services.serialization._names import decode_name

__all__ = ["decode"]

_BIGINT = re.compile("-?[1-9][0-9]*")
# What stands for itself.
_DECODED = frozenset({float, bool, type(None), int, str, datetime, bytes})


def decode(document: Any, get_blob: GetBlob | None = None) -> Any:
    """The value that a document value was made of.

    Arrays are writable. One that was a blob is a view of the buffer that ``get_blob`` returned if
    that is writable, and a copy if not.

    Args:
        document: What :func:`encode` returned, by way of any store.
        get_blob: Where blobs are. Without it, a document that refers to one cannot be decoded.

    Raises:
        SerializationError: The document is malformed, or of a kind that is not known here.
        MissingDependencyError: A package that the value's type comes from is not installed.
    """
    try:
        return _decode(document, get_blob)
    except RecursionError as error:
        raise SerializationError("A stored document is nested too deeply.") from error


def _decode(document: Any, get_blob: GetBlob | None) -> Any:
    kind = type(document)
    if kind in _DECODED:
        return document
    if kind is list:
        if _DECODED.issuperset(map(type, document)):
            return document.copy()
        return [_decode(member, get_blob) for member in document]
    if kind is not dict:
        raise SerializationError(f"A {kind.__qualname__} is not part of a document.")
    if "%kind" in document:
        return _untag(document, get_blob)
    if "%blob" in document:
        return bytes(load(document, get_blob))
    return {decode_name(name): _decode(member, get_blob) for name, member in document.items()}


def _untag(document: dict[str, Any], get_blob: GetBlob | None) -> Any:
    kind = document["%kind"]
    fields = {
        name: load(field, get_blob) if isinstance(field, dict) and "%blob" in field else field
        for name, field in document.items()
    }
    try:
        if kind == "json":
            return _decode(from_json(fields["data"]), get_blob)
        if kind in _SMALL:
            return _SMALL[kind](fields["data"])
        return codec_of_kind(kind).decode(fields, get_blob)
    except (LUMEServicesError, RecursionError):
        raise
    except Exception as error:  # Whatever a hostile document makes the libraries raise.
        raise SerializationError(
            f"A stored value of kind {kind!r:.200} cannot be read back: {error!r:.500}"
        ) from error


def _complex(data: Any) -> complex:
    real, imaginary = data
    if type(real) is not float or type(imaginary) is not float:
        raise TypeError("not two numbers")
    return complex(real, imaginary)


def _bigint(data: Any) -> int:
    if not _BIGINT.fullmatch(data):
        raise ValueError("not a decimal number")
    return int(data)


def _text(data: Any) -> str:
    return str(data, "utf-8")


_SMALL: dict[str, Callable[[Any], Any]] = {
    "bigint": _bigint,
    "complex": _complex,
    "date": date.fromisoformat,
    "text": _text,
}
