"""A deployment in use: its flows, what evaluates it, and how its results are made."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lume_services.context import context
from lume_services.errors import FlowNotFoundError, LUMEServicesWarning, ModelLoadError
from lume_services.models._packaged import (
    PackagedEvaluator,
    check_needs_of_flows,
    environment_of,
    is_installed_here,
)
from lume_services.models._packaged_flow import run_flow
from lume_services.models.evaluation import (
    Evaluator,
    Outcome,
    entry_point_of,
    load_entry_point,
    source_hash,
)
from lume_services.results import Result

if TYPE_CHECKING:
    from lume_services.services.models.db.schema import Deployment, Flow

__all__ = ["FLOW_NAME", "PACKAGE", "Deployed", "flow_entry_point", "flow_name"]

FLOW_NAME = "evaluate"
"""Name of the flow that every model has: it evaluates the model and records the result."""

PACKAGE = "package"
"""Kind of the deployments that are packages."""

# Models are made once a process, by the id of their flow, where they are loaded from, and their
# code. Those that are defined in a notebook or a script are nowhere else.
_evaluators: dict[tuple[str | None, ...], Evaluator | PackagedEvaluator] = {}


class Deployed:
    """A deployment and what can be done with it in this process.

    Args:
        deployment: The deployment.
        flows: Its flows in the registry.
        load_package: Puts the archive of a package, by its sha256, into a folder.

    Attributes:
        deployment: The deployment.
        load_package: As it was given.
    """

    def __init__(
        self,
        deployment: Deployment,
        flows: list[Flow],
        load_package: Callable[[str, Path], Path],
    ) -> None:
        self.deployment = deployment
        self._flows = flows
        self.load_package = load_package

    @property
    def flow(self) -> Flow:
        """The flow that its results are recorded under.

        Raises:
            FlowNotFoundError: It was not stored by ``Model.register``.
        """
        for flow in self._flows:
            if flow.flow_name == FLOW_NAME:
                return flow
        raise FlowNotFoundError(
            f"{self.deployment!r} has no flow {FLOW_NAME!r}: store it with Model.register or "
            "Model.store_deployment"
        )

    @property
    def own_flow(self) -> Flow | None:
        """The flow that it was registered with."""
        return next((flow for flow in self._flows if flow.entry_point is not None), None)

    @property
    def run_flow(self) -> Flow:
        """The flow that ``Model.run`` runs: its own, or else the one that evaluates it."""
        return self.own_flow or self.flow

    @cached_property
    def evaluator(self) -> Evaluator | PackagedEvaluator:
        """What evaluates it; the model is loaded on first use.

        Raises:
            ModelLoadError: It cannot be loaded in this process.
        """
        if self._key not in _evaluators:
            _evaluators[self._key] = self._load()
        return _evaluators[self._key]

    def keep(self, evaluator: Evaluator) -> None:
        """Evaluate it by this from now on, everywhere in this process."""
        _evaluators[self._key] = evaluator
        self.__dict__["evaluator"] = evaluator

    @property
    def is_package(self) -> bool:
        """Whether it is a package, which has an environment of its own."""
        return self.deployment.kind == PACKAGE

    @property
    def _key(self) -> tuple[str | None, ...]:
        code = self.deployment.sha256 if self.is_package else None
        return self.run_flow.flow_id, self.deployment.entry_point, code

    def _load(self) -> Evaluator | PackagedEvaluator:
        if not self.is_package:
            return self._imported()
        if is_installed_here(self.deployment.sha256):  # in the image of this container
            return Evaluator(load_entry_point(str(self.deployment.entry_point)))
        return PackagedEvaluator(self.deployment, self.load_package)

    def _imported(self) -> Evaluator:
        name = f"{self.deployment.model.description!r} {self.deployment.version}"
        if self.deployment.entry_point is None:
            raise ModelLoadError(
                f"{name} was registered from a notebook or script and is not in this process. "
                "Register it again here, or put it into a module."
            )
        model = load_entry_point(self.deployment.entry_point)
        if self.deployment.sha256 not in (None, source_hash(model)):
            warnings.warn(
                f"The code of {name} has changed since it was registered: its results are no "
                "longer of one kind. Register it under a new version.",
                LUMEServicesWarning,
                stacklevel=2,
            )
        return Evaluator(model)

    def result(self, inputs: Mapping[str, Any], outcome: Outcome, run_id: str) -> Result:
        """The result of an evaluation, not stored yet.

        Args:
            inputs: The inputs as ``evaluator.check`` returned them.
            outcome: What came of it.
            run_id: Id of the run that it is part of.
        """
        return Result(
            project_name=self.flow.project_name,
            flow_id=self.flow.flow_id,
            flow_run_id=run_id,
            model_id=self.deployment.model_id,
            deployment_id=self.deployment.deployment_id,
            version=self.deployment.version,
            inputs=inputs,
            outputs=outcome.outputs,
            status="success" if outcome.error is None else "failed",
            error=outcome.error,
            provenance=self.evaluator.provenance(outcome),
        )

    def run_arguments(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """What the scheduling service is given to run it: a flow, its id, and its parameters."""
        known: dict[str, Any] = {
            "flow_id": self.run_flow.flow_id,
            "project_name": self.run_flow.project_name,
        }
        if self.deployment.image is not None:
            backend = context.scheduling_service().backend
            known["run_config"] = backend.run_config_of(image=self.deployment.image)
        if self.own_flow is not None and self.is_package:
            from lume_services.models.flow import run_packaged_flow  # imports Prefect

            of_flow = {"flow_id": self.own_flow.flow_id, "parameters": dict(parameters)}
            return {"flow": run_packaged_flow, "parameters": of_flow, **known}
        if self.own_flow is not None:
            flow = load_entry_point(str(self.own_flow.entry_point))
            return {"flow": flow, "parameters": dict(parameters), **known}
        from lume_services.models.flow import evaluate_model  # imports Prefect

        inputs = self.evaluator.check(parameters)
        return {
            "flow": evaluate_model,
            "parameters": {"flow_id": self.flow.flow_id, "inputs": inputs},
            **known,
        }

    def run_in_environment(self, flow_id: str, parameters: Mapping[str, Any]) -> Any:
        """Run a flow of the package in its environment; see ``run_packaged_flow``."""
        flow = next(flow for flow in self._flows if flow.flow_id == flow_id)
        if is_installed_here(self.deployment.sha256):
            return load_entry_point(str(flow.entry_point))(**parameters)
        check_needs_of_flows(self.deployment)
        environment = environment_of(self.deployment, self.load_package)
        return run_flow(environment, flow_id, str(flow.entry_point), parameters)


def flow_name(flow: Any) -> str:
    """What a flow of a user's own is called: Prefect's name, or that of the function."""
    return str(getattr(flow, "name", None) or flow.__name__)


def flow_entry_point(flow: Any) -> str:
    """Where a flow of a user's own is found.

    Raises:
        ModelLoadError: Not at the top of a module.
    """
    entry_point = entry_point_of(flow)
    if entry_point is None:
        raise ModelLoadError(
            f"The flow {getattr(flow, 'name', flow)!r} is not at the top of a module, so that no "
            "other process could load it"
        )
    return entry_point
