"""Hypothesis strategies for documents, queries and the other arguments of ``ResultsDB.find``.

Names and values are drawn from few, so that queries find something. Needs hypothesis.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

__all__ = ["documents", "fields", "paths", "queries", "scalars", "sorts", "values"]

_NAMES = ["a", "b", "0", "1"]
_MOMENTS = [datetime(2024, 1, 1, 0, 0, second, 500_000, tzinfo=UTC) for second in range(3)]
_FINITE = [0, 1, -1, 2, 3, 2**53, 2**53 + 1, 2**63 - 1, -(2**63)]
_FLOATS = [0.0, -0.0, 1.0, 0.1, 2.5, 3.0000000000000004, 1e308, 5e-324, float(2**53)]
_TEXTS = ["", "a", "b", "ab", "A", "é", "1", "a\0", '"', "\\", "\U0001f600"]


def scalars() -> SearchStrategy[Any]:
    """Values that hold no others."""
    return st.one_of(
        st.sampled_from([None, True, False, math.nan, math.inf, -math.inf]),
        st.sampled_from(_FINITE) | st.sampled_from(_FLOATS) | st.floats(),
        st.sampled_from(_TEXTS),
        st.sampled_from(_MOMENTS),
        st.sampled_from([b"", b"a", b"b", b"\0\xff"]),
    )


def values() -> SearchStrategy[Any]:
    """Values of every kind, up to a few levels deep."""
    return st.recursive(
        scalars(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(_NAMES), inner, max_size=3)
        ),
        max_leaves=6,
    )


def documents() -> SearchStrategy[dict[str, Any]]:
    """Documents without ``_id`` and ``unique_hash``."""
    indexed = {
        "flow_id": st.sampled_from([None, "f", "g", ""]),
        "inputs_hash": st.sampled_from([None, "h", "i"]),
        "date_modified": st.sampled_from([None, *_MOMENTS]),
    }
    return st.builds(
        lambda plain, known: {**plain, **known},
        st.fixed_dictionaries({}, optional={"a": values(), "b": scalars()}),
        st.fixed_dictionaries({}, optional=indexed),
    )


def paths() -> SearchStrategy[str]:
    """Paths, some of which lead somewhere."""
    nested = st.lists(st.sampled_from(_NAMES), min_size=1, max_size=2).map(".".join)
    return st.sampled_from(["a", "b", "flow_id", "inputs_hash", "date_modified", "_id"]) | (
        nested.map(lambda path: f"a.{path}")
    )


def queries() -> SearchStrategy[dict[str, Any]]:
    """Queries with every operator."""
    return st.recursive(
        st.dictionaries(paths(), _conditions(), max_size=2),
        lambda inner: st.builds(
            lambda name, several, more: {**more, name: several},
            st.sampled_from(["$and", "$or", "$nor"]),
            st.lists(inner, min_size=1, max_size=2),
            st.dictionaries(paths(), _conditions(), max_size=1),
        ),
        max_leaves=4,
    )


def sorts() -> SearchStrategy[list[tuple[str, int]] | None]:
    """Sorts by one or two paths, or none."""
    pair = st.tuples(paths(), st.sampled_from([1, -1]))
    return st.none() | st.lists(pair, min_size=1, max_size=2, unique_by=lambda item: item[0])


def fields() -> SearchStrategy[Any]:
    """Paths to keep or to drop, or None for whole documents."""
    some = st.lists(paths(), max_size=3, unique=True)
    return st.none() | some | some.map(lambda chosen: dict.fromkeys(chosen, 0))


def _conditions() -> SearchStrategy[Any]:
    # Most conditions are comparisons of single values: where databases differ, and find something.
    compared = [_operator(name, scalars()) for name in ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte")]
    return scalars() | st.one_of(compared) | values() | st.deferred(_operators)


def _operators() -> SearchStrategy[dict[str, Any]]:
    operand = values()
    several = st.lists(operand, max_size=3)
    texts = st.lists(st.sampled_from(_TEXTS), max_size=3)
    numbers = st.lists(st.sampled_from([*_FINITE, *_FLOATS]), max_size=3)
    single = [
        *(_operator(name, operand) for name in ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte")),
        *(_operator(name, several | texts | numbers) for name in ("$in", "$nin", "$all")),
        _operator("$exists", st.booleans()),
        _operator("$type", st.sampled_from(["number", "string", "array", "null", "date", 3])),
        _operator("$regex", st.sampled_from(["a", "^a", "b$", ".", "^$"])),
        _operator("$size", st.integers(0, 3)),
    ]
    plain = st.one_of(single) | st.builds(lambda one, two: {**one, **two}, *[st.one_of(single)] * 2)
    names = st.sampled_from(_NAMES)
    return st.one_of(
        plain,
        _operator("$not", plain),
        _operator("$elemMatch", plain | st.dictionaries(names, operand | plain, max_size=2)),
    )


def _operator(name: str, operands: SearchStrategy[Any]) -> SearchStrategy[dict[str, Any]]:
    return operands.map(lambda operand: {name: operand})
