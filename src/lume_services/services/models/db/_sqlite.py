"""What SQLite needs to be a database that several processes write."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event, exc

from lume_services.errors import ConfigurationError
from lume_services.services._sqlite import (
    BUSY_TIMEOUT_S,
    make_folder_of,
    use_write_ahead_log,
)
from lume_services.services.models.db._dialect import Dialect
from lume_services.services.network import refuse_network_filesystem

__all__ = ["SQLite"]

_SETTING = "LUME_HOME or LUME_MODEL_DB__URL"


class SQLite(Dialect):
    """A file. SQLite itself waits for other processes, so nothing is tried twice."""

    begin_read = "BEGIN"
    # Locked from the first statement: what a transaction has read must not change before it writes.
    begin_write = "BEGIN IMMEDIATE"
    upgrades_by_itself = True
    can_be_lost = False
    remedy = (
        "See that the file can be written, that the disk is not full and that no other program "
        "keeps the file locked."
    )
    answer_s = BUSY_TIMEOUT_S

    def connect_arguments(self, *, migrating: bool) -> dict[str, Any]:
        """Python's sqlite3, which is told to leave transactions to us; the folder is made.

        Raises:
            ConfigurationError: The URL names no file, or one on a network filesystem, or one
                whose folder cannot be made; or TLS is asked for.
        """
        super().connect_arguments(migrating=migrating)
        if self.url.database in (None, "", ":memory:"):
            raise ConfigurationError(
                "LUME_MODEL_DB__URL names a database in memory, which ends with each connection; "
                "name a file: sqlite:////path/to/models.db"
            )
        path = Path(str(self.url.database))
        refuse_network_filesystem(path, _SETTING)
        make_folder_of(path, "the model registry", _SETTING)
        # It would begin transactions by itself, too late and never IMMEDIATE.
        return {"timeout": BUSY_TIMEOUT_S, "isolation_level": None}

    def set_up(self, engine: Engine, *, migrating: bool) -> None:
        """Make every connection durable and strict.

        Migrations replace tables that others refer to, and cannot switch foreign keys off inside
        their transaction.
        """

        @event.listens_for(engine, "connect")
        def _connected(connection: sqlite3.Connection, record: object) -> None:
            use_write_ahead_log(connection, Path(str(engine.url.database)))
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute(f"PRAGMA foreign_keys={'OFF' if migrating else 'ON'}")

    def begin(self, connection: Connection, *, write: bool) -> None:
        """End the transaction that has read: it may not become one that writes."""
        driver = connection.connection.driver_connection
        if write and driver is not None and driver.in_transaction:
            connection.exec_driver_sql("ROLLBACK")
        super().begin(connection, write=write)

    def version(self, connection: Connection) -> str:
        """Asks the library."""
        return f"SQLite {connection.exec_driver_sql('SELECT sqlite_version()').scalar()}"

    def is_passing(self, error: exc.DBAPIError) -> bool:
        """Whether another process keeps the file locked."""
        code = getattr(error.orig, "sqlite_errorcode", 0)
        return code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
