"""Running Prefect flows without Prefect's server.

Prefect 3 records each run through its API, and so starts a server, a database and a heartbeat
thread even for a flow that takes a millisecond. The flows and tasks made here are Prefect's own,
with one difference: called where no Prefect engine is running, their functions run then and there,
*inline*, with retries, time limits, futures, hooks, states and logs. Where Prefect's engine is
running, in a worker for example, they are ordinary Prefect flows and tasks.

The modules, each using those before it: ``_prefect`` (all that is used of Prefect beyond what it
documents), ``_current`` (is this call inline?), ``_interrupts`` (time limits),
``_logs``, ``_parameters``, ``_states``, ``_runs`` (attempts, hooks), ``_futures`` (submitted
tasks), ``_task_runs``, ``_flow_runs``, ``_plain`` (Prefect's own objects, called inline),
``_decorators``, ``_local`` (what a backend uses).
"""

from __future__ import annotations

import os

# A flow that runs inline tells nobody of it, its maker neither, unless somebody wants that.
os.environ.setdefault("DO_NOT_TRACK", "1")

try:
    import prefect as _prefect  # noqa: F401 - to say what to install when it is missing
except ModuleNotFoundError as error:
    from lume_services.errors import MissingDependencyError

    raise MissingDependencyError(
        "Flows and tasks need Prefect: pip install 'lume-services[prefect]'"
    ) from error

from lume_services.engine._decorators import InlineFlow, InlineTask, flow, task
from lume_services.engine._entry_points import entry_point_of
from lume_services.engine._local import LocalRun, local_run
from lume_services.engine._parameters import check_parameters, parameters_of
from lume_services.engine._plain import route_plain_calls
from lume_services.engine._runs import check_stop, registered_flow_id

__all__ = [
    "InlineFlow",
    "InlineTask",
    "LocalRun",
    "check_parameters",
    "check_stop",
    "entry_point_of",
    "flow",
    "local_run",
    "parameters_of",
    "registered_flow_id",
    "task",
]

route_plain_calls()
