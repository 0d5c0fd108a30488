"""A deployment in use: its flows, what evaluates it, and how its results are made."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lume_services.errors import FlowNotFoundError, LUMEServicesWarning, ModelLoadError
from lume_services.models._workers import Outcome
from lume_services.models.evaluation import (
    Evaluator,
    entry_point_of,
    load_entry_point,
    source_hash,
)
from lume_services.results import Provenance, Result

if TYPE_CHECKING:
    from lume_services.services.models.db.schema import Deployment, Flow

__all__ = ["FLOW_NAME", "Deployed", "flow_entry_point", "flow_name"]

FLOW_NAME = "evaluate"
"""Name of the flow that every model has: it evaluates the model and records the result."""

# Models are made once a process, by the id of their flow and where they are loaded from. Those that
# are defined in a notebook or a script are nowhere else.
_evaluators: dict[tuple[str, str | None], Evaluator] = {}


class Deployed:
    """A deployment and what can be done with it in this process.

    Args:
        deployment: The deployment.
        flows: Its flows in the registry.
    """

    def __init__(self, deployment: Deployment, flows: list[Flow]) -> None:
        self.deployment = deployment
        self._flows = flows

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
            f"{self.deployment!r} has no flow {FLOW_NAME!r}: store it with Model.register"
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
    def evaluator(self) -> Evaluator:
        """What evaluates it; the model is loaded on first use.

        Raises:
            ModelLoadError: It cannot be loaded in this process.
        """
        key = (self.flow.flow_id, self.deployment.entry_point)
        if key not in _evaluators:
            _evaluators[key] = self._load()
        return _evaluators[key]

    def keep(self, evaluator: Evaluator) -> None:
        """Evaluate it by this from now on, everywhere in this process."""
        _evaluators[self.flow.flow_id, self.deployment.entry_point] = evaluator
        self.__dict__["evaluator"] = evaluator

    def _load(self) -> Evaluator:
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
            provenance=Provenance.collect(outcome.started, outcome.duration_s),
        )

    def run_arguments(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """What the scheduling service is given to run it: a flow, its id, and its parameters."""
        known = {"flow_id": self.run_flow.flow_id, "project_name": self.run_flow.project_name}
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
