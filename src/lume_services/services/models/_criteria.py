"""From keywords to rows: conditions, order, and what to say when not exactly one matches."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from difflib import get_close_matches
from typing import TypeVar

from packaging.version import InvalidVersion, Version
from sqlalchemy import ColumnElement, inspect

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
)
from lume_services.services.models.identity import normalized_version

__all__ = ["Row", "age", "conditions", "is_version", "not_found", "only"]

Row = TypeVar("Row", bound=Base)

_NOT_FOUND: dict[type[Base], type[NotFoundError]] = {
    Model: ModelNotFoundError,
    Deployment: DeploymentNotFoundError,
    Project: ProjectNotFoundError,
    Flow: FlowNotFoundError,
    FlowOfFlows: FlowOfFlowsNotFoundError,
}


def conditions(table: type[Base], criteria: Mapping[str, object]) -> list[ColumnElement[bool]]:
    """What a row must fulfil.

    Args:
        table: The table that is asked.
        criteria: Columns of it and their values; None asks for rows without a value.

    Raises:
        InvalidInputError: There is no such column; the message names the nearest.
    """
    columns = inspect(table).column_attrs
    for name in criteria:
        if name not in columns:
            near = get_close_matches(name, columns.keys(), n=1)
            known = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(columns.keys())}"
            raise InvalidInputError(f"{table.__name__} has no {name!r}; {known}")
    return [
        is_version(value) if name == "version" else columns[name].class_attribute == value
        for name, value in criteria.items()
    ]


def is_version(*versions: object) -> ColumnElement[bool]:
    """The version, as it is written or as it is kept."""
    written = {str(version) for version in versions}
    for version in list(written):
        with suppress(InvalidInputError):
            written.add(normalized_version(version))
    return Deployment.version.in_(sorted(written))


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
