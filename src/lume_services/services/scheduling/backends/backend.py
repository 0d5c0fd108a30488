"""What runs flows: the base classes of backends and of the runs they give back.

A backend is anything that can carry out a Prefect flow: this process, a worker on a server, a
queue of a cluster. Whoever asks for a run gets a ``Run``, a handle that means the same whatever is
behind it. Nothing anywhere asks which backend it is talking to; what differs between backends is
declared in ``Backend.capabilities``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Self

from lume_services._log_record import LogRecord
from lume_services.errors import RunError

if TYPE_CHECKING:
    import prefect

__all__ = ["Backend", "Capability", "LogRecord", "Run", "RunState"]


class Capability(StrEnum):
    """What a backend offers beyond running an importable flow and giving back its value."""

    IN_PROCESS = "in-process"
    """Flows and values may be any objects: nothing is imported again or sent anywhere."""
    TASK_RESULTS = "task-results"
    """``Run.task_results`` works."""
    LOGS = "logs"
    """``Run.logs`` works."""
    CANCEL = "cancel"
    """``Run.cancel`` works."""


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


class Run(ABC):
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

    def logs(self) -> list[LogRecord]:
        """What the flow and its tasks have logged so far, oldest first.

        Raises:
            RunError: The backend does not keep logs (no ``Capability.LOGS``).
        """
        raise RunError(f"The backend of run {self.name!r} keeps no logs.")

    def cancel(self) -> None:
        """Ask the run to stop; does not wait, and does nothing to a run that is over.

        Raises:
            RunError: This run cannot be cancelled (no ``Capability.CANCEL``).
        """
        raise RunError(f"The backend of run {self.name!r} cannot cancel runs.")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} {self.state.value}>"


class Backend(ABC):
    """Runs flows. Implementations take keyword arguments only, as declared here.

    ``lume_services.testing.backends.BackendConformance`` is a test suite for implementations.
    """

    capabilities: ClassVar[frozenset[Capability]] = frozenset()
    """What this backend offers; callers ask this, never for the class."""

    @classmethod
    def from_settings(cls, settings: Any) -> Self:
        """Make the backend that ``LUME_BACKEND`` names.

        Args:
            settings: The whole ``LUMEServicesSettings``.
        """
        return cls()

    @abstractmethod
    def run(
        self,
        *,
        flow: prefect.Flow[..., Any],
        parameters: Mapping[str, Any] | None = None,
        project_name: str = "local",
        name: str | None = None,
    ) -> Run:
        """Start a flow and return at once.

        Args:
            flow: The flow. A backend without ``Capability.IN_PROCESS`` needs it to be importable.
            parameters: Values of its parameters by name; defaults fill the rest.
            project_name: The project that the flow was registered in.
            name: A name for the run; made up when None.

        Returns:
            The handle of the run, never None.

        Raises:
            InvalidInputError: A parameter is unknown, missing, or does not fit its annotation. A
                backend that can tell only where the flow runs has ``Run.result`` raise it.
            FlowError: The flow cannot be run by this backend.
        """

    def run_and_return(
        self,
        *,
        flow: prefect.Flow[..., Any],
        parameters: Mapping[str, Any] | None = None,
        project_name: str = "local",
        name: str | None = None,
        task_name: str | None = None,
    ) -> Any:
        """Run a flow to its end and give back a value.

        Args:
            flow: As in ``run``.
            parameters: As in ``run``.
            project_name: As in ``run``.
            name: As in ``run``.
            task_name: The task whose result is wanted, in place of the flow's.

        Returns:
            What the flow returned; with ``task_name``, ``Run.task_result`` of that name.

        Raises:
            Exception: As ``run`` and ``Run.result``.
            RunError: The flow completed without a result of that task.
        """
        run = self.run(flow=flow, parameters=parameters, project_name=project_name, name=name)
        value = run.result()
        return value if task_name is None else run.task_result(task_name)

    def register(self, *, flow: prefect.Flow[..., Any], project_name: str = "local") -> str:
        """Make a flow known where it will run, so that runs can be asked for later.

        A backend that runs flows where they are called has nothing to do.

        Returns:
            What identifies the registration, for people and for the registry.
        """
        return f"{project_name}/{flow.name}"

    def close(self) -> None:  # noqa: B027 - most backends hold nothing
        """Let go of connections. Runs that were started go on; their handles stay valid."""
