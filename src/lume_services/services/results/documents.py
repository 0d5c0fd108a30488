"""What may stand in a document, checked in one place for all stores; and its id."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from datetime import datetime
from hashlib import sha256
from secrets import token_hex
from typing import Any, Final

from lume_services._moments import as_stored
from lume_services.errors import ResultsDBError, SerializationError
from lume_services.serialization import DOCUMENT_LIMIT, document_size
from lume_services.services.results.query import Document, is_unicode

__all__ = ["check_collection", "check_document", "identified", "new_id"]

INDEXED: Final[dict[str, type]] = {
    "_id": str,
    "unique_hash": str,
    "flow_id": str,
    "inputs_hash": str,
    "date_modified": datetime,
}
"""Names of documents that stores keep an index of, and the type that they hold when not None."""

_LIMIT: Final = 2**63
_OTHERS: Final = (float, type(None), bytes, bytearray, memoryview)
"""Types, beside text, int, datetime, dict and list, that stores take, whatever the value."""
_PLAIN: Final = frozenset({float, bool, type(None)})
"""The most frequent of them, told quickly."""

_LEVELS: Final = 100
"""The document's own and those of the dicts and lists in it, as MongoDB counts them,
https://www.mongodb.com/docs/manual/reference/limits/. Those of a Result are 70 at most."""
_ID_DIGITS: Final = 32

_Path = tuple[str | int, ...]

_known_names: set[str] = set()
"""Names that were found good: the same few come with every result of a model."""
_MANY: Final = 4096


def check_collection(collection: object) -> None:
    """Refuse what is no name of a collection.

    Raises:
        ResultsDBError: It is empty or not text that every store can write down.
    """
    if not isinstance(collection, str) or "\0" in collection or not is_unicode(collection):
        raise ResultsDBError(f"{collection!r:.200} is not the name of a collection: give text.")
    if not collection:
        raise ResultsDBError("The name of a collection is empty; results are kept by project.")


def check_document(document: Document) -> None:
    """Refuse what ``ResultsDB`` says that no document holds.

    Args:
        document: What is to be stored.

    Raises:
        SerializationError: A name or value cannot be stored; the message says where it is, what
            it is and what to do.
    """
    if not isinstance(document, dict):
        raise SerializationError(f"A document is a dict, not a {type(document).__name__}.")
    _check_dict(document, ())
    if (size := document_size(document)) > DOCUMENT_LIMIT:
        raise SerializationError(
            f"The document has {size / 1e6:.1f} MB, and every store takes "
            f"{DOCUMENT_LIMIT / 1e6:.0f} MB. Use Result, which moves large values into blobs, "
            "or do as it does (lume_services.serialization.fit)."
        )


def identified(collection: str, document: Document) -> Document:
    """The document with an ``_id``, given before it is stored anywhere.

    So it can be stored a second time when nobody knows whether it was the first time. The id of a
    result is made from its collection and ``unique_hash``: whoever stores it, and whether it has to
    wait in an outbox or not, the id is the same.
    """
    if document.get("_id") is not None:
        return document
    unique_hash = document.get("unique_hash")
    if isinstance(unique_hash, str):
        name = sha256(f"{collection}\0{unique_hash}".encode()).hexdigest()[:_ID_DIGITS]
    else:
        name = new_id()
    return {"_id": None, **document} | {"_id": name}


def new_id() -> str:
    """A new id. Such that grow with time keep an index compact."""
    return f"{time.time_ns() // 1_000_000:012x}{token_hex(10)}"


def check_indexed(document: Document) -> None:
    """Refuse another type under a name that has an index.

    Raises:
        ResultsDBError: The message names it.
    """
    for name, kind in INDEXED.items():
        value = document.get(name)
        if value is not None and not isinstance(value, kind):
            wanted = "text" if kind is str else f"a {kind.__name__}"
            raise ResultsDBError(
                f"{name} has to be {wanted}, not {type(value).__name__}: {value!r:.80}."
            )


def _check_dict(value: dict[Any, Any], path: _Path) -> None:
    _check_level(path)
    if not _known_names.issuperset(value):
        _check_names(value, path)
    if not _PLAIN.issuperset(map(type, value.values())):
        _check_members(value.items(), path)


def _check_list(value: list[Any], path: _Path) -> None:
    _check_level(path)
    if not _PLAIN.issuperset(map(type, value)):
        _check_members(enumerate(value), path)


def _check_level(path: _Path) -> None:
    if len(path) >= _LEVELS:
        raise SerializationError(
            f"{path[0]!r}: the document contains itself, or is nested deeper than {_LEVELS} levels "
            "of dicts and lists. Make what is deep in it flat, an array, or text."
        )


def _check_members(members: Iterable[tuple[str | int, Any]], path: _Path) -> None:
    for place, value in members:
        kind = type(value)
        if kind in _PLAIN or (kind is str and value.isascii()):
            continue
        if isinstance(value, str):
            if not is_unicode(value):
                raise _refused((*path, place), "the text holds half of a surrogate pair")
        elif isinstance(value, int):
            if not -_LIMIT <= value < _LIMIT:
                raise _refused((*path, place), f"{value} does not fit in 64 bits")
        elif isinstance(value, dict):
            _check_dict(value, (*path, place))
        elif isinstance(value, list):
            _check_list(value, (*path, place))
        elif isinstance(value, datetime):
            try:
                as_stored(value)
            except ValueError as error:
                raise _refused((*path, place), str(error)) from None
        elif not isinstance(value, _OTHERS):
            raise _refused((*path, place), f"a document cannot hold a {kind.__name__}")


def _check_names(names: Collection[Any], path: _Path) -> None:
    for name in names:
        if (problem := _problem_of_name(name)) is not None:
            raise _refused((*path, name), f"the name {problem}")
    if len(_known_names) > _MANY:
        _known_names.clear()
    _known_names.update(names)


def _problem_of_name(name: object) -> str | None:
    if not isinstance(name, str):
        return f"is of type {type(name).__name__}, not text"
    if not name:
        return "is empty"
    if "." in name or "\0" in name:
        return "holds a dot or NUL"
    if name.startswith("$"):
        return "starts with '$'"
    return None if is_unicode(name) else "holds half of a surrogate pair"


def _refused(path: _Path, problem: str) -> SerializationError:
    where = ".".join(str(part) for part in path)
    return SerializationError(
        f"{where!r}: {problem}. Encode what is to be stored first "
        "(lume_services.serialization.encode), or use Result."
    )
