"""Kill -9 of whoever writes to the registry, and of the server: what was acknowledged is there."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

import pytest

from lume_services.services.models import ModelDBService
from tests.servers import MariaDB, PostgreSQL
from tests.services.models.conftest import registry

pytestmark = pytest.mark.slow

KILLS = 20


def store_for_ever(url: str, name: str, log: Path, number: int) -> None:
    """Store versions of a model, each with its flow, and write down what is stored."""
    service = registry(url)
    model_id = service.store_model("", "", "", "", name)
    service.store_project("p")
    with log.open("a") as acknowledged:
        while True:
            number += 1
            deployment_id = service.store_deployment(
                model_id, f"{number}.0", is_live=True, variables={"x": {"n": 1}}
            )
            flow_id = service.store_flow(
                deployment_id=deployment_id, flow_name="evaluate", project_name="p"
            )
            print(number, deployment_id, flow_id, file=acknowledged, flush=True)


class Writer:
    """A process that stores until it is killed, and where it says what it has stored."""

    def __init__(self, url: str, name: str, log: Path, first: int = 0) -> None:
        self.name = name
        self.log = log
        log.touch()
        self.process = get_context("fork").Process(
            target=store_for_ever, args=(url, name, log, first)
        )
        self.process.start()

    def acknowledged(self) -> list[list[str]]:
        # What is behind the last end of a line was cut off.
        lines = self.log.read_text().rpartition("\n")[0].splitlines()
        return [line.split() for line in lines]

    def wait_for(self, count: int) -> None:
        deadline = time.monotonic() + 60
        while len(self.acknowledged()) < count:
            assert self.process.is_alive(), "the writer has ended"
            assert time.monotonic() < deadline, f"{len(self.acknowledged())} of {count}"
            time.sleep(0.005)

    def kill(self) -> None:
        self.process.kill()
        self.process.join()


def check(service: ModelDBService, writer: Writer) -> None:
    """Everything acknowledged is stored, nothing twice, nothing by halves."""
    model = service.get_model(description=writer.name)
    deployments = service.get_deployments(model_id=model.model_id)
    assert max(Counter(one.version for one in deployments).values()) == 1
    stored = {str(one.deployment_id): one for one in deployments}
    flows = {
        flow.flow_id: flow
        for flow in service.get_flows()
        if flow.deployment.model_id == model.model_id
    }
    for number, deployment_id, flow_id in writer.acknowledged():
        assert stored[deployment_id].version == f"{number}.0"
        assert str(flows[flow_id].deployment_id) == deployment_id
    assert all(one.variables == {"x": {"n": 1}} for one in deployments)
    # Live is the last one, acknowledged or not: stored and live are one transaction.
    assert service.get_live_deployment(model_id=model.model_id).version == deployments[0].version


def test_writer_is_killed(url: str, tmp_path: Path) -> None:
    service = registry(url)
    service.apply_schema()
    pause = random.Random(1)
    first = 0
    for _ in range(KILLS):
        writer = Writer(url, "m", tmp_path / "log", first)
        writer.wait_for(len(writer.acknowledged()) + 3)
        time.sleep(pause.uniform(0, 0.02))
        writer.kill()
        check(service, writer)
        first = int(service.get_latest_deployment().version.partition(".")[0])
    service._model_db.close()
    print(f"{KILLS} kills, {len(writer.acknowledged())} versions acknowledged, {first} stored")


@pytest.fixture(params=["mariadb", "postgresql"])
def own_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MariaDB | PostgreSQL]:
    if request.param == "mariadb":
        server: MariaDB | PostgreSQL = MariaDB(tmp_path / "server")
    else:
        server = PostgreSQL(tmp_path / "server")
    with server:
        yield server


def test_server_is_killed(own_server: MariaDB | PostgreSQL, tmp_path: Path) -> None:
    url = own_server.url("registry")
    service = registry(url)
    service.apply_schema()
    writers = [Writer(url, name, tmp_path / name) for name in "ab"]
    for writer in writers:
        writer.wait_for(1)
    pause = random.Random(1)
    for _ in range(KILLS):
        before = [len(writer.acknowledged()) for writer in writers]
        time.sleep(pause.uniform(0, 0.05))
        own_server.kill()
        own_server.start()
        for writer, count in zip(writers, before, strict=True):
            writer.wait_for(count + 2)
    for writer in writers:
        writer.kill()
        check(service, writer)
    service._model_db.close()
    counts = [len(writer.acknowledged()) for writer in writers]
    print(f"{KILLS} kills of {own_server.program}, {counts} versions acknowledged")
