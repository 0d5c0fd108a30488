"""A Prefect server for the tests of this folder, and workers on it."""

from __future__ import annotations

import importlib
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.servers import Docker, Kubernetes, MariaDB, MongoDB, Prefect, Worker
from tests.servers.images import JOB_PACKAGE, job_image_of

from lume_services.config import configure, context
from lume_services.models import Model
from lume_services.services.scheduling import SchedulingService
from lume_services.services.scheduling.backends import FlowRunHandle, RunState

_WAIT_S = 120.0

JOBS_OF_THIS_CLUSTER = """
spec:
  template:
    spec:
      hostNetwork: true
      containers:
        - name: prefect-job
          imagePullPolicy: Never
"""


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prefect]:
    """One for all tests of a process."""
    with Prefect(tmp_path_factory.mktemp("prefect-server")) as server:
        yield server


@pytest.fixture(scope="session")
def variables(prefect_server: Prefect) -> Callable[[str, Path], dict[str, str]]:
    """The variables of a backend on that server, with embedded stores in a folder."""

    def of(backend: str, home: Path) -> dict[str, str]:
        return {
            "LUME_BACKEND": backend,
            "LUME_HOME": str(home),
            "LUME_PREFECT__SERVER__HOST": prefect_server.host,
            "LUME_PREFECT__SERVER__HOST_PORT": str(prefect_server.port),
        }

    return of


@pytest.fixture(scope="module")
def process_worker(
    variables: Callable[[str, Path], dict[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Worker]:
    """A worker whose jobs are processes, with a LUME_HOME of its own.

    It ends with its file: on the same server it would take the runs of another one's work pool.
    """
    home = tmp_path_factory.mktemp("process")
    with Worker(home, variables("process", home)) as worker:
        yield worker


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module that is in the image, imported here too."""
    monkeypatch.syspath_prepend(str(JOB_PACKAGE))
    return importlib.import_module("in_the_image")


def running(run: Any) -> Any:
    """The run, once it is under way."""
    deadline = time.monotonic() + _WAIT_S
    while run.state is not RunState.RUNNING:
        assert time.monotonic() < deadline, run
        time.sleep(0.1)
    return run


def service_of(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> SchedulingService:
    """The scheduling service of who asks a worker for runs."""
    for name, text in worker.variables.items():
        if name.startswith("LUME_") and not name.startswith("LUME_JOB__"):
            monkeypatch.setenv(name, text)
    configure()
    return context.scheduling_service()


def computes_there_what_it_computes_here(rotate: Any) -> None:
    """A model gives the same in a job as in this process, and is recorded once."""
    context.model_db_service().apply_schema()
    model = Model.create_model(description="a thin dipole", beampath="hxr")
    model.register(rotate, version="1.0")
    inputs = {"xp": 1e-3, "kick": 2.5e-4}
    recorded = model.run(inputs).result(_WAIT_S)
    assert recorded.outputs == rotate(inputs)
    assert recorded.id == model.evaluate(inputs).id, "the same result, and so recorded once"


def cancelled_at_random_moments(
    service: SchedulingService, flow: Any, *, seconds: float, seed: int
) -> list[FlowRunHandle]:
    """Twenty runs, four at a time, each asked to stop within three seconds; all are cancelled."""
    draw = random.Random(seed)
    runs: list[FlowRunHandle] = []
    for _ in range(5):
        some = [service.run(flow=flow, parameters={"seconds": seconds}) for _ in range(4)]
        for run in some:
            time.sleep(draw.uniform(0, 3))
            run.cancel()
        assert [run.wait(_WAIT_S) for run in some] == [RunState.CANCELLED] * 4
        runs += some
    return runs


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    """Docker's daemon, for the tests of a file; those of another file wait for it."""
    with Docker(tmp_path_factory.mktemp("docker")) as server:
        yield server


@pytest.fixture(scope="module")
def job_image(docker: Docker) -> str:
    """The image of jobs."""
    return job_image_of(docker)


@pytest.fixture(scope="module")
def reachable_stores(
    job_image: str, mariadb: MariaDB, mongodb: MongoDB, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """The variables of stores that containers reach, and of their image."""
    name = tmp_path_factory.mktemp("jobs").name
    shared = tmp_path_factory.mktemp("shared")
    shared.chmod(0o777)  # pods have a user of their own
    return {
        "LUME_MOUNTED_FILESYSTEM__MOUNT_PATH": str(shared),
        "LUME_MOUNTED_FILESYSTEM__MOUNT_ALIAS": "/lume/shared",
        "LUME_MODEL_DB__URL": mariadb.url(name),
        "LUME_RESULTS_DB__URL": mongodb.url(name),
        "LUME_PREFECT__DEFAULT_IMAGE": job_image,
    }


@pytest.fixture(scope="module")
def docker_variables(
    variables: Callable[[str, Path], dict[str, str]],
    reachable_stores: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, str]:
    """The variables of the docker backend."""
    return {**variables("docker", tmp_path_factory.mktemp("docker-home")), **reachable_stores}


@pytest.fixture(scope="module")
def kubernetes(docker: Docker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kubernetes]:
    """A cluster of one node, on Docker's daemon."""
    with Kubernetes(tmp_path_factory.mktemp("kubernetes"), docker) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def kubernetes_variables(
    variables: Callable[[str, Path], dict[str, str]],
    reachable_stores: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, str]:
    """The variables of the kubernetes backend."""
    home = tmp_path_factory.mktemp("kubernetes-home")
    return {**variables("kubernetes", home), **reachable_stores}


@pytest.fixture(scope="module")
def kubernetes_worker(
    kubernetes: Kubernetes,
    kubernetes_variables: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Worker]:
    """A worker whose jobs are Jobs of the cluster."""
    folder = tmp_path_factory.mktemp("kubernetes-worker")
    template = folder / "job.yaml"
    template.write_text(JOBS_OF_THIS_CLUSTER)
    variables = {
        **kubernetes_variables,
        "KUBECONFIG": kubernetes.kubeconfig,
        "PREFECT_API_AUTH_STRING": "lume:let-me-in",  # more than this server asks for
    }
    with Worker(folder, variables, "--job-template", str(template)) as worker:
        yield worker


@pytest.fixture(scope="module")
def docker_worker(
    docker: Docker, docker_variables: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Worker]:
    """A worker whose jobs are containers."""
    folder = tmp_path_factory.mktemp("docker-worker")
    variables = {
        **docker_variables,
        "DOCKER_HOST": docker.address,
        "PREFECT_API_AUTH_STRING": "lume:let-me-in",  # more than this server asks for
        "PREFECT_API_KEY": "a-key-of-prefect-cloud",
        # What jobs know under another name than their worker.
        "LUME_JOB__RESULTS_DB__URL": docker_variables["LUME_RESULTS_DB__URL"].replace(
            "127.0.0.1", "localhost"
        ),
        "LUME_JOB__PREFECT__SERVER__HOST": "localhost",
    }
    with Worker(folder, variables, "--network", "host") as worker:
        yield worker
