"""What the page on the registry tells to type, typed: users, tables, backup and restore."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest

from lume_services.errors import ConfigurationError
from lume_services.services.models import ModelDBService
from lume_services.services.models.db.schema import METADATA
from tests.servers import MariaDB, PostgreSQL
from tests.servers._server import missing
from tests.services.models.conftest import registry
from tests.services.models.test_migrations import ORIGINAL, ROWS, check_taken_over, execute

PAGE = (Path(__file__).parents[3] / "docs" / "registry.md").read_text()
ADMIN, USER = "a-secret", "another-secret"


def blocks(after: str, *, until: str, kind: str = "") -> list[str]:
    """The examples in a part of the page."""
    part = PAGE.partition(after)[2].partition(until)[0]
    assert part, after
    return re.findall(rf"```{kind}\n(.*?)```", part, flags=re.DOTALL)


@pytest.fixture(params=["mariadb", "postgresql"])
def database(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def shared(server: MariaDB | PostgreSQL) -> Iterator[tuple[str, str]]:
    """URLs of a registry as the page says to make it: the administrator's and everybody's."""
    heading = "### 1. Make a database"
    if isinstance(server, MariaDB):
        (sql,) = blocks(f"{heading}", until="PostgreSQL, as an", kind="sql")
        server.execute(*filter(str.strip, sql.split(";\n")))
        scheme = "mysql+pymysql"
    else:
        sql, inside = blocks("PostgreSQL, as an administrator", until="### 2", kind="sql")
        server.execute(*filter(str.strip, sql.split(";\n")))
        scheme = "postgresql+psycopg"
    place = f"{server.host}:{server.port}/registry"
    admin, user = (
        f"{scheme}://{name}:{password}@{place}"
        for name, password in {"lume_admin": ADMIN, "lume_user": USER}.items()
    )
    if isinstance(server, PostgreSQL):
        execute(admin, inside)
    yield admin, user
    server.drop("registry")
    for name in ("lume_user", "lume_admin"):
        server.execute(f"DROP USER {name}")


def fill(service: ModelDBService, versions: range) -> None:
    model_id = service.store_model("Ada", "SLAC", "LCLS", "cu_hxr", "injector ü")
    service.store_project("p")
    for number in versions:
        deployment_id = service.store_deployment(
            model_id, f"{number}.0", is_live=True, variables={"x": {"value_range": [0, 1e300]}}
        )
        service.store_flow(deployment_id=deployment_id, flow_name="run", project_name="p")


def rows(service: ModelDBService) -> dict[str, list[tuple[object, ...]]]:
    with service._model_db.connection() as connection:
        return {
            table.name: sorted(map(tuple, connection.execute(table.select())), key=repr)
            for table in METADATA.sorted_tables
        }


@pytest.mark.parametrize("original", [False, True], ids=["empty", "original"])
def test_users_have_the_rights_they_need(shared: tuple[str, str], original: bool) -> None:
    admin, user = map(registry, shared)
    if original:
        execute(shared[0], ORIGINAL + ROWS)
    with pytest.raises(ConfigurationError, match=r"denied|permission"):
        user.apply_schema()
    admin.apply_schema()
    user.check_schema()
    if original:
        check_taken_over(shared[0], user)
    fill(user, range(2, 5))
    user.promote(user.get_deployment(version="3.0").deployment_id)
    user._model_db.check_writable()
    for service in (admin, user):
        service._model_db.close()


def run(command: str, folder: Path, server: MariaDB | PostgreSQL) -> None:
    program = re.search(r"^(pg_\w+|mariadb\S*|python)", command, flags=re.MULTILINE)
    assert program is not None
    if shutil.which(program[1]) is None:
        missing(program[1], server.install)
    ports = {"PGPORT": str(server.port), "MYSQL_TCP_PORT": str(server.port)}
    command = command.replace("db.lab", server.host)
    subprocess.run(
        ["sh", "-ec", command],
        cwd=folder,
        check=True,
        env={**os.environ, **ports},
        capture_output=True,
        timeout=120,
    )


def test_backup_while_it_is_used(
    shared: tuple[str, str], server: MariaDB | PostgreSQL, tmp_path: Path
) -> None:
    name = "MariaDB and MySQL" if isinstance(server, MariaDB) else "PostgreSQL"
    after = f"**{name}**:"
    until = "**PostgreSQL**:" if isinstance(server, MariaDB) else "## Migrations"
    options, backup, restore = blocks(after, until=until)
    file = tmp_path / ("registry.cnf" if isinstance(server, MariaDB) else "registry.pgpass")
    file.write_text(options.replace("db.lab", server.host))
    file.chmod(0o600)
    service = registry(shared[0])
    service.apply_schema()
    fill(service, range(20))
    before = rows(service)
    stop = Event()
    writer = Thread(
        target=lambda: [fill(registry(shared[1]), range(n, n + 1)) for n in _until(stop)]
    )
    writer.start()
    try:
        run(backup, tmp_path, server)
    finally:
        stop.set()
        writer.join()
    after_it = rows(service)
    assert len(after_it["flow"]) > len(before["flow"])

    service._model_db.close()
    _make_anew(server)
    run(restore, tmp_path, server)
    service.check_schema()
    restored = rows(service)
    for table, known in before.items():
        # What was live then is not any more; a later one is.
        keys = {row[0] for row in known}
        assert keys <= {row[0] for row in restored[table]}
        assert {row[0] for row in restored[table]} <= {row[0] for row in after_it[table]}
    # At one moment: each deployment but the last has its flow, and one is live.
    assert len(restored["deployment"]) - len(restored["flow"]) in (0, 1)
    assert len(service.get_deployments(is_live=True)) == 1
    fill(service, range(1000, 1003))
    stop.clear()
    service._model_db.close()

    # And when nobody writes, what is restored is what was there, value for value.
    before = rows(service)
    for old in tmp_path.glob("backup.*"):
        old.unlink()
    run(backup, tmp_path, server)
    service._model_db.close()
    _make_anew(server)
    run(restore, tmp_path, server)
    assert rows(service) == before
    service._model_db.close()


def _until(stop: Event) -> Iterator[int]:
    number = 100
    while not stop.is_set():
        number += 1
        yield number


def _make_anew(server: MariaDB | PostgreSQL) -> None:
    server.drop("registry")
    owner = "" if isinstance(server, MariaDB) else " OWNER lume_admin"
    server.execute(f"CREATE DATABASE registry{owner}")


def test_backup_of_sqlite(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/models.db"
    service = registry(url)
    fill(service, range(20))
    (command,) = blocks("**SQLite**:", until="To restore")
    with service._model_db.connection(write=True):  # in use
        subprocess.run(["sh", "-ec", command], cwd=tmp_path, check=True, timeout=60)
    restored = registry(url.replace("models", "backup"))
    restored.check_schema()
    assert rows(restored) == rows(service)
    for one in (service, restored):
        one._model_db.close()
