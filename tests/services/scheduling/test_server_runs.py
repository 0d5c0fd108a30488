"""Runs on a real Prefect server by a real worker: models, settings, secrets, commands, faults."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.states import Crashed
from tests.commands import Run
from tests.models import functions
from tests.models.flows import (
    leaves_a_line,
    says_when_it_begins,
    two_lenses,
    waits_a_minute,
)
from tests.servers import MongoDB, Prefect, Worker
from tests.services.scheduling.conftest import cancelled_at_random_moments, running

from lume_services.config import configure, context
from lume_services.errors import FlowError, FlowNotFoundError, InvalidInputError, RunError
from lume_services.flows import Flow, FlowOfFlows, flow
from lume_services.models import Model
from lume_services.results import Result
from lume_services.services.scheduling import SchedulingService
from lume_services.services.scheduling.backends import LocalBackend, RunState
from lume_services.services.scheduling.run_configs import DockerRunConfig
from lume_services.testing import _flows as flows

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]

_WAIT = 120.0


@pytest.fixture(autouse=True)
def configured(process_worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in process_worker.variables.items():
        monkeypatch.setenv(name, text)
    configure()


@pytest.fixture
def lens() -> Model:
    model = Model.create_model(description="lens")
    model.register(functions.thin_lens, version="1.0")
    return model


def test_a_model_runs_there_as_here(lens: Model) -> None:
    here = lens.evaluate({"f": 2.0, "x": 1.0})
    there = lens.run_and_return({"f": 4.0, "x": 1.0})
    assert isinstance(there, Result)
    assert there.outputs.keys() == here.outputs.keys()
    assert lens.run_and_return({"f": 2.0, "x": 1.0}).id == here.id, "the same result"
    recorded = lens.get_results({"inputs.f": 4.0})
    assert [one.id for one in recorded] == [there.id]
    assert recorded[0].outputs == there.outputs


def test_a_result_knows_its_run(lens: Model) -> None:
    run = lens.run({"f": 8.0, "x": 1.0})
    assert run.result(_WAIT).flow_run_id == run.id


def test_a_models_own_flow(lens: Model) -> None:
    lens.register(functions.thin_lens, version="2.0", flow=two_lenses)
    run = lens.run({"f": 2.0})
    assert run.result(_WAIT) == two_lenses(f=2.0)
    assert set(run.task_results()) == {"first", "second"}


def test_what_cannot_be_sent_is_refused_at_once() -> None:
    service = context.scheduling_service()

    @flow
    def in_a_function() -> None: ...

    with pytest.raises(FlowError, match="not at the top of a module"):
        service.run(flow=in_a_function)
    with pytest.raises(InvalidInputError, match="ProcessRunConfig, not a DockerRunConfig"):
        service.run(flow=flows._give_back, parameters={"value": 1}, run_config=DockerRunConfig())


def test_a_job_with_another_results_database_says_so(
    process_worker: Worker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LUME_HOME", str(tmp_path / "another"))
    configure()
    run = context.scheduling_service().run(flow=flows._compute, parameters={"x": 1})
    assert run.wait(_WAIT) is RunState.FAILED
    with pytest.raises(RunError, match=r"LUME_RESULTS_DB__URL.*another") as raised:
        run.result()
    assert process_worker.variables["LUME_HOME"] in str(raised.value)


def test_commands(run: Run) -> None:
    service = context.scheduling_service()
    done = service.run(flow=flows._compute, parameters={"x": 3}, name="by-hand")
    busy = service.run(flow=flows._keep_busy, parameters={"seconds": 300})
    assert done.result(_WAIT) == 3.0
    listed = run("runs", "list", "--json").json
    assert {done.id, busy.id} <= {one["id"] for one in listed}
    shown = run("runs", "show", done.id, "--json").json
    assert (shown["name"], shown["state"], shown["value"]) == ("by-hand", "Completed", 3.0)
    assert "adding 3.0 and 2.0" in run("runs", "logs", done.id, "--follow").out
    assert "by-hand" in run("runs", "list").out
    assert run("runs", "cancel", busy.id).code == 0
    assert busy.wait(_WAIT) is RunState.CANCELLED
    unknown = run("runs", "show", "no-run")
    assert (unknown.code, "no-run" in unknown.err) == (1, True)


def test_schedules(run: Run, lens: Model) -> None:
    done = run("schedule", "add", "lens", "--every", "20", "-p", "f=16", "-p", "x=1")
    assert done.code == 0, done.err
    (schedule, when), *others = run("schedule", "list", "lens", "--json").json.items()
    assert (schedule in done.err, when, others) == (True, "every 0:00:20", [])
    lens.run({"f": 32.0, "x": 1.0}).result(_WAIT)  # registering again leaves schedules alone
    deadline = time.monotonic() + _WAIT
    while not lens.get_results({"inputs.f": 16}):
        assert time.monotonic() < deadline, "nothing was run"
        time.sleep(0.5)
    assert run("schedule", "delete", "lens", schedule).code == 0
    assert run("schedule", "list", "lens", "--json").json == {}
    assert run("schedule", "delete", "lens", schedule).code == 2
    wrong = run("schedule", "add", "lens", "--cron", "every day", "-p", "f=1", "-p", "x=1")
    assert (wrong.code, "'every day'" in wrong.err) == (2, True)


def test_runs_of_a_backend_that_keeps_none(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUME_BACKEND", "local")
    done = run("runs", "list")
    assert (done.code, "LUME_BACKEND" in done.err) == (2, True)
    done = run("worker", "start")
    assert (done.code, "LUME_BACKEND='local' runs flows without a worker" in done.err) == (2, True)


def test_a_server_that_is_away_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUME_PREFECT__SERVER__HOST_PORT", "1")
    done = run("runs", "list")
    assert (done.code, "LUME_PREFECT__SERVER__HOST" in done.err) == (1, True)


# --- Flows of flows ------------------------------------------------------------------------------


@pytest.fixture
def fodo(monkeypatch: pytest.MonkeyPatch) -> FlowOfFlows:
    folder = ROOT / "examples/flow_of_flows"
    monkeypatch.syspath_prepend(str(folder))
    return FlowOfFlows.from_yaml(folder / "fodo.yaml")


def test_a_flow_of_flows_gives_there_what_it_gives_here(fodo: FlowOfFlows, tmp_path: Path) -> None:
    given = {"optics-focal_length": 4.0, "optics-filename": str(tmp_path / "there.yaml")}
    run = fodo.run(given)
    here = {**given, "optics-filename": str(tmp_path / "here.yaml")}
    expected = fodo.run_from_here(here, service=SchedulingService(LocalBackend())).result()
    values = run.result(_WAIT)
    assert values["tune"] == expected["tune"]
    assert values["clearance"] == expected["clearance"]
    names = {one.name for one in context.scheduling_service().backend.list_runs(limit=6)}
    assert run.name in names
    assert len(names) >= 5, "each flow is a run of its own"


def test_a_flow_of_flows_that_is_registered_runs_under_its_ids(
    fodo: FlowOfFlows, tmp_path: Path
) -> None:
    registry = context.model_db_service()
    registry.apply_schema()
    model_id = registry.store_model("fodo", "SLAC", "LCLS", "cu_hxr", "a cell")
    flow_id = fodo.register(registry.store_deployment(model_id, "1.0"))
    given = {"optics-focal_length": 4.0, "optics-filename": str(tmp_path / "there.yaml")}
    fodo.run(given).result(_WAIT)
    backend: Any = context.scheduling_service().backend
    for one in [flow_id, *(part.flow_id for part in registry.get_flow_of_flows())]:
        assert len(backend.list_runs(flow_id=one)) == 1, one


def test_a_flow_of_flows_that_fails_says_in_which(fodo: FlowOfFlows, tmp_path: Path) -> None:
    given = {"optics-focal_length": 0.0, "optics-filename": str(tmp_path / "optics.yaml")}
    run = fodo.run(given)
    assert run.wait(_WAIT) is RunState.FAILED
    with pytest.raises(RunError, match="flow 'optics'"):
        run.result()


def test_a_worker_with_one_place_carries_out_a_flow_of_flows(
    fodo: FlowOfFlows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Prefect(tmp_path / "server") as server:
        mine = {
            "LUME_BACKEND": "process",
            "LUME_HOME": str(tmp_path),
            "LUME_PREFECT__SERVER__HOST": server.host,
            "LUME_PREFECT__SERVER__HOST_PORT": str(server.port),
        }
        for name, text in mine.items():
            monkeypatch.setenv(name, text)
        configure()
        given = {"optics-focal_length": 4.0, "optics-filename": str(tmp_path / "optics.yaml")}
        with Worker(tmp_path, mine, "--limit", "1"):
            assert fodo.run(given).wait(_WAIT) is RunState.COMPLETED


def test_a_flow_of_flows_that_is_cancelled_takes_its_flows_along(
    whole_that_waits: FlowOfFlows,
) -> None:
    service: Any = context.scheduling_service()
    part_id = service.register_flow(flow=waits_a_minute)
    run = running(whole_that_waits.run())
    deadline = time.monotonic() + _WAIT
    while not (parts := service.backend.list_runs(flow_id=part_id)):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    running(parts[0])
    run.cancel()
    assert run.wait(_WAIT) is RunState.CANCELLED
    assert parts[0].wait(_WAIT) is RunState.CANCELLED


@pytest.fixture
def whole_that_waits() -> FlowOfFlows:
    part = Flow("waits", entrypoint="tests.models.flows:waits_a_minute")
    return FlowOfFlows("whole", composing_flows=[part])


# --- What others do on the same server -----------------------------------------------------------


def test_runs_of_others_are_not_taken_for_silent(prefect_server: Prefect) -> None:
    context.scheduling_service().register_flow(flow=two_lenses)
    with SyncPrefectClient(prefect_server.api_url) as client:
        (automation,) = client.request("POST", "/automations/filter", json={}).json()
    awaited = {*automation["trigger"]["after"]}
    assert awaited == {"lume-services.job.alive"}, "Prefect's own runs have a heartbeat, too"


def test_a_job_that_is_taken_for_dead_says_that_it_is_not(prefect_server: Prefect) -> None:
    run = running(
        context.scheduling_service().run(flow=flows._keep_busy, parameters={"seconds": 8.0})
    )
    silent = Crashed(message="Its job has shown no sign of life for 60 s.")
    with SyncPrefectClient(prefect_server.api_url) as client:
        client.set_flow_run_state(UUID(run.id), silent, force=True)
    assert run.state is RunState.CRASHED
    assert run.wait(_WAIT) is RunState.COMPLETED


def test_cancelling_while_a_job_waits_for_its_time(prefect_server: Prefect) -> None:
    service = context.scheduling_service()
    flow_id = service.register_flow(flow=two_lenses)
    at = datetime.now(UTC) + timedelta(seconds=9)  # workers come for runs ten seconds early
    run = service.backend.submit(flow_id=flow_id, parameters={"f": 1.0}, start_at=at)
    with SyncPrefectClient(prefect_server.api_url) as client:
        while (state := client.read_flow_run(UUID(run.id)).state) and not state.is_pending():
            assert datetime.now(UTC) < at
            time.sleep(0.1)
    run.cancel()
    assert run.wait(_WAIT) is RunState.CANCELLED


def test_a_flow_that_somebody_deleted_on_the_server(prefect_server: Prefect) -> None:
    service = context.scheduling_service()
    flow_id = service.register_flow(flow=two_lenses, project_name="deleted")
    with SyncPrefectClient(prefect_server.api_url) as client:
        for one in client.read_deployments():
            if flow_id in one.tags:
                client.delete_deployment(one.id)
    with pytest.raises(FlowNotFoundError, match="register it first"):
        service.backend.submit(flow_id=flow_id, parameters={"f": 1.0})
    assert service.run(flow=two_lenses, parameters={"f": 2.0}, project_name="deleted").result(
        _WAIT
    ) == two_lenses(f=2.0)


def test_a_schedule_takes_no_parameters_that_would_be_deleted_in_the_end() -> None:
    backend = context.scheduling_service().backend
    flow_id = backend.register_flow(flow=flows._give_back)
    with pytest.raises(InvalidInputError, match="under 32 kB"):
        backend.schedule(
            flow_id=flow_id,
            parameters={"value": np.zeros(10_000)},
            every=timedelta(hours=1),
        )


def test_a_worker_that_is_told_to_end_leaves_no_secrets(
    variables: Callable[[str, Path], dict[str, str]], tmp_path: Path
) -> None:
    place = tmp_path / "secrets"
    place.mkdir()
    given = {**variables("process", tmp_path), "TMPDIR": str(place)}
    worker = Worker(tmp_path, given, "--pool", "lume-secrets").start()
    assert list(place.glob("lume-secrets-*"))
    worker.process.send_signal(signal.SIGTERM)
    worker.process.wait(30)
    assert not list(place.glob("lume-secrets-*"))


# --- Faults --------------------------------------------------------------------------------------


def jobs_of(runs: list[Any]) -> list[int]:
    """The processes of jobs of these runs."""
    found = subprocess.run(["pgrep", "-f", "lume_services[.]job"], capture_output=True, text=True)
    ids = [run.id for run in runs]
    jobs = []
    for pid in found.stdout.split():
        with suppress(OSError):  # it has just ended
            environment = Path(f"/proc/{pid}/environ").read_text(errors="replace")
            if any(one in environment for one in ids):
                jobs.append(int(pid))
    return jobs


def test_a_worker_that_is_killed_with_its_job(
    variables: Callable[[str, Path], dict[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, text in variables("process", tmp_path).items():
        monkeypatch.setenv(name, text)
    configure()
    backend: Any = context.scheduling_service().backend
    backend.work_pool = "lume-doomed"
    with Worker(tmp_path, variables("process", tmp_path), "--pool", "lume-doomed") as worker:
        run = running(backend.run(flow=flows._keep_busy, parameters={"seconds": 300}))
        jobs = jobs_of([run])
        worker.kill()
        for job in jobs:
            os.kill(job, signal.SIGKILL)
        assert run.wait(_WAIT) is RunState.CRASHED
        with pytest.raises(RunError, match="no sign of life"):
            run.result()


def test_a_server_that_restarts_during_a_run(prefect_server: Prefect) -> None:
    run = running(
        context.scheduling_service().run(flow=flows._keep_busy, parameters={"seconds": 8})
    )
    prefect_server.kill()
    prefect_server.start()
    assert run.wait(_WAIT) is RunState.COMPLETED


def test_a_results_database_that_is_away_when_the_job_ends(
    variables: Callable[[str, Path], dict[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with MongoDB(tmp_path / "mongodb") as mongodb:
        mine = {
            **variables("process", tmp_path),
            "LUME_RESULTS_DB__URL": mongodb.url("away"),
            "LUME_RESULTS_DB__CONNECTION__RETRY_S": "1",
        }
        for name, text in mine.items():
            monkeypatch.setenv(name, text)
        configure()
        backend: Any = context.scheduling_service().backend
        backend.work_pool = "lume-away"
        with Worker(tmp_path, mine, "--pool", "lume-away"):
            run = backend.run(flow=says_when_it_begins, parameters={"seconds": 12.0})
            next(line for line in run.logs(follow=True) if line.message == "begun")
            mongodb.kill()
            time.sleep(16)
            assert not run.state.is_final, "the value is not there yet"
            mongodb.start()
            assert run.wait(_WAIT) is RunState.COMPLETED
            assert run.result() == 12.0


def test_two_workers_carry_each_of_many_runs_out_once(
    process_worker: Worker, tmp_path: Path
) -> None:
    service = context.scheduling_service()
    lines = [str(number) for number in range(12)]
    with Worker(tmp_path, process_worker.variables, "--limit", "3"):
        runs = [
            service.run(
                flow=leaves_a_line, parameters={"path": str(tmp_path / "lines"), "line": line}
            )
            for line in lines
        ]
        assert [run.wait(_WAIT) for run in runs] == [RunState.COMPLETED] * len(lines)
    assert sorted((tmp_path / "lines").read_text().split()) == sorted(lines)


def test_runs_cancelled_at_random_moments() -> None:
    runs = cancelled_at_random_moments(
        context.scheduling_service(), flows._keep_busy, seconds=300.0, seed=1
    )
    deadline = time.monotonic() + 30
    while left := jobs_of(runs):
        assert time.monotonic() < deadline, f"{len(left)} of {len(runs)} are left"
        time.sleep(0.2)
