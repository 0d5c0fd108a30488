"""Bytes beside documents, and the hash that does not care where they are."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypeAlias

from lume_services._moments import from_milliseconds, milliseconds
from lume_services.errors import SerializationError

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["BLOB_THRESHOLD", "GetBlob", "PutBlob", "blob_digests", "canonical_hash", "hash_only"]

BLOB_THRESHOLD = 1 << 20
"""Bytes. What is longer stands beside its document."""

PutBlob: TypeAlias = "Callable[[Buffer], str]"
"""Stores bytes and returns their sha256 in lower-case hex."""

GetBlob: TypeAlias = "Callable[[str], Buffer]"
"""Returns the bytes stored under a sha256; a ``bytearray`` spares a copy."""

_FORMAT = b"lume-services/1\n"
_DIGEST = re.compile("[0-9a-f]{64}")


def hash_only(buffer: Buffer) -> str:
    """The sha256 of a buffer in lower-case hex. As ``put_blob`` it stores nothing."""
    return sha256(buffer).hexdigest()


def canonical_hash(document: Any) -> str:
    """The sha256 of a document value, in lower-case hex.

    It covers canonical JSON: names sorted, ASCII only, floats by their shortest exact text, and
    bytes by their blob reference, so that it is the same wherever the bytes are kept. 1, 1.0, True
    and "1" differ; so do arrays of the same numbers in another dtype, byte order or shape.

    Args:
        document: What :func:`~lume_services.serialization.encode` returned, or a dict of such;
            not yet changed by :func:`~lume_services.serialization.fit`.
    """
    return sha256(_FORMAT + _CANONICAL.encode(document).encode()).hexdigest()


def blob_digests(document: Any) -> set[str]:
    """The digests of all blobs that a document refers to, at any depth."""
    found: set[str] = set()
    rest = [document]
    while rest:
        value = rest.pop()
        if isinstance(value, dict):
            if isinstance(digest := value.get("%blob"), str):
                found.add(digest)
            value = value.values()
        elif not isinstance(value, list):
            continue
        rest.extend(child for child in value if isinstance(child, (dict, list)))
    return found


def reference(buffer: Buffer, put_blob: PutBlob) -> dict[str, Any]:
    """Store a buffer; what stands for it in the document."""
    return {"%blob": put_blob(buffer), "size": memoryview(buffer).nbytes}


def load(reference: dict[str, Any], get_blob: GetBlob | None) -> memoryview:
    """The bytes that a reference stands for, not copied.

    Raises:
        SerializationError: The reference is malformed, or the blob has another size.
    """
    digest, size = reference.get("%blob"), reference.get("size")
    # The digest may become part of a file's path.
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest) or type(size) is not int:
        raise SerializationError(f"{reference!r:.200} does not refer to a blob.")
    if get_blob is None:
        raise SerializationError(f"Blob {digest} cannot be read: get_blob was not given.")
    buffer = memoryview(get_blob(digest)).cast("B")
    if buffer.nbytes != size:
        raise SerializationError(f"Blob {digest} holds {buffer.nbytes} bytes; {size} were stored.")
    return buffer


def to_json(document: Any) -> bytes:
    """A document value as JSON with nothing lost; names sorted, so that equal ones are equal."""
    return _COMPLETE.encode(document).encode()


def from_json(text: Buffer) -> Any:
    """The inverse of :func:`to_json`.

    Raises:
        SerializationError: The text is not such JSON.
    """
    try:
        return json.loads(bytes(text), object_hook=_from_json)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise SerializationError(f"A stored JSON blob cannot be read back: {error}") from error


def _canonical(value: object) -> dict[str, Any]:
    if isinstance(value, bytes):
        return reference(value, hash_only)
    if isinstance(value, datetime):
        return {"%datetime": milliseconds(value)}
    raise SerializationError(f"A {type(value).__name__} is not part of a document: encode it.")


def _complete(value: object) -> dict[str, Any]:
    if isinstance(value, bytes):
        return {"%bytes": base64.b64encode(value).decode()}
    return _canonical(value)


def _from_json(value: dict[str, Any]) -> Any:
    if "%bytes" in value:
        return base64.b64decode(value["%bytes"], validate=True)
    if "%datetime" in value:
        return from_milliseconds(value["%datetime"])
    return value


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=_canonical)
_COMPLETE = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=_complete)
