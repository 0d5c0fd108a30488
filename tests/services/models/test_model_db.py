"""Connections: how they are made, what they promise, and how they fail."""

from __future__ import annotations

import os
import sqlite3
import sys
from pathlib import Path
from types import ModuleType

import pytest
import sqlalchemy as sa

from lume_services.errors import (
    ConfigurationError,
    ConstraintError,
    MissingDependencyError,
    ModelDBError,
)
from lume_services.services import network
from lume_services.services.models import ModelDBService
from lume_services.services.models.db import ConnectionConfig, ModelDB, ModelDBConfig
from lume_services.services.models.db.schema import Deployment, Project

PASSWORD = "p@ss/w:rd%"
SERVER = ModelDBConfig(
    host="http://db.lab", port=3307, user="lume", password=PASSWORD, database="registry"
)


@pytest.fixture
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A MySQL driver whose server is down, and which tells the password."""
    driver = ModuleType("pymysql")
    driver.Error = type("Error", (Exception,), {})
    for name in ("Interface", "Internal", "Operational", "Programming"):
        setattr(driver, f"{name}Error", type(f"{name}Error", (driver.Error,), {}))

    def connect(**arguments: object) -> None:
        raise driver.OperationalError(f"no server for {arguments['password']}")

    driver.connect = connect
    driver.paramstyle = "pyformat"
    driver.__version__ = "1.1.0"
    monkeypatch.setitem(sys.modules, "pymysql", driver)


def test_sqlite_is_durable_and_strict(model_db: ModelDB) -> None:
    with model_db.session() as session:
        found = {
            name: session.scalar(sa.text(f"PRAGMA {name}"))
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


def test_can_be_used_after_close(model_db: ModelDB) -> None:
    service = ModelDBService(model_db)
    service.store_project("p")
    model_db.close()
    assert service.get_project().project_name == "p"


def test_failed_block_leaves_nothing(model_db: ModelDB) -> None:
    def fail() -> None:
        with model_db.session(write=True) as session:
            session.add(Project(project_name="p", description=""))
            session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with model_db.session() as session:
        assert session.get(Project, "p") is None


def test_session_that_reads_keeps_nothing(model_db: ModelDB) -> None:
    with model_db.session() as session:
        session.add(Project(project_name="p", description=""))
        session.flush()
    with model_db.session() as session:
        assert session.get(Project, "p") is None


def test_writer_is_alone_from_its_first_statement(model_db: ModelDB, url: str) -> None:
    model_db.apply_schema()
    other = sqlite3.connect(sa.make_url(url).database or "", timeout=0)
    with model_db.session(write=True) as session:
        assert session.get(Project, "p") is None
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("INSERT INTO project VALUES ('p', '')")
    other.close()


def test_reference_to_nothing(model_db: ModelDB) -> None:
    orphan = Deployment(model_id=7, version="1.0", is_live=False)
    with pytest.raises(ConstraintError, match="FOREIGN KEY"), model_db.session(write=True) as s:
        s.add(orphan)


def test_locked_file(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lume_services.services.models.db.db.BUSY_TIMEOUT_S", 0.05)
    model_db = ModelDB(ModelDBConfig(url=url))
    model_db.apply_schema()
    other = sqlite3.connect(sa.make_url(url).database or "", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(ModelDBError, match=r"models\.db .*LUME_MODEL_DB__URL.* is locked.* keeps"):
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


def test_url_that_is_none() -> None:
    with pytest.raises(ConfigurationError, match=r"LUME_MODEL_DB__URL is not a database URL"):
        ModelDB(ModelDBConfig(url="postgresql://host:port/db"))


def test_unknown_dialect() -> None:
    model_db = ModelDB(ModelDBConfig(url="dbase+iii://host/db"))
    with pytest.raises(ConfigurationError, match=r"LUME_MODEL_DB__URL: 'dbase\+iii' is no dialect"):
        ModelDBService(model_db).get_models()


def test_driver_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymysql", None)
    with pytest.raises(MissingDependencyError, match=r"pymysql.*'lume-services\[mysql\]'"):
        ModelDBService(ModelDB(SERVER)).get_models()


def test_parts_and_url_are_the_same_server(no_server: None) -> None:
    by_url = ModelDBConfig(
        url="mysql+pymysql://lume:p%40ss%2Fw%3Ard%25@db.lab:3307/registry",
        connection=ConnectionConfig(pool_size=3),
    )
    engines = [ModelDB(config).engine for config in (SERVER, by_url)]
    assert engines[0].url == engines[1].url
    assert engines[0].url.password == PASSWORD
    assert [engine.pool.size() for engine in engines] == [1, 3]  # type: ignore[attr-defined]  # QueuePool


def test_server_that_is_down(no_server: None) -> None:
    model_db = ModelDB(SERVER)
    service = ModelDBService(model_db)
    for use in (service.get_models, service.apply_schema, service.current_revision):
        with pytest.raises(
            ModelDBError,
            match=r"db\.lab:3307/registry \(LUME_MODEL_DB__HOST\).*no server.*See that the server",
        ) as error:
            use()
        assert PASSWORD not in str(error.value)
    for shown in (repr(model_db), str(model_db), repr(model_db.engine), repr(model_db.config)):
        assert PASSWORD not in shown
        assert "p%40ss" not in shown


def test_child_opens_its_own_connections(model_db: ModelDB) -> None:
    service = ModelDBService(model_db)
    service.store_project("parent")
    parents_engine = model_db.engine
    child = os.fork()
    if child == 0:
        # Anything that is raised here must not run the rest of the test a second time.
        try:
            service.store_project("child")
            os._exit(0 if model_db.engine is not parents_engine else 1)
        except BaseException:
            os._exit(2)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert model_db.engine is parents_engine
    assert [project.project_name for project in service.get_projects()] == ["child", "parent"]


def test_a_network_filesystem_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"36 35 98:0 / {tmp_path} rw - nfs4 server:/export rw\n")
    monkeypatch.setattr(network, "MOUNTINFO", mounts)
    with pytest.raises(ConfigurationError, match=r"LUME_HOME.* network filesystem \(nfs4\)"):
        ModelDB(ModelDBConfig(url=f"sqlite:///{tmp_path}/models.db")).apply_schema()
    assert not (tmp_path / "models.db").exists()
