"""Plain Prefect tasks and flows, called inside an inline run.

``prefect.task`` and ``prefect.flow`` objects know nothing of this package. When one is called it
looks up ``run_task`` or ``run_flow`` in the module of Prefect's engine, each time anew. Those names
are replaced by functions that run it inline when the call is made inside an inline run, and that
call Prefect's own otherwise. (``submit`` and ``map`` need nothing: they use the task runner of the
flow run's context.)
"""

from __future__ import annotations

from functools import wraps
from typing import Any

from prefect import flow_engine, task_engine

from lume_services.engine._current import current_run
from lume_services.engine._flow_runs import InlineFlowRun
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
    """Replace Prefect's ``run_task`` and ``run_flow`` as told above, once."""
    by_prefect_task, by_prefect_flow = task_engine.run_task, flow_engine.run_flow

    @wraps(by_prefect_task)
    def run_task(task: Any, *args: Any, **options: Any) -> Any:
        if current_run.get() is None:
            return by_prefect_task(task, *args, **options)
        run = InlineTaskRun(task, options.get("parameters") or {}, options.get("wait_for"))
        return carry_out(run, return_state=options.get("return_type") == "state")

    @wraps(by_prefect_flow)
    def run_flow(flow: Any, *args: Any, **options: Any) -> Any:
        if current_run.get() is None:
            return by_prefect_flow(flow, *args, **options)
        run = InlineFlowRun(flow, options.get("parameters") or {}, options.get("wait_for"))
        return carry_out(run, return_state=options.get("return_type") == "state")

    task_engine.run_task, flow_engine.run_flow = run_task, run_flow
