"""The registry's tables: made, taken over from 0.x, upgraded, and never guessed at."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from lume_services.errors import ModelDBError, SchemaError
from lume_services.services.models import ModelDBService
from lume_services.services.models.db import ModelDB, ModelDBConfig, migrations
from lume_services.services.models.db.schema import Base

# The tables as LUME-services 0.x made them, in SQLite's words, and rows as it left them: every
# deployment of a model could be marked live.
IDENTITY = ", CONSTRAINT _model_entry UNIQUE (author, laboratory, facility, beampath, description)"
ORIGINAL = f"""
CREATE TABLE model (
    model_id INTEGER NOT NULL PRIMARY KEY, created DATETIME DEFAULT CURRENT_TIMESTAMP,
    author VARCHAR(50) NOT NULL, laboratory VARCHAR(50) NOT NULL, facility VARCHAR(50) NOT NULL,
    beampath VARCHAR(50) NOT NULL, description VARCHAR(255) NOT NULL
    {IDENTITY});
CREATE TABLE project (
    project_name VARCHAR(50) NOT NULL PRIMARY KEY, description VARCHAR(255) NOT NULL);
CREATE TABLE deployment (
    deployment_id INTEGER NOT NULL PRIMARY KEY, version VARCHAR(10) NOT NULL,
    deploy_date DATETIME DEFAULT CURRENT_TIMESTAMP, package_import_name VARCHAR(50) NOT NULL,
    asset_dir VARCHAR(255), source VARCHAR(255) NOT NULL, sha256 VARCHAR(64) NOT NULL,
    image VARCHAR(100), is_live BOOLEAN NOT NULL,
    model_id INTEGER NOT NULL REFERENCES model (model_id),
    CONSTRAINT _deployment_unique UNIQUE (model_id, version));
CREATE TABLE flow (
    flow_id VARCHAR(255) NOT NULL PRIMARY KEY, flow_name VARCHAR(50) NOT NULL,
    project_name VARCHAR(50) NOT NULL REFERENCES project (project_name),
    deployment_id INTEGER NOT NULL REFERENCES deployment (deployment_id));
CREATE TABLE flow_of_flows (
    _id INTEGER NOT NULL PRIMARY KEY,
    parent_flow_id VARCHAR(255) NOT NULL REFERENCES flow (flow_id),
    flow_id VARCHAR(255) NOT NULL REFERENCES flow (flow_id), position INTEGER NOT NULL,
    CONSTRAINT _flow_of_flow_entry UNIQUE (parent_flow_id, flow_id));
"""
ROWS = """
INSERT INTO model VALUES (1, '2022-09-01 12:00:00', 'Ada', 'SLAC', 'LCLS', 'cu_hxr', 'injector');
INSERT INTO model VALUES (5, NULL, 'Ada', 'SLAC', 'LCLS', 'cu_hxr', 'linac');
INSERT INTO project VALUES ('demo', 'first steps');
INSERT INTO deployment VALUES
    (1, 'v0.1', '2022-09-02 12:00:00', 'inj', NULL, '/a.tar.gz', 'aa', NULL, 1, 1),
    (2, '0.2', '2022-09-03 12:00:00', 'inj', NULL, '/b.tar.gz', 'bb', 'inj:2', 1, 1),
    (3, 'old', '2022-09-04 12:00:00', 'inj', NULL, '/c.tar.gz', 'cc', NULL, 0, 1),
    (9, '1.0', NULL, 'lin', '/data', '/d.tar.gz', 'dd', NULL, 1, 5);
INSERT INTO flow VALUES ('f-1', 'run', 'demo', 1), ('f-2', 'part', 'demo', 9);
INSERT INTO flow_of_flows VALUES (1, 'f-1', 'f-2', 0);
"""


@pytest.fixture
def file(url: str) -> Path:
    file = Path(sa.make_url(url).database or "")
    file.parent.mkdir()
    return file


def execute(file: Path, script: str) -> None:
    with sqlite3.connect(file) as connection:
        connection.executescript(script)
    connection.close()


def alembic(url: str, run: Callable[..., Any], revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", "lume_services.services.models.db:migrations")
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        run(config, revision)
    engine.dispose()


def differences(url: str) -> list[Any]:
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        found = compare_metadata(
            MigrationContext.configure(connection, opts={"compare_server_default": True}),
            Base.metadata,
        )
    engine.dispose()
    return list(found)


def tables(url: str) -> dict[str, Any]:
    """Everything that SQLAlchemy finds out about a database."""
    engine = sa.create_engine(url)
    found = sa.inspect(engine)
    described = {
        name: (
            [
                (c["name"], str(c["type"]), c["nullable"], c["default"], c.get("computed"))
                for c in found.get_columns(name)
            ],
            found.get_pk_constraint(name)["constrained_columns"],
            sorted(
                (key["constrained_columns"], key["referred_table"], key["referred_columns"])
                for key in found.get_foreign_keys(name)
            ),
            sorted(
                (u["name"] or "", u["column_names"]) for u in found.get_unique_constraints(name)
            ),
        )
        for name in found.get_table_names()
    }
    engine.dispose()
    return described


def test_constants_are_those_of_the_scripts() -> None:
    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))
    revisions = [script.revision for script in scripts.walk_revisions()]
    assert tuple(reversed(revisions)) == migrations.REVISIONS
    assert scripts.get_current_head() == migrations.HEAD


def test_new_database_is_at_head(url: str, model_db: ModelDB, service: ModelDBService) -> None:
    service.store_model("", "", "", "", "first use")
    assert service.current_revision() == service.head_revision() == migrations.HEAD
    assert differences(url) == []


def test_made_at_once_or_step_by_step(url: str, model_db: ModelDB, tmp_path: Path) -> None:
    steps = f"sqlite:///{tmp_path / 'steps.db'}"
    alembic(steps, command.upgrade, "head")
    model_db.apply_schema()
    assert differences(steps) == []
    assert tables(steps) == tables(url)


def test_first_revision_is_the_original(file: Path, url: str, tmp_path: Path) -> None:
    execute(file, ORIGINAL)
    steps = f"sqlite:///{tmp_path / 'steps.db'}"
    alembic(steps, command.upgrade, migrations.REVISIONS[0])
    original = tables(url)
    versioned = tables(steps)
    del versioned["alembic_version"]
    assert versioned == original


def test_original_database_is_taken_over(
    file: Path, url: str, model_db: ModelDB, service: ModelDBService
) -> None:
    execute(file, ORIGINAL + ROWS)
    assert service.current_revision() is None
    injector = service.get_model(description="injector")
    assert service.current_revision() == migrations.HEAD
    assert differences(url) == []

    assert injector.model_id == 1
    assert injector.created.isoformat() == "2022-09-01T12:00:00+00:00"
    deployments = service.get_deployments(model_id=1)
    assert [(d.version, d.sha256, d.image, d.kind) for d in deployments] == [
        ("0.2", "bb", "inj:2", "package"),
        ("v0.1", "aa", None, "package"),
        ("old", "cc", None, "package"),
    ]
    assert service.get_live_deployment(model_id=1).version == "0.2"
    assert service.get_deployment(version="v0.1").deployment_id == 1
    assert service.get_live_deployment(model_id=5).asset_dir == "/data"
    assert service.get_flow(flow_id="f-1").project.description == "first steps"
    assert [flow.flow_name for flow in service.get_flow_of_flows(parent_flow_id="f-1")] == ["part"]

    assert service.store_model("Ada", "SLAC", "LCLS", "cu_hxr", "linac") == 5
    service.promote(3)
    assert service.get_live_deployment(model_id=1).version == "old"


def test_early_original_database_is_put_right(
    file: Path, url: str, service: ModelDBService
) -> None:
    early = (
        ORIGINAL.replace(
            "_deployment_unique UNIQUE (model_id, version)", "_sha256_unique UNIQUE (sha256)"
        )
        .replace(IDENTITY, "")
        .replace("(50)", "(255)")
        .replace("version VARCHAR(10)", "version VARCHAR(255)")
    )
    assert "_model_entry" not in early
    execute(file, early + ROWS)
    service.apply_schema()
    unique = {name: description[3] for name, description in tables(url).items()}
    assert [name for name, _ in unique["model"]] == ["_model_entry"]
    assert [name for name, _ in unique["deployment"]] == [
        "_deployment_unique",
        "_one_live_deployment",
    ]
    assert len(service.get_deployments()) == 4


def test_duplicates_of_an_early_database_are_refused(
    file: Path, url: str, service: ModelDBService
) -> None:
    twins = "UPDATE model SET description = 'twin';"
    execute(file, ORIGINAL.replace(IDENTITY, "") + ROWS + twins)
    before = tables(url)
    with pytest.raises(SchemaError, match=r"model holds the same author.*'cu_hxr', 'twin'"):
        service.apply_schema()
    assert tables(url) == before


def test_downgrade_keeps_the_rows(
    file: Path, url: str, model_db: ModelDB, service: ModelDBService, tmp_path: Path
) -> None:
    execute(file, ORIGINAL + ROWS)
    original = tables(url)
    service.apply_schema()
    service.store_deployment(5, "2.0", entry_point="linac:Model", kind="evaluate")
    model_db.close()

    alembic(url, command.downgrade, migrations.REVISIONS[0])
    downgraded = tables(url)
    del downgraded["alembic_version"]
    assert downgraded == original

    assert len(service.get_deployments()) == 5  # upgraded again on the way
    assert service.get_deployment(version="2.0").source == ""


def test_later_schema_is_refused(url: str, model_db: ModelDB, service: ModelDBService) -> None:
    service.apply_schema()
    model_db.close()
    with sqlite3.connect(sa.make_url(url).database or "") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    for use in (service.get_models, service.apply_schema):
        with pytest.raises(SchemaError, match=r"9999.*later version.*pip install --upgrade"):
            use()
    assert service.current_revision() == "9999"


def test_tables_of_something_else_are_refused(file: Path, url: str, model_db: ModelDB) -> None:
    execute(file, "CREATE TABLE project (id INTEGER PRIMARY KEY, title TEXT);")
    with pytest.raises(SchemaError, match="model has no author"):
        model_db.apply_schema()
    assert set(tables(url)) == {"project"}


def test_file_of_something_else(file: Path, model_db: ModelDB) -> None:
    file.write_bytes(b"no database at all" * 1000)
    with pytest.raises(ModelDBError, match=r"models\.db.*not a database"):
        model_db.apply_schema()


def test_old_schema_of_a_server_is_not_touched(
    url: str, model_db: ModelDB, service: ModelDBService, monkeypatch: pytest.MonkeyPatch
) -> None:
    alembic(url.replace("registry/", ""), command.upgrade, migrations.REVISIONS[0])
    server = ModelDB(ModelDBConfig(url=url.replace("registry/", "")))
    monkeypatch.setattr(ModelDB, "_is_sqlite", False)
    with pytest.raises(SchemaError, match=r"is at 0001; .*0002 .*lume-services db upgrade"):
        ModelDBService(server).get_models()
    assert server.current_revision() == "0001"
    server.close()


def test_first_use_by_many_threads(model_db: ModelDB, service: ModelDBService) -> None:
    with ThreadPoolExecutor(8) as pool:
        ids = pool.map(lambda _: service.store_model("", "", "", "", "same"), range(32))
    assert set(ids) == {1}


def test_alembic_is_not_imported_when_there_is_nothing_to_migrate(python: str, url: str) -> None:
    code = f"""
import sys
from lume_services.services.models import ModelDBService
from lume_services.services.models.db import ModelDB, ModelDBConfig
for _ in range(2):
    db = ModelDB(ModelDBConfig(url={url!r}))
    ModelDBService(db).store_model("", "", "", "", "m")
    db.close()
sys.exit("alembic" in sys.modules)
"""
    assert subprocess.run([python, "-c", code]).returncode == 0
