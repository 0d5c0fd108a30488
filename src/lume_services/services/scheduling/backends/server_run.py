"""The handle of a run that a Prefect server knows of."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final

from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Cancelled, Cancelling

from lume_services.errors import BlobNotFoundError, RunCancelledError, RunError, RunTimeoutError
from lume_services.services.scheduling.backends.handle import FlowRunHandle, LogRecord, RunState
from lume_services.services.scheduling.backends.prefect_api import SILENT, PrefectAPI
from lume_services.services.scheduling.labels import LOGGER_OF_TASKS, OUTCOME
from lume_services.services.scheduling.outcomes import Outcome

if TYPE_CHECKING:
    from lume_services.services.results import ResultsDBService

__all__ = ["ServerRun"]

_POLL_S: Final = 0.1
_SLOW_POLL_S: Final = 1.0
_SOON_S: Final = 10.0
_REVIVAL_S: Final = 5.0
"""How long a run that is said to be silent may take to say that it is not: after the server was
away, it takes all runs for silent, and hears better from their jobs."""
_LOGS_AT_ONCE: Final = 200
"""Prefect's server gives no more at a time."""

_STATES: Final = {
    StateType.SCHEDULED: RunState.PENDING,
    StateType.PENDING: RunState.PENDING,
    StateType.RUNNING: RunState.RUNNING,
    StateType.PAUSED: RunState.RUNNING,
    StateType.CANCELLING: RunState.RUNNING,
    StateType.COMPLETED: RunState.COMPLETED,
    StateType.FAILED: RunState.FAILED,
    StateType.CANCELLED: RunState.CANCELLED,
    StateType.CRASHED: RunState.CRASHED,
}


class ServerRun(FlowRunHandle):
    """A run that a Prefect server knows of.

    Args:
        api: The server.
        results: The results service, by which values come back.
        run: What the server said of the run.
    """

    def __init__(self, api: PrefectAPI, results: ResultsDBService, run: FlowRun) -> None:
        self._api = api
        self._results = results
        self._run = run
        self._loaded: Outcome | None = None

    @property
    def id(self) -> str:
        """Prefect's id of the run."""
        return str(self._run.id)

    @property
    def name(self) -> str:
        """The run's name."""
        return self._run.name

    @property
    def url(self) -> str:
        """The run's page."""
        return f"{self._api.ui_url}/runs/flow-run/{self.id}"

    @property
    def state(self) -> RunState:
        """Where the run has got to; asks the server, until the run is over."""
        if not _state(self._run).is_final or _state(self._run) is RunState.CRASHED:
            self._ask()
        return _state(self._run)

    def wait(self, timeout: float | None = None) -> RunState:
        """Wait until the run is over; see ``FlowRunHandle.wait``."""
        began = time.monotonic()
        silent_since = None
        while not (state := self.state).is_final or self._is_said_to_be_silent():
            waited = time.monotonic() - began
            if not state.is_final:
                silent_since = None
            elif silent_since is None:
                silent_since = waited
            elif waited - silent_since > _REVIVAL_S:
                break
            if timeout is not None and waited >= timeout:
                raise RunTimeoutError(
                    f"Run {self.name!r} is not over after {timeout:g} s; it goes on."
                )
            pause = _POLL_S if waited < _SOON_S else _SLOW_POLL_S
            time.sleep(pause if timeout is None else min(pause, timeout - waited))
        return state

    def result(self, timeout: float | None = None) -> Any:
        """What the flow returned; see ``FlowRunHandle.result``."""
        state = self.wait(timeout)
        outcome = self._outcome()
        if state is RunState.CANCELLED:
            raise RunCancelledError(f"Run {self.name!r} was cancelled.")
        if outcome is not None and outcome.failure is not None:
            raise outcome.failure.exception()
        if outcome is None or state is not RunState.COMPLETED:
            raise RunError(self._why(state))
        return outcome.value

    def task_results(self) -> dict[str, Any]:
        """What the flow's tasks have returned; nothing before the run is over."""
        outcome = self._outcome() if self.state.is_final else None
        return {} if outcome is None else dict(outcome.task_results)

    def log_records(self) -> list[LogRecord]:
        """What the server keeps of the run's log."""
        of_run = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[self._run.id]))
        records: list[LogRecord] = []
        with self._api.client() as client:
            while some := client.read_logs(of_run, limit=_LOGS_AT_ONCE, offset=len(records)):
                records += [_record(log) for log in some]
                if len(some) < _LOGS_AT_ONCE:
                    break
        return records

    def cancel(self) -> None:
        """Ask the run to stop.

        One that no worker has taken up is cancelled at once; any other stops itself, when its flow
        next calls a task, or is stopped by its worker.
        """
        self._ask()
        if _state(self._run).is_final:
            return
        waits = self._run.state is not None and self._run.state.is_scheduled()
        with self._api.client() as client:
            client.set_flow_run_state(
                self._run.id, Cancelled() if waits else Cancelling(), force=waits
            )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} {self.state.value} {self.url}>"

    def _is_said_to_be_silent(self) -> bool:
        state = self._run.state
        return state is not None and state.is_crashed() and (state.message or "").startswith(SILENT)

    def _ask(self) -> None:
        with self._api.client() as client:
            self._run = client.read_flow_run(self._run.id)

    def _outcome(self) -> Outcome | None:
        digest = self._run.labels.get(OUTCOME)
        if self._loaded is None and isinstance(digest, str):
            try:
                self._loaded = Outcome.load(digest, self._results.get_blob)
            except BlobNotFoundError as error:
                if _state(self._run) is not RunState.COMPLETED:
                    return None  # the server knows the reason
                raise RunError(
                    f"What run {self.name!r} gave back is not in the results database: it waits in "
                    "the outbox of the machine where it ran, or was deleted since. Results that it "
                    "recorded are not concerned."
                ) from error
        return self._loaded

    def _why(self, state: RunState) -> str:
        told = self._run.state.message if self._run.state is not None else None
        return (
            f"Run {self.name!r} ended as {state.value}: {told or 'no reason is known'} {self.url}"
        )


def _state(run: FlowRun) -> RunState:
    if run.state is None:
        return RunState.PENDING
    if run.state.type is StateType.FAILED and run.state.name == "TimedOut":
        return RunState.TIMED_OUT
    return _STATES[run.state.type]


def _record(log: Any) -> LogRecord:
    task = log.name.removeprefix(LOGGER_OF_TASKS) if log.name.startswith(LOGGER_OF_TASKS) else None
    return LogRecord(log.timestamp, logging.getLevelName(log.level), task, log.message)
