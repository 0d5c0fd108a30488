"""Tasks that store and load results through the results service."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from prefect import runtime

from lume_services.context import context
from lume_services.engine import registered_flow_id
from lume_services.errors import (
    FlowNotFoundError,
    InvalidInputError,
    LUMEServicesError,
    LUMEServicesWarning,
)
from lume_services.results import Provenance, Result, get_result_from_string
from lume_services.services.results import ResultsDBService
from lume_services.tasks._made import MadeTask

__all__ = ["LoadDBResult", "SaveDBResult", "load_db_result", "save_db_result"]


def _save_db_result(
    result: Result, results_db_service: ResultsDBService | None = None
) -> dict[str, Any]:
    """Store a result; storing the same one again changes nothing.

    A result that does not say so itself is stored with the flow run that it was computed in, with
    the provenance of this process, and, in a run of a registered flow, with that flow and the
    deployment and project that it belongs to.

    Args:
        result: The result.
        results_db_service: The results service; that of the context when not given.

    Returns:
        What finds the result again, ``Result.unique_rep``: it can be written as JSON.
    """
    unsaid: dict[str, Any] = {}
    if result.flow_run_id is None:
        unsaid["flow_run_id"] = runtime.flow_run.id
    if result.provenance is None:
        unsaid["provenance"] = Provenance.collect()
    if result.flow_id is None and (flow_id := registered_flow_id()) is not None:
        unsaid.update(_origin(flow_id, result))
    result = result.model_copy(update=unsaid)
    result.insert(service=results_db_service)
    return result.unique_rep()


def _origin(flow_id: str, result: Result) -> dict[str, Any]:
    """What the registry says of a flow; nothing where it does not know it."""
    try:
        flow = context.model_db_service().get_flow(flow_id=flow_id)
    except FlowNotFoundError:
        return {}
    except LUMEServicesError as error:  # the result is not lost for that
        warnings.warn(
            f"A result is stored without its project, model and version, only with flow_id="
            f"{flow_id!r}: {error}",
            LUMEServicesWarning,
            stacklevel=2,
        )
        return {"flow_id": flow_id}
    known = {
        "flow_id": flow_id,
        "project_name": flow.project_name,
        "model_id": flow.deployment.model_id,
        "deployment_id": flow.deployment_id,
        "version": flow.deployment.version,
    }
    return {name: value for name, value in known.items() if name not in result.model_fields_set}


def _load_db_result(
    result_rep: Mapping[str, Any],
    attribute_index: Sequence[str | int] | None = None,
    results_db_service: ResultsDBService | None = None,
) -> Any:
    """Load a stored result, or a value in it.

    Args:
        result_rep: What finds the result, as ``save_db_result`` returns it.
        attribute_index: Where in the result the value is: the field, then keys and indices.
            ``["outputs", "sigma_x"]`` is ``result.outputs["sigma_x"]``.
        results_db_service: The results service; that of the context when not given.

    Returns:
        The value; the whole ``Result`` without ``attribute_index``.

    Raises:
        ResultNotFoundError: No stored result is meant.
        InvalidInputError: The result has no such value.
    """
    result_type = get_result_from_string(result_rep["result_type_string"])
    value: Any = result_type.load_from_query(result_rep["query"], service=results_db_service)
    for place, step in enumerate(attribute_index or ()):
        try:
            value = getattr(value, str(step)) if place == 0 else value[step]
        except (AttributeError, LookupError, TypeError) as error:
            path = ".".join(str(one) for one in (attribute_index or ())[: place + 1])
            raise InvalidInputError(f"The stored result has no {path!r}.") from error
    return value


class SaveDBResult(MadeTask):
    """A task that stores a result; called as ``save_db_result``."""

    function = staticmethod(_save_db_result)


class LoadDBResult(MadeTask):
    """A task that loads a stored result; called as ``load_db_result``."""

    function = staticmethod(_load_db_result)


save_db_result = SaveDBResult()
"""Store a result and return what finds it again."""

load_db_result = LoadDBResult()
"""Load a stored result, or a value in it, given what finds it."""
