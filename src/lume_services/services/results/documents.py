"""What may stand in a document, checked in one place for all stores."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any, Final

from lume_services.errors import ResultsDBError, SerializationError
from lume_services.services.results.query import Document

__all__ = ["check_collection", "check_document"]

_LIMIT: Final = 2**63
_OTHERS: Final = (float, type(None), bytes, datetime, bytearray, memoryview)
"""Types, beside text, int, dict and list, that stores take, whatever the value."""
_PLAIN: Final = frozenset({float, bool, type(None)})
"""The most frequent of them, told quickly."""

_Path = tuple[str | int, ...]

_known_names: set[str] = set()
"""Names that were found good: the same few come with every result of a model."""
_MANY: Final = 4096


def check_collection(collection: object) -> None:
    """Refuse what is no name of a collection.

    Raises:
        ResultsDBError: It is empty or not text that every store can write down.
    """
    if not isinstance(collection, str) or "\0" in collection or not _is_unicode(collection):
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
    try:
        _check_dict(document, ())
    except RecursionError as error:
        raise SerializationError("The document contains itself, or is nested too deep.") from error


def _check_dict(value: dict[Any, Any], path: _Path) -> None:
    if not _known_names.issuperset(value):
        _check_names(value, path)
    if not _PLAIN.issuperset(map(type, value.values())):
        _check_members(value.items(), path)


def _check_list(value: list[Any], path: _Path) -> None:
    if not _PLAIN.issuperset(map(type, value)):
        _check_members(enumerate(value), path)


def _check_members(members: Iterable[tuple[str | int, Any]], path: _Path) -> None:
    for place, value in members:
        kind = type(value)
        if kind in _PLAIN or (kind is str and value.isascii()):
            continue
        if isinstance(value, str):
            if not _is_unicode(value):
                raise _refused((*path, place), "the text holds half of a surrogate pair")
        elif isinstance(value, int):
            if not -_LIMIT <= value < _LIMIT:
                raise _refused((*path, place), f"{value} does not fit in 64 bits")
        elif isinstance(value, dict):
            _check_dict(value, (*path, place))
        elif isinstance(value, list):
            _check_list(value, (*path, place))
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
    return None if _is_unicode(name) else "holds half of a surrogate pair"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refused(path: _Path, problem: str) -> SerializationError:
    where = ".".join(str(part) for part in path)
    return SerializationError(
        f"{where!r}: {problem}. Encode what is to be stored first "
        "(lume_services.serialization.encode), or use Result."
    )
