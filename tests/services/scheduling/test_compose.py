"""A whole stack by the packaged compose file, on images that take the place of official ones."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.servers import Docker
from tests.servers._docker import need_compose
from tests.servers.images import ROOT, stack_images_of

from lume_services.config import configure, context
from lume_services.models import Model
from lume_services.results import Result
from lume_services.services.scheduling.backends import RunState

# The first time, images are made.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
_SOON_S = 60.0
_INPUTS = {"xp": 1e-3, "kick": 2.5e-4}


@dataclass
class Done:
    code: int
    out: str
    err: str


Command = Callable[..., Done]


@pytest.fixture(scope="module", autouse=True)
def compose() -> None:
    """What starts the file."""
    need_compose()


@pytest.fixture(scope="module")
def stack_images(docker: Docker) -> dict[str, str]:
    """Images in the place of the official ones, by service."""
    return stack_images_of(docker)


@pytest.fixture
def ports() -> dict[str, int]:
    """Free ports, by their variables."""
    names = ("LUME_MODEL_DB__PORT", "LUME_RESULTS_DB__PORT", "LUME_PREFECT__SERVER__HOST_PORT")
    found = {}
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in names]
    for name, probe in zip(names, probes, strict=True):
        found[name] = probe.getsockname()[1]
        probe.close()
    return found


@pytest.fixture
def command(
    docker: Docker, job_image: str, ports: dict[str, int], lume_home: Path
) -> Iterator[Command]:
    """Runs ``lume-services docker …``, and leaves nothing of the stack behind."""
    variables = {
        **{name: text for name, text in os.environ.items() if name != "LUME_SECRETS_DIR"},
        **{name: str(port) for name, port in ports.items()},
        "DOCKER_HOST": docker.address,
        "LUME_PREFECT__DEFAULT_IMAGE": job_image,
    }

    def run(*arguments: str, **changed: str) -> Done:
        done = subprocess.run(
            [sys.executable, "-m", "lume_services", "docker", *arguments],
            env=variables | changed,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    yield run
    left = run("stop", "--delete")
    assert left.code == 0, left.err
    client = docker.client()
    assert not client.containers.list(all=True)
    for kind in (client.volumes, client.networks):
        assert not [one.name for one in kind.list() if one.name.startswith("lume-services")]


@pytest.fixture
def override(stack_images: dict[str, str], tmp_path: Path) -> Callable[..., str]:
    """Makes a compose file that swaps images, and changes services further."""

    def write(**changes: Any) -> str:
        services = {
            name: {"image": image, **changes.get(name, {})} for name, image in stack_images.items()
        }
        file = tmp_path / "images.yml"
        file.write_text(yaml.safe_dump({"services": services}))
        return str(file)

    return write


@pytest.fixture
def command_lines() -> Iterator[set[str]]:
    """The command lines of all processes of this machine, containers' too, as they are seen."""
    seen: set[str] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.add(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
                except OSError:  # it has ended
                    continue

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    yield seen
    over.set()
    watcher.join()


def test_a_stack_from_its_start_to_its_end(
    docker: Docker,
    command: Command,
    override: Callable[..., str],
    ports: dict[str, int],
    installed: Any,
    command_lines: set[str],
    lume_home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = override()
    folder = lume_home / "docker/lume-services"

    # A start that fails half-way: a port is taken.
    with socket.create_server(("127.0.0.1", ports["LUME_RESULTS_DB__PORT"])):
        failed = command("start-services", "--file", file)
    assert failed.code == 1, failed
    taken = f"Error: Port {ports['LUME_RESULTS_DB__PORT']} of this machine is taken."
    assert taken in failed.err
    assert "LUME_RESULTS_DB__PORT=…" in failed.err
    command("stop", "--delete")

    # The first start, and a run through its worker.
    began = time.monotonic()
    started = command("start-services", "--file", file)
    assert started.code == 0, started.err
    for service in ("mysql", "mongodb", "prefect-database", "prefect", "worker"):
        assert f"{service} is healthy after" in started.err
    assert f"Prefect's pages: http://127.0.0.1:{ports['LUME_PREFECT__SERVER__HOST_PORT']}" in (
        started.err
    )
    assert started.out == f"export LUME_ENV_FILE={folder}/services.env\n"
    monkeypatch.setenv("LUME_ENV_FILE", str(folder / "services.env"))
    first = _run_a_model(installed)
    first_s = time.monotonic() - began
    assert first.outputs == installed.rotate(_INPUTS)

    # A file of a job is on the host, and the user's.
    given = {"path": "notes/lattice.txt", "text": "QF1"}
    context.scheduling_service().run(flow=installed.write, parameters=given).result(_SOON_S)
    shared = folder / "files/notes/lattice.txt"
    assert (shared.read_text(), shared.stat().st_uid) == ("QF1", os.getuid())

    # What it is doing.
    status = command("status", "--json")
    assert status.code == 0
    states = {one["name"]: one["state"] for one in json.loads(status.out)}
    assert states.keys() == {"mysql", "mongodb", "prefect-database", "prefect", "worker"}
    assert set(states.values()) == {"healthy"}
    assert "started!" in command("logs", "worker").out
    unknown = command("logs", "mysqld")
    assert (unknown.code, "There are" in unknown.err) == (2, True)

    # The registry is backed up as the page has it.
    backup = subprocess.run(
        ["sh", "-c", _backup_command()],
        env={**os.environ, "DOCKER_HOST": docker.address},
        cwd=lume_home,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "a thin dipole" in (lume_home / "registry.sql").read_text(), backup

    # Nothing shows a password.
    passwords = {path.name: path.read_text() for path in (folder / "secrets").iterdir()}
    assert len(passwords) == 4
    time.sleep(11)  # each health check at least once more
    containers = docker.client().containers.list()
    assert len(containers) == 5
    shown = {
        "inspect": json.dumps([one.attrs for one in containers]),
        "logs": "".join(one.logs().decode(errors="replace") for one in containers),
        "commands": "\n".join(command_lines),
        "outputs": f"{failed}{started}{status}",
    }
    assert "mysql --host=127.0.0.1 --user=lume" in shown["commands"], "health checks are seen"
    for where, text in shown.items():
        assert not [name for name, password in passwords.items() if password in text], where

    # A second start changes nothing.
    again = command("start-services")
    assert again.code == 0, again.err
    assert {one.id for one in docker.client().containers.list()} == {one.id for one in containers}

    # It is stopped where nobody can be asked, and all is there on the next start.
    interrupted = context.scheduling_service().run(flow=installed.wait, parameters={"seconds": 600})
    while interrupted.state is not RunState.RUNNING:
        time.sleep(0.2)
    context.close()
    stopped = command("stop")
    assert stopped.code == 0, stopped.err
    assert "is kept" in stopped.err
    assert not docker.client().containers.list(all=True)
    status = command("status")
    assert (status.code, status.out.count("not started")) == (1, 5)
    began = time.monotonic()
    restarted = command("start-services", "--file", file, "--persist")
    assert restarted.code == 0, restarted.err
    assert "is kept when the stack is stopped" in restarted.err
    second = _run_a_model(installed, kick=3e-4)
    second_s = time.monotonic() - began
    model = Model.create_model(description="a thin dipole", beampath="hxr")
    assert [one.id for one in model.get_results()] == [first.id, second.id]
    assert second.outputs == installed.rotate({**_INPUTS, "kick": 3e-4})
    backend: Any = context.scheduling_service().backend
    assert backend.handle(interrupted.id).wait(2 * _SOON_S) is RunState.CRASHED
    context.close()

    # Passwords that are lost are told of at once.
    command("stop")
    (folder / "secrets").rename(folder / "elsewhere")
    lost = command("start-services", "--file", file)
    assert lost.code == 1
    assert f"not all passwords to them are in {folder}/secrets" in lost.err
    (folder / "elsewhere").rename(folder / "secrets")

    # Deleted for good: all but the files that are on the host.
    deleted = command("stop", "--delete")
    assert deleted.code == 0, deleted.err
    assert not [one for one in docker.client().volumes.list() if "lume-services" in one.name]
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == ["lattice.txt"]
    print(f"\nstart-services to a finished run: {first_s:.1f} s; after stop: {second_s:.1f} s")


def test_what_is_wrong_with_a_service_is_told(
    command: Command, override: Callable[..., str]
) -> None:
    hangs = override(
        mongodb={"healthcheck": {"test": ["CMD-SHELL", "echo not yet; false"], "interval": "1s"}}
    )
    hung = command("start-services", "--file", hangs, "--timeout", "20")
    assert hung.code == 1
    assert "Error: The service 'mongodb' is not ready, not within 20 s: it is starting." in hung.err
    assert "Its health check says: not yet" in hung.err
    ends = override(mysql={"command": ["sh", "-c", "echo no space left on device; exit 1"]})
    ended = command("start-services", "--file", ends)
    assert ended.code == 1
    assert ended.err.count("Error: The service 'mysql' is not ready") == 1
    assert "no space left on device" in ended.err
    assert command("start-services", "--file", override()).code == 0, "and goes on from there"


def test_an_image_that_is_not_there_is_named(
    command: Command, override: Callable[..., str]
) -> None:
    unknown = "nowhere.invalid/mysql:8.4.5"
    not_found = command("start-services", "--file", override(mysql={"image": unknown}))
    assert not_found.code == 1
    assert f"The image {unknown} is not here yet: it is fetched." in not_found.err
    assert f"Error: The image '{unknown}' of service 'mysql' is not here" in not_found.err
    command("stop", "--delete")
    not_made = command("start-services", "--file", override(), LUME_PREFECT__DEFAULT_IMAGE="")
    assert not_made.code == 1
    assert "lume-services docker build" in not_made.err


def _backup_command() -> str:
    page = (ROOT / "docs/stack.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^```bash\n(docker exec .*?)^```$", page, flags=re.M | re.S)
    return str(command)


def _run_a_model(installed: Any, **changed: float) -> Result:
    """Run it through the worker."""
    configure()
    model = Model.create_model(description="a thin dipole", beampath="hxr")
    model.register(installed.rotate, version="1.0")
    recorded = model.run({**_INPUTS, **changed}).result(_SOON_S)
    assert isinstance(recorded, Result)
    return recorded
