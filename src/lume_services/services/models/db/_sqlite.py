"""What SQLite needs to be a database that several processes write."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, event

from lume_services.errors import ConfigurationError
from lume_services.services._sqlite import make_folder_of, use_write_ahead_log
from lume_services.services.network import refuse_network_filesystem

__all__ = ["BEGIN", "make_folder", "set_up"]

_SETTING = "LUME_HOME or LUME_MODEL_DB__URL"

BEGIN = "sqlite_begin"
"""Execution option of an engine: the statement that begins its transactions."""


def make_folder(url: URL) -> None:
    """Make the folder that the database file is in.

    Raises:
        ConfigurationError: The URL names no file, or one on a network filesystem, or one whose
            folder cannot be made.
    """
    if url.database in (None, "", ":memory:"):
        raise ConfigurationError(
            "LUME_MODEL_DB__URL names a database in memory, which ends with each connection; "
            "name a file: sqlite:////path/to/models.db"
        )
    path = Path(str(url.database))
    refuse_network_filesystem(path, _SETTING)
    make_folder_of(path, "the model registry", _SETTING)


def set_up(engine: Engine, *, foreign_keys: bool = True) -> None:
    """Make every connection of an engine durable and strict.

    Args:
        engine: An engine that has not connected yet.
        foreign_keys: Whether references between tables are enforced. Migrations replace tables
            that others refer to, and cannot switch this inside their transaction.
    """

    @event.listens_for(engine, "connect")
    def _connected(connection: sqlite3.Connection, record: object) -> None:
        # Python's sqlite3 begins transactions by itself, too late and never IMMEDIATE; with None
        # it leaves them to _begun below.
        connection.isolation_level = None
        use_write_ahead_log(connection, Path(str(engine.url.database)))
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA foreign_keys={'ON' if foreign_keys else 'OFF'}")

    @event.listens_for(engine, "begin")
    def _begun(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get(BEGIN, "BEGIN"))
