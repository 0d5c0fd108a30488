"""Who counts towards the limit of a worker."""

from __future__ import annotations

from typing import Any, Final

from lume_services.engine import entry_point_of
from lume_services.flows._coordinating import coordinate

__all__ = ["give_up_place"]

_COORDINATOR: Final = entry_point_of(coordinate).replace(":", ".")


def give_up_place(worker: Any, flow_run: Any, configuration: Any) -> None:
    """Let a run that does nothing but start others, and wait for them, take no place of theirs.

    With a limit, runs that wait for runs that wait for a place would wait for ever.

    Args:
        worker: Prefect's worker, which has given the run a place.
        flow_run: The run.
        configuration: What the worker has prepared for it.
    """
    deployment = configuration._related_objects.get("deployment")
    if deployment is not None and deployment.entrypoint == _COORDINATOR:
        worker._release_limit_slot(flow_run.id)
