"""From settings to a database: nothing here connects to one."""

from __future__ import annotations

import sys

import pytest

from lume_services.errors import ConfigurationError, MissingDependencyError
from lume_services.services.models import ModelDBService
from lume_services.services.models.db import ConnectionConfig, ModelDB, ModelDBConfig

PASSWORD = "p@ss/w:rd%"
SERVER = ModelDBConfig(
    host="http://db.lab", port=3307, user="lume", password=PASSWORD, database="registry"
)


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


def test_parts_and_url_are_the_same_server() -> None:
    by_url = ModelDBConfig(
        url="mysql+pymysql://lume:p%40ss%2Fw%3Ard%25@db.lab:3307/registry",
        connection=ConnectionConfig(pool_size=3),
    )
    engines = [ModelDB(config).engine for config in (SERVER, by_url)]
    assert engines[0].url == engines[1].url
    assert engines[0].url.password == PASSWORD
    assert [engine.pool.size() for engine in engines] == [1, 3]  # QueuePool


@pytest.mark.parametrize(
    ("scheme", "driver"),
    [("mysql", "pymysql"), ("mariadb", "pymysql"), ("postgresql", "psycopg")],
)
def test_driver_need_not_be_named(scheme: str, driver: str) -> None:
    engine = ModelDB(ModelDBConfig(url=f"{scheme}://lume@db.lab/registry")).engine
    assert engine.dialect.driver == driver


def test_password_is_not_shown() -> None:
    model_db = ModelDB(SERVER)
    shown = [repr(model_db), str(model_db), repr(model_db.engine), repr(model_db.config)]
    assert not [text for text in shown if PASSWORD in text or "p%40ss" in text]
    assert model_db.address == "mysql+pymysql://lume@db.lab:3307/registry"
