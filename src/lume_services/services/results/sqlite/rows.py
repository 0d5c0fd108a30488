"""A document as a row: JSON text, and the raw bytes that JSON cannot hold.

JSON keeps ints, floats (Python writes the shortest text that reads back as the same float), text,
order and nesting as they are. For the rest a document has tags::

    datetime   {"%date": milliseconds since 1970 UTC}
    bytes      {"%bytes": [offset, length]}            a slice of the row's raw bytes
    NaN        {"%nan": 0}
    infinity   1e999, -1e999                           JSON for what no float can hold

A row without tags has no raw bytes (NULL rather than empty), and then it is plain ``json.loads``.
"""

from __future__ import annotations

import json
import math
import re
from datetime import datetime
from typing import Any

from lume_services._moments import from_milliseconds, milliseconds
from lume_services.errors import SerializationError
from lume_services.services.results.query import Document

__all__ = ["Decoder", "encode"]

_TEXT_OR_NOT_FINITE = re.compile(r'"(?:[^"\\]|\\.)*"|NaN|-?Infinity')
_NOT_FINITE = {"NaN": '{"%nan":0}', "Infinity": "1e999", "-Infinity": "-1e999"}


def encode(document: Document) -> tuple[str, bytes | None]:
    """The JSON text of a document, and its raw bytes.

    Raises:
        SerializationError: A value is not one that a document can hold.
    """
    chunks: list[bytes] = []
    tagged = False
    offset = 0

    def tag(value: Any) -> dict[str, Any]:
        nonlocal offset, tagged
        tagged = True
        if isinstance(value, datetime):
            return {"%date": milliseconds(value)}
        if isinstance(value, bytes | bytearray | memoryview):
            chunks.append(bytes(value))
            offset += len(chunks[-1])
            return {"%bytes": [offset - len(chunks[-1]), len(chunks[-1])]}
        raise SerializationError(
            f"A document cannot hold a {type(value).__name__}: encode it first "
            "(lume_services.serialization.encode)."
        )

    text = json.JSONEncoder(default=tag, separators=(",", ":")).encode(document)
    if "NaN" in text or "Infinity" in text:
        text = _TEXT_OR_NOT_FINITE.sub(lambda found: _NOT_FINITE.get(found[0], found[0]), text)
        tagged = True
    return text, b"".join(chunks) if tagged else None


class Decoder:
    """Makes documents of rows; one for each thread that reads."""

    def __init__(self) -> None:
        self._raw = b""
        self._decode = json.JSONDecoder(object_hook=self._untag).decode

    def decode(self, text: str, raw: bytes | None) -> Document:
        """The document of a row."""
        if raw is None:
            return json.loads(text)  # type: ignore[no-any-return] # rows are written by encode()
        self._raw = raw
        return self._decode(text)  # type: ignore[no-any-return] # likewise

    def _untag(self, value: dict[str, Any]) -> Any:
        if len(value) == 1:
            if "%date" in value:
                return from_milliseconds(value["%date"])
            if "%bytes" in value:
                offset, length = value["%bytes"]
                return self._raw[offset : offset + length]
            if "%nan" in value:
                return math.nan
        return value
