"""``Flow``: a flow with a name, in a project, run on the configured backend."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import prefect

from lume_services.context import context
from lume_services.engine import check_parameters, parameters_of
from lume_services.errors import AmbiguousError, FlowError
from lume_services.flows._find import load_flow, load_package_flow
from lume_services.flows._mapped import MappedParameter
from lume_services.services.scheduling import SchedulingService
from lume_services.services.scheduling.backends import FlowRunHandle

__all__ = ["Flow"]


class Flow:
    """A flow under a name, in a project.

    It is given as an object, by an entry point, or by neither: then the registry knows the package
    that it is part of.

        >>> from lume_services.flows import Flow, flow
        >>> @flow
        ... def double(x: float) -> float:
        ...     return 2 * x
        >>> Flow(prefect_flow=double).parameters
        {'x': <Parameter "x: 'float'">}

    Args:
        name: Its name; that of ``prefect_flow`` when not given.
        project_name: The project that it and its results belong to.
        prefect_flow: The flow.
        entrypoint: ``module:name`` to import it by, in place of ``prefect_flow``.
        mapped_parameters: In a ``FlowOfFlows``, its parameters that come from other flows, by name.

    Attributes:
        flow_id: What it runs under, once it is registered; None before, and it then runs under one
            made of its names.

    Raises:
        FlowError: It has no name, or is given twice.
    """

    def __init__(
        self,
        name: str | None = None,
        project_name: str = "local",
        *,
        prefect_flow: prefect.Flow[..., Any] | None = None,
        entrypoint: str | None = None,
        mapped_parameters: Mapping[str, MappedParameter] | None = None,
    ) -> None:
        if prefect_flow is not None and entrypoint is not None:
            raise FlowError("Give a flow as prefect_flow or by its entrypoint, not both.")
        if name is None and prefect_flow is not None:
            name = prefect_flow.name
        if name is None:
            raise FlowError("A flow needs a name.")
        self.name = name
        self.project_name = project_name
        self.entrypoint = entrypoint
        self.mapped_parameters = dict(mapped_parameters or {})
        self._prefect_flow = prefect_flow
        self.flow_id: str | None = None

    @property
    def prefect_flow(self) -> prefect.Flow[..., Any]:
        """The flow itself, loaded when it is first asked for; raises what ``load`` does."""
        return self._prefect_flow or self.load()

    @property
    def parameters(self) -> dict[str, inspect.Parameter]:
        """Its parameters by name, with ``default`` and ``annotation``.

        Raises what ``load`` does.
        """
        return parameters_of(self.prefect_flow)

    def load(self) -> prefect.Flow[..., Any]:
        """Import the flow.

        Raises:
            FlowError: It cannot be imported, or which flow is meant cannot be told.
            FlowNotFoundError: The registry does not know it, or its package is not installed.
            AmbiguousError: It is a flow of several deployments, and of none that is live.
        """
        if self.entrypoint is not None:
            self._prefect_flow = load_flow(self.entrypoint)
        elif self._prefect_flow is None:
            self._prefect_flow = load_package_flow(self._package())
        return self._prefect_flow

    def register(
        self, deployment_id: int | None = None, *, service: SchedulingService | None = None
    ) -> str:
        """Make the flow known where it will run and, as part of a model, in the registry.

        Args:
            deployment_id: The deployment of a model that the flow runs.
            service: The scheduling service; that of the context when not given.

        Returns:
            Its ``flow_id``: that of the registry when it is registered there.
        """
        service = service or context.scheduling_service()
        flow_id = None
        if deployment_id is not None:
            registry = context.model_db_service()
            registry.store_project(self.project_name)
            flow_id = registry.store_flow(
                deployment_id=deployment_id, flow_name=self.name, project_name=self.project_name
            )
        self.flow_id = service.register_flow(
            flow=self.prefect_flow, project_name=self.project_name, flow_id=flow_id
        )
        return self.flow_id

    def run(
        self,
        parameters: Mapping[str, Any] | None = None,
        *,
        service: SchedulingService | None = None,
    ) -> FlowRunHandle:
        """Start the flow on the configured backend.

        Args:
            parameters: Values of its parameters by name; defaults fill the rest.
            service: The scheduling service; that of the context when not given.

        Returns:
            A handle with ``wait``, ``result``, ``task_results``, ``logs``, ``state``, ``cancel``.

        Raises:
            InvalidInputError: A parameter is unknown, missing, or does not fit its annotation.
        """
        service = service or context.scheduling_service()
        return service.run(
            flow=self.prefect_flow,
            parameters=self._checked(parameters),
            project_name=self.project_name,
            flow_id=self.flow_id,
        )

    def run_and_return(
        self,
        parameters: Mapping[str, Any] | None = None,
        task_name: str | None = None,
        *,
        service: SchedulingService | None = None,
    ) -> Any:
        """Run the flow on the configured backend and give back its value.

        Args:
            parameters: Values of its parameters by name; defaults fill the rest.
            task_name: The task whose value is wanted, in place of the flow's.
            service: The scheduling service; that of the context when not given.

        Raises:
            InvalidInputError: A parameter is unknown, missing, or does not fit its annotation.
            RunError: The flow has no result of that task.
            Exception: What the flow raised.
        """
        service = service or context.scheduling_service()
        return service.run_and_return(
            flow=self.prefect_flow,
            parameters=self._checked(parameters),
            project_name=self.project_name,
            flow_id=self.flow_id,
            task_name=task_name,
        )

    def __repr__(self) -> str:
        return f"Flow(name={self.name!r}, project_name={self.project_name!r})"

    def _checked(self, parameters: Mapping[str, Any] | None) -> Mapping[str, Any]:
        check_parameters(f"Flow {self.name!r}", self.parameters, parameters or {})
        return parameters or {}

    def _package(self) -> str:
        flows = context.model_db_service().get_flows(
            flow_name=self.name, project_name=self.project_name
        )
        chosen = [one for one in flows if one.deployment.is_live] or flows
        if len(chosen) > 1:
            raise AmbiguousError(
                f"{self!r} is a flow of several deployments: "
                f"{', '.join(sorted(str(one.deployment_id) for one in chosen))}. "
                "Promote one of them."
            )
        package = chosen[0].deployment.package_import_name
        if package is None:
            raise FlowError(
                f"{self!r} is registered, but not as part of a package: give prefect_flow or "
                "entrypoint."
            )
        return package
