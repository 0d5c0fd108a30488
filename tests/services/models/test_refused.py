"""A setting that is wrong: one line that names it, soon, without the password."""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from sqlalchemy import make_url

from lume_services.errors import (
    ConfigurationError,
    LUMEServicesError,
    ModelDBUnavailableError,
    ModelDBUnreachableError,
)
from lume_services.services.models import ModelDBService
from lume_services.services.models.db import ModelDB, ModelDBConfig
from tests.servers import MariaDB, PostgreSQL
from tests.services.models.conftest import registry

WRONG = "wr0ng-p4ssw0rd/%"


@pytest.fixture(params=["mariadb", "postgresql"])
def database(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Case:
    change: dict[str, object]
    named: tuple[str, ...]
    error: type[LUMEServicesError] = ConfigurationError


CASES: dict[str, Callable[[], Case]] = {
    "password": lambda: Case({"password": WRONG}, ("PASSWORD", "USER")),
    "user": lambda: Case({"username": "nobody"}, ("USER",)),
    "database": lambda: Case({"database": "no-such"}, ("DATABASE",)),
    "port": lambda: Case({"port": free_port()}, ("PORT", "HOST"), ModelDBUnreachableError),
    # Names that end in .invalid are no host's (RFC 2606).
    "host": lambda: Case({"host": "db.invalid"}, ("HOST",)),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("by", ["parts", "url"])
def test_is_named(url: str, case: str, by: str, caplog: pytest.LogCaptureFixture) -> None:
    wrong = CASES[case]()
    caplog.set_level(logging.DEBUG)
    place = make_url(url).set(**wrong.change)
    secrets = [str(place.password), place.render_as_string(False).split(":")[2].split("@")[0]]
    if by == "url":
        config = ModelDBConfig(url=place.render_as_string(hide_password=False))
        variables = ["LUME_MODEL_DB__URL"]
        variables += ["LUME_MODEL_DB__PASSWORD"] if case == "password" else []
    else:
        config = ModelDBConfig(
            host=place.host,
            port=place.port,
            user=place.username,
            password=place.password,
            database=place.database,
            dialect_str=place.drivername,
        )
        variables = [f"LUME_MODEL_DB__{name}" for name in wrong.named]
    model_db = ModelDB(config)
    service = ModelDBService(model_db)
    for use in (service.get_models, service.apply_schema, service.current_revision):
        start = time.monotonic()
        with pytest.raises(ConfigurationError) as raised:
            use()
        assert time.monotonic() - start < 5
        assert isinstance(raised.value, wrong.error)
        message = str(raised.value)
        assert "\n" not in message
        assert not [name for name in variables if name not in message]
        shown = "".join(traceback.format_exception(raised.value))
        shown += f"{model_db!r} {raised.value!r} {caplog.text}"
        assert not [secret for secret in secrets if secret in shown]


@pytest.mark.parametrize(
    ("change", "named", "code"),
    [
        ({"password": WRONG}, "LUME_MODEL_DB__PASSWORD", 2),
        ({"database": "no-such"}, "LUME_MODEL_DB__DATABASE", 2),
        ({"port": 1}, "LUME_MODEL_DB__PORT", 1),  # the server may be away
    ],
    ids=["password", "database", "port"],
)
def test_on_the_command_line(
    url: str,
    python: str,
    change: dict[str, object],
    named: str,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = make_url(url).set(**change)
    for name, value in {
        "HOST": place.host,
        "PORT": place.port,
        "USER": place.username,
        "PASSWORD": place.password,
        "DATABASE": place.database,
        "DIALECT_STR": place.drivername,
    }.items():
        monkeypatch.setenv(f"LUME_MODEL_DB__{name}", str(value))
    done = subprocess.run(
        [python, "-m", "lume_services", "db", "check"], capture_output=True, text=True
    )
    assert done.returncode == code
    assert done.stderr.count("\n") == 1
    assert named in done.stderr
    assert str(place.password) not in done.stderr + done.stdout


def test_rights(url: str, server: MariaDB | PostgreSQL) -> None:
    place = make_url(url)
    user = f"guest_{time.monotonic_ns()}"
    if isinstance(server, MariaDB):
        server.execute(
            f"CREATE USER {user} IDENTIFIED BY 'guest-pw'",
            f"GRANT SELECT ON `{place.database}`.* TO {user}",
        )
    else:
        server.execute(f"CREATE USER {user} PASSWORD 'guest-pw'")
    guest = registry(
        place.set(username=user, password="guest-pw").render_as_string(hide_password=False)
    )
    with pytest.raises(ConfigurationError, match=r"denied.*See LUME_MODEL_DB__URL\.$"):
        guest.apply_schema()
    registry(url).apply_schema()
    with pytest.raises(ConfigurationError, match="denied"):
        guest._model_db.check_writable()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["mysql+pymysql", "postgresql+psycopg"])
def test_server_that_never_answers(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        place = f"127.0.0.1:{silent.getsockname()[1]}"
        service = registry(f"{scheme}://lume:{WRONG}@{place}/registry", timeout_s=2)
        start = time.monotonic()
        told = r"See that the server runs, and LUME_MODEL_DB__URL\.$"
        with pytest.raises(ModelDBUnreachableError, match=told) as raised:
            service.get_models()
        assert time.monotonic() - start < 2 + 1
        assert isinstance(raised.value, ConnectionError)


def test_lost_server_is_no_mistake_of_the_user(url: str) -> None:
    service = registry(url, retry_s=0)
    service.apply_schema()
    service._model_db._url = service._model_db._url.set(port=free_port())
    service._model_db.close()
    with pytest.raises(ModelDBUnavailableError) as raised:
        service.store_project("p")
    assert not isinstance(raised.value, ConfigurationError)


@pytest.mark.slow
def test_check_of_the_schema(url: str, python: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUME_MODEL_DB__URL", url)

    def run(*arguments: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [python, "-m", "lume_services", "db", *arguments], capture_output=True, text=True
        )
        return done.returncode, done.stdout, done.stderr

    code, _, error = run("check")
    assert (code, error.count("\n")) == (1, 1)
    assert "Run: lume-services db upgrade" in error
    assert run("upgrade")[0] == 0
    code, out, _ = run("check", "--json")
    assert (code, json.loads(out)) == (
        0,
        {"ok": True, "current": "0003", "wanted": "0003", "problem": None},
    )
