"""The conformance suite of scheduling backends.

A backend's author derives a test class and supplies the fixture ``backend``::

    class TestMyBackend(BackendConformance):
        @pytest.fixture
        def backend(self):
            backend = MyBackend(...)
            yield backend
            backend.close()

What a backend does not declare in ``capabilities`` is tested to be refused clearly. A backend that
runs flows elsewhere must be able to import this module there. Needs pytest and Prefect.
"""
# ruff: noqa: D102 (the name of a test says what it is about)

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from lume_services.errors import (
    FlowNotFoundError,
    InvalidInputError,
    RunCancelledError,
    RunError,
    RunTimeoutError,
)
from lume_services.flows import flow
from lume_services.services.scheduling import SchedulingService
from lume_services.services.scheduling.backends import (
    Backend,
    Capability,
    FlowRunHandle,
    RunState,
)
from lume_services.services.scheduling.run_configs import DockerRunConfig, RunConfig
from lume_services.testing._flows import (
    _compute,
    _give_back,
    _keep_busy,
    _large,
    _raises,
    _too_slow,
    _tries_again,
    _variable,
)

__all__ = ["BackendConformance"]

_WAIT = 300.0  # seconds; a worker elsewhere may have to start first


def _until_running(run: FlowRunHandle) -> None:
    deadline = time.monotonic() + _WAIT
    while (state := run.state) is not RunState.RUNNING:
        assert not state.is_final, state
        assert time.monotonic() < deadline, "it does not begin"
        time.sleep(0.05)


class BackendConformance:
    """What every backend must do. Derive from it and supply ``backend``."""

    @pytest.fixture
    def backend(self) -> Iterator[Backend]:
        """The backend under test."""
        raise NotImplementedError("supply the fixture ``backend``")

    @pytest.fixture
    def service(self, backend: Backend) -> SchedulingService:
        """The service that runs on it, with the suite's flows registered."""
        service = SchedulingService(backend)
        for one in (_compute, _give_back, _too_slow, _keep_busy):
            service.register_flow(flow=one)
        return service

    @pytest.fixture
    def run_config(self) -> RunConfig | None:
        """A run configuration with ``env={"SHOWN": "yes"}``; None where a backend takes none."""
        return None

    def test_it_declares_what_it_can(self, backend: Backend) -> None:
        assert isinstance(backend.capabilities, frozenset)
        assert all(isinstance(one, Capability) for one in backend.capabilities)

    def test_registering_gives_an_identifier(self, backend: Backend) -> None:
        first = backend.register_flow(flow=_compute, project_name="local")
        assert isinstance(first, str)
        assert first
        assert backend.register_flow(flow=_compute, project_name="local") == first
        assert backend.register_flow(flow=_compute, project_name="other") != first
        assert backend.create_project(project_name="other") == "other"
        given = "3e9d1a52-2f7a-5c0e-8c8e-2b1f0d6a4c11"
        assert backend.register_flow(flow=_compute, flow_id=given) == given
        assert backend.submit(flow_id=given, parameters={"x": 3}).result(_WAIT) == 3.0

    def test_a_flow_that_nobody_registered_is_not_found(self, backend: Backend) -> None:
        nobodys = "00000000-0000-0000-0000-000000000000"
        with pytest.raises(FlowNotFoundError):
            backend.submit(flow_id=nobodys)
        with pytest.raises(FlowNotFoundError):
            backend.load_flow(flow_id=nobodys)

    def test_a_registered_flow_can_be_loaded(self, backend: Backend) -> None:
        flow_id = backend.register_flow(flow=_compute)
        if type(backend).load_flow is Backend.load_flow:
            with pytest.raises(FlowNotFoundError, match=flow_id):
                backend.load_flow(flow_id=flow_id)
            return
        loaded = backend.load_flow(flow_id=flow_id)
        assert loaded.name == _compute.name
        assert (loaded.fn.__module__, loaded.fn.__name__) == (_compute.fn.__module__, "_compute")

    def test_parameters_that_the_flow_does_not_take_are_refused(
        self, service: SchedulingService
    ) -> None:
        for parameters, named in (({"x": 1, "z": 2}, "'z'"), ({"y": 1}, "x")):
            with pytest.raises(InvalidInputError, match=named):
                service.run(flow=_compute, parameters=parameters)
        with pytest.raises(Exception, match="x"):
            service.run(flow=_compute, parameters={"x": "wide"}).result(_WAIT)

    def test_a_run_completes_and_gives_its_value(self, service: SchedulingService) -> None:
        run = service.run(flow=_compute, parameters={"x": 3})
        assert run.wait(_WAIT) is RunState.COMPLETED
        assert run.state is RunState.COMPLETED
        assert run.result() == 3.0
        assert run.result(timeout=1) == 3.0, "a second time"

    def test_parameters_take_their_defaults(self, service: SchedulingService) -> None:
        assert service.run_and_return(flow=_compute, parameters={"x": 3, "y": 1}) == 5.0
        assert service.run_and_return(flow=_give_back, parameters={"value": None}) is None

    def test_a_run_has_id_and_name(self, service: SchedulingService) -> None:
        one = service.run(flow=_compute, parameters={"x": 1}, name="by-hand")
        other = service.run(flow=_compute, parameters={"x": 1})
        assert UUID(one.id) != UUID(other.id)
        assert one.name == "by-hand"
        assert other.name
        assert "by-hand" in repr(one)
        one.wait(_WAIT)
        other.wait(_WAIT)

    def test_a_failed_run_says_so_and_gives_its_exception(self, service: SchedulingService) -> None:
        run = service.run(flow=_compute, parameters={"x": 1, "y": 0})
        assert run.wait(_WAIT) is RunState.FAILED
        with pytest.raises(ZeroDivisionError):
            run.result()
        with pytest.raises(ZeroDivisionError):
            service.run_and_return(flow=_compute, parameters={"x": 1, "y": 0})

    @pytest.mark.parametrize(("error", "raised"), [("ValueError", ValueError), ("own", Exception)])
    def test_a_failure_keeps_its_message_and_traceback(
        self, service: SchedulingService, error: str, raised: type[Exception]
    ) -> None:
        run = service.run(flow=_raises, parameters={"error": error, "message": "no beam"})
        with pytest.raises(raised, match="no beam") as caught:
            run.result(_WAIT)
        shown = "".join(traceback.format_exception(caught.value))
        assert "in _raise_it" in shown
        assert "_OwnError" in shown or error == "ValueError"

    def test_tasks_are_tried_again(self, service: SchedulingService) -> None:
        assert service.run_and_return(flow=_tries_again) == 3

    def test_arrays_come_and_go(self, service: SchedulingService) -> None:
        value: dict[str, Any] = {
            "image": np.arange(12.0).reshape(3, 4),
            "nan": float("nan"),
            "names": ["Q:K1"],
        }
        given = service.run_and_return(flow=_give_back, parameters={"value": value})
        assert np.array_equal(given["image"], value["image"])
        assert math.isnan(given["nan"])
        assert given["names"] == ["Q:K1"]

    def test_a_value_of_50_mb_comes_back(self, service: SchedulingService) -> None:
        given = service.run_and_return(flow=_large, parameters={"megabytes": 50})
        assert given.nbytes == 50 << 20
        assert (given[0], given[-1]) == (1.5, 1.5)

    def test_the_environment_of_a_run(
        self, service: SchedulingService, run_config: RunConfig | None
    ) -> None:
        if run_config is None:
            with pytest.raises(InvalidInputError, match="DockerRunConfig"):
                service.run(
                    flow=_give_back, parameters={"value": 1}, run_config=DockerRunConfig()
                ).result(_WAIT)
            return
        named = {"name": "SHOWN"}
        run = service.run(flow=_variable, parameters=named, run_config=run_config)
        assert run.result(_WAIT) == "yes"

    def test_a_run_may_start_later(self, backend: Backend, service: SchedulingService) -> None:
        flow_id = service.register_flow(flow=_compute)
        at = datetime.now(UTC) + timedelta(seconds=5)
        if Capability.SCHEDULES not in backend.capabilities:
            with pytest.raises(InvalidInputError):
                backend.submit(flow_id=flow_id, parameters={"x": 3}, start_at=at)
            return
        run = backend.submit(flow_id=flow_id, parameters={"x": 3}, start_at=at)
        assert run.state is RunState.PENDING
        assert run.result(_WAIT) == 3.0
        assert datetime.now(UTC) >= at

    def test_a_run_that_exceeds_its_own_limit_is_timed_out(
        self, service: SchedulingService
    ) -> None:
        run = service.run(flow=_too_slow)
        assert run.wait(_WAIT) is RunState.TIMED_OUT
        with pytest.raises(TimeoutError):
            run.result()

    def test_waiting_has_a_limit_and_the_run_goes_on(
        self, backend: Backend, service: SchedulingService
    ) -> None:
        run = service.run(flow=_keep_busy, parameters={"seconds": 0.5})
        with pytest.raises(RunTimeoutError):
            run.wait(0.01)
        with pytest.raises(RunTimeoutError):
            run.result(0.01)
        assert run.wait(_WAIT) is RunState.COMPLETED
        if Capability.CANCEL in backend.capabilities:
            endless = service.run(flow=_keep_busy, parameters={"seconds": _WAIT})
            with pytest.raises(RunTimeoutError):
                endless.result(0.01)
            endless.cancel()
            assert endless.wait(_WAIT) is RunState.CANCELLED

    def test_results_of_tasks(self, backend: Backend, service: SchedulingService) -> None:
        run = service.run(flow=_compute, parameters={"x": 3})
        run.wait(_WAIT)
        if Capability.TASK_RESULTS not in backend.capabilities:
            with pytest.raises(RunError):
                run.task_results()
            return
        assert run.task_results() == {"_add": [5.0, 6.0], "_divide": 3.0}
        assert run.task_result("_divide") == 3.0
        of_add = service.run_and_return(flow=_compute, parameters={"x": 3}, task_name="_add")
        assert of_add == [5.0, 6.0]
        with pytest.raises(RunError, match=r"'_subtract'.*_add, _divide"):
            run.task_result("_subtract")

    def test_logs(self, backend: Backend, service: SchedulingService) -> None:
        run = service.run(flow=_compute, parameters={"x": 3})
        run.wait(_WAIT)
        if Capability.LOGS not in backend.capabilities:
            with pytest.raises(RunError):
                run.logs()
            return
        lines = [line for line in run.logs() if line.message.startswith("adding")]
        assert [line.message for line in lines] == ["adding 3.0 and 2.0", "adding 5.0 and 1.0"]
        assert {line.level for line in lines} == {"WARNING"}
        assert lines[0].task == "_add"
        assert lines[0].time.tzinfo is not None
        assert lines[0].time <= lines[1].time
        other = service.run(flow=_compute, parameters={"x": 3})
        followed = [line.message for line in other.logs(follow=True)]
        assert [one for one in followed if one.startswith("adding")] == [
            line.message for line in lines
        ]

    def test_cancelling(self, backend: Backend, service: SchedulingService) -> None:
        if Capability.CANCEL not in backend.capabilities:
            with pytest.raises(RunError):
                service.run(flow=_compute, parameters={"x": 3}).cancel()
            return
        run = service.run(flow=_keep_busy, parameters={"seconds": _WAIT})
        other = service.run(flow=_compute, parameters={"x": 3})
        assert other.result(_WAIT) == 3.0, "runs wait for each other"
        _until_running(run)
        run.cancel()
        assert run.wait(_WAIT) is RunState.CANCELLED
        with pytest.raises(RunCancelledError):
            run.result()
        run.cancel()  # a run that is over: nothing happens

    def test_cancelling_before_it_begins(
        self, backend: Backend, service: SchedulingService
    ) -> None:
        if Capability.SCHEDULES not in backend.capabilities:
            return
        flow_id = service.register_flow(flow=_compute)
        at = datetime.now(UTC) + timedelta(hours=1)
        waits = backend.submit(flow_id=flow_id, parameters={"x": 3}, start_at=at)
        waits.cancel()
        assert waits.wait(10) is RunState.CANCELLED
        at_once = backend.submit(flow_id=flow_id, parameters={"x": 3})
        at_once.cancel()
        assert at_once.wait(_WAIT) is RunState.CANCELLED
        with pytest.raises(RunCancelledError):
            at_once.result()

    def test_any_object_passes_in_process(
        self, backend: Backend, service: SchedulingService
    ) -> None:
        if Capability.IN_PROCESS not in backend.capabilities:
            return
        value = object()
        assert service.run(flow=_give_back, parameters={"value": value}).result(_WAIT) is value

        @flow
        def defined_here() -> object:
            raise error

        error = KeyError("the very object")
        run = service.run(flow=defined_here)
        run.wait(_WAIT)
        with pytest.raises(KeyError) as caught:
            run.result()
        assert caught.value is error
