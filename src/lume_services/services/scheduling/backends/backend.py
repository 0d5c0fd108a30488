"""What runs flows: the base class of backends.

A backend is anything that can carry out a Prefect flow: this process, a worker on a server, a
queue of a cluster. Whoever asks for a run gets a ``FlowRunHandle``, which means the same whatever
is behind it. Nothing anywhere asks which backend it is talking to; what differs between backends is
declared in ``Backend.capabilities``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Self
from uuid import UUID, uuid5

from lume_services.errors import FlowError, FlowNotFoundError
from lume_services.services.scheduling.backends.handle import FlowRunHandle
from lume_services.services.scheduling.run_configs import RunConfig

if TYPE_CHECKING:
    import prefect

    from lume_services.services.results import ResultsDBService

__all__ = ["Backend", "Capability"]

# Names of flows that no registry knows: their ids are made of them.
_UNREGISTERED = UUID("0f0b5a3e-6b0e-5a0c-9f3c-7f0f8a1d2c4b")


class Capability(StrEnum):
    """What a backend offers beyond running an importable flow and giving back its value."""

    IN_PROCESS = "in-process"
    """Flows and values may be any objects: nothing is imported again or sent anywhere."""
    TASK_RESULTS = "task-results"
    """``FlowRunHandle.task_results`` works."""
    LOGS = "logs"
    """``FlowRunHandle.logs`` works."""
    CANCEL = "cancel"
    """``FlowRunHandle.cancel`` works."""
    COORDINATES = "coordinates"
    """A run can start others on the same backend, and wait for them."""
    SCHEDULES = "schedules"
    """``Backend.submit`` takes ``start_at``, and ``Backend.schedule`` works."""


class Backend(ABC):
    """Runs flows. Implementations take keyword arguments only, as declared here.

    A backend of your own writes ``register``, ``submit``, and a ``FlowRunHandle`` with ``state``,
    ``wait`` and ``result``; the rest follows from them. ``BackendConformance`` in
    ``lume_services.testing`` is a test of every promise made here.
    """

    capabilities: ClassVar[frozenset[Capability]] = frozenset()
    """What this backend offers; callers ask this, never for the class."""

    @classmethod
    def from_settings(cls, settings: Any, *, results: Callable[[], ResultsDBService]) -> Self:
        """Make the backend that ``LUME_BACKEND`` names.

        Args:
            settings: The whole ``LUMEServicesSettings``.
            results: Gives the results service, by which values travel where nothing else is shared.
        """
        return cls()

    # --- What a backend has to write -------------------------------------------------------------

    @abstractmethod
    def register(
        self, *, flow: prefect.Flow[..., Any], flow_id: str, project_name: str = "local"
    ) -> None:
        """Make a flow known where it will run. Again, it takes the place of what was known.

        Args:
            flow: The flow. A backend without ``Capability.IN_PROCESS`` needs it to be importable.
            flow_id: The id that it has in the registry, the same on every backend.
            project_name: The project that it belongs to.

        Raises:
            FlowError: The flow cannot be run by this backend.
        """

    @abstractmethod
    def submit(
        self,
        *,
        flow_id: str,
        parameters: Mapping[str, Any] | None = None,
        run_config: RunConfig | None = None,
        name: str | None = None,
        start_at: datetime | None = None,
    ) -> FlowRunHandle:
        """Start a flow that is registered, and return at once.

        Args:
            flow_id: The id that it was registered under.
            parameters: Values of its parameters by name; defaults fill the rest.
            run_config: How it is to be run, of the class that this backend takes.
            name: A name for the run; made up when None.
            start_at: When to start it; at once when None.

        Returns:
            The handle of the run, never None.

        Raises:
            FlowNotFoundError: No flow is registered under that id.
            InvalidInputError: A parameter is unknown, missing, or does not fit its annotation. A
                backend that can tell only where the flow runs has ``FlowRunHandle.result`` raise
                it. Or the run configuration is not one for this backend.
        """

    def run_config_of(self, *, image: str) -> RunConfig | None:
        """The run configuration that asks for a container image.

        Returns:
            None from a backend that runs flows in no image.
        """
        return None

    # --- What follows from it --------------------------------------------------------------------

    def create_project(self, *, project_name: str) -> str:
        """Make a project known; again, nothing happens. Most backends have nothing to do.

        Returns:
            The name of the project.
        """
        return project_name

    def register_flow(
        self,
        *,
        flow: prefect.Flow[..., Any],
        project_name: str = "local",
        flow_id: str | None = None,
    ) -> str:
        """Make a flow known where it will run, so that ``submit`` can be asked for it.

        Args:
            flow: As in ``register``.
            project_name: As in ``register``.
            flow_id: As in ``register``; made of the project and of where the flow is defined when
                the registry does not know it.

        Returns:
            The flow's id.

        Raises:
            FlowError: The flow cannot be run by this backend.
        """
        if flow_id is None:
            where = f"{project_name}\0{flow.fn.__module__}\0{flow.fn.__qualname__}\0{flow.name}"
            flow_id = str(uuid5(_UNREGISTERED, where))
        self.register(flow=flow, flow_id=flow_id, project_name=project_name)
        return flow_id

    def load_flow(self, *, flow_id: str) -> prefect.Flow[..., Any]:
        """The flow that is registered under an id.

        Raises:
            FlowNotFoundError: None is, or this backend does not tell.
        """
        raise FlowNotFoundError(f"{type(self).__name__} does not tell what {flow_id!r} is.")

    def schedule(
        self,
        *,
        flow_id: str,
        parameters: Mapping[str, Any] | None = None,
        cron: str | None = None,
        every: timedelta | None = None,
    ) -> str:
        """Have a flow that is registered started again and again.

        Args:
            flow_id: As in ``submit``, like the next.
            parameters: As in ``submit``.
            cron: When, ``"0 6 * * 1-5"``: minute, hour, day of month, month, day of week, in UTC.
            every: Or how often.

        Returns:
            The id of the schedule.

        Raises:
            FlowError: The backend has no schedules (no ``Capability.SCHEDULES``).
            InvalidInputError: Not one of ``cron`` and ``every`` is given, or it is malformed.
        """
        raise FlowError(f"{type(self).__name__} has no schedules: set LUME_BACKEND to another.")

    def run(
        self,
        *,
        flow: prefect.Flow[..., Any],
        parameters: Mapping[str, Any] | None = None,
        project_name: str = "local",
        flow_id: str | None = None,
        run_config: RunConfig | None = None,
        name: str | None = None,
    ) -> FlowRunHandle:
        """Start a flow and return at once: ``register_flow``, then ``submit``."""
        flow_id = self.register_flow(flow=flow, project_name=project_name, flow_id=flow_id)
        return self.submit(flow_id=flow_id, parameters=parameters, run_config=run_config, name=name)

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
        """Run a flow to its end and give back a value.

        Args:
            flow: As in ``run``, like all but the last.
            parameters: As in ``run``.
            project_name: As in ``run``.
            flow_id: As in ``run``.
            run_config: As in ``run``.
            name: As in ``run``.
            task_name: The task whose result is wanted, in place of the flow's.

        Returns:
            What the flow returned; with ``task_name``, ``FlowRunHandle.task_result`` of that name.

        Raises:
            Exception: As ``run`` and ``FlowRunHandle.result``.
            RunError: The flow completed without a result of that task.
        """
        run = self.run(
            flow=flow,
            parameters=parameters,
            project_name=project_name,
            flow_id=flow_id,
            run_config=run_config,
            name=name,
        )
        value = run.result()
        return value if task_name is None else run.task_result(task_name)

    def close(self) -> None:  # noqa: B027 - most backends hold nothing
        """Let go of connections. Runs that were started go on; their handles stay valid."""
