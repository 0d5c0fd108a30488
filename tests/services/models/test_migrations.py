"""The registry's tables: made, taken over from 0.x, upgraded, and never guessed at."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
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
from lume_services.services.models.db import migrations
from lume_services.services.models.db.schema import METADATA
from tests.services.models.conftest import registry

# The tables as LUME-services 0.x made them, and rows as it left them: every deployment of a model
# could be marked live. {key} and {date} are each database's own words.
IDENTITY = ", CONSTRAINT _model_entry UNIQUE (author, laboratory, facility, beampath, description)"
ORIGINAL = f"""
CREATE TABLE model (
    model_id {{key}}, created {{date}} DEFAULT {{now}},
    author VARCHAR(50) NOT NULL, laboratory VARCHAR(50) NOT NULL, facility VARCHAR(50) NOT NULL,
    beampath VARCHAR(50) NOT NULL, description VARCHAR(255) NOT NULL
    {IDENTITY});
CREATE TABLE project (
    project_name VARCHAR(50) NOT NULL PRIMARY KEY, description VARCHAR(255) NOT NULL);
CREATE TABLE deployment (
    deployment_id {{key}}, version VARCHAR(10) NOT NULL,
    deploy_date {{date}} DEFAULT {{now}}, package_import_name VARCHAR(50) NOT NULL,
    asset_dir VARCHAR(255), source VARCHAR(255) NOT NULL, sha256 VARCHAR(64) NOT NULL,
    image VARCHAR(100), is_live BOOLEAN NOT NULL,
    model_id INTEGER NOT NULL,
    FOREIGN KEY (model_id) REFERENCES model (model_id),
    CONSTRAINT _deployment_unique UNIQUE (model_id, version));
CREATE TABLE flow (
    flow_id VARCHAR(255) NOT NULL PRIMARY KEY, flow_name VARCHAR(50) NOT NULL,
    project_name VARCHAR(50) NOT NULL, deployment_id INTEGER NOT NULL,
    FOREIGN KEY (project_name) REFERENCES project (project_name),
    FOREIGN KEY (deployment_id) REFERENCES deployment (deployment_id));
CREATE TABLE flow_of_flows (
    _id {{key}},
    parent_flow_id VARCHAR(255) NOT NULL, flow_id VARCHAR(255) NOT NULL, position INTEGER NOT NULL,
    FOREIGN KEY (parent_flow_id) REFERENCES flow (flow_id),
    FOREIGN KEY (flow_id) REFERENCES flow (flow_id),
    CONSTRAINT _flow_of_flow_entry UNIQUE (parent_flow_id, flow_id));
"""
ROWS = """
INSERT INTO model VALUES (1, '2022-09-01 12:00:00', 'Ada', 'SLAC', 'LCLS', 'cu_hxr', 'injector');
INSERT INTO model VALUES (5, NULL, 'Ada', 'SLAC', 'LCLS', 'cu_hxr', 'linac é');
INSERT INTO project VALUES ('demo', 'first steps');
INSERT INTO deployment VALUES
    (1, 'v0.1', '2022-09-02 12:00:00', 'inj', NULL, '/a.tar.gz', 'aa', NULL, TRUE, 1),
    (2, '0.2', '2022-09-03 12:00:00', 'inj', NULL, '/b.tar.gz', 'bb', 'inj:2', TRUE, 1),
    (3, 'old', '2022-09-04 12:00:00', 'inj', NULL, '/c.tar.gz', 'cc', NULL, FALSE, 1),
    (9, '1.0', NULL, 'lin', '/data', '/d.tar.gz', 'dd', NULL, TRUE, 5);
INSERT INTO flow VALUES ('f-1', 'run', 'demo', 1), ('f-2', 'part', 'demo', 9);
INSERT INTO flow_of_flows VALUES (1, 'f-1', 'f-2', 0);
"""
WORDS = {
    "sqlite": {
        "key": "INTEGER NOT NULL PRIMARY KEY",
        "date": "DATETIME",
        "now": "CURRENT_TIMESTAMP",
    },
    "mysql": {
        "key": "INTEGER NOT NULL PRIMARY KEY AUTO_INCREMENT",
        "date": "DATETIME",
        "now": "CURRENT_TIMESTAMP",
    },
    "postgresql": {"key": "SERIAL PRIMARY KEY", "date": "TIMESTAMP WITH TIME ZONE", "now": "now()"},
}


@pytest.fixture
def url(url: str) -> str:
    """A database that exists, and is empty."""
    if url.startswith("sqlite"):
        Path(url.removeprefix("sqlite:///")).parent.mkdir()
    return url


@pytest.fixture
def service(url: str) -> Iterator[ModelDBService]:
    """A registry in it."""
    service = registry(url)
    yield service
    service._model_db.close()


@pytest.fixture
def steps_url(database: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A second empty database."""
    if database == "sqlite":
        yield f"sqlite:///{tmp_path / 'steps.db'}"
    else:
        server = request.getfixturevalue(database)
        yield server.url("lume-steps")
        server.drop("lume-steps")


def execute(url: str, script: str) -> None:
    """Run statements, as a user of the database would."""
    engine = sa.create_engine(url)
    words = WORDS[engine.dialect.name]
    with engine.begin() as connection:
        for statement in script.split(";\n"):
            if statement.strip():
                # "%" is special to two of the drivers.
                connection.exec_driver_sql(statement.replace("%", "%%").format_map(words))
        if engine.dialect.name == "postgresql" and "INSERT INTO model" in script:
            # As it is when the numbers of the rows came from there.
            for column in ("model.model_id", "deployment.deployment_id", "flow_of_flows._id"):
                table, key = column.split(".")
                connection.exec_driver_sql(
                    f"SELECT setval('{table}_{key}_seq', (SELECT max({key}) FROM {table}))"
                )
    engine.dispose()


def alembic(url: str, run: Callable[..., Any], revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", "lume_services.services.models.db:migrations")
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        run(config, revision)
    engine.dispose()


def is_now(difference: Any) -> bool:
    """MariaDB says now() in other words."""
    if not isinstance(difference, list):
        return False
    (what, *_, found, wanted) = difference[0]
    words = (str(getattr(default, "arg", default)) for default in (found, wanted))
    return what == "modify_default" and tuple(words) == ("current_timestamp()", "now()")


def differences(url: str) -> list[Any]:
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        found = compare_metadata(
            MigrationContext.configure(
                connection, opts={"compare_type": True, "compare_server_default": True}
            ),
            METADATA,
        )
    engine.dispose()
    return [difference for difference in found if not is_now(difference)]


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


def test_new_database_is_at_head(url: str, service: ModelDBService) -> None:
    service.apply_schema()
    service.store_model("", "", "", "", "first use")
    assert service.current_revision() == service.head_revision() == migrations.HEAD
    assert differences(url) == []


def test_made_at_once_or_step_by_step(url: str, service: ModelDBService, steps_url: str) -> None:
    alembic(steps_url, command.upgrade, "head")
    service.apply_schema()
    assert differences(steps_url) == []
    assert tables(steps_url) == tables(url)


def test_first_revision_is_the_original(url: str, steps_url: str) -> None:
    execute(url, ORIGINAL)
    alembic(steps_url, command.upgrade, migrations.REVISIONS[0])
    original = tables(url)
    versioned = tables(steps_url)
    del versioned["alembic_version"]
    assert versioned == original


def test_original_database_is_taken_over(url: str, service: ModelDBService) -> None:
    execute(url, ORIGINAL + ROWS)
    assert service.current_revision() is None
    service.apply_schema()
    check_taken_over(url, service)


@pytest.mark.parametrize("database", ["mariadb"])
@pytest.mark.parametrize("collation", ["latin1_swedish_ci", "utf8mb3_general_ci", "utf8mb4_bin"])
def test_original_database_of_another_collation(
    url: str, service: ModelDBService, collation: str
) -> None:
    execute(url, f"ALTER DATABASE COLLATE {collation};\n" + ORIGINAL + ROWS)
    service.apply_schema()
    check_taken_over(url, service)
    names = ("Straße", "Strasse", "STRASSE", "\U0001f642")
    assert len({service.store_project(name) for name in names}) == len(names)
    assert len(service.get_projects()) == 1 + len(names)


def test_database_at_an_earlier_revision(url: str, service: ModelDBService) -> None:
    alembic(url, command.upgrade, migrations.REVISIONS[0])
    execute(url, ROWS)
    assert service.current_revision() == migrations.REVISIONS[0]
    service.apply_schema()
    check_taken_over(url, service)


def check_taken_over(url: str, service: ModelDBService) -> None:
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

    assert service.store_model("Ada", "SLAC", "LCLS", "cu_hxr", "linac é") == 5
    now = datetime.now(UTC)
    assert timedelta(0) < now - service.get_model(model_id=5).created < timedelta(minutes=2)
    assert service.store_model("Ada", "SLAC", "LCLS", "cu_hxr", "LINAC É") == 6
    assert service.store_deployment(6, "1.0") > 9
    service.promote(3)
    assert service.get_live_deployment(model_id=1).version == "old"


def test_early_original_database_is_put_right(url: str, service: ModelDBService) -> None:
    early = (
        ORIGINAL.replace(
            "_deployment_unique UNIQUE (model_id, version)", "_sha256_unique UNIQUE (sha256)"
        )
        .replace(IDENTITY, "")
        .replace("(50)", "(255)")
        .replace("version VARCHAR(10)", "version VARCHAR(255)")
    )
    assert "_model_entry" not in early
    execute(url, early + ROWS)
    service.apply_schema()
    unique = {name: description[3] for name, description in tables(url).items()}
    assert [name for name, _ in unique["model"]] == ["_model_entry"]
    assert [name for name, _ in unique["deployment"]] == [
        "_deployment_unique",
        "_one_live_deployment",
    ]
    assert len(service.get_deployments()) == 4


def test_duplicates_of_an_early_database_are_refused(url: str, service: ModelDBService) -> None:
    twins = "UPDATE model SET description = 'twin';\n"
    execute(url, ORIGINAL.replace(IDENTITY, "") + ROWS + twins)
    before = tables(url)
    with pytest.raises(SchemaError, match=r"model holds the same author.*'cu_hxr', 'twin'"):
        service.apply_schema()
    after = tables(url)
    after.pop("alembic_version", None)  # which says nothing yet
    assert after == before
    assert service.current_revision() in (None, migrations.REVISIONS[0])


def test_downgrade_keeps_the_rows(url: str, service: ModelDBService) -> None:
    execute(url, ORIGINAL + ROWS)
    original = tables(url)
    service.apply_schema()
    service.store_deployment(5, "2.0", entry_point="linac:Model", kind="evaluate")
    service._model_db.close()

    alembic(url, command.downgrade, migrations.REVISIONS[0])
    downgraded = tables(url)
    del downgraded["alembic_version"]
    assert downgraded == original

    service.apply_schema()
    assert len(service.get_deployments()) == 5
    assert service.get_deployment(version="2.0").source == ""


def test_later_schema_is_refused(url: str, service: ModelDBService) -> None:
    service.apply_schema()
    service._model_db.close()
    execute(url, "UPDATE alembic_version SET version_num = '9999'")
    for use in (service.get_models, service.apply_schema, service.check_schema):
        with pytest.raises(SchemaError, match=r"9999.*later version.*pip install --upgrade"):
            use()
    assert service.current_revision() == "9999"


def test_tables_of_something_else_are_refused(url: str, service: ModelDBService) -> None:
    execute(url, "CREATE TABLE project (id INTEGER PRIMARY KEY, title VARCHAR(10))")
    with pytest.raises(SchemaError, match="model has no author"):
        service.apply_schema()
    assert set(tables(url)) == {"project"}


def test_other_tables_are_left_alone(url: str, service: ModelDBService) -> None:
    execute(url, "CREATE TABLE dependency (id INTEGER PRIMARY KEY, title VARCHAR(10))")
    execute(url, ORIGINAL + ROWS)
    service.apply_schema()
    assert "dependency" in tables(url)


@pytest.mark.parametrize("database", ["sqlite"])
def test_file_of_something_else(url: str, service: ModelDBService) -> None:
    Path(url.removeprefix("sqlite:///")).write_bytes(b"no database at all" * 1000)
    with pytest.raises(ModelDBError, match=r"models\.db.*not a database"):
        service.apply_schema()


@pytest.mark.parametrize("database", ["mariadb", "postgresql"])
def test_tables_of_a_server_are_not_touched_unasked(url: str, service: ModelDBService) -> None:
    for use in (service.get_models, service.check_schema):
        with pytest.raises(SchemaError, match=r"has no tables.*0003 .*lume-services db upgrade"):
            use()
    alembic(url, command.upgrade, migrations.REVISIONS[0])
    for use in (service.get_models, service.check_schema):
        with pytest.raises(SchemaError, match=r"is at 0001; .*0003 .*lume-services db upgrade"):
            use()
    assert service.current_revision() == "0001"
    service.apply_schema()
    service.check_schema()


@pytest.mark.parametrize("database", ["sqlite"])
def test_first_use_by_many_threads(service: ModelDBService) -> None:
    with ThreadPoolExecutor(8) as pool:
        ids = pool.map(lambda _: service.store_model("", "", "", "", "same"), range(32))
    assert set(ids) == {1}


def test_alembic_is_not_imported_when_there_is_nothing_to_migrate(python: str, url: str) -> None:
    code = """
import sys
url = sys.stdin.read()
from lume_services.services.models import ModelDBService
from lume_services.services.models.db import ModelDB, ModelDBConfig
for _ in range(2):
    db = ModelDB(ModelDBConfig(url=url))
    db.apply_schema()
    ModelDBService(db).store_model("", "", "", "", "m")
    db.close()
sys.exit("alembic" in sys.modules)
"""
    assert subprocess.run([python, "-c", code], input=url, text=True).returncode == 0
