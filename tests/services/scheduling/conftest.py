"""A Prefect server for the tests of this folder, and workers on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.servers import Docker, Kubernetes, MariaDB, MongoDB, Prefect, Worker
from tests.servers.images import JOB_PACKAGE, job_image_of

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


@pytest.fixture(scope="session")
def process_worker(
    variables: Callable[[str, Path], dict[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Worker]:
    """A worker whose jobs are processes, with a LUME_HOME of its own."""
    home = tmp_path_factory.mktemp("process")
    with Worker(home, variables("process", home)) as worker:
        yield worker


@pytest.fixture
def job_package() -> Path:
    """The folder of a module that is in the image."""
    return JOB_PACKAGE


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
