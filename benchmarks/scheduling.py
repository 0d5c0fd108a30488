"""Runs on a worker, against Prefect's own client, worker and engine with the same flow."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from tests.servers import Docker, MariaDB, MongoDB, Prefect, Worker
from tests.servers.images import job_image_of

from benchmarks.measure import Row, side_by_side
from lume_services.config import LUMEServicesSettings, configure, context
from lume_services.services.scheduling import SchedulingService
from lume_services.testing._flows import _compute

BOUND = 1.2
THROUGHPUT = 1 / 0.9
RUNS = 20
QUEUED = 100
_AT_ONCE = "4"
"""Jobs of each worker at a time, when many are queued: all at once would need too much memory."""
_POLL_S = 0.1


class _Bare:
    """Prefect's own client and workers, on a work pool of their own."""

    def __init__(self, folder: Path, server: Prefect, kind: str, job: Mapping[str, Any]) -> None:
        self._folder = folder
        self._api_url = server.api_url
        self._kind = kind
        self._client = SyncPrefectClient(server.api_url)
        self._client.create_work_pool(WorkPoolCreate(name="bare", type=kind))
        self._deployment = self._client.create_deployment(
            self._client.create_flow_from_name(_compute.name),
            name="bare",
            work_pool_name="bare",
            entrypoint="lume_services.testing._flows._compute",
            job_variables=dict(job),
        )

    def start(self) -> UUID:
        """Ask for a run."""
        run = self._client.create_flow_run_from_deployment(self._deployment, parameters={"x": 3.0})
        return run.id

    def wait(self, run_id: UUID) -> None:
        """Until it has completed, asking every 0.1 s."""
        while not (run := self._client.read_flow_run(run_id)).state.is_final():
            time.sleep(_POLL_S)
        assert run.state is not None
        assert run.state.is_completed(), run.state

    @contextmanager
    def worker(self, number: int = 0, *arguments: str) -> Iterator[None]:
        """Prefect's worker, which asks for runs every 0.5 s, as ours does here."""
        environment = {
            **os.environ,
            "PREFECT_API_URL": self._api_url,
            "PREFECT_HOME": str(self._folder / f"bare-{number}"),
            "PREFECT_WORKER_QUERY_SECONDS": "0.5",
        }
        prefect = str(Path(sys.executable).with_name("prefect"))
        with (self._folder / f"bare-{number}.log").open("wb") as log:
            process = subprocess.Popen(
                [prefect, "worker", "start", "--pool", "bare", *arguments],
                env=environment,
                stdout=log,
                stderr=log,
            )
        try:
            yield
        finally:
            process.terminate()
            process.wait()


def _ours(server: Prefect, **settings: Any) -> tuple[SchedulingService, dict[str, str]]:
    """Our service, and the variables of its workers."""
    place = {"host": server.host, "host_port": server.port}
    prefect = {**settings.pop("prefect", {}), "server": place}
    configure(LUMEServicesSettings(prefect=prefect, **settings))
    return context.scheduling_service(), context.settings.to_environment(include_secrets=True)


def runs_on_process(folder: Path) -> Iterator[Row]:
    with Prefect(folder / "prefect") as server:
        bare = _Bare(folder, server, "process", {})
        service, variables = _ours(server, backend="process", home=folder / "home")
        flow_id = service.register_flow(flow=_compute)
        with Worker(folder, variables), bare.worker():
            yield _latency("process", service, flow_id, bare)
        with ExitStack() as workers:
            for number in (1, 2):
                place = folder / f"ours-{number}"
                place.mkdir()
                workers.enter_context(Worker(place, variables, "--limit", _AT_ONCE))
            ours = _queued(
                lambda: service.submit(flow_id=flow_id, parameters={"x": 3.0}),
                lambda run: _check(run.result()),
            )
        with ExitStack() as workers:
            for number in (1, 2):
                workers.enter_context(bare.worker(number, "--limit", _AT_ONCE))
            floor = _queued(bare.start, bare.wait)
        context.close()
    label = f"process: {QUEUED} runs on 2 workers"
    yield Row(label, ours, "Prefect's client and workers", floor, THROUGHPUT)


def runs_on_docker(folder: Path) -> Iterator[Row]:
    with (
        Prefect(folder / "prefect") as server,
        MariaDB(folder / "mariadb") as registry,
        MongoDB(folder / "mongodb") as results,
        Docker(folder / "docker") as docker,
    ):
        image = job_image_of(docker)
        os.environ["DOCKER_HOST"] = docker.address
        job = {
            "image": image,
            "image_pull_policy": "Never",
            "network_mode": "host",
            "auto_remove": True,
        }
        bare = _Bare(folder, server, "docker", job)
        service, variables = _ours(
            server,
            backend="docker",
            home=folder / "home",
            prefect={"default_image": image},
            model_db={"url": registry.url("bench")},
            results_db={"url": results.url("bench")},
        )
        flow_id = service.register_flow(flow=_compute)
        with Worker(folder, variables, "--network", "host"), bare.worker():
            yield _latency("docker", service, flow_id, bare)
        context.close()


def _latency(kind: str, service: SchedulingService, flow_id: str, bare: _Bare) -> Row:
    def ours() -> None:
        _check(service.submit(flow_id=flow_id, parameters={"x": 3.0}).result())

    def floor() -> None:
        bare.wait(bare.start())

    ours()
    floor()
    times = side_by_side(ours, floor, RUNS)
    label = f"{kind}: run to result"
    return Row(label, times[0], "Prefect's client and worker", times[1], BOUND)


def _queued(start: Any, wait: Any) -> float:
    """Seconds from the first question to the last result."""
    began = time.perf_counter()
    for run in [start() for _ in range(QUEUED)]:
        wait(run)
    return time.perf_counter() - began


def _check(value: float) -> None:
    assert value == 3.0, value


BENCHMARKS = (runs_on_process, runs_on_docker)
