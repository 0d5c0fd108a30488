"""What is used of Prefect beyond what it documents is there, and does what is needed of it.

When an upgrade of Prefect fails here, ``engine/_prefect.py`` is what has to follow it.
"""

from __future__ import annotations

import ast
import builtins
import logging
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import prefect
import pytest
from prefect import flow_engine, get_run_logger, runtime, task_engine
from prefect.client.schemas.objects import FlowRun, TaskRun
from prefect.context import FlowRunContext, TaskRunContext
from prefect.logging.handlers import APILogHandler
from prefect.states import Completed, Failed
from prefect.task_runners import ThreadPoolTaskRunner

import lume_services.engine
from lume_services.engine import InlineFlow, InlineTask, _prefect
from lume_services.engine._futures import InlineTaskRunner
from lume_services.engine._task_runs import InlineTaskRun

CHANGED = f"Prefect {prefect.__version__} has changed: see lume_services/engine/_prefect.py"


@prefect.flow
def plain_flow(x: int = 1) -> int:
    return x


@prefect.task
def plain_task(x: int = 1) -> int:
    return x


def test_nothing_undocumented_is_imported_elsewhere() -> None:
    documented = {
        "prefect",
        "prefect.client.schemas.objects",
        "prefect.exceptions",
        "prefect.logging.loggers",
        "prefect.states",
        "prefect.task_runners",
    }
    for file in Path(lume_services.engine.__file__).parent.glob("*.py"):
        if file.name == "_prefect.py":
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("prefect"):
                assert node.module in documented, f"{file.name} imports from {node.module}"


def test_a_prefect_without_them_is_refused_with_a_remedy() -> None:
    script = (
        "import prefect.states\n"
        "del prefect.states.StateGroup\n"
        "from lume_services.errors import MissingDependencyError\n"
        "try:\n    import lume_services.engine\n"
        "except MissingDependencyError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert f"do not work with Prefect {prefect.__version__}" in done.stdout
    assert "StateGroup" in done.stdout
    assert "pip install 'lume-services[prefect]'" in done.stdout


def test_calls_look_up_the_engine_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(task_engine, "run_task", lambda **options: seen.append(options))
    monkeypatch.setattr(flow_engine, "run_flow", lambda **options: seen.append(options))
    plain_task(2, return_state=True)
    plain_flow(3)
    assert [one["parameters"] for one in seen] == [{"x": 2}, {"x": 3}], CHANGED
    assert [one["return_type"] for one in seen] == ["state", "result"], CHANGED
    assert seen[0]["task"] is plain_task, CHANGED
    assert seen[1]["flow"] is plain_flow, CHANGED
    assert "wait_for" in seen[0], CHANGED
    assert "wait_for" in seen[1], CHANGED


def test_the_contexts_can_be_made_without_a_client() -> None:
    flow_run, task_run = FlowRun(flow_id=uuid4()), TaskRun(task_key="k", dynamic_key="d")
    runner = InlineTaskRunner(InlineTaskRun)
    with _prefect.flow_run_context(plain_flow, flow_run, {"x": 1}, runner, log_prints=False) as one:
        assert FlowRunContext.get() is one, CHANGED
        assert runtime.flow_run.id == str(flow_run.id), CHANGED
        assert runtime.flow_run.parameters == {"x": 1}, CHANGED
        with _prefect.task_run_context(plain_task, task_run, {"x": 2}, log_prints=False) as two:
            assert TaskRunContext.get() is two, CHANGED
            assert runtime.task_run.id == str(task_run.id), CHANGED
            assert get_run_logger().extra["task_run_id"] == str(task_run.id), CHANGED
    told = "a field of its contexts is new: give it its default in engine/_prefect.py"
    for made, kind in ((one, FlowRunContext), (two, TaskRunContext)):
        unset = {name for name in kind.model_fields if not hasattr(made, name)}
        assert not unset, f"{CHANGED}; {told}: {unset}"


def test_flow_runs_name_themselves() -> None:
    assert FlowRun(flow_id=uuid4()).name, CHANGED


def test_objects_with_other_options_take_their_kind_again() -> None:
    flow, task = InlineFlow(plain_flow.fn), InlineTask(plain_task.fn)
    assert type(_prefect.as_kind(prefect.Flow(plain_flow.fn), InlineFlow)) is InlineFlow
    for made in (flow.with_options(retries=3), task.with_options(retries=3)):
        assert type(made) in (InlineFlow, InlineTask), CHANGED
        assert made.retries == 3, CHANGED
    assert flow.with_options()(4) == 4
    assert task.with_options()(5) == 5


def test_the_number_of_threads_is_found() -> None:
    flow = plain_flow.with_options(task_runner=ThreadPoolTaskRunner(max_workers=3))
    assert _prefect.max_workers_of(flow) == 3, CHANGED
    assert _prefect.max_workers_of(plain_flow) is None, CHANGED
    unlimited = plain_flow.with_options(task_runner=ThreadPoolTaskRunner())
    assert _prefect.max_workers_of(unlimited) is None, CHANGED


def test_task_runners_can_be_started() -> None:
    runner = InlineTaskRunner(InlineTaskRun)  # starts itself
    futures = runner.map(InlineTask(plain_task.fn), {"x": [1, 2]})
    assert futures.result() == [1, 2], CHANGED
    runner.close(start_others=True, wait=True)


@pytest.mark.parametrize("value", [None, 0, "text", [1]])
def test_states_hold_values(value: object) -> None:
    state = Completed(data=_prefect.hold(value))
    assert state.result(_sync=True) == value, CHANGED
    assert _prefect.value_of(state) == value, CHANGED
    assert _prefect.value_of(Completed(data=value)) == value


def test_states_are_told_and_counted() -> None:
    error = OSError("beam lost")
    failed = Failed(data=error)
    assert _prefect.error_of(failed) is error, CHANGED
    assert _prefect.is_state_iterable([failed]), CHANGED
    assert not _prefect.is_state_iterable([1]), CHANGED
    states = _prefect.StateGroup([failed, Completed()])
    assert (states.all_completed(), states.any_cancelled()) == (False, False), CHANGED
    assert "total=2" in states.counts_message(), CHANGED


def test_arguments_are_bound_and_resolved() -> None:
    def function(a: int, /, *args: int, b: int = 3, **more: int) -> object:
        return a, args, b, more

    bound = _prefect.get_call_parameters(function, (1, 2), {"c": 4})
    assert bound == {"a": 1, "args": (2,), "b": 3, "more": {"c": 4}}, CHANGED
    assert _prefect.call_with_parameters(function, bound) == (1, (2,), 3, {"c": 4}), CHANGED
    state = Completed(data=_prefect.hold(7))
    assert _prefect.resolve_inputs_sync({"a": [state]}) == {"a": [7]}, CHANGED
    assert _prefect.resolve_futures_to_states([1]) == [1], CHANGED


def test_prints_are_patched_and_put_back() -> None:
    before = builtins.print
    with _prefect.patch_print():
        assert builtins.print is not before, CHANGED
    assert builtins.print is before, CHANGED
    assert _prefect.should_log_prints(plain_flow.with_options(log_prints=True)) is True, CHANGED
    assert _prefect.should_log_prints(plain_task) is False, CHANGED


def test_a_marked_record_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = []
    monkeypatch.setattr(APILogHandler, "prepare", lambda self, record: prepared.append(record))
    record = logging.makeLogRecord({"msg": "x", "name": "prefect.flow_runs"})
    _prefect.keep_from_api(record)
    APILogHandler().handle(record)
    assert not prepared, CHANGED
    assert isinstance(_prefect.PREFECT_LOGGING_EXTRA_LOGGERS.value(), (list, tuple)), CHANGED


def test_tags_and_drawing_are_known() -> None:
    with prefect.tags("night"):
        assert _prefect.TagsContext.get().current_tags == {"night"}, CHANGED
    assert _prefect.get_task_viz_tracker() is None, CHANGED
