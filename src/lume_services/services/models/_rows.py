"""Rows asked for with what they belong to, by one statement, and stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from functools import cache
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Column, Connection, FromClause, Insert, Select, Table, insert, select

from lume_services.services.models.db.schema import Row

__all__ = ["R", "maker", "selected", "stored"]

R = TypeVar("R", bound=Row)


def selected(kind: type[Row]) -> Select[Any]:
    """The statement that asks for every row of a kind."""
    return select(*_columns(kind)).select_from(_joined(kind.table, kind))


def maker(kind: type[R]) -> Callable[[Iterator[Any]], R]:
    """What makes a row of the values that ``selected`` gives."""
    owners = [maker(owner) for owner in kind.belongs_to.values()]
    own = len(fields(kind)) - len(owners)

    def make(values: Iterator[Any]) -> R:
        return kind(*islice(values, own), *[make_owner(values) for make_owner in owners])

    return make


def stored(connection: Connection, table: Table, values: Mapping[str, Any]) -> dict[str, Any]:
    """Store a row.

    Returns:
        The values, and those of the primary key, which the database may have given.
    """
    key = connection.execute(_insert(table), values).inserted_primary_key or ()
    return {**values, **dict(zip(table.primary_key.columns.keys(), key, strict=True))}


@cache
def _insert(table: Table) -> Insert:
    """Made once, for making it takes as long as asking a server."""
    return insert(table)


def _columns(kind: type[Row]) -> Iterator[Column[Any]]:
    for field in fields(kind):
        owner = kind.belongs_to.get(field.name)
        yield from [kind.table.columns[field.name]] if owner is None else _columns(owner)


def _joined(tables: FromClause, kind: type[Row]) -> FromClause:
    """The tables, and those of all that a row of this kind belongs to."""
    for owner in kind.belongs_to.values():
        (key,) = owner.table.primary_key
        same_key = kind.table.columns[key.name] == key
        tables = _joined(tables.join(owner.table, same_key), owner)
    return tables
