"""The registry's tables, and their rows as the service hands them out.

Each row holds what it belongs to (``flow.deployment.model``), read by the same statement; what
belongs to it is asked of ``ModelDBService``. Rows are copies of what the registry keeps: values
that can be used anywhere and for any time, compared and pickled, and that refuse to be changed.

Names and constraints are those of LUME-services 0.x; ``migrations`` says what was added.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any, ClassVar

from sqlalchemy import (
    Boolean,
    Column,
    Computed,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    func,
)

from lume_services.errors import ModelDBError
from lume_services.services.models.db._types import BYTES, JSONText, UTCDateTime

__all__ = [
    "DEPLOYMENT",
    "FLOW",
    "FLOW_OF_FLOWS",
    "METADATA",
    "MODEL",
    "PACKAGE",
    "PACKAGE_PART",
    "PROJECT",
    "Deployment",
    "Flow",
    "FlowOfFlows",
    "Model",
    "Project",
    "Row",
    "check_text",
    "storable",
]

_NO_TEXT = re.compile("[\0\ud800-\udfff]")

# MySQL's and MariaDB's default collation takes 'A' and 'a' for the same name.
_OPTIONS: dict[str, Any] = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")
    for option, value in {
        "engine": "InnoDB",
        "charset": "utf8mb4",
        "collate": "utf8mb4_bin",
    }.items()
}


def _now() -> datetime:
    return datetime.now(UTC)


METADATA = MetaData()

MODEL = Table(
    "model",
    METADATA,
    Column("model_id", Integer, primary_key=True),
    Column("created", UTCDateTime, nullable=False, default=_now, server_default=func.now()),
    Column("author", String(50), nullable=False),
    Column("laboratory", String(50), nullable=False),
    Column("facility", String(50), nullable=False),
    Column("beampath", String(50), nullable=False),
    Column("description", String(255), nullable=False),
    UniqueConstraint(
        "author", "laboratory", "facility", "beampath", "description", name="_model_entry"
    ),
    **_OPTIONS,
)

DEPLOYMENT = Table(
    "deployment",
    METADATA,
    Column("deployment_id", Integer, primary_key=True),
    Column("version", String(64), nullable=False),
    Column("deploy_date", UTCDateTime, nullable=False, default=_now, server_default=func.now()),
    Column("package_import_name", String(255)),
    Column("asset_dir", String(255)),
    Column("source", String(1024)),
    Column("sha256", String(64)),
    Column("image", String(255)),
    Column("is_live", Boolean, nullable=False),
    Column("model_id", ForeignKey(MODEL.c.model_id), nullable=False),
    Column("kind", String(50), nullable=False, server_default="package"),
    Column("entry_point", String(255)),
    Column("variables", JSONText),
    # The database computes it, and it is unique: a second live deployment of a model cannot be
    # stored. A partial index would say the same, but MySQL and MariaDB have none.
    Column(
        "live_model_id", Integer, Computed("CASE WHEN is_live THEN model_id END", persisted=True)
    ),
    Column("environment", JSONText),
    UniqueConstraint("model_id", "version", name="_deployment_unique"),
    UniqueConstraint("live_model_id", name="_one_live_deployment"),
    **_OPTIONS,
)

PACKAGE = Table(
    "package",
    METADATA,
    Column("sha256", String(64), primary_key=True),
    Column("filename", String(255), nullable=False),
    **_OPTIONS,
)

# In parts, as servers limit how much one statement may carry.
PACKAGE_PART = Table(
    "package_part",
    METADATA,
    Column("sha256", ForeignKey(PACKAGE.c.sha256), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("data", BYTES, nullable=False),
    **_OPTIONS,
)

PROJECT = Table(
    "project",
    METADATA,
    Column("project_name", String(50), primary_key=True),
    Column("description", String(255), nullable=False),
    **_OPTIONS,
)

FLOW = Table(
    "flow",
    METADATA,
    Column("flow_id", String(255), primary_key=True),
    Column("flow_name", String(255), nullable=False),
    Column("project_name", ForeignKey(PROJECT.c.project_name), nullable=False),
    Column("deployment_id", ForeignKey(DEPLOYMENT.c.deployment_id), nullable=False),
    Column("entry_point", String(255)),
    **_OPTIONS,
)

FLOW_OF_FLOWS = Table(
    "flow_of_flows",
    METADATA,
    Column("_id", Integer, key="id", primary_key=True),
    Column("parent_flow_id", ForeignKey(FLOW.c.flow_id), nullable=False),
    Column("flow_id", ForeignKey(FLOW.c.flow_id), nullable=False),
    Column("position", Integer, nullable=False),
    UniqueConstraint("parent_flow_id", "flow_id", name="_flow_of_flow_entry"),
    **_OPTIONS,
)


@dataclass(frozen=True, slots=True)
class Row:
    """What all rows are: a field for each column, and then one for each row it belongs to."""

    table: ClassVar[Table]
    belongs_to: ClassVar[Mapping[str, type[Row]]] = {}
    """The last fields: rows of other tables, whose keys it holds under the keys' own names."""


@dataclass(frozen=True, slots=True)
class Model(Row):
    """A model of a beamline, whatever its versions: five names that together are its identity."""

    table = MODEL

    model_id: int
    created: datetime = field(repr=False)
    author: str
    laboratory: str
    facility: str
    beampath: str
    description: str


@dataclass(frozen=True, slots=True)
class Deployment(Row):
    """One version of a model, and where its code comes from."""

    table = DEPLOYMENT
    belongs_to: ClassVar = {"model": Model}

    deployment_id: int
    model_id: int
    version: str
    is_live: bool
    deploy_date: datetime = field(repr=False)
    package_import_name: str | None = field(repr=False)
    asset_dir: str | None = field(repr=False)
    source: str | None = field(repr=False)
    sha256: str | None = field(repr=False)
    image: str | None = field(repr=False)
    kind: str = field(repr=False)
    entry_point: str | None = field(repr=False)
    variables: dict[str, Any] | None = field(repr=False, hash=False)
    environment: dict[str, Any] | None = field(repr=False, hash=False)
    """Of a package: the Python and the packages that it runs with, see ``docs/packages.md``."""
    live_model_id: int | None = field(repr=False)
    model: Model = field(repr=False)


@dataclass(frozen=True, slots=True)
class Project(Row):
    """A name that flows and results are grouped under."""

    table = PROJECT

    project_name: str
    description: str


@dataclass(frozen=True, slots=True)
class Flow(Row):
    """A workflow that runs a deployment; ``flow_id`` is what results are recorded under."""

    table = FLOW
    belongs_to: ClassVar = {"project": Project, "deployment": Deployment}

    flow_id: str
    flow_name: str
    project_name: str
    deployment_id: int
    entry_point: str | None = field(repr=False)
    project: Project = field(repr=False)
    deployment: Deployment = field(repr=False)


@dataclass(frozen=True, slots=True)
class FlowOfFlows(Row):
    """One flow's place in a flow that is made of others."""

    table = FLOW_OF_FLOWS
    belongs_to: ClassVar = {"flow": Flow}

    id: int = field(repr=False)
    parent_flow_id: str
    flow_id: str
    position: int
    flow: Flow = field(repr=False)


def check_text(table: Table, values: Mapping[str, object]) -> None:
    """Refuse text that some database cannot keep: one stores it, others cut or refuse it.

    Args:
        table: The table that is to keep it.
        values: Columns and what they are to hold.

    Raises:
        ModelDBError: A text is too long for its column, is not text, or holds a character that is
            none.
    """
    for name, length in _texts(table):
        value = values.get(name)
        if value is None:
            continue
        column = f"{table.name}.{name}"
        if not isinstance(value, str):
            raise ModelDBError(f"{column} is text, not {type(value).__name__}: {value!r}")
        if length is not None and len(value) > length:
            raise ModelDBError(
                f"{column} takes up to {length} characters, and this has {len(value)}: "
                f"{value[:40]!r}…"
            )
        if not storable(value):
            raise ModelDBError(f"{column} holds what is not a character of text: {value!r}")


@cache
def _texts(table: Table) -> list[tuple[str, int | None]]:
    """The columns that hold text, and how much of it."""
    return [
        (name, column.type.length)
        for name, column in table.columns.items()
        if isinstance(column.type, String)
    ]


def storable(text: str) -> bool:
    """Whether every database can keep this text: PostgreSQL has no NUL, none has half a pair."""
    return _NO_TEXT.search(text) is None
