"""What of a ``find`` the server can do, with the answer that it would have here.

The matcher in ``lume_services.services.results.query`` decides about every document. A condition
sent to the server only leaves out documents that it would refuse as well, an order or projection
is sent only where it is exactly ours: servers differ in the corners, answers must not.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from bson import ObjectId

from lume_services._moments import as_stored
from lume_services.services.results.documents import INDEXED
from lume_services.services.results.projection import Fields
from lume_services.services.results.query import has_operators, is_unicode
from lume_services.services.results.selection import Query, Sort

__all__ = ["SEQUENCE", "is_of_one", "made_ids", "narrow", "ordering", "projection"]

SEQUENCE: Final = "%sequence"
"""The field, not shown to users, by which documents are in insertion order."""

_COMPARISONS: Final = ("$eq", "$gt", "$gte", "$lt", "$lte")
_MADE_ID: Final = re.compile("[0-9a-f]{24}")


def narrow(query: Query | None) -> dict[str, Any]:
    """A query for the server that every document matches which matches the query."""
    parts = list(_conditions(query or {}))
    joined = {path: condition for part in parts for path, condition in part.items()}
    return joined if len(joined) == len(parts) else {"$and": parts}


def is_of_one(query: dict[str, Any]) -> bool:
    """Whether a query made by ``narrow`` asks for what one document has at most."""
    return any(query.get(name, {}).keys() == {"$eq"} for name in ("_id", "unique_hash"))


def made_ids(values: Iterable[Any]) -> list[ObjectId]:
    """The ids of MongoDB's own that are read as one of these texts."""
    texts = (value for value in values if isinstance(value, str))
    return [ObjectId(text) for text in texts if _MADE_ID.fullmatch(text)]


def ordering(sort: Sort | None) -> list[tuple[str, int]]:
    """The order in which the server gives documents; that of insertion where theirs may differ."""
    # Ids that MongoDB made come after all text there, and here among them.
    if any(path not in INDEXED or path == "_id" for path, _ in sort or ()):
        sort = None
    return [*((path, way) for path, way in sort or ()), (SEQUENCE, 1)]


def projection(fields: Fields | None, query: Query | None, sort: Sort | None) -> list[str] | None:
    """The paths that the server gives; None for whole documents.

    Args:
        fields: What the caller wants.
        query: The paths of which the matcher decides about.
        sort: The paths by which documents may be sorted here.
    """
    if fields is None or (not isinstance(fields, Sequence) and not _keeps(fields)):
        return None
    roots = {path.partition(".")[0] for path in (*_paths(query or {}), *(p for p, _ in sort or ()))}
    wanted = {*fields, *roots, "_id", SEQUENCE}
    return sorted(path for path in wanted if not any(_is_below(path, other) for other in wanted))


def _keeps(fields: Any) -> bool:
    return any(fields.values())


def _is_below(path: str, other: str) -> bool:
    return path.startswith(f"{other}.")


def _conditions(query: Query) -> Iterator[dict[str, Any]]:
    for path, condition in query.items():
        if path == "$and":
            for inner in condition:
                yield from _conditions(inner)
        elif not path.startswith("$"):
            operators = condition if has_operators(condition) else {"$eq": condition}
            for name, operand in operators.items():
                if _is_alike_everywhere(name, operand):
                    yield _condition(path, name, operand)


def _condition(path: str, name: str, operand: Any) -> dict[str, Any]:
    """A condition for the server, to which ids that it made are no text as they are here."""
    if name in ("$eq", "$in"):
        values = operand if name == "$in" else [operand]
        if made := made_ids(values):
            return {path: {"$in": [*values, *made]}}
    elif isinstance(operand, str):
        return {"$or": [{path: {name: operand}}, {path: {"$type": "objectId"}}]}
    return {path: {name: operand}}


def _is_alike_everywhere(name: str, operand: Any) -> bool:
    """Whether every server answers it as the matcher does: comparisons of single values."""
    if name == "$in":
        return all(map(_is_simple, operand))
    return name in _COMPARISONS and _is_simple(operand)


def _is_simple(operand: Any) -> bool:
    # Not None, which is also what is missing; not bytes, which MongoDB orders by length.
    if isinstance(operand, str):
        return is_unicode(operand)
    if isinstance(operand, datetime):
        return _is_moment(operand)
    return isinstance(operand, bool | int) or (
        isinstance(operand, float) and not math.isnan(operand)
    )


def _is_moment(operand: datetime) -> bool:
    """Whether it can be sent: not what is before year 1 or after 9999 in UTC."""
    try:
        as_stored(operand)
    except ValueError:
        return False
    return True


def _paths(query: Query) -> Iterator[str]:
    for path, condition in query.items():
        if path.startswith("$"):
            for inner in condition:
                yield from _paths(inner)
        else:
            yield path
