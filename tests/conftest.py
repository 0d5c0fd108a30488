"""What every test gets: a private LUME_HOME, no LUME_* variable of the caller, no service left."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from lume_services.context import context
from tests.commands import Run, runner
from tests.servers import S3, SFTP, MariaDB, MongoDB, PostgreSQL, Server
from tests.shown import pytest_runtest_makereport, watched  # noqa: F401 - for every test


@pytest.fixture(autouse=True)
def lume_home(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A LUME_HOME of this test's own; the services are closed and forgotten afterwards."""
    for name in list(os.environ):
        if name.upper().startswith("LUME_") and not name.upper().startswith("LUME_TEST_"):
            monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("lume-home")
    monkeypatch.setenv("LUME_HOME", str(home))
    # So that a Prefect engine run, where a test starts one, never touches the user's own folder.
    monkeypatch.setenv("PREFECT_HOME", str(home / "prefect"))
    secrets = tmp_path_factory.mktemp("no-secrets")
    monkeypatch.setenv("LUME_SECRETS_DIR", str(secrets))
    yield home
    context.close()
    context._settings = None


class _CurrentStderr(io.TextIOBase):
    """Whatever ``sys.stderr`` is at the time of writing."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)


@pytest.fixture(autouse=True)
def prefect_log_follows_stderr() -> None:
    """Prefect logs to the stderr of when it was set up, and pytest has a new one each test."""
    for handler in logging.getLogger().handlers:
        if console := getattr(handler, "console", None):
            console.file = _CurrentStderr()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process."""
    return runner(monkeypatch, capsys)


@pytest.fixture
def python() -> str:
    """The interpreter to start other processes with."""
    return sys.executable


# Servers: one of a kind for each process of pytest that asks for it, and a fresh database for
# each test. Tests that kill a server start their own.


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDB]:
    """A MariaDB server."""
    with MariaDB(tmp_path_factory.mktemp("mariadb")) as server:
        yield server


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgreSQL]:
    """A PostgreSQL server."""
    with PostgreSQL(tmp_path_factory.mktemp("postgresql")) as server:
        yield server


@pytest.fixture(scope="session")
def mongodb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoDB]:
    """A MongoDB server."""
    with MongoDB(tmp_path_factory.mktemp("mongodb")) as server:
        yield server


@pytest.fixture(scope="session")
def sftp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SFTP]:
    """An SFTP server."""
    with SFTP(tmp_path_factory.mktemp("sftp")) as server:
        yield server


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """An S3 server."""
    with S3(tmp_path_factory.mktemp("s3")) as server:
        yield server


def _fresh(server: Server) -> Iterator[str]:
    name = f"lume-{uuid4().hex}"
    yield server.url(name)
    server.drop(name)


@pytest.fixture
def mariadb_url(mariadb: MariaDB) -> Iterator[str]:
    """URL of an empty database of MariaDB."""
    yield from _fresh(mariadb)


@pytest.fixture
def postgresql_url(postgresql: PostgreSQL) -> Iterator[str]:
    """URL of an empty database of PostgreSQL."""
    yield from _fresh(postgresql)


@pytest.fixture
def mongodb_url(mongodb: MongoDB) -> Iterator[str]:
    """URL of an empty database of MongoDB."""
    yield from _fresh(mongodb)


@pytest.fixture
def sftp_url(sftp: SFTP) -> Iterator[str]:
    """URL of an empty folder of the SFTP server."""
    yield from _fresh(sftp)


@pytest.fixture
def s3_url(s3: S3) -> Iterator[str]:
    """URL of an empty bucket."""
    yield from _fresh(s3)
