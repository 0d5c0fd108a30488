"""``lume-services config check`` says of each service what is right and what is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.commands import Run
from tests.servers import SFTP, MariaDB


def by_service(checks: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {check["service"]: check for check in checks}


def test_embedded_services_answer(run: Run, lume_home: Path) -> None:
    done = run("config", "check", "--json")
    assert done.code == 0, done.err
    checks = by_service(done.json)
    assert list(checks) == ["model registry", "results database", "files 'local'", "scheduling"]
    assert all(check["ok"] and check["reachable"] for check in checks.values())
    for name in ("model registry", "results database", "files 'local'"):
        assert checks[name]["writable"] is True
        assert 0 < checks[name]["latency_ms"] < 1000
        assert str(lume_home) in checks[name]["address"]
    assert checks["model registry"]["version"].startswith("SQLite 3.")
    assert checks["model registry"]["schema"] == "0003"


def test_nothing_is_left_behind(run: Run, lume_home: Path) -> None:
    assert run("config", "check").code == 0
    assert run("models", "list", "--json").json == []
    assert run("results", "list", "--project", "lume-services-check", "--json").json == []
    assert not list((lume_home / "files").iterdir())


def test_shared_services_answer(
    run: Run,
    mariadb_url: str,
    mongodb_url: str,
    sftp: SFTP,
    sftp_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LUME_MODEL_DB__URL", mariadb_url)
    monkeypatch.setenv("LUME_RESULTS_DB__URL", mongodb_url)
    monkeypatch.setenv("LUME_FILESYSTEMS__LAB__URL", sftp_url)
    for name, value in sftp.options.items():
        monkeypatch.setenv(f"LUME_FILESYSTEMS__LAB__OPTIONS__{name.upper()}", value)
    before = run("config", "check")
    assert before.code == 1
    assert "lume-services db upgrade" in before.err
    assert run("db", "upgrade").code == 0
    done = run("config", "check", "--json")
    assert done.code == 0, done.out
    checks = by_service(done.json)
    assert checks["model registry"]["version"].startswith("MariaDB 10.")
    assert checks["model registry"]["schema"] == "0003"
    assert checks["results database"]["version"].startswith("MongoDB ")
    for name in ("model registry", "results database", "files 'lab'"):
        assert checks[name]["writable"] is True, checks[name]


def test_service_that_is_away_is_told_and_the_others_too(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUME_MODEL_DB__URL", "mysql+pymysql://anna@127.0.0.1:9/registry")
    monkeypatch.setenv("LUME_MODEL_DB__PASSWORD", "hidden")
    done = run("config", "check", "--json")
    assert done.code == 1
    checks = by_service(done.json)
    registry = checks.pop("model registry")
    assert not registry["reachable"]
    assert "LUME_MODEL_DB__URL" in registry["problem"]
    assert registry["address"] == "mysql+pymysql://anna@127.0.0.1:9/registry"
    assert "hidden" not in done.out
    assert all(check["ok"] for check in checks.values())


def test_user_who_may_only_read_is_told(
    run: Run, mariadb: MariaDB, mariadb_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = mariadb_url.rpartition("/")[2]
    monkeypatch.setenv("LUME_MODEL_DB__URL", mariadb_url)
    assert run("db", "upgrade").code == 0
    reader = f"r{database[-8:]}"
    mariadb.execute(
        f"CREATE USER '{reader}'@'%' IDENTIFIED BY '{mariadb.password}'",
        f"GRANT SELECT ON `{database}`.* TO '{reader}'@'%'",
    )
    monkeypatch.setenv(
        "LUME_MODEL_DB__URL",
        f"mysql+pymysql://{reader}@{mariadb.host}:{mariadb.port}/{database}",
    )
    monkeypatch.setenv("LUME_MODEL_DB__PASSWORD", mariadb.password)
    done = run("config", "check", "--json")
    assert done.code == 1
    registry = by_service(done.json)["model registry"]
    assert registry["reachable"]
    assert registry["writable"] is False
    assert "denied" in registry["problem"]
