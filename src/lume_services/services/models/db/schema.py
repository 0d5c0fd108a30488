"""The registry's tables.

Each row knows what it belongs to (``flow.deployment.model``), loaded in the same statement; what
belongs to it is asked of ``ModelDBService``. Rows that the service hands out are detached copies:
they can be used anywhere and for any time, pickled too, and refuse to be changed.

Names and constraints are those of LUME-services 0.x; ``migrations`` says what was added.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, ClassVar

from sqlalchemy import (
    Computed,
    DateTime,
    Dialect,
    ForeignKey,
    String,
    Text,
    UniqueConstraint,
    event,
    func,
    inspect,
)
from sqlalchemy.dialects.mysql import LONGTEXT
from sqlalchemy.engine import Connection
from sqlalchemy.orm import DeclarativeBase, Mapped, Mapper, mapped_column, relationship
from sqlalchemy.types import TypeDecorator

from lume_services.errors import ModelDBError

__all__ = [
    "Base",
    "Deployment",
    "Flow",
    "FlowOfFlows",
    "Model",
    "Project",
    "check_text",
    "storable",
]

# MySQL's and MariaDB's default collation takes 'A' and 'a' for the same name.
_TABLE_OPTIONS = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")
    for option, value in {
        "engine": "InnoDB",
        "charset": "utf8mb4",
        "collate": "utf8mb4_bin",
    }.items()
}


class UTCDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC; databases that keep no time zone keep the UTC time."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC; a naive value is taken as UTC."""
        return None if value is None else _utc(value)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give the time zone back."""
        return None if value is None else _utc(value)


class JSONText(TypeDecorator[dict[str, Any]]):
    """A JSON object as text: databases' own JSON types know no infinity, which ranges hold."""

    # A plain TEXT ends at 64 KiB on MySQL and MariaDB.
    impl = Text().with_variant(LONGTEXT(), "mysql", "mariadb")
    cache_ok = True

    def process_bind_param(self, value: dict[str, Any] | None, dialect: Dialect) -> str | None:
        """Write JSON."""
        return None if value is None else json.dumps(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> dict[str, Any] | None:
        """Read JSON."""
        return None if value is None else json.loads(value)


class Base(DeclarativeBase):
    """What all tables share."""

    _shown: ClassVar[tuple[str, ...]] = ()

    def __setattr__(self, name: str, value: Any) -> None:
        state = inspect(self, raiseerr=False)  # None while the row is being made
        if state is not None and state.detached:
            raise AttributeError(
                f"{name} of {self!r} cannot be set: this is a copy of what the registry keeps"
            )
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self._shown)
        return f"{type(self).__name__}({shown})"


class Model(Base):
    """A model of a beamline, whatever its versions: five names that together are its identity."""

    __tablename__ = "model"
    __table_args__ = (
        UniqueConstraint(
            "author", "laboratory", "facility", "beampath", "description", name="_model_entry"
        ),
        _TABLE_OPTIONS,
    )
    _shown = ("model_id", "author", "laboratory", "facility", "beampath", "description")

    model_id: Mapped[int] = mapped_column(primary_key=True)
    created: Mapped[datetime] = mapped_column(
        UTCDateTime, default=lambda: datetime.now(UTC), server_default=func.now()
    )
    author: Mapped[str] = mapped_column(String(50))
    laboratory: Mapped[str] = mapped_column(String(50))
    facility: Mapped[str] = mapped_column(String(50))
    beampath: Mapped[str] = mapped_column(String(50))
    description: Mapped[str] = mapped_column(String(255))


class Deployment(Base):
    """One version of a model, and where its code comes from."""

    __tablename__ = "deployment"
    __table_args__ = (
        UniqueConstraint("model_id", "version", name="_deployment_unique"),
        UniqueConstraint("live_model_id", name="_one_live_deployment"),
        _TABLE_OPTIONS,
    )
    _shown = ("deployment_id", "model_id", "version", "is_live")

    deployment_id: Mapped[int] = mapped_column(primary_key=True)
    version: Mapped[str] = mapped_column(String(64))
    deploy_date: Mapped[datetime] = mapped_column(
        UTCDateTime, default=lambda: datetime.now(UTC), server_default=func.now()
    )
    package_import_name: Mapped[str | None] = mapped_column(String(255))
    asset_dir: Mapped[str | None] = mapped_column(String(255))
    source: Mapped[str | None] = mapped_column(String(1024))
    sha256: Mapped[str | None] = mapped_column(String(64))
    image: Mapped[str | None] = mapped_column(String(255))
    is_live: Mapped[bool]
    model_id: Mapped[int] = mapped_column(ForeignKey("model.model_id"))
    kind: Mapped[str] = mapped_column(String(50), server_default="package")
    entry_point: Mapped[str | None] = mapped_column(String(255))
    variables: Mapped[dict[str, Any] | None] = mapped_column(JSONText)
    # The database computes it, and it is unique: a second live deployment of a model cannot be
    # stored. A partial index would say the same, but MySQL and MariaDB have none.
    live_model_id: Mapped[int | None] = mapped_column(
        Computed("CASE WHEN is_live THEN model_id END", persisted=True)
    )

    model: Mapped[Model] = relationship(lazy="joined", innerjoin=True)


class Project(Base):
    """A name that flows and results are grouped under."""

    __tablename__ = "project"
    __table_args__ = _TABLE_OPTIONS
    _shown = ("project_name", "description")

    project_name: Mapped[str] = mapped_column(String(50), primary_key=True)
    description: Mapped[str] = mapped_column(String(255))


class Flow(Base):
    """A workflow that runs a deployment; ``flow_id`` is what results are recorded under."""

    __tablename__ = "flow"
    __table_args__ = _TABLE_OPTIONS
    _shown = ("flow_id", "flow_name", "project_name", "deployment_id")

    flow_id: Mapped[str] = mapped_column(String(255), primary_key=True)
    flow_name: Mapped[str] = mapped_column(String(255))
    project_name: Mapped[str] = mapped_column(ForeignKey("project.project_name"))
    deployment_id: Mapped[int] = mapped_column(ForeignKey("deployment.deployment_id"))
    entry_point: Mapped[str | None] = mapped_column(String(255))

    project: Mapped[Project] = relationship(lazy="joined", innerjoin=True)
    deployment: Mapped[Deployment] = relationship(lazy="joined", innerjoin=True)


class FlowOfFlows(Base):
    """One flow's place in a flow that is made of others."""

    __tablename__ = "flow_of_flows"
    __table_args__ = (
        UniqueConstraint("parent_flow_id", "flow_id", name="_flow_of_flow_entry"),
        _TABLE_OPTIONS,
    )
    _shown = ("parent_flow_id", "flow_id", "position")

    id: Mapped[int] = mapped_column("_id", primary_key=True)
    parent_flow_id: Mapped[str] = mapped_column(ForeignKey("flow.flow_id"))
    flow_id: Mapped[str] = mapped_column(ForeignKey("flow.flow_id"))
    position: Mapped[int]

    parent_flow: Mapped[Flow] = relationship(foreign_keys=[parent_flow_id])
    flow: Mapped[Flow] = relationship(foreign_keys=[flow_id], lazy="joined", innerjoin=True)


@event.listens_for(Base, "before_insert", propagate=True)
@event.listens_for(Base, "before_update", propagate=True)
def _check_row(mapper: Mapper[Any], connection: Connection, row: Base) -> None:
    columns = mapper.column_attrs.keys()
    check_text(type(row), {name: getattr(row, name) for name in columns})


def check_text(table: type[Base], values: Mapping[str, object]) -> None:
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
        column = f"{table.__tablename__}.{name}"
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
def _texts(table: type[Base]) -> list[tuple[str, int | None]]:
    """The columns that hold text, and how much of it."""
    columns = (
        (name, column.columns[0].type) for name, column in inspect(table).column_attrs.items()
    )
    return [(name, kind.length) for name, kind in columns if isinstance(kind, String)]


def storable(text: str) -> bool:
    """Whether every database can keep this text: PostgreSQL has no NUL, none has half a pair."""
    return re.search("[\0\ud800-\udfff]", text) is None


def _utc(value: datetime) -> datetime:
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
