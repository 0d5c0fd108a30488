"""The order of document values: how MongoDB compares them, whatever their types.

Source: https://www.mongodb.com/docs/manual/reference/bson-type-comparison-order/
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any, Final

from lume_services._moments import milliseconds
from lume_services.errors import SerializationError

__all__ = ["EMPTY_ARRAY", "MISSING", "NULL", "order_key"]


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()
"""What stands where a document has no value: not null, though null matches it."""

EMPTY_ARRAY: Final = (0,)
"""Sorts before everything, null included."""
NULL: Final = (1,)
_NUMBER, _TEXT, _OBJECT, _ARRAY, _BINARY, _BOOLEAN, _DATE = 2, 3, 4, 5, 6, 8, 9
_NAN: Final = (_NUMBER, -math.inf, 0)


def order_key(value: Any) -> tuple[Any, ...]:
    """A hashable key by which any two document values compare as they do in MongoDB.

    Its first item is the rank of the value's type: values of equal rank are those that a query
    compares (numbers of any kind are one type, booleans are not numbers). A missing value ranks as
    null. NaN equals itself and is below every number. Documents compare name by name in their
    order, arrays element by element, bytes by length first.

    Raises:
        SerializationError: The value is not one that a document can hold.
    """
    if isinstance(value, float):
        return (_NUMBER, value, 1) if value == value else _NAN
    if isinstance(value, str):
        return (_TEXT, value)
    if isinstance(value, bool):
        return (_BOOLEAN, value)
    if isinstance(value, int):
        return (_NUMBER, value, 1)
    if value is None or value is MISSING:
        return NULL
    if isinstance(value, datetime):
        return (_DATE, milliseconds(value))
    if isinstance(value, list):
        return (_ARRAY, tuple(map(order_key, value)))
    if isinstance(value, dict):
        keys = ((name, order_key(item)) for name, item in value.items())
        return (_OBJECT, tuple((key[0], name, key) for name, key in keys))
    if isinstance(value, bytes):
        return (_BINARY, len(value), value)
    raise SerializationError(
        f"{type(value).__name__} is not a value that a document can hold: {value!r:.80}"
    )
