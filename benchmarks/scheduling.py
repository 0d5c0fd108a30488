"""From asking for a run to its result, against Prefect's own client, worker and engine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.servers import Prefect, Worker

from benchmarks.measure import Row, side_by_side
from lume_services.config import LUMEServicesSettings, configure, context
from lume_services.testing.backends import _compute

BOUND = 1.2
RUNS = 20
_POLL_S = 0.1


def runs_on_process(folder: Path) -> Iterator[Row]:
    """Both poll every 0.1 s, and both workers ask for runs every 0.5 s."""
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.actions import WorkPoolCreate

    with Prefect(folder / "prefect") as server, SyncPrefectClient(server.api_url) as client:
        variables = {
            "LUME_BACKEND": "process",
            "LUME_HOME": str(folder / "home"),
            "LUME_PREFECT__SERVER__HOST": server.host,
            "LUME_PREFECT__SERVER__HOST_PORT": str(server.port),
        }
        place = {"host": server.host, "host_port": server.port}
        configure(
            LUMEServicesSettings(home=folder / "home", backend="process", prefect={"server": place})
        )
        service = context.scheduling_service()
        flow_id = service.register_flow(flow=_compute)
        client.create_work_pool(WorkPoolCreate(name="bare", type="process"))
        deployment = client.create_deployment(
            client.create_flow_from_name(_compute.name),
            name="bare",
            work_pool_name="bare",
            entrypoint="lume_services.testing.backends._compute",
        )

        def ours() -> None:
            assert service.submit(flow_id=flow_id, parameters={"x": 3.0}).result() == 3.0

        def floor() -> None:
            run = client.create_flow_run_from_deployment(deployment, parameters={"x": 3.0})
            while not (run := client.read_flow_run(run.id)).state.is_final():
                time.sleep(_POLL_S)
            assert run.state is not None
            assert run.state.is_completed(), run.state

        with Worker(folder, variables), _BareWorker(folder, server.api_url):
            ours()
            floor()
            times = side_by_side(ours, floor, RUNS)
        context.close()
    yield Row("process: run to result", times[0], "Prefect's client and worker", times[1], BOUND)


class _BareWorker:
    """Prefect's own process worker."""

    def __init__(self, folder: Path, api_url: str) -> None:
        self._environment = {
            **os.environ,
            "PREFECT_API_URL": api_url,
            "PREFECT_HOME": str(folder / "bare"),
            "PREFECT_WORKER_QUERY_SECONDS": "0.5",
        }
        self._log = folder / "bare.log"

    def __enter__(self) -> None:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [str(Path(sys.executable).with_name("prefect")), "worker", "start", "-p", "bare"],
                env=self._environment,
                stdout=log,
                stderr=log,
            )

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()


BENCHMARKS = (runs_on_process,)
