"""Plain Prefect tasks and flows, called inside an inline run.

``prefect.task`` and ``prefect.flow`` objects know nothing of this package; their calls are routed
here when they are made inside an inline run. (``submit`` and ``map`` need nothing: they use the
task runner of the flow run's context.)
"""

from __future__ import annotations

from typing import Any

from lume_services.engine._current import current_run
from lume_services.engine._flow_runs import InlineFlowRun
from lume_services.engine._prefect import route_calls
from lume_services.engine._runs import InlineRun
from lume_services.engine._task_runs import InlineTaskRun

__all__ = ["carry_out", "route_plain_calls"]


def carry_out(run: InlineRun, *, return_state: bool = False) -> Any:
    """Run to the end; for a coroutine function, give back the coroutine that does."""
    if run.target.isasync:
        return _carry_out_async(run, return_state)
    return run.run().outcome(return_state=return_state)


async def _carry_out_async(run: InlineRun, return_state: bool) -> Any:
    await run.run_async()
    return run.outcome(return_state=return_state)


def route_plain_calls() -> None:
    """Run plain tasks and flows inline when they are called inside an inline run; call once."""

    def run_task(task: Any, parameters: Any, wait_for: Any, *, return_state: bool) -> Any:
        return carry_out(InlineTaskRun(task, parameters, wait_for), return_state=return_state)

    def run_flow(flow: Any, parameters: Any, wait_for: Any, *, return_state: bool) -> Any:
        return carry_out(InlineFlowRun(flow, parameters, wait_for), return_state=return_state)

    route_calls(lambda: current_run.get() is not None, run_task, run_flow)
