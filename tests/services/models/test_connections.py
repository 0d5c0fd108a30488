"""Connections: shared by threads, not by processes, lost and found again."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Thread

import pytest
from sqlalchemy import Connection, event, insert, select, text

from lume_services.errors import (
    ConstraintError,
    DeploymentNotFoundError,
    ModelDBError,
    ModelDBUnavailableError,
)
from lume_services.models import Model
from lume_services.services.models import ModelDBService
from lume_services.services.models.db import ModelDB
from lume_services.services.models.db.schema import PROJECT
from tests.servers import MariaDB, PostgreSQL
from tests.services.models.conftest import registry

ON_SERVERS = pytest.mark.parametrize("database", ["mariadb", "postgresql"])


@pytest.fixture
def own_server(database: str, tmp_path: Path) -> Iterator[MariaDB | PostgreSQL]:
    """A server to be stopped and killed."""
    if database == "mariadb":
        server: MariaDB | PostgreSQL = MariaDB(tmp_path, "--debug-no-sync")
    else:
        server = PostgreSQL(tmp_path, "-c", "fsync=off")
    with server:
        yield server


def statements(model_db: ModelDB) -> list[str]:
    """What is sent from now on, without the test of a pooled connection and without BEGIN."""
    sent: list[str] = []
    event.listen(
        model_db.engine,
        "before_cursor_execute",
        lambda connection, cursor, statement, *rest: sent.append(statement),
    )
    return sent


@pytest.mark.parametrize("live", [True, False])
def test_deployment_is_loaded_by_two_statements(
    model_db: ModelDB, service: ModelDBService, model_id: int, live: bool
) -> None:
    for version in ("1.0", "2.0"):
        deployment_id = service.store_deployment(model_id, version, is_live=live)
    service.store_project("local")
    service.store_flow(deployment_id=deployment_id, flow_name="evaluate", project_name="local")
    sent = statements(model_db)
    if live:
        loaded = Model(model_id, service=service)
        sent.clear()
        assert loaded.load_deployment().version == "2.0"
    else:
        assert service.get_current_deployment(model_id=model_id).version == "2.0"
    assert 1 <= len([one for one in sent if not one.startswith("BEGIN")]) <= 2


def test_current_deployment(service: ModelDBService, model_id: int) -> None:
    with pytest.raises(DeploymentNotFoundError, match=f"model_id={model_id}"):
        service.get_current_deployment(model_id=model_id)
    first = service.store_deployment(model_id, "1.0")
    service.store_deployment(model_id, "2.0")
    assert service.get_current_deployment(model_id=model_id).version == "2.0"
    service.promote(first)
    assert service.get_current_deployment(model_id=model_id).version == "1.0"
    other = service.store_model("", "", "", "", "other")
    service.store_deployment(other, "0.1")
    assert service.get_current_deployment(model_id=other).version == "0.1"


@ON_SERVERS
def test_what_is_found_is_found_by_one_statement(
    model_db: ModelDB, service: ModelDBService, model_id: int
) -> None:
    sent = statements(model_db)
    assert service.store_model("Ada", "SLAC", "LCLS", "cu_hxr", "injector") == model_id
    assert len(sent) == 1


@ON_SERVERS
def test_a_read_is_one_statement(model_db: ModelDB, service: ModelDBService, model_id: int) -> None:
    sent = statements(model_db)
    service.get_model(model_id=model_id)
    assert len(sent) == 1


def test_many_threads_share_one_connection(model_db: ModelDB, service: ModelDBService) -> None:
    assert model_db.config.connection.pool_size == 1
    names = [f"model {number % 5}" for number in range(200)]

    def work(name: str) -> int:
        model_id = service.store_model("", "", "", "", name)
        deployment_id = service.store_deployment(model_id, "1.0", is_live=True)
        assert service.get_live_deployment(model_id=model_id).deployment_id == deployment_id
        return model_id

    with ThreadPoolExecutor(32) as pool:
        assert len(set(pool.map(work, names))) == 5
    assert len(service.get_deployments(is_live=True)) == 5


def test_a_connection_inside_a_connection(model_db: ModelDB, service: ModelDBService) -> None:
    service.store_project("p")

    def work(number: int) -> str:
        with model_db.connection() as connection:
            connection.execute(select(PROJECT)).all()
            return service.get_project(project_name="p").project_name

    with ThreadPoolExecutor(5) as pool:
        assert set(pool.map(work, range(20))) == {"p"}


def test_child_opens_its_own_connections(model_db: ModelDB) -> None:
    service = ModelDBService(model_db)
    service.store_project("parent")
    parents_engine = model_db.engine
    busy, done = Event(), Event()

    def hold_the_lock() -> None:
        with model_db._lock:
            busy.set()
            done.wait(10)

    thread = Thread(target=hold_the_lock)
    thread.start()
    busy.wait(10)
    child = os.fork()
    if child == 0:
        # Anything that is raised here must not run the rest of the test a second time.
        try:
            signal.alarm(20)
            service.store_project("child")
            os._exit(0 if model_db.engine is not parents_engine else 1)
        except BaseException:
            os._exit(2)
    done.set()
    thread.join()
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert model_db.engine is parents_engine
    assert [project.project_name for project in service.get_projects()] == ["child", "parent"]


def ending(connection: Connection, server: MariaDB | PostgreSQL) -> str:
    """The statement that ends a connection."""
    if isinstance(server, MariaDB):
        return f"KILL {connection.scalar(text('SELECT CONNECTION_ID()'))}"
    return f"SELECT pg_terminate_backend({connection.scalar(text('SELECT pg_backend_pid()'))})"


@ON_SERVERS
@pytest.mark.parametrize("pre_ping", [True, False])
def test_connection_that_the_server_ended(
    url: str, server: MariaDB | PostgreSQL, pre_ping: bool
) -> None:
    service = registry(url, pool_pre_ping=pre_ping)
    service.apply_schema()
    service.store_project("p")
    with service._model_db.engine.connect() as connection:
        end = ending(connection, server)
    server.execute(end)
    assert service.get_project().project_name == "p"
    server.execute(end) if isinstance(server, PostgreSQL) else None
    assert service.store_project("q") == "q"
    service._model_db.close()


@ON_SERVERS
def test_connection_is_lost_between_reading_and_writing(
    model_db: ModelDB, service: ModelDBService, server: MariaDB | PostgreSQL
) -> None:
    attempts = []

    def work(connection: Connection) -> None:
        attempts.append(1)
        end = ending(connection, server)
        if len(attempts) == 1:
            server.execute(end)
        with model_db.transaction(connection):
            connection.execute(insert(PROJECT), {"project_name": "p", "description": ""})

    model_db.run(work)
    assert len(attempts) == 2
    assert service.get_project().project_name == "p"


class LostAnswer:
    """Loses the answer of the next commit, which the server has done."""

    def __init__(self, model_db: ModelDB) -> None:
        self.losses = 0
        self.model_db = model_db

    def __enter__(self) -> LostAnswer:
        self.commit = self.model_db.engine.dialect.do_commit

        def lose(connection: object) -> None:
            self.commit(connection)
            if self.losses == 0:
                self.losses += 1
                connection.dbapi_connection.close()  # of the pool
                raise self.model_db.engine.dialect.dbapi.OperationalError(2013, "Lost connection")

        self.model_db.engine.dialect.do_commit = lose
        return self

    def __exit__(self, *_: object) -> None:
        self.model_db.engine.dialect.do_commit = self.commit


@ON_SERVERS
def test_answer_of_a_commit_is_lost(model_db: ModelDB, service: ModelDBService) -> None:
    """Whatever is stored is stored once, and the call gives what it always does."""
    with LostAnswer(model_db) as lost:
        model_id = service.store_model("Ada", "", "", "", "m")
        assert lost.losses == 1
        lost.losses = 0
        first = service.store_deployment(model_id, "1.0", is_live=True)
        lost.losses = 0
        second = service.store_deployment(model_id, "2.0")
        lost.losses = 0
        assert service.promote(second).is_live
        lost.losses = 0
        service.store_project("p", "first")
        flows = []
        for name in "ab":
            lost.losses = 0
            flows.append(service.store_flow(deployment_id=first, flow_name=name, project_name="p"))
        lost.losses = 0
        service.store_flow_of_flows(flows[0], flows[1:])
        assert lost.losses == 1
    assert service.get_model().model_id == model_id
    assert [one.deployment_id for one in service.get_deployments()] == [second, first]
    assert service.get_live_deployment().deployment_id == second
    assert len(service.get_flows()) == 2
    assert [one.flow_id for one in service.get_flow_of_flows(parent_flow_id=flows[0])] == flows[1:]


@ON_SERVERS
def test_deadlock_is_tried_again(model_db: ModelDB, service: ModelDBService) -> None:
    for name in "ab":
        service.store_project(name)
    first, second = Event(), Event()
    attempts = []

    def rename(mine: str, other: str, locked: Event, go_on: Event) -> None:
        def work(connection: Connection) -> None:
            attempts.append(mine)
            change = text("UPDATE project SET description = :by WHERE project_name = :name")
            connection.execute(change, {"name": mine, "by": mine})
            locked.set()
            go_on.wait(10)
            connection.execute(change, {"name": other, "by": mine})

        model_db.run(work, write=True)

    with ThreadPoolExecutor(2) as pool:
        done = [
            pool.submit(rename, "a", "b", first, second),
            pool.submit(rename, "b", "a", second, first),
        ]
        for one in done:
            one.result(timeout=30)
    assert len(attempts) == 3
    assert len({project.description for project in service.get_projects()}) == 1


@ON_SERVERS
def test_mistakes_are_not_tried_again(model_db: ModelDB) -> None:
    attempts = []

    def work(connection: Connection) -> None:
        attempts.append(1)
        connection.execute(text("SELECT no_such_column FROM model"))

    with pytest.raises(ModelDBError) as raised:
        model_db.run(work)
    assert not isinstance(raised.value, ModelDBUnavailableError | ConstraintError)
    assert len(attempts) == 1


@ON_SERVERS
@pytest.mark.slow
def test_server_is_killed_and_comes_back(own_server: MariaDB | PostgreSQL) -> None:
    service = registry(own_server.url("registry"), retry_s=20)
    service.apply_schema()
    model_id = service.store_model("", "", "", "", "m")
    own_server.kill()
    start = Thread(target=lambda: (time.sleep(1), own_server.start()))
    start.start()
    assert service.store_deployment(model_id, "1.0", is_live=True)
    start.join()
    own_server.kill()
    own_server.start()
    assert service.get_live_deployment(model_id=model_id).version == "1.0"
    impatient = registry(own_server.url("other"), retry_s=1)
    impatient.apply_schema()
    own_server.kill()
    begin = time.monotonic()
    with pytest.raises(ModelDBUnavailableError):
        impatient.get_models()
    assert time.monotonic() - begin < 5


@ON_SERVERS
@pytest.mark.slow
def test_server_stops_answering(own_server: MariaDB | PostgreSQL) -> None:
    """A caller waits RETRY_S for an answer and TIMEOUT_S for a new connection, not for ever."""
    service = registry(own_server.url("registry"), timeout_s=2, retry_s=2)
    service.apply_schema()
    service.store_project("p")
    assert own_server.process is not None
    # PostgreSQL has a process for each connection.
    family = [own_server.process.pid, *_children(own_server.process.pid)]
    for pid in family:
        os.kill(pid, signal.SIGSTOP)
    try:
        start = time.monotonic()
        with pytest.raises(ModelDBUnavailableError):
            service.store_project("q")
        assert time.monotonic() - start < 2 + 2 + 2
    finally:
        for pid in family:
            os.kill(pid, signal.SIGCONT)
    assert service.store_project("q") == "q"
    service._model_db.close()


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(number) for number in text.split()]
