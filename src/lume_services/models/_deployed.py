"""A deployment in use: its flows, what evaluates it, and how its results are made."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lume_services.errors import FlowNotFoundError, ModelLoadError
from lume_services.models._workers import Outcome
from lume_services.models.evaluation import Evaluator, entry_point_of, load_entry_point
from lume_services.results import Provenance, Result

if TYPE_CHECKING:
    from lume_services.services.models.db.schema import Deployment, Flow

__all__ = ["FLOW_NAME", "Deployed", "flow_entry_point", "keep_here"]

FLOW_NAME = "evaluate"
"""Name of the flow that every model has: it evaluates the model and records the result."""

# Models that only this process has, defined in a notebook or a script, by the id of their flow.
_only_here: dict[str, Evaluator] = {}


class Deployed:
    """A deployment and what can be done with it in this process.

    Args:
        deployment: The deployment.
        flows: Its flows in the registry.
    """

    def __init__(self, deployment: Deployment, flows: list[Flow]) -> None:
        evaluating = [flow for flow in flows if flow.flow_name == FLOW_NAME]
        if not evaluating:
            raise FlowNotFoundError(
                f"{deployment!r} has no flow {FLOW_NAME!r}: store it with Model.register"
            )
        self.deployment = deployment
        self.flow = evaluating[0]
        self._own_flow = next((flow for flow in flows if flow.entry_point is not None), None)

    @cached_property
    def evaluator(self) -> Evaluator:
        """What evaluates it; the model is loaded on first use.

        Raises:
            ModelLoadError: It cannot be loaded in this process.
        """
        if self.deployment.entry_point is not None:
            return Evaluator(load_entry_point(self.deployment.entry_point))
        if self.flow.flow_id in _only_here:
            return _only_here[self.flow.flow_id]
        raise ModelLoadError(
            f"{self.deployment.model.description!r} {self.deployment.version} was registered from "
            "a notebook or script and is not in this process. Register it again here, or put it "
            "into a module."
        )

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
        """What the scheduling service is given to run it: a flow and its parameters."""
        if self._own_flow is not None:
            flow = load_entry_point(str(self._own_flow.entry_point))
            return {"flow": flow, "parameters": dict(parameters)}
        from lume_services.models.flow import evaluate_model  # imports Prefect

        inputs = self.evaluator.check(parameters)
        deployment_id = self.deployment.deployment_id
        return {
            "flow": evaluate_model,
            "parameters": {"deployment_id": deployment_id, "inputs": inputs},
        }


def keep_here(flow_id: str, evaluator: Evaluator) -> None:
    """Keep a model that no other process can load, for as long as this process lives."""
    _only_here[flow_id] = evaluator


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
