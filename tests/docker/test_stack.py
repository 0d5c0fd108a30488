"""The compose file and its commands, as far as no container is needed to see what they do."""

from __future__ import annotations

import io
import re
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.commands import Run
from tests.servers._docker import need_compose

from lume_services.config import LUMEServicesSettings
from lume_services.docker import DEFAULT_IMAGE, Stack, _settings
from lume_services.docker._compose import Compose
from lume_services.docker._settings import of_compose, of_users
from lume_services.docker.files import DOCKER_COMPOSE

STACK: Any = yaml.safe_load(DOCKER_COMPOSE.read_text())
SERVICES: dict[str, Any] = STACK["services"]
DATABASES = ("mysql", "mongodb", "prefect-database")


@pytest.fixture
def docker_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program in the place of Docker's, whose daemon has one volume; the file of what it ran."""
    said = tmp_path / "said"
    said.touch()
    program = tmp_path / "bin/docker"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\necho "$@" >>{said}\n[ "$1" != volume ] || echo lume-services_mysql\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return said


def test_the_file_is_that_of_the_current_specification() -> None:
    assert DOCKER_COMPOSE.name == "docker-compose.yml"
    assert "version" not in STACK
    assert set(SERVICES) == {*DATABASES, "prefect", "worker"}
    assert set(STACK["volumes"]) == {*DATABASES, "worker"}


def test_the_compose_program_reads_it(tmp_path: Path) -> None:
    need_compose()
    compose = Compose("any", [DOCKER_COMPOSE], tmp_path, of_compose(Stack().folder))
    images = compose.images()
    assert images["worker"] == DEFAULT_IMAGE
    assert images["prefect"].startswith("prefecthq/prefect:3.")
    assert set(images) == set(SERVICES)


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_has_a_health_check_and_starts_again(name: str) -> None:
    service = SERVICES[name]
    assert service["healthcheck"]["test"]
    assert service["restart"] == "unless-stopped"
    for needed in service.get("depends_on", {}).values():
        assert needed == {"condition": "service_healthy"}
    for volume in service.get("volumes", []):
        assert isinstance(volume, dict) or volume.partition(":")[0] in STACK["volumes"]


def test_versions_are_pinned() -> None:
    images = {name: service["image"] for name, service in SERVICES.items()}
    del images["worker"]  # that of this version
    for image in images.values():
        assert re.search(r":(\$\{\w+:-)?\d+\.\d+[\w.-]*\}?$", image), image
    assert DEFAULT_IMAGE.startswith("lume-services:1.")


def test_ports_are_published_on_loopback_only() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(published) == 3
    for port in published:
        assert re.fullmatch(r"127\.0\.0\.1:\$\{LUME_\w+PORT:-(\d+)\}:\1", port), port


def test_no_password_is_in_the_file_nor_in_an_environment() -> None:
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if "PASSWORD" in name:
                assert name.endswith("_FILE")
                assert value.startswith("/run/secrets/")
    for secret in STACK["secrets"].values():
        assert list(secret) == ["file"]
    # Command lines have the name of a file, and what reads it is no process of its own.
    for line in DOCKER_COMPOSE.read_text().splitlines():
        if "PASSWORD=" in line or "_PWD=" in line:
            assert '"$$(cat /run/secrets/' in line


def test_secrets_are_files_of_their_user(lume_home: Path) -> None:
    folder = Stack().folder
    assert folder.path == lume_home / "docker/lume-services"
    passwords = folder.passwords()
    folder.write_variables(of_users(of_compose(folder), passwords))
    folder.write_start(persist=False, files=[])
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in folder.path.rglob("*")}
    assert {modes[path] for path in modes if path.is_file()} == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder.path, folder.secrets)} == {0o700}
    assert len(set(passwords.values())) == len(STACK["secrets"]) == 4
    assert set(passwords) == set(STACK["secrets"])
    assert min(map(len, passwords.values())) >= 32
    assert Stack().folder.passwords() == passwords, "made once"
    (folder.secrets / "mysql_password").chmod(0o644)
    folder.passwords()
    assert stat.S_IMODE((folder.secrets / "mysql_password").stat().st_mode) == 0o600


def test_the_env_file_is_read_by_the_settings(
    lume_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUME_MODEL_DB__PORT", "13306")
    monkeypatch.setenv("LUME_MOUNTED_FILESYSTEM__MOUNT_PATH", "it's here")
    folder = Stack().folder
    passwords = folder.passwords()
    folder.write_variables(of_users(of_compose(folder), passwords))
    for name in ("LUME_MODEL_DB__PORT", "LUME_MOUNTED_FILESYSTEM__MOUNT_PATH", "LUME_HOME"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("LUME_ENV_FILE", str(folder.env_file))
    settings = LUMEServicesSettings()
    assert settings.backend == "process"
    assert settings.home == lume_home
    assert settings.model_db is not None
    assert (settings.model_db.host, settings.model_db.port) == ("127.0.0.1", 13306)
    assert settings.model_db.password is not None
    assert settings.model_db.password.get_secret_value() == passwords["mysql_password"]
    assert settings.results_db is not None
    assert settings.results_db.password is not None
    assert settings.results_db.password.get_secret_value() == passwords["mongodb_password"]
    assert settings.prefect is not None
    assert settings.prefect.api_url == "http://127.0.0.1:4200/api"
    assert settings.mounted_filesystem is not None
    assert settings.mounted_filesystem.mount_path == Path.cwd() / "it's here"
    assert settings.mounted_filesystem.mount_alias == Path("/lume/files")


def test_ports_stay_those_of_the_last_start(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Stack().folder
    monkeypatch.setenv("LUME_RESULTS_DB__PORT", "17017")
    monkeypatch.setenv("LUME_PREFECT__DEFAULT_IMAGE", "lume-services:mine")
    folder.write_variables(of_users(of_compose(folder), folder.passwords()))
    monkeypatch.delenv("LUME_RESULTS_DB__PORT")
    monkeypatch.delenv("LUME_PREFECT__DEFAULT_IMAGE")
    told = of_compose(folder)
    assert told["LUME_RESULTS_DB__PORT"] == "17017"
    assert told["LUME_PREFECT__DEFAULT_IMAGE"] == "lume-services:mine"
    assert not [text for text in told.values() if text in folder.passwords().values()]


def test_variables_that_win_over_the_env_file_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = Stack()
    stack.folder.write_variables(of_users(of_compose(stack.folder), stack.folder.passwords()))
    monkeypatch.setenv("LUME_MODEL_DB__PORT", "3306")
    assert stack.hidden() == []
    monkeypatch.setenv("lume_model_db__host", "db.lab.example")
    monkeypatch.setenv("LUME_MODEL_DB__URL", "sqlite:///elsewhere.db")
    assert stack.hidden() == ["LUME_MODEL_DB__HOST", "LUME_MODEL_DB__URL"]


@pytest.mark.parametrize("verb", ["start-services", "stop", "status", "logs"])
def test_without_docker(verb: str, run: Run, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    answer = run("docker", verb)
    assert answer.code == 1
    assert answer.err.startswith("Error: Docker is not installed")


@pytest.mark.parametrize("verb", ["start-services", "stop", "status", "logs"])
def test_docker_that_does_not_answer(
    verb: str, run: Run, docker_says: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = docker_says.parent / "bin/docker"
    program.write_text("#!/bin/sh\necho 'Cannot connect to the Docker daemon' >&2; exit 1\n")
    answer = run("docker", verb)
    assert answer.code == 1
    assert answer.err.startswith("Error: Docker does not answer: Cannot connect")
    assert "DOCKER_HOST" in answer.err


def test_without_compose(run: Run, docker_says: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = docker_says.parent / "bin/docker"
    monkeypatch.setenv("PATH", str(program.parent))
    program.write_text('#!/bin/sh\ncase "$1" in compose) exit 1;; esac\n')
    answer = run("docker", "status")
    assert answer.code == 1
    assert answer.err.startswith("Error: Docker Compose is not installed")
    assert "docker-compose" in answer.err


def test_the_plugin_is_preferred(docker_says: Path, tmp_path: Path) -> None:
    older = docker_says.parent / "bin/docker-compose"
    older.write_text("#!/bin/sh\nexit 1\n")
    older.chmod(0o755)
    Compose("lume-services", [DOCKER_COMPOSE], tmp_path, {}).run("down")
    assert docker_says.read_text().splitlines()[-1].startswith("compose --project-name=")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("LUME_MODEL_DB__PORT", "many"),
        ("LUME_RESULTS_DB__PORT", "65536"),
        ("LUME_PREFECT__SERVER__TAG", "core-1.2.4"),
        ("LUME_MOUNTED_FILESYSTEM__MOUNT_TYPE", "Folder"),
    ],
)
def test_a_wrong_variable_is_named(
    variable: str, value: str, run: Run, docker_says: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    answer = run("docker", "start-services")
    assert answer.code == 2
    assert f"{variable}={value!r}" in answer.err


def test_a_driver_that_is_not_installed_is_named_before_anything_starts(
    run: Run, docker_says: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_settings, "find_spec", lambda name: name != "pymysql")
    answer = run("docker", "start-services")
    assert answer.code == 2
    assert "'pymysql'" in answer.err
    assert "pip install 'lume-services[docker,mysql,mongodb]'" in answer.err
    assert docker_says.read_text() == ""


def test_a_folder_that_cannot_be_read_is_named(run: Run, docker_says: Path) -> None:
    folder = Stack().folder
    folder.passwords()
    folder.env_file.mkdir()
    answer = run("docker", "status")
    assert answer.code == 1
    assert answer.err.startswith(f"Error: {folder.env_file} cannot be read: ")


def test_compose_files_stay_those_of_the_last_start(
    run: Run, docker_says: Path, tmp_path: Path
) -> None:
    folder = Stack().folder
    folder.passwords()
    other = tmp_path / "limits.yml"
    other.write_text("services: {}")
    folder.write_start(persist=True, files=[other])
    run("docker", "stop")
    assert f"--file={other} down" in docker_says.read_text()
    other.unlink()
    answer = run("docker", "start-services")
    assert answer.code == 2
    assert f"There is no file '{other}'" in answer.err
    assert run("docker", "stop").code == 0


def test_a_wrong_name_of_a_stack(run: Run) -> None:
    answer = run("docker", "status", "--project", "My Stack")
    assert answer.code == 2
    assert "'My Stack'" in answer.err


def test_passwords_that_are_lost_are_told_of(run: Run, docker_says: Path, lume_home: Path) -> None:
    answer = run("docker", "start-services")
    assert answer.code == 1
    assert "lume-services_mysql" in answer.err
    assert str(lume_home / "docker/lume-services/secrets") in answer.err
    assert "stop --project lume-services --delete" in answer.err
    assert " up " not in docker_says.read_text()


@pytest.mark.parametrize(
    ("arguments", "persists", "answered", "deletes"),
    [
        ((), False, "y\n", True),
        ((), False, "\n", False),
        ((), False, None, False),
        ((), True, "y\n", False),
        (("--delete",), False, None, True),
        (("--delete",), True, None, True),
    ],
    ids=["yes", "no", "nobody to ask", "persists", "delete", "delete what persists"],
)
def test_nothing_is_deleted_unasked(
    arguments: tuple[str, ...],
    persists: bool,
    answered: str | None,
    deletes: bool,
    run: Run,
    docker_says: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = Stack().folder
    passwords = folder.passwords()
    folder.write_start(persist=persists, files=[])
    terminal = io.StringIO(answered)
    monkeypatch.setattr(terminal, "isatty", lambda: answered is not None)
    monkeypatch.setattr(sys, "stdin", terminal)
    answer = run("docker", "stop", *arguments)
    assert answer.code == 0
    assert ("is deleted" in answer.err) == deletes
    assert ("is kept" in answer.err) == (not deletes)
    (down,) = (line for line in docker_says.read_text().splitlines() if " down " in line)
    assert ("--volumes" in down) == deletes
    assert folder.has_passwords() != deletes
    assert deletes or folder.passwords() == passwords
