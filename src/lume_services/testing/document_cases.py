"""Documents that are hard to keep as they are, to sort or to project; see ``query_cases`` too."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

__all__ = [
    "MOMENT",
    "PROJECTIONS",
    "REFUSED_ARGUMENTS",
    "SORT_DOCUMENTS",
    "VALUES",
    "exactly",
    "without_id",
]

MOMENT = datetime(2024, 2, 29, 23, 59, 59, 999_000, tzinfo=UTC)

VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2**31, 2**53 + 1, 2**63 - 1, -(2**63)),
    *(0.0, -0.0, 1.0, 0.1, 1e22, 5e-324, 1.7976931348623157e308, math.inf, -math.inf, math.nan),
    *("", "text", "1.5", "true", "null", "NaN", "{}", "é 漢 \U0001f600", "a\0b\n\t\"'\\", " x "),
    *(b"", b"\0\xff raw", bytes(range(256)) * 8),
    *(MOMENT, datetime(1969, 12, 31, 23, 59, 59, 1000, tzinfo=UTC)),
    *(datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC)),
    *([], {}, [[]], [{}], {"a": {}}, {"a": []}, [None, [None]], [1, 1.0, True, "1"]),
    *([math.nan, -math.inf, b"\x01", MOMENT], {"b": 1, "a": {"z": 1, "y": [b"1", {"x": b"2"}]}}),
    {"XCOR:LI21%2E135:VAL": 1, "name with spaces": 2, "é": 3, '"': 4, "\\": 5, "[0]": 6, "0": 7},
    {"%kind": "ndarray", "dtype": "<f8", "shape": [2], "data": b"\0" * 16},
    {"%blob": "0" * 64, "size": 5},
    [list(range(200)), ["x" * 1000] * 3],
]
"""What comes back exactly as it went in."""

SORT_DOCUMENTS: list[dict[str, Any]] = [
    {"_id": "empty", "x": []},
    {"_id": "missing"},
    {"_id": "null", "x": None},
    {"_id": "nan", "x": math.nan},
    {"_id": "-inf", "x": -math.inf},
    {"_id": "-1", "x": -1},
    {"_id": "1.5", "x": 1.5},
    {"_id": "2", "x": 2},
    {"_id": "inf", "x": math.inf},
    {"_id": "A", "x": "A"},
    {"_id": "a", "x": "a"},
    {"_id": "ab", "x": "ab"},
    {"_id": "é", "x": "é"},
    {"_id": "{}", "x": {}},
    {"_id": "{a:1}", "x": {"a": 1}},
    {"_id": "{a:1,b:0}", "x": {"a": 1, "b": 0}},
    {"_id": "{b:0}", "x": {"b": 0}},
    {"_id": "[[2]]", "x": [[2]]},
    {"_id": "b''", "x": b""},
    {"_id": "b'b'", "x": b"b"},
    {"_id": "b'aa'", "x": b"aa"},
    {"_id": "false", "x": False},
    {"_id": "true", "x": True},
    {"_id": "1970", "x": datetime(1970, 1, 1, tzinfo=UTC)},
    {"_id": "2024", "x": MOMENT},
]
"""Documents in ascending order of ``x``, as MongoDB sees it; null and missing are equal."""

PROJECTIONS: list[tuple[Sequence[str] | Mapping[str, int], dict[str, Any], dict[str, Any]]] = [
    (["x"], {"x": 1, "y": 2}, {"_id": "i", "x": 1}),
    (["x", "z"], {"x": 1, "y": 2}, {"_id": "i", "x": 1}),
    ([], {"x": 1}, {"_id": "i"}),
    ({}, {"x": 1}, {"_id": "i", "x": 1}),
    ({"x": 1}, {"x": 1, "y": 2}, {"_id": "i", "x": 1}),
    ({"x": 1, "_id": 0}, {"x": 1, "y": 2}, {"x": 1}),
    ({"_id": 1}, {"x": 1}, {"_id": "i"}),
    ({"_id": 0}, {"x": 1, "y": 2}, {"x": 1, "y": 2}),
    ({"x": 0}, {"x": 1, "y": 2}, {"_id": "i", "y": 2}),
    ({"x": 0, "_id": 0}, {"x": 1, "y": 2}, {"y": 2}),
    (["x.a"], {"x": {"a": 1, "b": 2}, "y": 2}, {"_id": "i", "x": {"a": 1}}),
    (["x.a", "x.c"], {"x": {"a": 1, "b": 2, "c": 3}}, {"_id": "i", "x": {"a": 1, "c": 3}}),
    (["x.a"], {"x": {"b": 2}}, {"_id": "i", "x": {}}),
    (["x.a"], {"x": 5}, {"_id": "i"}),
    (
        ["x.a"],
        {"x": [{"a": 1, "b": 2}, 3, {"b": 4}, [{"a": 5}]]},
        {"_id": "i", "x": [{"a": 1}, {}, [{"a": 5}]]},
    ),
    ({"x.a": 0}, {"x": {"a": 1, "b": 2}}, {"_id": "i", "x": {"b": 2}}),
    ({"x.a": 0}, {"x": [{"a": 1, "b": 2}, 3]}, {"_id": "i", "x": [{"b": 2}, 3]}),
    ({"x.a": 0}, {"x": 5}, {"_id": "i", "x": 5}),
    (["x.0"], {"x": [1, 2]}, {"_id": "i", "x": []}),
]
"""Fields, a document, and what is left of it."""

REFUSED_ARGUMENTS: list[dict[str, Any]] = [
    {"fields": "x"},
    {"fields": {"x": 1, "y": 0}},
    {"fields": {"x": 2}},
    {"fields": {"x": {"$slice": 1}}},
    {"fields": ["x", "x.y"]},
    {"fields": ["x.y", "x"]},
    {"fields": ["x.$"]},
    {"fields": [""]},
    {"sort": [("x", 2)]},
    {"sort": [("x", True)]},
    {"sort": [("x", "asc")]},
    {"sort": ["x"]},
    {"sort": [("", 1)]},
    {"sort": [("x", 1), ("y", 1), ("x", -1)]},
    {"sort": [("date_modified", 1), ("date_modified", 1)]},
    {"limit": 0},
    {"limit": -1},
    {"limit": 1.5},
    {"limit": 2**63},
    {"skip": -1},
    {"skip": 2**63},
    {"skip": None},
    {"query": []},
]
"""What ``find`` refuses beside queries."""


def exactly(value: Any, other: Any) -> bool:
    """Whether two document values are the same in type, bits and order of names."""
    if type(value) is not type(other):
        return False
    if isinstance(value, float):
        return (math.isnan(value) and math.isnan(other)) or _bits(value) == _bits(other)
    if isinstance(value, dict):
        return list(value) == list(other) and all(exactly(value[k], other[k]) for k in value)
    if isinstance(value, list):
        return len(value) == len(other) and all(map(exactly, value, other))
    if isinstance(value, datetime):
        return value == other and value.tzinfo is not None and other.utcoffset() == timedelta()
    return bool(value == other)


def _bits(value: float) -> bytes:
    return struct.pack("<d", value)


def without_id(document: dict[str, Any]) -> dict[str, Any]:
    """The document as it was before the store gave it an id."""
    return {name: value for name, value in document.items() if name != "_id"}
