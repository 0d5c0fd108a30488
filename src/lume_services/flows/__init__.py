"""Flows: making them, running them, putting them together.

``@flow`` and ``@task`` make Prefect flows and tasks that also run without Prefect's server.
``Flow`` is a flow with a name and a project, run on the configured backend. ``FlowOfFlows`` feeds
what one flow's tasks return to the parameters of others.
"""

from __future__ import annotations

from lume_services.engine import flow, task
from lume_services.flows._flow import Flow
from lume_services.flows._flow_of_flows import FlowOfFlows
from lume_services.flows._mapped import (
    DBMappedParameter,
    FileMappedParameter,
    MappedParameter,
    RawMappedParameter,
)

__all__ = [
    "DBMappedParameter",
    "FileMappedParameter",
    "Flow",
    "FlowOfFlows",
    "MappedParameter",
    "RawMappedParameter",
    "flow",
    "task",
]
