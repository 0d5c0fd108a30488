"""Revisions of the registry's tables, and how a database gets from one to the next.

``versions/`` holds one Alembic script a revision. Alembic takes longer to import than everything
else here, so it is imported only when there is something to migrate: a database that is up to
date is recognised, and an empty one filled, without it.
"""

from __future__ import annotations

from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    insert,
    inspect,
    select,
)

from lume_services.errors import SchemaError
from lume_services.services.models.db.schema import METADATA

__all__ = ["HEAD", "REVISIONS", "advice", "current_revision", "upgrade"]

REVISIONS = ("0001", "0002", "0003")
"""Every revision, oldest first."""

HEAD = REVISIONS[-1]
"""The revision that ``schema`` describes."""

# Alembic's own table.
_VERSION = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)

# What the tables of LUME-services 0.x are recognised by.
_ORIGINAL = {
    "model": {
        "model_id",
        "created",
        "author",
        "laboratory",
        "facility",
        "beampath",
        "description",
    },
    "deployment": {
        "deployment_id",
        "model_id",
        "version",
        "deploy_date",
        "package_import_name",
        "asset_dir",
        "source",
        "sha256",
        "image",
        "is_live",
    },
    "project": {"project_name", "description"},
    "flow": {"flow_id", "flow_name", "project_name", "deployment_id"},
    "flow_of_flows": {"_id", "parent_flow_id", "flow_id", "position"},
}


def current_revision(connection: Connection) -> str | None:
    """The revision of a database; None when it says none."""
    if not inspect(connection).has_table(_VERSION.name):
        return None
    return connection.scalar(select(_VERSION.c.version_num))


def advice(revision: str | None) -> str:
    """What to tell the user of a database that is at another revision than ``HEAD``."""
    if revision is None or revision in REVISIONS:
        found = "has no tables of this version" if revision is None else f"is at {revision}"
        return f"the database {found}; revision {HEAD} is needed. Run: lume-services db upgrade"
    return (
        f"the database is at revision {revision}, made by a later version of LUME-services; this "
        f"one knows {HEAD}. Run: pip install --upgrade lume-services"
    )


def upgrade(connection: Connection) -> None:
    """Bring a database to ``HEAD``: an empty one, one of 0.x, or one of an earlier revision.

    MySQL and MariaDB keep each statement that changes a table, whatever comes after it. When this
    is ended in the middle, the revision is still the earlier one, and doing it again does what is
    left.

    Args:
        connection: A connection in a transaction, of the one process that migrates; on SQLite it
            does not enforce foreign keys.

    Raises:
        SchemaError: The tables are of a later version, or those of something else.
    """
    # Asked again inside the transaction: another process may just have done it.
    revision = current_revision(connection)
    if revision == HEAD:
        return
    if revision is not None and revision not in REVISIONS:
        raise SchemaError(advice(revision))
    if revision is None and _is_new(connection):
        _VERSION.create(connection, checkfirst=True)
        METADATA.create_all(connection)
        connection.execute(insert(_VERSION).values(version_num=HEAD))
        return

    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "lume_services.services.models.db:migrations")
    config.attributes["connection"] = connection
    if revision is None:
        _check_original(connection)
        command.stamp(config, REVISIONS[0])
    command.upgrade(config, HEAD)


def _is_new(connection: Connection) -> bool:
    """Whether there are no tables, or such as ``create_all`` left that did not come to its end."""
    found = inspect(connection)
    there = [table for table in METADATA.tables.values() if found.has_table(table.name)]
    if not found.has_table(_VERSION.name):
        return not there
    return all(
        [column.name for column in table.columns]
        == [column["name"] for column in found.get_columns(table.name)]
        for table in there
    )


def _check_original(connection: Connection) -> None:
    found = inspect(connection)
    for table in _ORIGINAL:
        columns = {c["name"] for c in found.get_columns(table)} if found.has_table(table) else set()
        if missing := _ORIGINAL[table] - columns:
            raise SchemaError(
                f"the database holds tables that are not a model registry's: {table} has no "
                f"{', '.join(sorted(missing))}. Give the registry a database of its own: "
                "LUME_MODEL_DB__DATABASE or LUME_MODEL_DB__URL."
            )
