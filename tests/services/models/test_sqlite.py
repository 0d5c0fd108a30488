"""A registry in a SQLite file: durable, strict, and safe with several processes."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa

from lume_services.errors import ConfigurationError, ModelDBUnavailableError
from lume_services.services import network
from lume_services.services.models import ModelDBService
from lume_services.services.models.db import ModelDB, ModelDBConfig
from lume_services.services.models.db.schema import PROJECT


@pytest.fixture
def database() -> str:
    return "sqlite"


def test_sqlite_is_durable_and_strict(model_db: ModelDB) -> None:
    with model_db.connection() as connection:
        found = {
            name: connection.scalar(sa.text(f"PRAGMA {name}"))
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert found == {
        "journal_mode": "wal",
        "synchronous": 2,  # FULL
        "foreign_keys": 1,
        "busy_timeout": 60_000,
    }


def test_nothing_is_made_before_first_use(url: str, tmp_path: Path) -> None:
    model_db = ModelDB(ModelDBConfig(url=url))
    model_db.close()
    assert list(tmp_path.iterdir()) == []


def test_writer_is_alone_from_its_first_statement(model_db: ModelDB, url: str) -> None:
    model_db.apply_schema()
    other = sqlite3.connect(sa.make_url(url).database or "", timeout=0)
    with model_db.connection(write=True) as connection:
        assert connection.execute(sa.select(PROJECT)).all() == []
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("INSERT INTO project VALUES ('p', '')")
    other.close()


def test_locked_file(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lume_services.services.models.db._sqlite.BUSY_TIMEOUT_S", 0.05)
    model_db = ModelDB(ModelDBConfig(url=url))
    model_db.apply_schema()
    other = sqlite3.connect(sa.make_url(url).database or "", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(
        ModelDBUnavailableError, match=r"models\.db .*LUME_MODEL_DB__URL.* is locked.* keeps"
    ):
        ModelDBService(model_db).store_project("p")
    other.close()
    model_db.close()


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    model_db = ModelDB(ModelDBConfig(url=f"sqlite:///{tmp_path / 'file' / 'models.db'}"))
    with pytest.raises(ConfigurationError, match=r"registry .*models.db cannot be made.*LUME_HOME"):
        ModelDBService(model_db).get_models()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_database_in_memory_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"LUME_MODEL_DB__URL.*memory.*name a file"):
        ModelDBService(ModelDB(ModelDBConfig(url=url))).get_models()


def test_a_network_filesystem_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"36 35 98:0 / {tmp_path} rw - nfs4 server:/export rw\n")
    monkeypatch.setattr(network, "MOUNTINFO", mounts)
    with pytest.raises(ConfigurationError, match=r"LUME_HOME.* network filesystem \(nfs4\)"):
        ModelDB(ModelDBConfig(url=f"sqlite:///{tmp_path}/models.db")).apply_schema()
    assert not (tmp_path / "models.db").exists()
