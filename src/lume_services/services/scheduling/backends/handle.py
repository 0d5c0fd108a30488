"""The handle of a run, whatever backend carries it out."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Any, Literal, overload

from lume_services._log_record import LogRecord
from lume_services.errors import RunError

__all__ = ["FlowRunHandle", "LogRecord", "RunState"]

_FOLLOW_S = 0.5


class RunState(StrEnum):
    """Where a run has got to, by Prefect's names."""

    PENDING = "Pending"
    RUNNING = "Running"
    COMPLETED = "Completed"
    FAILED = "Failed"
    TIMED_OUT = "TimedOut"
    CANCELLED = "Cancelled"
    CRASHED = "Crashed"

    @property
    def is_final(self) -> bool:
        """Whether the run is over."""
        return self not in (RunState.PENDING, RunState.RUNNING)


class FlowRunHandle(ABC):
    """A flow that was started, and what became of it.

    Handles may be used from any thread.
    """

    @property
    @abstractmethod
    def id(self) -> str:
        """Identifies the run; a UUID where the backend has no identifiers of its own."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The run's name, for people."""

    @property
    @abstractmethod
    def state(self) -> RunState:
        """Where the run has got to; never waits."""

    @abstractmethod
    def wait(self, timeout: float | None = None) -> RunState:
        """Wait until the run is over, however it ends.

        Args:
            timeout: Seconds to wait at most; for ever when None.

        Returns:
            The final state. A failed run is no error here.

        Raises:
            RunTimeoutError: The run is not over yet; it goes on.
        """

    @abstractmethod
    def result(self, timeout: float | None = None) -> Any:
        """Wait for the run and give back what the flow returned.

        Args:
            timeout: Seconds to wait at most; for ever when None.

        Raises:
            RunTimeoutError: The run is not over yet, or was stopped by its own time limit.
            RunCancelledError: The run was cancelled.
            RunError: The run ended badly and its exception is not at hand.
            Exception: What the flow raised. A backend with ``Capability.IN_PROCESS`` raises the
                very object, with its traceback.
        """

    def task_results(self) -> dict[str, Any]:
        """What the flow's tasks, and the flows it called, have returned so far, by name.

        A task that ran several times has the list of its values, in the order in which the runs
        began. Runs that failed have no value and are left out. Of a flow that was retried, they
        are those of the last attempt.

        Raises:
            RunError: The backend does not keep them (no ``Capability.TASK_RESULTS``).
        """
        raise RunError(f"The backend of run {self.name!r} keeps no results of tasks.")

    def task_result(self, task_name: str) -> Any:
        """What one task returned: ``task_results`` of that name.

        Raises:
            RunError: No run of such a task has completed; the message lists those that have.
        """
        results = self.task_results()
        if task_name not in results:
            raise RunError(
                f"Run {self.name!r} has no result of a task {task_name!r}; it has results of: "
                f"{', '.join(results) or 'no task'}."
            )
        return results[task_name]

    @overload
    def logs(self, *, follow: Literal[False] = False) -> list[LogRecord]: ...
    @overload
    def logs(self, *, follow: bool) -> Iterable[LogRecord]: ...
    def logs(self, *, follow: bool = False) -> Iterable[LogRecord]:
        """What the flow and its tasks have logged so far, oldest first.

        Args:
            follow: Go on with what they log, as it comes, until the run is over.

        Raises:
            RunError: The backend does not keep logs (no ``Capability.LOGS``).
        """
        return self._followed() if follow else self.log_records()

    def log_records(self) -> list[LogRecord]:
        """What a backend with ``Capability.LOGS`` overrides: the lines so far, oldest first."""
        raise RunError(f"The backend of run {self.name!r} keeps no logs.")

    def cancel(self) -> None:
        """Ask the run to stop; does not wait, and does nothing to a run that is over.

        Raises:
            RunError: This run cannot be cancelled (no ``Capability.CANCEL``).
        """
        raise RunError(f"The backend of run {self.name!r} cannot cancel runs.")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} {self.state.value}>"

    def _followed(self) -> Iterator[LogRecord]:
        told: Counter[LogRecord] = Counter()
        while True:
            is_final = self.state.is_final  # asked first: nothing is logged after that
            found: Counter[LogRecord] = Counter()
            for record in self.log_records():
                found[record] += 1
                if found[record] > told[record]:  # clocks differ: a late line may be an earlier one
                    yield record
            told = found
            if is_final:
                return
            time.sleep(_FOLLOW_S)
