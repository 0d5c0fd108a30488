"""The scheduling service: runs flows on the configured backend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lume_services.services.scheduling.backends.backend import Backend, Run

if TYPE_CHECKING:
    import prefect

__all__ = ["SchedulingService"]


class SchedulingService:
    """Runs flows, whatever the backend.

    Args:
        backend: What carries the flows out.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    def run(
        self,
        flow: prefect.Flow[..., Any],
        parameters: Mapping[str, Any] | None = None,
        *,
        project_name: str = "local",
        name: str | None = None,
    ) -> Run:
        """Start a flow and return its handle at once; see `Backend.run`."""
        return self.backend.run(
            flow=flow, parameters=parameters, project_name=project_name, name=name
        )

    def run_and_return(
        self,
        flow: prefect.Flow[..., Any],
        parameters: Mapping[str, Any] | None = None,
        *,
        project_name: str = "local",
        name: str | None = None,
        task_name: str | None = None,
    ) -> Any:
        """Run a flow to its end and give back its value; see `Backend.run_and_return`."""
        return self.backend.run_and_return(
            flow=flow,
            parameters=parameters,
            project_name=project_name,
            name=name,
            task_name=task_name,
        )

    def register(self, flow: prefect.Flow[..., Any], *, project_name: str = "local") -> str:
        """Make a flow known where it will run; see `Backend.register`."""
        return self.backend.register(flow=flow, project_name=project_name)

    def close(self) -> None:
        """Close the backend."""
        self.backend.close()
