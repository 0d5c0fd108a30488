"""Parts of a query as SQL conditions, so that not every row has to be read.

A condition made here holds for every row that matches; it may hold for others too. The matcher in
``lume_services.services.results.query`` has the last word, so narrowing changes speed only.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from lume_services._moments import milliseconds
from lume_services.services.results.query import has_operators
from lume_services.services.results.selection import Query, Sort

__all__ = ["TEXT_COLUMNS", "narrow", "ordering"]

TEXT_COLUMNS = {
    "_id": "id",
    "unique_hash": "unique_hash",
    "flow_id": "flow_id",
    "inputs_hash": "inputs_hash",
}
"""Names in a document whose value, text or nothing, has a column of its own."""

_COLUMNS = {**TEXT_COLUMNS, "date_modified": "date_modified"}
_SQL = {"$eq": "=", "$gt": ">=", "$gte": ">=", "$lt": "<=", "$lte": "<="}
_IN_LIST = " IN (SELECT value FROM json_each(?))"
_PLAIN_NAME = re.compile(r"[ !#-\[\]-~]+")
"""A name that stands in JSON text as it is and can be quoted in a JSON path."""

Condition = tuple[str, list[Any]]
"""SQL and its parameters."""


def narrow(query: Query | None) -> Condition:
    """A condition that every row matching the query fulfils."""
    parts: list[Condition] = []
    _collect(query or {}, parts)
    return (
        " AND ".join(sql for sql, _ in parts) or "TRUE",
        [parameter for _, parameters in parts for parameter in parameters],
    )


def ordering(sort: Sort | None) -> str | None:
    """The SQL that sorts rows exactly as documents are sorted; None when there is none."""
    if any(name not in _COLUMNS for name, _ in sort or ()):
        return None
    keys = [f"{_COLUMNS[name]} {'ASC' if way == 1 else 'DESC'}" for name, way in sort or ()]
    return ", ".join([*keys, "sequence"])


def _collect(query: Query, parts: list[Condition]) -> None:
    for path, condition in query.items():
        if path == "$and":
            for inner in condition:
                _collect(inner, parts)
        elif not path.startswith("$"):
            operators = condition if has_operators(condition) else {"$eq": condition}
            for name, operand in operators.items():
                part = _on_column(path, name, operand) or _on_document(path, name, operand)
                if part is not None:
                    parts.append(part)


def _on_column(path: str, name: str, operand: Any) -> Condition | None:
    if path in TEXT_COLUMNS:
        if name == "$eq" and _is_text(operand):
            return f"{TEXT_COLUMNS[path]} = ?", [operand]
        if name == "$in" and all(map(_is_text, operand)):
            return TEXT_COLUMNS[path] + _IN_LIST, [_json(operand)]
    elif path == "date_modified" and name in _SQL and isinstance(operand, datetime):
        return f"date_modified {_SQL[name]} ?", [milliseconds(operand)]
    return None


def _on_document(path: str, name: str, operand: Any) -> Condition | None:
    """The value, where it is a single number or text, compares; or an array is on the way."""
    names = path.split(".")
    if not all(map(_PLAIN_NAME.fullmatch, names)):
        return None
    value = "json_extract(document, ?)"
    places = ["$" + "".join(f'."{part}"' for part in names[: n + 1]) for n in range(len(names))]
    compared = _compared(value, name, operand)
    if compared is None:
        return None
    sql, parameters = compared
    arrays = " OR ".join(["json_type(document, ?) = 'array'"] * len(places))
    return f"({sql} OR {arrays})", [places[-1], *parameters, *places]


def _compared(value: str, name: str, operand: Any) -> Condition | None:
    if name == "$in" and all(map(_is_text, operand)):
        return value + _IN_LIST, [_json(operand)]
    if name == "$in" and all(map(_is_number, operand)):
        return f"{value} BETWEEN ? AND ?", [_below(min(operand)), _above(max(operand))]
    if name in _SQL and _is_text(operand):
        return f"{value} {_SQL[name]} ?", [operand]
    if name == "$eq" and _is_number(operand):
        return f"{value} BETWEEN ? AND ?", [_below(operand), _above(operand)]
    if name in ("$gt", "$gte") and _is_number(operand):
        return f"{value} >= ?", [_below(operand)]
    if name in ("$lt", "$lte") and _is_number(operand):
        return f"{value} <= ?", [_above(operand)]
    return None


def _is_text(operand: Any) -> bool:
    """Text that means the same to SQLite: without NUL and without half of a surrogate pair."""
    return isinstance(operand, str) and operand.isascii() and operand.isprintable()


def _is_number(operand: Any) -> bool:
    return (
        isinstance(operand, int | float)
        and not isinstance(operand, bool)
        and math.isfinite(operand)
    )


# SQLite reads decimal digits less exactly than Python does: bounds are set a little wider.


def _below(number: float) -> float:
    return number - abs(number) * 1e-9 - 1e-300


def _above(number: float) -> float:
    return number + abs(number) * 1e-9 + 1e-300


def _json(operand: Sequence[str]) -> str:
    return json.dumps(list(operand))
