"""Which run the current code belongs to, and so how a flow or task called here runs."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

from lume_services.engine._prefect import FlowRunContext, TaskRunContext, get_task_viz_tracker

if TYPE_CHECKING:
    from lume_services.engine._runs import InlineRun

__all__ = ["current_run", "runs_inline"]

current_run: ContextVar[InlineRun | None] = ContextVar("lume_services_run", default=None)
"""The inline run that the current code belongs to; None outside one."""


def runs_inline() -> bool:
    """Whether a flow or task of this package, called here, runs inline.

    It does inside an inline run and outside any run. Inside a run of Prefect's engine, which is
    how a worker starts it, and while Prefect draws a flow, it is Prefect's like any other.
    """
    if current_run.get() is not None:
        return True
    return (
        FlowRunContext.get() is None
        and TaskRunContext.get() is None
        and get_task_viz_tracker() is None
    )
