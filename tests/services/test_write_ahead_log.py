"""Databases of this machine have a write-ahead log, or are refused."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lume_services.errors import ConfigurationError
from lume_services.services._sqlite import use_write_ahead_log
from lume_services.services.models import ModelDBService
from lume_services.services.models.db import ModelDB, ModelDBConfig
from lume_services.services.results.sqlite import SQLiteResultsDB


class Busy(sqlite3.Connection):
    """Refuses the log, as SQLite does while others make the same switch or recover the file."""

    refusals = 0
    errorcode = sqlite3.SQLITE_BUSY_RECOVERY

    def execute(self, statement: str, *parameters: Any) -> Any:
        if "journal_mode" in statement and self.refusals:
            self.refusals -= 1
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = self.errorcode
            raise error
        return super().execute(statement, *parameters)


class WithoutLog(sqlite3.Connection):
    """Answers as SQLite does where files cannot be mapped into memory."""

    def execute(self, statement: str, *parameters: Any) -> Any:
        return super().execute(statement.replace("WAL", "DELETE"), *parameters)


def test_it_waits_for_whoever_is_busy(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "a.db", factory=Busy)
    connection.refusals = 2
    use_write_ahead_log(connection, tmp_path / "a.db")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.refusals, connection.errorcode = 1, sqlite3.SQLITE_IOERR
    with pytest.raises(sqlite3.OperationalError):
        use_write_ahead_log(connection, tmp_path / "a.db")
    connection.close()


def results(path: Path) -> object:
    return SQLiteResultsDB(path)


def models(path: Path) -> object:
    return ModelDBService(ModelDB(ModelDBConfig(url=f"sqlite:///{path}"))).store_project("p")


@pytest.mark.parametrize("use", [results, models])
def test_a_place_without_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use: Callable[[Path], object]
) -> None:
    connect = partial(sqlite3.connect, factory=WithoutLog)
    for module in (sqlite3, sqlite3.dbapi2):
        monkeypatch.setattr(module, "connect", connect)
    with pytest.raises(ConfigurationError, match=r"a\.db.*write-ahead log.*'delete'.*LUME_HOME"):
        use(tmp_path / "a.db")
