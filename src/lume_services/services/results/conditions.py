"""Conditions on one value: what stands behind ``$gt``, ``$in``, ``$type``, ``$size``.

Each function takes an operand as the query gives it and makes a test of one value, which may be
``MISSING``. Which values of a document are tested is the business of ``query``.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from lume_services.errors import UnsupportedQueryError
from lume_services.services.results.order import MISSING, order_key

__all__ = [
    "COMPARISONS",
    "Predicate",
    "comparison",
    "items",
    "membership",
    "plain",
    "size",
    "types",
]

Predicate = Callable[[Any], bool]

COMPARISONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "$eq": operator.eq,
    "$gt": operator.gt,
    "$gte": operator.ge,
    "$lt": operator.lt,
    "$lte": operator.le,
}


def plain(query: Any) -> Any:
    """A query, or a part of it, with numpy's scalars as the Python values that documents hold."""
    if isinstance(query, Mapping):
        return {name: plain(item) for name, item in query.items()}
    if isinstance(query, list | tuple):
        return [plain(item) for item in query]
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(query, numpy.generic) and query.dtype.kind in "biufSU":
        return query.item()
    return query


def comparison(name: str, operand: Any) -> Predicate:
    """``$eq``, ``$gt``, ``$gte``, ``$lt`` or ``$lte``: values of another type never compare."""
    operand = _document_value(operand, name)
    compare = COMPARISONS[name]
    or_equal = name in ("$eq", "$gte", "$lte")
    if operand is None:
        return lambda value: or_equal and (value is None or value is MISSING)
    key = order_key(operand)
    if operand != operand:  # NaN, which MongoDB finds equal to itself
        return lambda value: or_equal and order_key(value) == key
    if isinstance(operand, bool):
        return lambda value: isinstance(value, bool) and compare(value, operand)
    if isinstance(operand, int | float):
        return lambda value: _is_number(value) and compare(value, operand)
    if isinstance(operand, str):
        return lambda value: isinstance(value, str) and compare(value, operand)

    def test(value: Any) -> bool:
        other = order_key(value)
        return bool(other[0] == key[0]) and compare(other, key)

    return test


def membership(name: str, operand: Any) -> Predicate:
    """``$in``: the value is one of a list."""
    keys = {order_key(_document_value(item, name)) for item in items(name, operand)}
    return lambda value: order_key(value) in keys


def size(operand: Any) -> Predicate:
    """``$size``: an array of so many elements."""
    if not _is_number(operand) or operand < 0 or operand != operand // 1:
        raise UnsupportedQueryError(f"$size takes a whole number from 0 on, not {operand!r}.")
    return lambda value: isinstance(value, list) and len(value) == operand


def types(operand: Any) -> Predicate:
    """``$type``: one of the BSON types, by name or number."""
    tests = []
    for item in operand if isinstance(operand, list | tuple) else [operand]:
        nameable = isinstance(item, str | int | float) and not isinstance(item, bool)
        test = _TYPES.get(item) if nameable else None
        if test is None:
            names = ", ".join(name for name in _TYPES if isinstance(name, str))
            raise UnsupportedQueryError(
                f"$type takes names or numbers of BSON types, not {item!r}; the names: {names}."
            )
        tests.append(test)
    if not tests:
        raise UnsupportedQueryError("$type takes at least one type.")
    return lambda value: any(test(value) for test in tests)


def items(name: str, operand: Any) -> list[Any]:
    """The operand of an operator that takes a list."""
    if not isinstance(operand, list | tuple):
        raise UnsupportedQueryError(f"{name} takes a list, not {operand!r}.")
    return list(operand)


def _document_value(operand: Any, name: str) -> Any:
    """An operand as the value that a document would hold."""
    if isinstance(operand, int) and not -(2**63) <= operand < 2**63:
        raise UnsupportedQueryError(f"{name}: {operand} does not fit in 64 bits; use a float.")
    if operand is None or isinstance(operand, bool | int | str):
        return operand
    if isinstance(operand, float):
        return float(operand)
    if isinstance(operand, datetime):
        return operand
    if isinstance(operand, bytes | bytearray | memoryview):
        return bytes(operand)
    if isinstance(operand, list | tuple):
        return [_document_value(item, name) for item in operand]
    if isinstance(operand, Mapping):
        for key in operand:
            if not isinstance(key, str) or key.startswith("$"):
                raise UnsupportedQueryError(f"{name} takes a value, and {key!r} is no name in one.")
        return {key: _document_value(item, name) for key, item in operand.items()}
    raise UnsupportedQueryError(
        f"{name} takes what a document can hold (numbers, text, booleans, None, datetimes, bytes, "
        f"lists, dicts), not {type(operand).__name__}."
    )


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, float | int) and not isinstance(value, bool)


def _is_int32(value: Any) -> bool:
    return _is_integer(value) and -(2**31) <= value < 2**31


def _never(_: Any) -> bool:
    return False


# https://www.mongodb.com/docs/manual/reference/bson-types/: drivers write an integer as int when
# it fits in 32 bits and as long otherwise. Documents here hold none of the types that never match.
_BSON_TYPES: Final[list[tuple[int, str, Predicate]]] = [
    (1, "double", lambda value: isinstance(value, float)),
    (2, "string", lambda value: isinstance(value, str)),
    (3, "object", lambda value: isinstance(value, dict)),
    (4, "array", lambda value: isinstance(value, list)),
    (5, "binData", lambda value: isinstance(value, bytes)),
    (6, "undefined", _never),
    (7, "objectId", _never),
    (8, "bool", lambda value: isinstance(value, bool)),
    (9, "date", lambda value: isinstance(value, datetime)),
    (10, "null", lambda value: value is None),
    (11, "regex", _never),
    (12, "dbPointer", _never),
    (13, "javascript", _never),
    (14, "symbol", _never),
    (15, "javascriptWithScope", _never),
    (16, "int", _is_int32),
    (17, "timestamp", _never),
    (18, "long", lambda value: _is_integer(value) and not _is_int32(value)),
    (19, "decimal", _never),
    (-1, "minKey", _never),
    (127, "maxKey", _never),
]
_TYPES: Final[dict[str | float, Predicate]] = {
    "number": _is_number,
    **{name: test for _, name, test in _BSON_TYPES},
    **{number: test for number, _, test in _BSON_TYPES},
}
