"""Documents that every store takes: what makes one too large is moved into blobs.

MongoDB refuses a document over 16 MiB (https://www.mongodb.com/docs/manual/reference/limits/). Here
none gets longer than ``DOCUMENT_LIMIT``, whatever is in it. Sizes are those in BSON
(https://bsonspec.org/spec.html), the longest form that a store gives a document.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from lume_services.errors import SerializationError
from lume_services.serialization._blobs import (
    BLOB_THRESHOLD,
    GetBlob,
    PutBlob,
    blob_digests,
    from_json,
    hash_only,
    load,
    reference,
    to_json,
)

__all__ = ["DOCUMENT_LIMIT", "document_size", "fit", "unfit"]

DOCUMENT_LIMIT = 8_000_000
"""Bytes in BSON."""

# Bytes. A store adds an id of its own.
_BUDGET = DOCUMENT_LIMIT - 100_000
# Bytes. Below this a blob of one value is more trouble than it saves.
_SMALLEST_VALUE = 4096
# Bytes. So much has what is taken out of a list or dict one by one: a document names each of them.
_SMALLEST_PART = 1 << 16
# Bytes, about: what stands in a document for a blob.
_REFERENCE = 256
# The most frequent types, told quickly; of at most eight bytes.
_NUMBERS = frozenset({float, int, bool, type(None)})


def document_size(document: Any) -> int:
    """The length in bytes of a document value in BSON, or a little more.

    Numbers are counted with eight bytes each, whether they have them or not.
    """
    if isinstance(document, dict):
        names = 2 * len(document) + _text_size("".join(document))
        return 5 + names + _members_size(document.values())
    if isinstance(document, list):
        return 5 + (2 + len(str(len(document)))) * len(document) + _members_size(document)
    if isinstance(document, str):
        return 5 + _text_size(document)
    if isinstance(document, (bytes, bytearray, memoryview)):
        return 5 + memoryview(document).nbytes
    return 8


def fit(document: dict[str, Any], put_blob: PutBlob = hash_only) -> dict[str, Any]:
    """A document, made small enough for every store.

    A value over ``BLOB_THRESHOLD`` goes into a blob, or its largest parts do. If the document is
    still too large, the largest of all its values follow, and in the end whole fields, names and
    all. ``decode`` gives back the same values wherever they are. Hashes are made before: that a
    value was moved is not to show in them.

    Args:
        document: Fields of encoded values, or of names to encoded values. It is changed.
        put_blob: Where the blobs go. The default only hashes them.

    Raises:
        SerializationError: It names more blobs than fit into it, which takes some gigabytes.
    """
    if document_size(document) <= BLOB_THRESHOLD:
        return document
    for place in _values(document):
        if place.size > BLOB_THRESHOLD:
            place.holder[place.name] = _reduced(place.value, put_blob)
    excess = document_size(document) - _BUDGET
    if excess > 0:
        excess = _move(_values(document), excess, put_blob)
    if excess > 0:
        fields = [_Place(document, name, document_size(document[name])) for name in document]
        excess = _move(fields, excess, put_blob, as_far_as_possible=True)
    if excess > 0:
        raise SerializationError(
            f"The values are so many that a document of {DOCUMENT_LIMIT / 1e6:.0f} MB cannot even "
            "say where they are. Join them into larger arrays, or store several results."
        )
    return document


def unfit(value: Any, get_blob: GetBlob) -> Any:
    """A document value as it was before :func:`fit`, for its hash. Bytes stay in their blobs.

    Args:
        value: The value; it is not changed.
        get_blob: Where the blobs are read from.

    Raises:
        SerializationError: A blob does not hold what the document says.
        BlobNotFoundError: A blob is missing.
        CorruptBlobError: A blob is damaged.
    """
    if isinstance(value, list):
        return [unfit(member, get_blob) for member in value]
    if not isinstance(value, dict):
        return value
    if value.get("%kind") == "json":
        return unfit(from_json(load(value["data"], get_blob)), get_blob)
    if value.get("%kind") == "text":
        return bytes(load(value["data"], get_blob)).decode()
    return {name: unfit(member, get_blob) for name, member in value.items()}


class _Place(NamedTuple):
    """Where a value stands, and its size."""

    holder: Any
    name: Any
    size: int

    @property
    def value(self) -> Any:
        return self.holder[self.name]


def _values(document: dict[str, Any]) -> list[_Place]:
    """The fields of a document, and the members of those that are names with values."""
    places = []
    for field, value in document.items():
        holder, names = (value, list(value)) if _is_plain(value) else (document, [field])
        places += [_Place(holder, name, document_size(holder[name])) for name in names]
    return places


def _move(
    places: list[_Place], excess: int, put_blob: PutBlob, *, as_far_as_possible: bool = False
) -> int:
    """Make blobs of the largest values until a document fits.

    Nothing is moved if even moving all would not be enough.

    Returns:
        By how much it is still too large.
    """
    large = [place for place in places if place.size >= _SMALLEST_VALUE]
    if not as_far_as_possible and sum(place.size - _REFERENCE for place in large) < excess:
        return excess
    for place in sorted(large, key=lambda place: (-place.size, place.name)):
        if excess <= 0:
            break
        place.holder[place.name] = _moved(place.value, put_blob)
        excess -= place.size - document_size(place.value)
    return excess


def _reduced(value: Any, put_blob: PutBlob) -> Any:
    """A value over the threshold, its largest parts in blobs, or all of it in one."""
    excess = document_size(value) - BLOB_THRESHOLD
    if isinstance(value, (dict, list)) and not _is_tagged(value):
        parts = list(_parts(value))
        if sum(part.size - _REFERENCE for part in parts) >= excess:
            for part in sorted(parts, key=lambda part: -part.size):
                if excess <= 0:
                    return value
                part.holder[part.name] = _moved(part.value, put_blob)
                excess -= part.size - document_size(part.value)
            if excess <= 0:
                return value
    return _moved(value, put_blob)


def _parts(value: Any) -> Iterable[_Place]:
    """The long texts, bytes and tagged values in a list or dict, at any depth."""
    for name, member in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(member, (dict, list)) and not _is_tagged(member):
            yield from _parts(member)
        elif isinstance(member, (str, bytes, dict)):
            size = document_size(member)
            if size >= _SMALLEST_PART:
                yield _Place(value, name, size)


def _moved(value: Any, put_blob: PutBlob) -> Any:
    """What stands for a value in a document when its bytes are in a blob."""
    if isinstance(value, bytes):
        return reference(value, put_blob)
    if isinstance(value, str):
        return {"%kind": "text", "data": reference(value.encode(), put_blob)}
    if _is_tagged(value) and document_size(_without_bytes(value)) < _SMALLEST_VALUE:
        return {
            name: reference(field, put_blob) if isinstance(field, bytes) else field
            for name, field in value.items()
        }
    tagged: dict[str, Any] = {"%kind": "json", "data": reference(to_json(value), put_blob)}
    # Whoever looks for blobs that nothing refers to does not look into blobs.
    if inner := sorted(blob_digests(value)):
        tagged["blobs"] = [{"%blob": digest} for digest in inner]
    return tagged


def _without_bytes(value: dict[str, Any]) -> dict[str, Any]:
    return {name: field for name, field in value.items() if not isinstance(field, bytes)}


def _is_tagged(value: Any) -> bool:
    return isinstance(value, dict) and ("%kind" in value or "%blob" in value)


def _is_plain(value: Any) -> bool:
    return isinstance(value, dict) and not _is_tagged(value)


def _members_size(members: Collection[Any]) -> int:
    if _NUMBERS.issuperset(map(type, members)):
        return 8 * len(members)
    size = 0
    for member in members:
        kind = type(member)
        if kind in _NUMBERS:
            size += 8
        elif kind is str and member.isascii():
            size += 5 + len(member)
        else:
            size += document_size(member)
    return size


def _text_size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))
