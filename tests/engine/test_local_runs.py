"""Runs that a backend holds on to: results of tasks, cancelling."""

from __future__ import annotations

import asyncio
import threading
import time

import prefect
import pytest
from prefect import get_run_logger, runtime

from lume_services.engine import flow, local_run, task
from lume_services.errors import InvalidInputError, RunCancelledError


@task
def double(x: int) -> int:
    return 2 * x


@flow
def nested(x: int) -> int:
    return double(x) + 1


def test_results_of_tasks_by_name() -> None:
    @task
    def fails() -> None:
        raise ValueError

    @flow
    def outer() -> int:
        double(1)
        double.map([2, 3]).wait()
        double.with_options(name="renamed")(5)
        nested(10)
        fails(return_state=True)
        return 0

    run = local_run(outer, {})
    assert run.execute() == 0
    assert run.task_results() == {"double": [2, 4, 6], "renamed": 10, "nested": 21}


def test_results_are_those_of_the_last_attempt() -> None:
    attempts = []

    @flow(retries=1)
    def outer() -> None:
        double(len(attempts))
        attempts.append(1)
        if len(attempts) == 1:
            raise OSError

    run = local_run(outer, {})
    run.execute()
    assert run.task_results() == {"double": 2}


def test_results_are_kept_only_when_wanted() -> None:
    run = local_run(nested, {"x": 1}, keep_results=False)
    assert run.execute() == 3
    assert run.task_results() == {}


def test_id_and_name_are_those_that_the_flow_sees() -> None:
    @flow
    def look() -> tuple[str, str]:
        return runtime.flow_run.id, runtime.flow_run.name

    run = local_run(look, {}, name="morning")
    assert run.execute() == (run.id, "morning")
    assert run.state.is_completed()


def test_a_run_shows_nothing_of_the_run_around_it() -> None:
    @task
    def start_another() -> object:
        return local_run(chat, {}).execute()

    @flow
    def chat() -> object:
        get_run_logger().info("hello")
        return runtime.task_run.id

    @flow
    def outer() -> object:
        return start_another()

    assert outer() is None, "the task around it is not the other run's"


def test_cancelling_stops_at_the_next_task() -> None:
    began, cancelled, hooks = threading.Event(), threading.Event(), []

    @flow(on_cancellation=[lambda flow, run, state: hooks.append(state.name)])
    def long() -> None:
        double(1)
        began.set()
        assert cancelled.wait(10)
        try:
            double(2)
        except Exception:
            hooks.append("went on")

    run = local_run(long, {})
    thread = threading.Thread(target=lambda: (began.wait(10), run.cancel(), cancelled.set()))
    thread.start()
    with pytest.raises(RunCancelledError, match="was cancelled"):
        run.execute()
    assert run.state.is_cancelled()
    assert hooks == ["Cancelled"]
    assert run.task_results() == {"double": 2}


def test_cancelling_ends_the_wait_for_a_retry() -> None:
    failed = threading.Event()

    @flow
    def outer() -> None:
        patient()

    @task(retries=1, retry_delay_seconds=60)
    def patient() -> None:
        failed.set()
        raise OSError

    run = local_run(outer, {})
    thread = threading.Thread(target=lambda: (failed.wait(10), run.cancel()))
    thread.start()
    with pytest.raises(RunCancelledError):
        run.execute()


def test_cancelling_ends_the_wait_for_a_retry_of_asynchronous_code() -> None:
    failed = threading.Event()

    @flow(retries=1, retry_delay_seconds=60)
    async def patient() -> None:
        failed.set()
        raise OSError

    run = local_run(patient, {})
    thread = threading.Thread(target=lambda: (failed.wait(10), run.cancel()))
    thread.start()
    began = time.monotonic()
    with pytest.raises(RunCancelledError):
        run.execute()
    assert time.monotonic() - began < 5


def test_a_flow_that_ran_out_of_time_ends_its_tasks_wait_for_a_retry() -> None:
    @task(retries=1, retry_delay_seconds=60)
    def patient() -> None:
        raise OSError

    @flow(timeout_seconds=0.1)
    def limited() -> None:
        patient.submit().wait()

    @flow
    def outer() -> str:
        state = limited(return_state=True)
        for thread in threading.enumerate():
            if thread.name.startswith("lume-task"):
                thread.join(5)
                assert not thread.is_alive()
        return state.name

    assert local_run(outer, {}).execute() == "TimedOut"


def test_an_asynchronous_flow_runs_from_plain_code() -> None:
    @flow
    async def outer(x: int) -> int:
        return double(x)

    run = local_run(outer, {"x": 2})
    assert run.execute() == 4


def test_both_kinds_run_where_an_event_loop_runs_already() -> None:
    """As in a notebook."""

    @flow
    async def later(x: int) -> int:
        return double(x)

    @flow(timeout_seconds=10)
    def now(x: int) -> int:
        return double(x)

    async def cell() -> object:
        runs = local_run(later, {"x": 1}).execute(), local_run(now, {"x": 2}).execute()
        return *runs, now(3), await later(4)

    assert asyncio.run(cell()) == (2, 4, 6, 8)


def test_wrong_parameters_are_refused_before_anything_runs() -> None:
    for parameters, message in (
        ({"xx": 1}, r"Flow 'nested' has no parameter 'xx'\. Did you mean 'x'\?"),
        ({}, "Flow 'nested' needs a value for: x"),
        ({"x": "many"}, r"(?s)Flow 'nested': .*x: Input should be a valid integer"),
    ):
        for flow_ in (nested, prefect.flow(nested.fn)):
            with pytest.raises(InvalidInputError, match=message):
                local_run(flow_, parameters)
