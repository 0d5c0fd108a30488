"""A run of a task, inline."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from inspect import iscoroutine, signature
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from prefect.client.schemas.objects import TaskRun
from prefect.states import Failed

from lume_services.engine._prefect import (
    TagsContext,
    patch_print,
    should_log_prints,
    task_run_context,
)
from lume_services.engine._runs import InlineRun, run_coroutine
from lume_services.errors import LUMEServicesWarning

if TYPE_CHECKING:
    import prefect

__all__ = ["InlineTaskRun"]

_warned: set[str] = set()


class InlineTaskRun(InlineRun):
    """A run of a task in this process.

    Args:
        task: The task.
        parameters: Its parameters, bound to its signature.
        wait_for: Futures and states that must complete first.
    """

    kind = "Task"
    record: TaskRun

    def __init__(
        self, task: prefect.Task[..., Any], parameters: dict[str, Any], wait_for: Any = None
    ) -> None:
        run_id = uuid4()
        self.record = TaskRun(
            id=run_id,
            name=f"{task.name}-{run_id.hex[:3]}",
            task_key=task.task_key,
            task_version=task.version,
            dynamic_key=str(run_id),
            tags=list(task.tags | TagsContext.get().current_tags),
            expected_start_time=datetime.now(UTC),
        )
        super().__init__(task, parameters, wait_for)
        self.task = task
        if self.within is not None:
            self.record.flow_run_id = self.within.record.id
        if task.persist_result or task.on_commit_hooks or task.on_rollback_hooks:
            _warn_once(task)

    @contextmanager
    def _context(self) -> Iterator[None]:
        log_prints = should_log_prints(self.task)
        self._prefect_context = task_run_context(
            self.task, self.record, self.parameters, log_prints=log_prints
        )
        with self._prefect_context, patch_print() if log_prints else nullcontext():
            yield

    def _prepare(self) -> dict[str, Any]:
        parameters = super()._prepare()
        self._prefect_context.parameters = parameters
        template: Any = self.task.task_run_name
        if isinstance(template, str):
            self.record.name = template.format(**parameters)
        elif template is not None:
            takes = signature(template).parameters
            self.record.name = template(parameters) if "parameters" in takes else template()
        return parameters

    def _may_retry(self, error: Exception) -> bool:
        condition = self.task.retry_condition_fn
        if condition is None:
            return True
        answer: Any = condition(self.task, self.record, Failed(data=error, message=repr(error)))
        return bool(run_coroutine(answer) if iscoroutine(answer) else answer)


def _warn_once(task: prefect.Task[..., Any]) -> None:
    if task.task_key not in _warned:
        _warned.add(task.task_key)
        warnings.warn(
            f"Task {task.name!r} asks for Prefect's caching, persistence or transactions. They "
            "work in runs of Prefect's engine; in a local run every call runs and nothing is kept.",
            LUMEServicesWarning,
            stacklevel=2,
        )
