"""``FlowOfFlows``: flows that feed what their tasks return to each other's parameters."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from lume_services.context import context
from lume_services.engine import check_parameters, entry_point_of
from lume_services.errors import FlowOfFlowsError, LUMEServicesWarning
from lume_services.flows._find import meant_task
from lume_services.flows._flow import Flow
from lume_services.flows._flow_of_flows_run import FlowOfFlowsRun
from lume_services.flows._mapped import AnyMappedParameter
from lume_services.services.scheduling import SchedulingService
from lume_services.services.scheduling.backends import Capability, FlowRunHandle

__all__ = ["FlowOfFlows"]


class FlowOfFlows:
    """Flows, some of whose parameters are what tasks of others of them return.

    A flow is started as soon as those that it needs have completed; flows that do not need each
    other run at the same time. When a flow fails, those that need it are not started.

    The parameters that are not mapped are those of the whole, under the name
    ``<flow>-<parameter>``.

    Args:
        name: Its name.
        project_name: The project that it belongs to.
        composing_flows: The flows, in any order, each with its ``mapped_parameters``.

    Attributes:
        composing_flows: The flows by name, in an order in which they can run.

    Raises:
        FlowOfFlowsError: They do not fit together; the message names the flow, the parameter, the
            parent and the task at fault. (That a parent has no such task shows when it has run: the
            run fails with such a message.)
        FlowError: One of them cannot be loaded.
    """

    def __init__(
        self, name: str, project_name: str = "local", *, composing_flows: Sequence[Flow]
    ) -> None:
        self.name = name
        self.project_name = project_name
        flows = {flow.name: flow for flow in composing_flows}
        if not flows:
            raise FlowOfFlowsError(f"Flow of flows {name!r} has no composing flows.")
        if len(flows) < len(composing_flows):
            names = [flow.name for flow in composing_flows]
            twice = next(one for one in names if names.count(one) > 1)
            raise FlowOfFlowsError(f"Flow of flows {name!r} has two flows {twice!r}.")
        for flow in flows.values():
            _check(flow, flows)
        self.composing_flows = {one: flows[one] for one in _ordered(name, flows)}
        self._flow_id: str | None = None

    @classmethod
    def from_yaml(cls, source: str | Path | Mapping[str, Any]) -> Self:
        """Make one from a YAML file.

        The format is told in ``docs/flows.md``.

        Args:
            source: Path of the file, or what was read from it already.

        Raises:
            FlowOfFlowsError: It cannot be read, something is missing or unknown in it, or the
                flows do not fit together.
            FlowError: One of the flows cannot be loaded.
        """
        where = "The flow of flows"
        content: Any = source
        if not isinstance(source, Mapping):
            where = f"The flow of flows in {source}"
            try:
                content = yaml.safe_load(Path(source).read_text(encoding="utf-8"))
            except (OSError, yaml.YAMLError) as error:
                raise FlowOfFlowsError(f"{where} cannot be read: {error}") from error
        try:
            spec = _Spec.model_validate(content)
        except ValidationError as error:
            raise FlowOfFlowsError(f"{where} is wrong: {_told(error, content)}") from None
        return cls(
            spec.name,
            spec.project_name,
            composing_flows=[
                Flow(
                    one.name,
                    one.project_name or spec.project_name,
                    entrypoint=one.entrypoint,
                    mapped_parameters=one.mapped_parameters,
                )
                for one in spec.composing_flows
            ],
        )

    @property
    def parameters(self) -> dict[str, inspect.Parameter]:
        """The parameters of the whole by name, ``<flow>-<parameter>``."""
        return {
            f"{flow.name}-{name}": parameter
            for flow in self.composing_flows.values()
            for name, parameter in flow.parameters.items()
            if name not in flow.mapped_parameters
        }

    def register(self, deployment_id: int, *, service: SchedulingService | None = None) -> str:
        """Store it in the registry, with its flows and their order; again changes nothing.

        Args:
            deployment_id: The deployment of a model that the flows are part of.
            service: The scheduling service; that of the context when not given.

        Returns:
            Its ``flow_id``, under which ``run`` runs it from now on.

        Raises:
            DeploymentNotFoundError: There is no such deployment.
            ModelDBError: It is stored with other flows.
        """
        registry = context.model_db_service()
        registry.store_project(self.project_name)
        flow_id = registry.store_flow(
            deployment_id=deployment_id, flow_name=self.name, project_name=self.project_name
        )
        parts = [
            flow.register(deployment_id, service=service) for flow in self.composing_flows.values()
        ]
        registry.store_flow_of_flows(flow_id, parts)
        self._flow_id = flow_id
        return flow_id

    def run(
        self,
        parameters: Mapping[str, Any] | None = None,
        *,
        service: SchedulingService | None = None,
    ) -> FlowRunHandle:
        """Start the flows on the configured backend, one after the other as they become possible.

        Where flows run elsewhere, so does what starts them: a run that takes one more place there.

        Args:
            parameters: Values by name, ``<flow>-<parameter>``; defaults fill the rest.
            service: The scheduling service; that of the context when not given.

        Returns:
            The handle of the whole.

        Raises:
            InvalidInputError: A parameter is unknown or missing.
            FlowError: A flow cannot be run by the backend.
        """
        service = service or context.scheduling_service()
        given = dict(parameters or {})
        check_parameters(f"Flow of flows {self.name!r}", self.parameters, given)
        if Capability.COORDINATES not in service.backend.capabilities:
            return self.run_from_here(given, service=service)
        from lume_services.flows._coordinating import coordinate

        return service.run(
            flow=coordinate,
            parameters={
                "spec": self._spec(),
                "parameters": given,
                "flow_ids": {
                    flow.name: flow.flow_id
                    for flow in self.composing_flows.values()
                    if flow.flow_id is not None
                },
            },
            project_name=self.project_name,
            flow_id=self._flow_id,
        )

    def run_from_here(
        self,
        parameters: Mapping[str, Any] | None = None,
        *,
        service: SchedulingService | None = None,
    ) -> FlowOfFlowsRun:
        """Start the flows from this process, as ``run`` does where flows run in it.

        Args:
            parameters: As in ``run``.
            service: As in ``run``.

        Returns:
            The handle of the whole, with those of the flows in ``runs``.

        Raises:
            InvalidInputError: A parameter is unknown or missing.
        """
        given = dict(parameters or {})
        check_parameters(f"Flow of flows {self.name!r}", self.parameters, given)
        own = {
            flow.name: {
                name: given[f"{flow.name}-{name}"]
                for name in flow.parameters
                if f"{flow.name}-{name}" in given
            }
            for flow in self.composing_flows.values()
        }
        return FlowOfFlowsRun(
            self.name,
            list(self.composing_flows.values()),
            own,
            service or context.scheduling_service(),
        )

    def run_and_return(
        self,
        parameters: Mapping[str, Any] | None = None,
        *,
        service: SchedulingService | None = None,
    ) -> dict[str, Any]:
        """Run the flows and give back what each returned, by name.

        Args:
            parameters: As in ``run``.
            service: As in ``run``.

        Raises:
            InvalidInputError: A parameter is unknown or missing.
            RunError: A flow failed; its exception is the cause.
        """
        values: dict[str, Any] = self.run(parameters, service=service).result()
        return values

    def __repr__(self) -> str:
        return f"FlowOfFlows({self.name!r}: {', '.join(self.composing_flows)})"

    def _spec(self) -> dict[str, Any]:
        """What ``from_yaml`` takes, with each flow where a job can import it."""
        return {
            "name": self.name,
            "project_name": self.project_name,
            "composing_flows": [
                {
                    "name": flow.name,
                    "project_name": flow.project_name,
                    "entrypoint": entry_point_of(flow.prefect_flow),
                    "mapped_parameters": {
                        name: mapped.model_dump() for name, mapped in flow.mapped_parameters.items()
                    },
                }
                for flow in self.composing_flows.values()
            ],
        }


class _FlowSpec(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    project_name: str | None = None
    entrypoint: str | None = None
    mapped_parameters: dict[str, AnyMappedParameter] = {}


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str
    project_name: str = "local"
    composing_flows: list[_FlowSpec]
    # Told Prefect 1's agents which flows to run. Files still have it.
    labels: Any = None


def _told(error: ValidationError, content: Any) -> str:
    """The first thing that is wrong, with flows by their names in place of their numbers."""
    first = error.errors(include_url=False, include_context=False)[0]
    place = [str(step) for step in first["loc"] if step not in ("raw", "file", "db")]
    if place[:1] == ["composing_flows"] and len(place) > 1:
        try:
            place[1] = repr(content["composing_flows"][int(place[1])]["name"])
        except (LookupError, TypeError, ValueError):
            place[1] = f"flow {place[1]}"
    return f"{' -> '.join(place) or 'the whole'}: {first['msg']}"


def _check(flow: Flow, flows: Mapping[str, Flow]) -> None:
    for name, mapped in flow.mapped_parameters.items():
        at_fault = (
            f"Flow {flow.name!r}, parameter {name!r}, mapped from task "
            f"{mapped.parent_task_name!r} of flow {mapped.parent_flow_name!r}"
        )
        if name not in flow.parameters:
            raise FlowOfFlowsError(
                f"{at_fault}: the flow has no such parameter; it has: "
                f"{', '.join(flow.parameters) or 'none'}."
            )
        parent = flows.get(mapped.parent_flow_name)
        if parent is None:
            raise FlowOfFlowsError(
                f"{at_fault}: that flow is not one of the composing flows, which are: "
                f"{', '.join(flows)}."
            )
        if mapped.parent_project_name not in (None, parent.project_name):
            raise FlowOfFlowsError(
                f"{at_fault} in project {mapped.parent_project_name!r}: that flow is in project "
                f"{parent.project_name!r}."
            )
        # Which tasks a flow has shows when it runs, so here is no more than a warning.
        if meant := meant_task(parent.prefect_flow, mapped.parent_task_name):
            warnings.warn(
                f"{at_fault}: did you mean {meant!r}? The module of that flow has such a task, and "
                "none of the other name.",
                LUMEServicesWarning,
                stacklevel=4,
            )


def _ordered(name: str, flows: Mapping[str, Flow]) -> list[str]:
    parents = {
        flow.name: [mapped.parent_flow_name for mapped in flow.mapped_parameters.values()]
        for flow in flows.values()
    }
    try:
        return list(TopologicalSorter(parents).static_order())
    except CycleError as error:
        cycle = " -> ".join(error.args[1])
        raise FlowOfFlowsError(
            f"Flow of flows {name!r}: the flows wait for each other: {cycle}."
        ) from None
