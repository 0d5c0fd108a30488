"""The backends: the shipped one, and one that a user might write."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from uuid import uuid4

import pytest

from lume_services.config import configure, context
from lume_services.engine import check_parameters, flow, parameters_of, task
from lume_services.errors import (
    FlowNotFoundError,
    InvalidInputError,
    RunCancelledError,
    RunError,
    RunTimeoutError,
)
from lume_services.services.scheduling import SchedulingService
from lume_services.services.scheduling.backends import (
    Backend,
    Capability,
    FlowRunHandle,
    LocalBackend,
    RunState,
)
from lume_services.services.scheduling.run_configs import RunConfig
from lume_services.testing.backends import BackendConformance


class TestLocalBackend(BackendConformance):
    @pytest.fixture
    def backend(self) -> Iterator[Backend]:
        backend = LocalBackend()
        yield backend
        backend.close()

    def test_run_and_return_runs_in_the_calling_thread(self, backend: Backend) -> None:
        @flow
        def where() -> int:
            return threading.get_ident()

        assert backend.run_and_return(flow=where) == threading.get_ident()
        assert backend.run(flow=where).result() != threading.get_ident()

    def test_a_run_that_meets_a_cancelled_one_is_not_cancelled(self, backend: Backend) -> None:
        @flow
        def unlucky() -> None:
            raise RunCancelledError("another run was")

        assert backend.run(flow=unlucky).wait(10) is RunState.FAILED

    def test_a_run_that_ends_the_program_only_crashes(self, backend: Backend) -> None:
        @flow
        def leaves() -> None:
            sys.exit(3)

        run = backend.run(flow=leaves)
        assert run.wait(10) is RunState.CRASHED
        with pytest.raises(RunError, match="SystemExit"):
            run.result()

    def test_a_program_does_not_end_before_its_runs(self) -> None:
        script = (
            "import threading\n"
            "from lume_services.engine import flow\n"
            "from lume_services.services.scheduling.backends import LocalBackend\n"
            "@flow\n"
            "def late():\n"
            "    threading.main_thread().join()\n"
            "    print('done')\n"
            "LocalBackend().run(flow=late)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
        )
        assert done.stdout == "done\n"

    @pytest.mark.parametrize("kind", ["", "async "])
    def test_a_run_submits_tasks_after_the_end_of_the_program_too(self, kind: str) -> None:
        script = (
            "import threading\n"
            "from lume_services.engine import check_parameters, flow, parameters_of, task\n"
            "from lume_services.services.scheduling.backends import LocalBackend\n"
            "@task\n"
            "def double(x):\n"
            "    return 2 * x\n"
            "async def hook(flow, run, state):\n"
            "    print(state.name)\n"
            "@flow(on_completion=[hook], timeout_seconds=30)\n"
            f"{kind}def late():\n"
            "    threading.main_thread().join()\n"
            "    print(double.submit(1).result(), double.map([2, 3]).result())\n"
            "LocalBackend().run(flow=late)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
        )
        assert done.stdout == "2 [4, 6]\nCompleted\n", done.stderr


class ThreadBackend(Backend):
    """As little as a backend can be."""

    def __init__(self) -> None:
        self.flows: dict[str, Any] = {}

    def register(self, *, flow: Any, flow_id: str, project_name: str = "local") -> None:
        self.flows[flow_id] = flow

    def submit(
        self,
        *,
        flow_id: str,
        parameters: Mapping[str, Any] | None = None,
        run_config: RunConfig | None = None,
        name: str | None = None,
        start_at: datetime | None = None,
    ) -> FlowRunHandle:
        if flow_id not in self.flows:
            raise FlowNotFoundError(flow_id)
        if run_config is not None or start_at is not None:
            raise InvalidInputError("no DockerRunConfig, no start_at")
        flow = self.flows[flow_id]
        check_parameters(flow.name, parameters_of(flow), parameters or {})
        return ThreadRun(flow, dict(parameters or {}), name or "unnamed")


class ThreadRun(FlowRunHandle):
    id = name = ""

    def __init__(self, flow: Any, parameters: dict[str, Any], name: str) -> None:
        self.id, self.name = str(uuid4()), name
        self._final: Any = None
        self._thread = threading.Thread(target=self._execute, args=(flow, parameters))
        self._thread.start()

    def _execute(self, flow: Any, parameters: dict[str, Any]) -> None:
        self._final = flow(**parameters, return_state=True)

    @property
    def state(self) -> RunState:
        return RunState.RUNNING if self._final is None else RunState(self._final.name)

    def wait(self, timeout: float | None = None) -> RunState:
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise RunTimeoutError(f"{self!r} is not over")
        return self.state

    def result(self, timeout: float | None = None) -> Any:
        self.wait(timeout)
        return self._final.result()


class TestThreadBackend(BackendConformance):
    @pytest.fixture
    def backend(self) -> Backend:
        return ThreadBackend()


@task
def square(x: float) -> float:
    return x * x


@flow
def squares(x: float) -> float:
    return square(x) + 1


def test_the_service_delegates() -> None:
    service = SchedulingService(LocalBackend())
    x = {"x": 2}
    assert service.run(flow=squares, parameters=x).result() == 5
    assert service.run_and_return(flow=squares, parameters=x) == 5
    assert service.run_and_return(flow=squares, parameters=x, task_name="square") == 4
    flow_id = service.register_flow(flow=squares, project_name="injector")
    assert service.submit(flow_id=flow_id, parameters=x).result() == 5
    assert service.create_project(project_name="injector") == "injector"
    with pytest.raises(RunError, match=r"no result of a task 'cube'; .*: square\."):
        service.run_and_return(flow=squares, parameters=x, task_name="cube")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"xx": 1}, r"Flow 'squares' has no parameter 'xx'\. Did you mean 'x'\?"),
        ({}, "Flow 'squares' needs a value for: x"),
        ({"x": "wide"}, r"(?s)Flow 'squares': .*x: Input should be a valid number"),
    ],
)
def test_wrong_parameters_are_refused_at_once(parameters: dict[str, Any], message: str) -> None:
    backend = LocalBackend()
    for run in (backend.run, backend.run_and_return):
        with pytest.raises(InvalidInputError, match=message):
            run(flow=squares, parameters=parameters)


def test_the_configured_service_is_the_local_backend() -> None:
    configure()
    backend = context.scheduling_service().backend
    elsewhere = {Capability.COORDINATES, Capability.SCHEDULES}
    assert backend.capabilities == frozenset(Capability) - elsewhere


def test_a_custom_backend_is_used() -> None:
    mine = ThreadBackend()
    configure(backend=mine)
    assert context.scheduling_service().run_and_return(flow=squares, parameters={"x": 3}) == 10
    assert context.scheduling_service().backend is mine


def test_configuring_does_not_import_prefect() -> None:
    script = (
        "import sys\n"
        "from lume_services.config import configure, context\n"
        "configure()\n"
        "context.scheduling_service()\n"
        "assert 'prefect' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], timeout=60, check=True)
