"""What the engine needs of Prefect beyond what Prefect documents, all in one place.

Every other module of this package takes from Prefect only what its reference describes. What
follows may change with any release: ``tests/engine/test_prefect_interfaces.py`` checks that each
is still there and does what is needed of it, so that an upgrade of Prefect fails there first.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import prefect

from lume_services.errors import MissingDependencyError

try:
    from prefect import flow_engine, task_engine
    from prefect.context import FlowRunContext, TagsContext, TaskRunContext
    from prefect.futures import PrefectConcurrentFuture, resolve_futures_to_states
    from prefect.logging.loggers import patch_print
    from prefect.results import ResultRecord  # type: ignore[attr-defined]  # it is there
    from prefect.settings import PREFECT_LOGGING_EXTRA_LOGGERS
    from prefect.states import StateGroup, get_state_exception, is_state_iterable
    from prefect.utilities.callables import call_with_parameters, get_call_parameters
    from prefect.utilities.engine import resolve_inputs_sync, should_log_prints
    from prefect.utilities.visualization import get_task_viz_tracker
except ImportError as error:
    raise MissingDependencyError(
        f"Local runs do not work with Prefect {prefect.__version__}, which has changed: {error}. "
        "Install the Prefect that this version was made for: pip install 'lume-services[prefect]'"
    ) from error

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun, State, TaskRun
    from prefect.task_runners import TaskRunner

__all__ = [
    "PREFECT_LOGGING_EXTRA_LOGGERS",
    "FlowRunContext",
    "PrefectConcurrentFuture",
    "StateGroup",
    "TagsContext",
    "TaskRunContext",
    "as_kind",
    "call_with_parameters",
    "error_of",
    "flow_run_context",
    "get_call_parameters",
    "get_task_viz_tracker",
    "hold",
    "is_state_iterable",
    "keep_from_api",
    "max_workers_of",
    "patch_print",
    "resolve_futures_to_states",
    "resolve_inputs_sync",
    "route_calls",
    "should_log_prints",
    "start",
    "task_run_context",
    "value_of",
]

Kind = TypeVar("Kind")


def flow_run_context(
    flow: prefect.Flow[..., Any],
    record: FlowRun,
    parameters: dict[str, Any],
    task_runner: TaskRunner[Any],
    *,
    log_prints: bool,
) -> FlowRunContext:
    """What ``get_run_logger``, ``prefect.runtime`` and ``Task.submit`` look up in a flow."""
    construct: Any = FlowRunContext.model_construct  # the constructor wants an API client
    context: FlowRunContext = construct(
        flow=flow,
        flow_run=record,
        parameters=parameters,
        task_runner=task_runner,
        log_prints=log_prints,
        start_time=record.expected_start_time,
        client=None,
        result_store=None,
        persist_result=False,
        # Their defaults; pydantic takes ten times as long to find them.
        task_run_dynamic_keys={},
        observed_flow_pauses={},
        run_results={},
        task_run_assets={},
    )
    return context


def task_run_context(
    task: prefect.Task[..., Any], record: TaskRun, parameters: dict[str, Any], *, log_prints: bool
) -> TaskRunContext:
    """What ``get_run_logger`` and ``prefect.runtime`` look up in a task."""
    construct: Any = TaskRunContext.model_construct  # the constructor wants an API client
    context: TaskRunContext = construct(
        task=task,
        task_run=record,
        parameters=parameters,
        log_prints=log_prints,
        start_time=record.expected_start_time,
        client=None,
        result_store=None,
        persist_result=False,
    )
    return context


def as_kind(made: Any, kind: type[Kind]) -> Kind:
    """What ``with_options`` made, with the class of what it was made from.

    Prefect makes a plain ``Flow`` or ``Task``, whatever the class.
    """
    made.__class__ = kind
    assert isinstance(made, kind)
    return made


def max_workers_of(flow: prefect.Flow[..., Any]) -> int | None:
    """How many threads a flow's own ``ThreadPoolTaskRunner`` may use; None if it does not say."""
    workers: int | None = getattr(flow.task_runner, "_max_workers", None)
    # Prefect's way of saying that there is no limit.
    return None if workers == sys.maxsize else workers


def start(task_runner: TaskRunner[Any]) -> None:
    """Make a task runner usable: ``Task.map`` refuses one that has not been entered."""
    task_runner.__enter__()


def hold(value: Any) -> Any:
    """The data of a completed state; Prefect takes a bare None for a value that was lost."""
    construct: Any = ResultRecord.model_construct
    return construct(result=value)


def value_of(state: State[Any]) -> Any:
    """The value that a completed state holds."""
    return state.data.result if isinstance(state.data, ResultRecord) else state.data


def error_of(state: State[Any]) -> Any:
    """The exception that a state stands for."""
    get: Any = get_state_exception
    return get(state, _sync=True)


def keep_from_api(record: logging.LogRecord) -> None:
    """Mark a record, so that Prefect's handler does not send it to its API."""
    record.send_to_api = False


def route_calls(
    to_us: Callable[[], bool],
    run_task: Callable[..., Any],
    run_flow: Callable[..., Any],
) -> None:
    """Have plain ``prefect.task`` and ``prefect.flow`` objects that are called run by us.

    When one is called, it looks up ``run_task`` or ``run_flow`` in the module of Prefect's engine,
    each time anew. Those names are replaced here.

    Args:
        to_us: Whether we run this call; Prefect's engine does otherwise.
        run_task: Called with the task, its parameters, ``wait_for`` and ``return_state``.
        run_flow: The same for a flow.
    """

    def routed(kind: str, ours: Callable[..., Any], prefects: Callable[..., Any]) -> Any:
        @wraps(prefects)
        def run(*args: Any, **options: Any) -> Any:
            if not to_us():
                return prefects(*args, **options)
            return ours(
                options[kind],  # as Flow.__call__ and Task.__call__ give it
                options.get("parameters") or {},
                options.get("wait_for"),
                return_state=options.get("return_type") == "state",
            )

        return run

    task_engine.run_task = routed("task", run_task, task_engine.run_task)
    flow_engine.run_flow = routed("flow", run_flow, flow_engine.run_flow)
