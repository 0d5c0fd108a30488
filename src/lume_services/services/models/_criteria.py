"""From keywords to rows: conditions, order, and what to say when not exactly one matches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from difflib import get_close_matches
from functools import cache
from operator import eq, index
from types import NoneType
from typing import Any, TypeAlias, TypeVar

from packaging.version import InvalidVersion, Version
from sqlalchemy import Integer, Select, String, bindparam, inspect, select
from sqlalchemy.orm import ColumnProperty

from lume_services.errors import (
    AmbiguousError,
    DeploymentNotFoundError,
    FlowNotFoundError,
    FlowOfFlowsNotFoundError,
    InvalidInputError,
    ModelNotFoundError,
    NotFoundError,
    ProjectNotFoundError,
)
from lume_services.services.models.db.schema import (
    Base,
    Deployment,
    Flow,
    FlowOfFlows,
    Model,
    Project,
    storable,
)
from lume_services.services.models.identity import normalized_version

__all__ = ["Row", "age", "asked", "matches", "not_found", "only", "written"]

Row = TypeVar("Row", bound=Base)
Operator: TypeAlias = Callable[[Any, Any], Any]

_NO_ID = 2**31  # nor may all databases be asked for one

_NOT_FOUND: dict[type[Base], type[NotFoundError]] = {
    Model: ModelNotFoundError,
    Deployment: DeploymentNotFoundError,
    Project: ProjectNotFoundError,
    Flow: FlowNotFoundError,
    FlowOfFlows: FlowOfFlowsNotFoundError,
}


def asked(
    table: type[Row], criteria: Mapping[str, object], *order: Any
) -> tuple[Select[Row], dict[str, object]]:
    """The statement that asks for rows, and its parameters; ``matches`` decides to the letter.

    Args:
        table: The table that is asked.
        criteria: Columns of it and their values; None asks for rows without a value.
        order: What the rows are sorted by, when not by their primary key.

    Raises:
        InvalidInputError: There is no such column, and the message names the nearest; or the value
            is not of its type.
    """
    columns = inspect(table).column_attrs
    for name in criteria:
        if name not in columns:
            near = get_close_matches(name, columns.keys(), n=1)
            known = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(columns.keys())}"
            raise InvalidInputError(f"{table.__name__} has no {name!r}; {known}")
    values = {name: _storable(columns[name], value) for name, value in criteria.items()}
    conditions = tuple((name, _OPERATORS.get(type(value), eq)) for name, value in values.items())
    return _statement(table, conditions, order), values


def matches(row: object, criteria: Mapping[str, object]) -> bool:
    """Whether texts are the same to the letter.

    MySQL and MariaDB take no notice of blanks at the end; they have collations that do, but none
    that both have.
    """
    return all(
        getattr(row, name) in (written(value) if name == "version" else {value})
        for name, value in criteria.items()
        if isinstance(value, str)
    )


def written(version: str) -> set[str]:
    """How a version may stand in the table: as it is written, or as it is kept since 1.0."""
    forms = {version}
    with suppress(InvalidInputError):
        forms.add(normalized_version(version))
    return forms


_OPERATORS: dict[type, Operator] = {
    NoneType: lambda column, _: column.is_(None),
    list: lambda column, values: column.in_(values),
}


@cache
def _statement(
    table: type[Row], conditions: tuple[tuple[str, Operator], ...], order: tuple[Any, ...]
) -> Select[Row]:
    """Made once, for making it takes as long as asking a server."""
    columns = inspect(table).column_attrs
    return (
        select(table)
        .where(
            *(is_so(columns[name].class_attribute, bindparam(name)) for name, is_so in conditions)
        )
        .order_by(*(order or inspect(table).primary_key))
    )


def _storable(column: ColumnProperty[Any], value: object) -> object:
    """A value to compare a column with; a list of them, empty where no row can have the value."""
    if value is None:
        return None
    kind = column.columns[0].type
    # Databases have ways of their own to compare a number with a text.
    if isinstance(kind, Integer) and not isinstance(value, bool):
        try:
            number = index(value)  # type: ignore[arg-type]  # that is the question
        except TypeError:
            raise _of_another_type(column, value, "a whole number") from None
        return number if abs(number) < _NO_ID else []
    if isinstance(kind, String):
        if not isinstance(value, str):
            raise _of_another_type(column, value, "text")
        if not storable(value):
            return []
        return sorted(written(value)) if column.key == "version" else value
    return value


def _of_another_type(column: ColumnProperty[Any], value: object, what: str) -> InvalidInputError:
    return InvalidInputError(
        f"{column.parent.class_.__name__}.{column.key} is {what}, not {type(value).__name__}: "
        f"{value!r}"
    )


def age(deployment: Deployment) -> tuple[bool, Version, datetime, int]:
    """Sort key of deployments; versions of 0.x that are not PEP 440 come before all others."""
    try:
        version, known = Version(deployment.version), True
    except InvalidVersion:
        version, known = Version("0"), False
    return known, version, deployment.deploy_date, deployment.deployment_id


def only(rows: list[Row], criteria: Mapping[str, object]) -> Row:
    """The one row of a list that is not empty.

    Raises:
        AmbiguousError: There are several; the message lists them.
    """
    if len(rows) > 1:
        listed = "; ".join(map(repr, rows[:10])) + ("; …" if len(rows) > 10 else "")
        raise AmbiguousError(
            f"{len(rows)} of the model registry's {rows[0].__tablename__} rows match"
            f"{_described(criteria)} where one is asked for: {listed}"
        )
    return rows[0]


def not_found(table: type[Base], criteria: Mapping[str, object]) -> NotFoundError:
    """The error to raise when no row matches."""
    return _NOT_FOUND[table](
        f"The model registry has no {table.__tablename__}{_described(criteria)}"
    )


def _described(criteria: Mapping[str, object]) -> str:
    criteria_text = ", ".join(f"{name}={value!r}" for name, value in criteria.items())
    return f" with {criteria_text}" if criteria else ""
