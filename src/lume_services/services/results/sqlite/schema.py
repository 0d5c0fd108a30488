"""The table of documents: made in a new file, recognised in an old one."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from lume_services.errors import ResultsDBError
from lume_services.services._sqlite import use_write_ahead_log

__all__ = ["prepare"]

_APPLICATION_ID = 0x4C554D45  # "LUME"
_VERSION = 1
_SCHEMA = """
CREATE TABLE results (
    sequence INTEGER PRIMARY KEY,    -- insertion order
    collection TEXT NOT NULL,
    id TEXT NOT NULL,
    unique_hash TEXT,
    flow_id TEXT,
    inputs_hash TEXT,
    date_modified INTEGER,           -- milliseconds since 1970 UTC
    document TEXT NOT NULL,          -- JSON, with _id and all of the above
    raw BLOB                         -- what its tags refer to
);
CREATE INDEX results_collection ON results (collection);
CREATE UNIQUE INDEX results_id ON results (collection, id);
CREATE UNIQUE INDEX results_unique_hash ON results (collection, unique_hash);
CREATE INDEX results_flow_id ON results (collection, flow_id);
CREATE INDEX results_inputs_hash ON results (collection, inputs_hash);
CREATE INDEX results_date_modified ON results (collection, date_modified);
"""
_SCHEMA += f"PRAGMA application_id = {_APPLICATION_ID}; PRAGMA user_version = {_VERSION}"
_IDENTIFY = (
    "SELECT application_id, user_version, (SELECT count(*) FROM sqlite_master) "
    "FROM pragma_application_id, pragma_user_version"
)
"""One statement, so that nobody can come in between."""


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Make the table in a new file; refuse a file that holds something else.

    Args:
        connection: A connection to the file.
        path: The file, for messages.

    Raises:
        ConfigurationError: SQLite cannot keep a write-ahead log there.
        ResultsDBError: It is another database, or one of another version.
    """
    identity, version, tables = connection.execute(_IDENTIFY).fetchone()
    if identity != _APPLICATION_ID and not tables:
        _create(connection, path)
        identity, version, _ = connection.execute(_IDENTIFY).fetchone()
    if identity != _APPLICATION_ID:
        raise ResultsDBError(
            f"{path} is an SQLite database, but not one of results: set LUME_HOME or "
            "LUME_RESULTS_DB__URL to another place."
        )
    if version > _VERSION:
        raise ResultsDBError(
            f"{path} was written by a newer version of LUME-services (format {version}, "
            f"this version reads {_VERSION}): upgrade lume-services."
        )
    if version < _VERSION:
        raise ResultsDBError(
            f"{path} is of format {version}, and this version of LUME-services reads {_VERSION}: "
            "no release wrote such a file. Restore it from a backup, or move it away."
        )


def _create(connection: sqlite3.Connection, path: Path) -> None:
    use_write_ahead_log(connection, path)
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have come first.
        if not connection.execute(_IDENTIFY).fetchone()[2]:
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
