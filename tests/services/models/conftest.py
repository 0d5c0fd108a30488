from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete

from lume_services.services.models import ModelDBService
from lume_services.services.models.db import ConnectionConfig, ModelDB, ModelDBConfig
from lume_services.services.models.db.schema import METADATA
from tests.servers import MariaDB, PostgreSQL

DATABASES = ("sqlite", "mariadb", "postgresql")


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDB]:
    """A server that leaves it to the operating system when to write: a kill loses nothing."""
    with MariaDB(tmp_path_factory.mktemp("mariadb"), "--debug-no-sync") as server:
        yield server


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgreSQL]:
    """Likewise."""
    with PostgreSQL(tmp_path_factory.mktemp("postgresql"), "-c", "fsync=off") as server:
        yield server


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest) -> str:
    """What the registry is kept in; every test that uses it runs on all of them."""
    return str(request.param)


@pytest.fixture
def server(database: str, request: pytest.FixtureRequest) -> MariaDB | PostgreSQL:
    """The database's server, for tests that are not for SQLite."""
    found = request.getfixturevalue(database)
    assert isinstance(found, MariaDB | PostgreSQL)
    return found


@pytest.fixture
def url(database: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without tables; that of SQLite does not even exist."""
    if database == "sqlite":
        return f"sqlite:///{tmp_path / 'registry' / 'models.db'}"
    return str(request.getfixturevalue(f"{database}_url"))


@pytest.fixture(scope="session")
def with_tables(request: pytest.FixtureRequest) -> Any:
    """URL of a server's database that has the tables; tests that use it leave no row."""

    @cache
    def made(database: str) -> str:
        url = str(request.getfixturevalue(database).url("lume-registry"))
        registry(url).apply_schema()
        return url

    return made


@pytest.fixture
def model_db(database: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ModelDB]:
    """An empty registry."""
    if database == "sqlite":
        model_db = ModelDB(ModelDBConfig(url=request.getfixturevalue("url")))
        yield model_db
    else:
        model_db = ModelDB(ModelDBConfig(url=request.getfixturevalue("with_tables")(database)))
        yield model_db
        with model_db.connection(write=True) as connection:
            for table in reversed(METADATA.sorted_tables):
                connection.execute(delete(table))
    model_db.close()


@pytest.fixture
def service(model_db: ModelDB) -> ModelDBService:
    return ModelDBService(model_db)


@pytest.fixture
def model_id(service: ModelDBService) -> int:
    return service.store_model("Ada", "SLAC", "LCLS", "cu_hxr", "injector")


def registry(url: str, **connection: Any) -> ModelDBService:
    """The registry in a database, by connections of its own."""
    config = ModelDBConfig(url=url, connection=ConnectionConfig(**connection))
    return ModelDBService(ModelDB(config))
