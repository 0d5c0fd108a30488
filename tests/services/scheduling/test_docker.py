"""The docker backend: a real Prefect server, a real worker, containers of a real daemon."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.commands import Run
from tests.servers import Docker, MariaDB, Prefect, Worker
from tests.services.scheduling.conftest import (
    cancelled_at_random_moments,
    computes_there_what_it_computes_here,
    service_of,
)

from lume_services.config import configure, context
from lume_services.errors import ConfigurationError, RunError
from lume_services.services.scheduling import SchedulingService
from lume_services.services.scheduling.backends import Backend, FlowRunHandle, RunState
from lume_services.services.scheduling.run_configs import DockerRunConfig, RunConfig
from lume_services.testing.backends import BackendConformance

# The first time, images are made.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
_SOON_S = 60.0


@pytest.fixture
def scheduling(docker_worker: Worker, monkeypatch: pytest.MonkeyPatch) -> SchedulingService:
    return service_of(docker_worker, monkeypatch)


@pytest.fixture
def container_of(docker: Docker) -> Iterator[Callable[[FlowRunHandle], Any]]:
    """Finds the running container of a run."""
    client = docker.client()

    def find(run: FlowRunHandle) -> Any:
        labels = {"label": f"io.prefect.flow-run-id={run.id}"}
        deadline = time.monotonic() + _SOON_S
        while not (found := client.containers.list(filters=labels)):
            assert time.monotonic() < deadline, run
            time.sleep(0.1)
        return found[0]

    yield find
    client.close()


class TestDockerBackend(BackendConformance):
    @pytest.fixture
    def backend(self, scheduling: SchedulingService) -> Backend:
        return scheduling.backend

    @pytest.fixture
    def run_config(self) -> RunConfig:
        return DockerRunConfig(env={"SHOWN": "yes"})


def test_a_model_computes_in_a_container_what_it_computes_here(
    scheduling: SchedulingService, installed: Any
) -> None:
    computes_there_what_it_computes_here(installed.rotate)


def test_a_file_of_a_job_is_on_the_host(
    docker_worker: Worker, scheduling: SchedulingService, installed: Any
) -> None:
    given = {"path": "notes/lattice.txt", "text": "QF1"}
    file = scheduling.run(flow=installed.write, parameters=given).result(_SOON_S)
    host = Path(docker_worker.variables["LUME_MOUNTED_FILESYSTEM__MOUNT_PATH"])
    assert (host / given["path"]).read_text() == "QF1"
    assert (host / given["path"]).stat().st_uid == os.getuid()
    assert file.read() == "QF1"


def test_docker_shows_no_secret(
    docker: Docker,
    docker_worker: Worker,
    scheduling: SchedulingService,
    installed: Any,
    container_of: Callable[[FlowRunHandle], Any],
) -> None:
    run = scheduling.run(flow=installed.wait, parameters={"seconds": _SOON_S})
    shown = container_of(run).attrs
    (mount,) = (one for one in shown["Mounts"] if one["Destination"].startswith("/run/secrets"))
    assert not mount["RW"]
    folder = Path(mount["Source"])
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
    secrets = {file.name: file.read_text() for file in folder.iterdir()}
    assert MariaDB.password in secrets["LUME_MODEL_DB__PASSWORD"]
    assert secrets["PREFECT_API_AUTH_STRING"] == docker_worker.variables["PREFECT_API_AUTH_STRING"]
    backend: Any = scheduling.backend
    with backend.api.client() as client:
        known = [client.read_flow_run(run.id), client.read_work_pool(backend.work_pool)]
    everywhere = json.dumps(shown) + docker_worker.log.read_text() + str(run.logs())
    everywhere += "".join(one.model_dump_json() for one in known)
    del secrets["LUME_PREFECT__SERVER__HOST"]  # localhost is anybody's name
    assert not [name for name, text in secrets.items() if text in everywhere]
    run.cancel()
    assert run.wait(_SOON_S) is RunState.CANCELLED


def test_a_job_is_the_user_of_its_worker_and_has_its_keys(
    docker: Docker, docker_worker: Worker, scheduling: SchedulingService, installed: Any
) -> None:
    run = scheduling.run(flow=installed.who, parameters={"variable": "PREFECT_API_AUTH_STRING"})
    assert run.result(_SOON_S) == {
        "user": os.getuid(),
        "home": "/home/lume",
        "value": docker_worker.variables["PREFECT_API_AUTH_STRING"],
    }
    _nothing_is_left(docker, run)


def test_a_server_that_asks_for_a_password(
    docker: Docker,
    docker_variables: dict[str, str],
    installed: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from prefect.settings import PREFECT_API_AUTH_STRING, temporary_settings

    class ProtectedPrefect(Prefect):
        def environment(self) -> dict[str, str]:
            return {**super().environment(), "PREFECT_SERVER_API_AUTH_STRING": "lume:s3cret"}

    with ProtectedPrefect(tmp_path / "server") as server:
        variables = {**docker_variables, "LUME_PREFECT__SERVER__HOST_PORT": str(server.port)}
        let_in = {"DOCKER_HOST": docker.address, "PREFECT_API_AUTH_STRING": "lume:s3cret"}
        for name, text in variables.items():
            monkeypatch.setenv(name, text)
        with (
            Worker(tmp_path, {**variables, **let_in}),
            temporary_settings({PREFECT_API_AUTH_STRING: "lume:s3cret"}),
        ):
            configure()
            run = context.scheduling_service().run(flow=installed.wait, parameters={"seconds": 0})
            assert run.result(_SOON_S) is None


def test_an_image_that_is_not_there(scheduling: SchedulingService, installed: Any) -> None:
    run = scheduling.run(
        flow=installed.wait,
        parameters={"seconds": 0},
        run_config=DockerRunConfig(image="nowhere.invalid/no-such-image:1.0"),
    )
    with pytest.raises(RunError, match=r"Crashed: .*no-such-image.*lume-services docker build"):
        run.result(_SOON_S)
    assert run.state is RunState.CRASHED


def test_a_container_that_is_killed(
    scheduling: SchedulingService, installed: Any, container_of: Callable[[FlowRunHandle], Any]
) -> None:
    run = scheduling.run(flow=installed.wait, parameters={"seconds": 600})
    container_of(run).kill()
    with pytest.raises(RunError, match=r"Crashed.*137"):
        run.result(_SOON_S)
    assert run.state is RunState.CRASHED


def test_runs_cancelled_at_random_moments_leave_no_container(
    docker: Docker, scheduling: SchedulingService, installed: Any
) -> None:
    runs = cancelled_at_random_moments(scheduling, installed.wait, seconds=600, seed=5)
    _nothing_is_left(docker, *runs)


def test_stores_on_this_machine_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUME_BACKEND", "docker")
    configure()
    with pytest.raises(ConfigurationError, match="LUME_RESULTS_DB__URL and LUME_MODEL_DB__URL"):
        context.scheduling_service()


def test_networks_are_for_containers(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUME_BACKEND", "process")
    answer = run("worker", "start", "--network", "host")
    assert answer.code == 2
    assert "network='host' is for docker" in answer.err


def test_the_image_serves_any_user(docker: Docker, job_image: str, tmp_path: Path) -> None:
    secret = tmp_path / "LUME_RESULTS_DB__PASSWORD"
    secret.write_text("s3cret")
    for path in (tmp_path, secret):
        os.chown(path, 4711, 4711)
        path.chmod(0o700 if path.is_dir() else 0o600)
    script = (
        "import os, pathlib, toolz; from lume_services.config import configure, context\n"
        "pathlib.Path.home().joinpath('file').write_text('mine')\n"
        "configure(); print(os.getuid(), context.settings.results_db.password.get_secret_value())"
    )
    said = docker.client().containers.run(
        job_image,
        ["python", "-c", script],
        user="4711:4711",
        network_mode="host",
        remove=True,
        volumes=[f"{tmp_path}:/run/secrets:ro"],
        environment={
            "EXTRA_PIP_PACKAGES": "toolz",
            "LUME_RESULTS_DB__HOST": "mongodb",
            "LUME_RESULTS_DB__USERNAME": "lume",
            "LUME_RESULTS_DB__DATABASE": "results",
        },
    )
    assert said.decode() == "4711 s3cret\n"


def test_building_without_docker_says_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    answer = run("docker", "build")
    assert answer.code == 1
    assert answer.err.startswith("Error: Docker does not answer")
    assert "DOCKER_HOST" in answer.err


def test_a_base_that_is_not_there_is_named(
    docker: Docker, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", docker.address)
    for base, tag in (("nowhere.invalid/base:1", "any:1"), ("any", "No Name")):
        answer = run("docker", "build", "--base", base, "--tag", tag)
        assert answer.code == 1
        assert answer.err.startswith(f"Error: The image {tag!r} could not be built: ")
        assert "nowhere.invalid" in answer.err or "No Name" in answer.err


def _nothing_is_left(docker: Docker, *runs: FlowRunHandle) -> None:
    ids = {run.id for run in runs}
    deadline = time.monotonic() + _SOON_S
    while left := [
        one
        for one in docker.client().containers.list(all=True)
        if one.labels.get("io.prefect.flow-run-id") in ids
    ]:
        assert time.monotonic() < deadline, left
        time.sleep(0.2)
