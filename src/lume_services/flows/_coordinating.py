"""The flow by which a flow of flows is run elsewhere: it starts the others there."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

from lume_services.engine import check_stop, flow
from lume_services.errors import LUMEServicesError

__all__ = ["coordinate"]

_PAUSE_S = 0.2


@flow(name="flow-of-flows")
def coordinate(
    spec: dict[str, Any], parameters: dict[str, Any], flow_ids: dict[str, str]
) -> dict[str, Any]:
    """Run the flows of a flow of flows, each as a run of its own on the configured backend.

    Args:
        spec: What ``FlowOfFlows.from_yaml`` takes.
        parameters: Values of the whole, by ``<flow>-<parameter>``.
        flow_ids: The ``flow_id`` of those flows that are registered, by name.

    Returns:
        What each flow returned, by name.
    """
    from lume_services.flows._flow_of_flows import FlowOfFlows

    whole = FlowOfFlows.from_yaml(spec)
    for name, flow_id in flow_ids.items():
        whole.composing_flows[name].flow_id = flow_id
    run = whole.run_from_here(parameters)
    try:
        while not run.state.is_final:
            check_stop()
            time.sleep(_PAUSE_S)
    except BaseException:
        with suppress(LUMEServicesError):  # what made it stop is what to tell
            run.cancel()
        raise
    return run.result()
