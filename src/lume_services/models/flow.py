"""The flow that every model has: evaluate it and record the result."""

from __future__ import annotations

from typing import Any

from lume_services.flows import flow
from lume_services.models.model import Model
from lume_services.results import Result

__all__ = ["evaluate_model", "run_packaged_flow"]


@flow(name="evaluate")
def evaluate_model(flow_id: str, inputs: dict[str, Any]) -> Result:
    """Evaluate a deployment of a model and record the result.

    Args:
        flow_id: The flow of that deployment: the same in every registry.
        inputs: The model's inputs by name.
    """
    from prefect import runtime  # where it is missing, lume_services.flows has said so

    return Model.of_flow(flow_id)._evaluate(inputs, str(runtime.flow_run.id))


@flow(name="packaged")
def run_packaged_flow(flow_id: str, parameters: dict[str, Any]) -> Any:
    """Run the flow of a package in its environment.

    Args:
        flow_id: The flow: the same in every registry.
        parameters: Its parameters by name.

    Returns:
        What it returns.
    """
    return Model.of_flow(flow_id)._deployed.run_in_environment(flow_id, parameters)
