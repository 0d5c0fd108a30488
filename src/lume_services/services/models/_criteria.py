"""From keywords to rows: conditions, order, and what to say when not exactly one matches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from functools import cache
from operator import attrgetter, eq, index
from types import NoneType
from typing import Any, Generic, TypeAlias, TypeVar

from packaging.version import InvalidVersion, Version
from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Integer,
    Select,
    String,
    bindparam,
)

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
from lume_services.services.models._rows import R, maker, selected
from lume_services.services.models.db.schema import (
    Deployment,
    Flow,
    FlowOfFlows,
    Model,
    Project,
    Row,
    storable,
)
from lume_services.services.models.identity import normalized_version

__all__ = ["Question", "age", "asked", "matching", "not_found", "only", "written"]

T = TypeVar("T")
Operator: TypeAlias = Callable[[Any, Any], Any]

_NO_ID = 2**31  # nor may all databases be asked for one

_NOT_FOUND: dict[type[Row], type[NotFoundError]] = {
    Model: ModelNotFoundError,
    Deployment: DeploymentNotFoundError,
    Project: ProjectNotFoundError,
    Flow: FlowNotFoundError,
    FlowOfFlows: FlowOfFlowsNotFoundError,
}


@dataclass(frozen=True)
class Question(Generic[R]):
    """What ``asked`` makes."""

    kind: type[R]
    criteria: Mapping[str, object]
    statement: Select[Any]
    values: Mapping[str, object]

    def answer(self, connection: Connection) -> list[R]:
        """The rows that match, to the letter."""
        make = maker(self.kind)
        found = connection.execute(self.statement, self.values).all()
        return matching([make(iter(values)) for values in found], self.criteria)


def asked(
    kind: type[R],
    criteria: Mapping[str, object],
    *order: Column[Any],
    where: ColumnElement[bool] | None = None,
) -> Question[R]:
    """Ask for rows, each with what it belongs to, by one statement.

    Args:
        kind: The rows that are asked for.
        criteria: Columns of their table and their values; None asks for rows without a value.
        order: What the rows are sorted by, when not by their primary key.
        where: A further condition, of which there are few: they are kept.

    Raises:
        InvalidInputError: There is no such column, and the message names the nearest; or the value
            is not of its type.
    """
    columns = kind.table.columns
    for name in criteria:
        if name not in columns:
            near = get_close_matches(name, columns.keys(), n=1)
            known = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(columns.keys())}"
            raise InvalidInputError(f"{kind.__name__} has no {name!r}; {known}")
    values = {name: _storable(kind, columns[name], value) for name, value in criteria.items()}
    conditions = tuple((name, _OPERATORS.get(type(value), eq)) for name, value in values.items())
    # mypy takes the hash of a class for that of its instances.
    statement = _statement(kind, conditions, order, where)  # type: ignore[arg-type]
    return Question(kind, criteria, statement, values)


def matching(rows: Sequence[T], criteria: Mapping[str, object]) -> list[T]:
    """The rows whose texts are the same to the letter.

    MySQL and MariaDB take no notice of blanks at the end; they have collations that do, but none
    that both have.
    """
    if not rows:
        return []
    texts = [
        (attrgetter(name), written(value) if name == "version" else {value})
        for name, value in criteria.items()
        if isinstance(value, str)
    ]
    return [row for row in rows if all(text_of(row) in forms for text_of, forms in texts)]


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
    kind: type[Row],
    conditions: tuple[tuple[str, Operator], ...],
    order: tuple[Column[Any], ...],
    where: ColumnElement[bool] | None,
) -> Select[Any]:
    """Made once, for making it takes as long as asking a server."""
    table = kind.table
    statement = (
        selected(kind)
        .where(*(is_so(table.c[name], bindparam(name)) for name, is_so in conditions))
        .order_by(*(order or table.primary_key))
    )
    return statement if where is None else statement.where(where)


def _storable(kind: type[Row], column: Column[Any], value: object) -> object:
    """A value to compare a column with; a list of them, empty where no row can have the value."""
    if value is None:
        return None
    # Databases have ways of their own to compare a number with a text.
    if isinstance(column.type, Integer) and not isinstance(value, bool):
        try:
            number = index(value)  # type: ignore[arg-type]  # that is the question
        except TypeError:
            raise _of_another_type(kind, column, value, "a whole number") from None
        return number if abs(number) < _NO_ID else []
    if isinstance(column.type, String):
        if not isinstance(value, str):
            raise _of_another_type(kind, column, value, "text")
        if not storable(value):
            return []
        return sorted(written(value)) if column.key == "version" else value
    return value


def _of_another_type(
    kind: type[Row], column: Column[Any], value: object, what: str
) -> InvalidInputError:
    return InvalidInputError(
        f"{kind.__name__}.{column.key} is {what}, not {type(value).__name__}: {value!r}"
    )


def age(deployment: Deployment) -> tuple[bool, Version, datetime, int]:
    """Sort key of deployments; versions of 0.x that are not PEP 440 come before all others."""
    try:
        version, known = Version(deployment.version), True
    except InvalidVersion:
        version, known = Version("0"), False
    return known, version, deployment.deploy_date, deployment.deployment_id


def only(rows: list[R], criteria: Mapping[str, object]) -> R:
    """The one row of a list that is not empty.

    Raises:
        AmbiguousError: There are several; the message lists them.
    """
    if len(rows) > 1:
        listed = "; ".join(map(repr, rows[:10])) + ("; …" if len(rows) > 10 else "")
        raise AmbiguousError(
            f"{len(rows)} of the model registry's {rows[0].table.name} rows match"
            f"{_described(criteria)} where one is asked for: {listed}"
        )
    return rows[0]


def not_found(kind: type[Row], criteria: Mapping[str, object]) -> NotFoundError:
    """The error to raise when no row matches."""
    return _NOT_FOUND[kind](f"The model registry has no {kind.table.name}{_described(criteria)}")


def _described(criteria: Mapping[str, object]) -> str:
    criteria_text = ", ".join(f"{name}={value!r}" for name, value in criteria.items())
    return f" with {criteria_text}" if criteria else ""
