"""A run of a flow of flows: starts each flow once those that it needs have completed."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, wait
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from lume_services._threads import call_in_thread
from lume_services.errors import (
    FlowOfFlowsError,
    LUMEServicesError,
    RunCancelledError,
    RunError,
    RunTimeoutError,
)
from lume_services.services.scheduling import SchedulingService
from lume_services.services.scheduling.backends import FlowRunHandle, LogRecord, RunState

if TYPE_CHECKING:
    from lume_services.flows._flow import Flow

__all__ = ["FlowOfFlowsRun"]


class _ParentFailedError(RunError):
    """A flow was not started, because one that it needs did not complete."""


class FlowOfFlowsRun(FlowRunHandle):
    """A run of a flow of flows, coordinated by threads of this process.

    Args:
        name: Name of the flow of flows.
        flows: The flows, parents before their children.
        parameters: For each flow, the values of its parameters that are not mapped.
        service: What runs them.

    Attributes:
        runs: The run of each flow that has been started, by the flow's name.
    """

    def __init__(
        self,
        name: str,
        flows: Sequence[Flow],
        parameters: Mapping[str, Mapping[str, Any]],
        service: SchedulingService,
    ) -> None:
        self._id = str(uuid4())
        self._name = name
        self._service = service
        self._cancelled = False
        self._lock = threading.Lock()
        self.runs: dict[str, FlowRunHandle] = {}
        self._values: dict[str, Future[Any]] = {}
        # A thread for each, so that none has to wait for another to be taken up.
        for flow in flows:
            run_one = partial(self._run_one, flow, parameters[flow.name])
            self._values[flow.name] = call_in_thread(run_one, name=f"lume-{name}-{flow.name}")

    @property
    def id(self) -> str:
        """A UUID."""
        return self._id

    @property
    def name(self) -> str:
        """The name of the flow of flows."""
        return self._name

    @property
    def state(self) -> RunState:
        """Failed when a flow failed, once all that could run have run."""
        if not all(value.done() for value in self._values.values()):
            return RunState.RUNNING
        if self._cancelled and self._errors():
            return RunState.CANCELLED
        return RunState.FAILED if self._errors() else RunState.COMPLETED

    def wait(self, timeout: float | None = None) -> RunState:
        """Wait until every flow that can run has run; see ``FlowRunHandle.wait``."""
        if wait(self._values.values(), timeout).not_done:
            raise RunTimeoutError(f"Run {self.name!r} is not over after {timeout:g} s; it goes on.")
        return self.state

    def result(self, timeout: float | None = None) -> dict[str, Any]:
        """What each flow returned, by name.

        Raises:
            RunError: A flow failed; its exception is the cause, and the message says which flows
                were not started for it.
            RunCancelledError: The run was cancelled.
            RunTimeoutError: The run is not over yet.
        """
        self.wait(timeout)
        errors = self._errors()
        if not errors:
            return self.task_results()
        if self._cancelled:
            raise RunCancelledError(f"Flow of flows {self.name!r} was cancelled.")
        skipped = [name for name, error in errors.items() if isinstance(error, _ParentFailedError)]
        failed = {name: error for name, error in errors.items() if name not in skipped}
        told = "; ".join(f"flow {name!r}: {error!r}" for name, error in failed.items())
        not_started = f" Not started for that: {', '.join(skipped)}." if skipped else ""
        cause = next(iter(failed.values()))
        raise RunError(f"Flow of flows {self.name!r} failed in {told}.{not_started}") from cause

    def task_results(self) -> dict[str, Any]:
        """What each flow that has completed returned, by name."""
        return {
            name: value.result()
            for name, value in self._values.items()
            if value.done() and value.exception() is None
        }

    def log_records(self) -> list[LogRecord]:
        """What the flows have logged so far, oldest first."""
        records = [record for run in list(self.runs.values()) for record in run.logs()]
        return sorted(records, key=lambda record: record.time)

    def cancel(self) -> None:
        """Ask the flows that run to stop, and start no others."""
        with self._lock:
            self._cancelled = True
            runs = list(self.runs.values())
        refusals: list[Exception] = []
        for run in runs:
            try:
                run.cancel()
            except LUMEServicesError as error:  # the others are to hear of it all the same
                refusals.append(error)
        if refusals:
            raise refusals[0]

    def _errors(self) -> dict[str, BaseException]:
        errors = {name: value.exception() for name, value in self._values.items()}
        return {name: error for name, error in errors.items() if error is not None}

    def _run_one(self, flow: Flow, own: Mapping[str, Any]) -> Any:
        parents = {mapped.parent_flow_name for mapped in flow.mapped_parameters.values()}
        wait([self._values[parent] for parent in parents])
        for parent in sorted(parents):
            if self._values[parent].exception() is not None:
                raise _ParentFailedError(f"Flow {flow.name!r} needs flow {parent!r}, which failed.")
        mapped = {name: self._mapped(flow, name) for name in flow.mapped_parameters}
        with self._lock:
            if self._cancelled:
                raise RunCancelledError(f"Flow {flow.name!r} was cancelled before it began.")
            run = flow.run({**own, **mapped}, service=self._service)
            self.runs[flow.name] = run
        return run.result()

    def _mapped(self, flow: Flow, name: str) -> Any:
        mapped = flow.mapped_parameters[name]
        try:
            returned = self.runs[mapped.parent_flow_name].task_result(mapped.parent_task_name)
            return mapped.value_of(returned)
        except (RunError, ValueError, LookupError) as error:
            raise FlowOfFlowsError(
                f"Flow {flow.name!r}, parameter {name!r}, mapped from task "
                f"{mapped.parent_task_name!r} of flow {mapped.parent_flow_name!r}: {error}"
            ) from error
