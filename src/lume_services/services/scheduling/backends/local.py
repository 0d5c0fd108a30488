"""The local backend: flows run in this process."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from lume_services.errors import (
    FlowNotFoundError,
    InvalidInputError,
    RunError,
    RunTimeoutError,
)
from lume_services.services.scheduling.backends.backend import Backend, Capability
from lume_services.services.scheduling.backends.handle import FlowRunHandle, LogRecord, RunState
from lume_services.services.scheduling.run_configs import RunConfig

if TYPE_CHECKING:
    import prefect

    from lume_services.engine import LocalRun

__all__ = ["LocalBackend"]


class LocalBackend(Backend):
    """Runs flows in this process, with no server.

    ``submit`` starts a thread and returns; ``run_and_return`` runs the flow in the calling thread.
    The difference shows in two places. ``Ctrl-C`` interrupts the flow itself under
    ``run_and_return``, and only the waiting for it under ``run``. A ``timeout_seconds`` interrupts
    what runs in the main thread; in another thread Python cannot, so the run ends as TimedOut on
    time while the code goes on unheard until it next calls a task.

    Flows made with ``lume_services.flows.flow`` run inline. A plain Prefect flow runs through
    Prefect's engine, which starts a server of its own unless ``PREFECT_API_URL`` names one; its
    handle has a state, a result and logs, but no results of tasks, and it cannot be cancelled.
    """

    capabilities = frozenset(Capability) - {Capability.COORDINATES, Capability.SCHEDULES}

    def __init__(self) -> None:
        self._flows: dict[str, prefect.Flow[..., Any]] = {}

    def register(
        self, *, flow: prefect.Flow[..., Any], flow_id: str, project_name: str = "local"
    ) -> None:
        """Keep the flow; see ``Backend.register``."""
        self._flows[flow_id] = flow

    def load_flow(self, *, flow_id: str) -> prefect.Flow[..., Any]:
        """See ``Backend.load_flow``."""
        if flow_id not in self._flows:
            raise FlowNotFoundError(f"No flow {flow_id!r} is registered in this process.")
        return self._flows[flow_id]

    def submit(
        self,
        *,
        flow_id: str,
        parameters: Mapping[str, Any] | None = None,
        run_config: RunConfig | None = None,
        name: str | None = None,
        start_at: datetime | None = None,
    ) -> FlowRunHandle:
        """Start a flow in a thread; see ``Backend.submit``.

        A program does not end before the flows that it started. ``FlowRunHandle.cancel`` is heard
        when the flow next calls a task or flow, or waits to retry one.

        Raises:
            FlowNotFoundError: No flow is registered under that id.
            InvalidInputError: A parameter is unknown, missing, or does not fit its annotation, or
                there is something that this process cannot do.
            FlowError: The flow is a generator function.
        """
        _check_run_config(run_config)
        if start_at is not None:
            raise InvalidInputError("The local backend starts flows at once: leave out start_at.")
        flow = self.load_flow(flow_id=flow_id)
        # Importing it imports Prefect, which configuring this backend must not.
        from lume_services.engine import local_run

        run = _LocalRun(local_run(flow, parameters or {}, name=name, registered_as=flow_id))
        run.start()
        return run

    def run_and_return(
        self,
        *,
        flow: prefect.Flow[..., Any],
        parameters: Mapping[str, Any] | None = None,
        project_name: str = "local",
        flow_id: str | None = None,
        run_config: RunConfig | None = None,
        name: str | None = None,
        task_name: str | None = None,
    ) -> Any:
        """Run a flow in the calling thread; see ``Backend.run_and_return``."""
        _check_run_config(run_config)
        from lume_services.engine import local_run

        keep_results = task_name is not None
        local = local_run(
            flow, parameters or {}, name=name, registered_as=flow_id, keep_results=keep_results
        )
        value = local.execute()
        return value if task_name is None else _LocalRun(local).task_result(task_name)


def _check_run_config(run_config: RunConfig | None) -> None:
    if run_config is not None:
        raise InvalidInputError(
            f"The local backend takes no run configuration, and this is a "
            f"{type(run_config).__name__}: set LUME_BACKEND, or leave it out."
        )


class _LocalRun(FlowRunHandle):
    def __init__(self, local: LocalRun) -> None:
        self._local = local
        self._thread = threading.Thread(target=self._execute, name=f"lume-run-{local.name}")
        self._over = threading.Event()
        self._value: Any = None
        self._error: BaseException | None = None

    def start(self) -> None:
        self._thread.start()

    @property
    def id(self) -> str:
        return self._local.id

    @property
    def name(self) -> str:
        return self._local.name

    @property
    def state(self) -> RunState:
        state = self._local.state
        if not self._over.is_set():
            # It may be final already while threads of its tasks are being joined.
            return RunState.PENDING if state.is_pending() else RunState.RUNNING
        if state.is_completed():
            return RunState.COMPLETED
        if state.is_cancelled():
            return RunState.CANCELLED
        if state.is_crashed():
            return RunState.CRASHED
        return RunState.TIMED_OUT if state.name == "TimedOut" else RunState.FAILED

    def wait(self, timeout: float | None = None) -> RunState:
        if not self._over.wait(timeout):
            raise RunTimeoutError(f"Run {self.name!r} is not over after {timeout:g} s; it goes on.")
        return self.state

    def result(self, timeout: float | None = None) -> Any:
        self.wait(timeout)
        if self._error is None:
            return self._value
        if isinstance(self._error, Exception):
            raise self._error
        # SystemExit and the like would end the program that only asks.
        raise RunError(f"Run {self.name!r} crashed: {self._error!r}") from self._error

    def task_results(self) -> dict[str, Any]:
        return self._local.task_results()

    def log_records(self) -> list[LogRecord]:
        return list(self._local.logs)

    def cancel(self) -> None:
        if not self._over.is_set():
            self._local.cancel()

    def _execute(self) -> None:
        try:
            self._value = self._local.execute()
        except BaseException as error:  # kept for result()
            self._error = error
        finally:
            self._over.set()
