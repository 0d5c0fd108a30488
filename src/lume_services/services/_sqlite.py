"""What the registry and the results database ask of SQLite, alike."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from lume_services.errors import ConfigurationError
from lume_services.services._atomic import make_folder

__all__ = ["BUSY_TIMEOUT_S", "make_folder_of", "use_write_ahead_log"]

BUSY_TIMEOUT_S = 60.0
"""How long a connection waits for another one's write to end."""


def make_folder_of(path: Path, what: str, setting: str) -> None:
    """Make the folder that a database file is in.

    Args:
        path: The file.
        what: What the file is, for the message.
        setting: What the path comes from, likewise.

    Raises:
        ConfigurationError: The folder cannot be made.
    """
    try:
        make_folder(path.parent)
    except OSError as error:
        raise ConfigurationError(
            f"The folder of {what} {path} cannot be made: {error.strerror}. Set {setting} to a "
            "place where you may write."
        ) from error


def use_write_ahead_log(connection: sqlite3.Connection, path: Path) -> None:
    """Switch the write-ahead log on: readers and the one writer do not wait for each other.

    Args:
        connection: A connection to the file.
        path: The file, for the message.

    Raises:
        ConfigurationError: SQLite cannot keep such a log there.
        sqlite3.Error: The database failed.
    """
    # While another process makes the switch, SQLite refuses it at once instead of waiting.
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            # The other bits tell apart why it is busy: https://www.sqlite.org/rescode.html
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            break
    if mode != "wal":
        raise ConfigurationError(
            f"{path}: SQLite cannot keep a write-ahead log there ({mode!r}). Set LUME_HOME to a "
            "folder on a local disk."
        )
