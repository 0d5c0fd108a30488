"""The local backend: flows run in this process."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lume_services.errors import RunError, RunTimeoutError
from lume_services.services.scheduling.backends.backend import (
    Backend,
    Capability,
    LogRecord,
    Run,
    RunState,
)

if TYPE_CHECKING:
    import prefect

    from lume_services.engine import LocalRun

__all__ = ["LocalBackend"]


class LocalBackend(Backend):
    """Runs flows in this process, with no server.

    ``run`` starts a thread and returns; ``run_and_return`` runs the flow in the calling thread. The
    difference shows in two places. ``Ctrl-C`` interrupts the flow itself under ``run_and_return``,
    and only the waiting for it under ``run``. A ``timeout_seconds`` interrupts what runs in the
    main thread; in another thread Python cannot, so the run ends as TimedOut on time while the
    code goes on unheard until it next calls a task.

    Flows made with ``lume_services.flows.flow`` run inline. A plain Prefect flow runs through
    Prefect's engine, which starts a server of its own unless ``PREFECT_API_URL`` names one; its
    handle has a state, a result and logs, but no results of tasks, and it cannot be cancelled.
    """

    capabilities = frozenset(Capability)

    def run(
        self,
        *,
        flow: prefect.Flow[..., Any],
        parameters: Mapping[str, Any] | None = None,
        project_name: str = "local",
        name: str | None = None,
    ) -> Run:
        """Start a flow in a thread; see ``Backend.run``.

        A program does not end before the flows that it started. ``Run.cancel`` is heard when the
        flow next calls a task or flow, or waits to retry one.

        Raises:
            InvalidInputError: A parameter is unknown, missing, or does not fit its annotation.
            FlowError: The flow is a generator function.
        """
        # Importing it imports Prefect, which configuring this backend must not.
        from lume_services.engine import local_run

        run = _LocalRun(local_run(flow, parameters or {}, name=name))
        run.start()
        return run

    def run_and_return(
        self,
        *,
        flow: prefect.Flow[..., Any],
        parameters: Mapping[str, Any] | None = None,
        project_name: str = "local",
        name: str | None = None,
        task_name: str | None = None,
    ) -> Any:
        """Run a flow in the calling thread; see ``Backend.run_and_return``."""
        from lume_services.engine import local_run

        keep_results = task_name is not None
        local = local_run(flow, parameters or {}, name=name, keep_results=keep_results)
        value = local.execute()
        return value if task_name is None else _LocalRun(local).task_result(task_name)


class _LocalRun(Run):
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

    def logs(self) -> list[LogRecord]:
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
