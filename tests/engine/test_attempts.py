"""Retries, time limits and hooks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

import pytest
from prefect import runtime
from prefect.client.schemas.objects import FlowRun, TaskRun

from lume_services.engine import flow, task
from lume_services.errors import RunTimeoutError


def failing(times: int) -> Callable[[], int]:
    """A function that fails a number of times and then returns how often it was called."""
    calls = []

    def function() -> int:
        calls.append(runtime.task_run.run_count or runtime.flow_run.run_count)
        if len(calls) <= times:
            raise OSError(f"attempt {len(calls)}")
        assert calls == list(range(1, len(calls) + 1))
        return len(calls)

    return function


class TestRetries:
    def test_a_task_is_tried_again(self) -> None:
        assert task(retries=2)(failing(2))() == 3

    def test_a_flow_is_tried_again(self) -> None:
        assert flow(retries=1)(failing(1))() == 2

    def test_the_last_exception_is_raised(self) -> None:
        with pytest.raises(OSError, match="attempt 3"):
            task(retries=2)(failing(3))()

    @pytest.mark.parametrize(
        ("delay", "least"),
        [(0.02, 0.04), ([0.01, 0.03], 0.04), (lambda retries: [0.02] * retries, 0.04)],
        ids=["number", "list", "function"],
    )
    def test_it_waits_in_between(self, delay: object, least: float) -> None:
        began = time.monotonic()
        task(retries=2, retry_delay_seconds=delay)(failing(2))()
        assert least <= time.monotonic() - began < 1

    def test_a_short_list_of_delays_repeats_its_last(self) -> None:
        assert task(retries=3, retry_delay_seconds=[0, 0.001])(failing(3))() == 4

    def test_a_condition_decides(self) -> None:
        asked = []

        def condition(task: object, run: TaskRun, state: object) -> bool:
            asked.append(run.name)
            return len(asked) < 2

        with pytest.raises(OSError, match="attempt 2"):
            task(retries=5, retry_condition_fn=condition)(failing(9))()
        assert len(asked) == 2


class TestTimeouts:
    def test_the_main_thread_is_interrupted(self) -> None:
        cleaned = []

        @flow(timeout_seconds=0.05)
        def slow() -> None:
            try:
                while True:
                    time.sleep(0.001)
            except Exception:
                cleaned.append("an exception that the user could catch")
            finally:
                cleaned.append(True)

        began = time.monotonic()
        with pytest.raises(RunTimeoutError, match=r"Flow run '.*' exceeded its timeout of 0.05 s"):
            slow()
        assert time.monotonic() - began < 1
        assert cleaned == [True]
        assert slow(return_state=True).name == "TimedOut"

    def test_a_tasks_limit_inside_a_flows(self) -> None:
        @task(timeout_seconds=0.05)
        def slow() -> None:
            time.sleep(30)

        @flow(timeout_seconds=20)
        def outer() -> str:
            try:
                slow()
            except TimeoutError as error:
                return str(error)
            return "not stopped"

        assert outer().startswith("Task run 'slow-")

    def test_a_flows_limit_comes_before_its_tasks(self) -> None:
        @task(timeout_seconds=20)
        def slow() -> None:
            time.sleep(30)

        @flow(timeout_seconds=0.05)
        def outer() -> None:
            try:
                slow()
            except TimeoutError:  # the flow's own limit is not for it to catch
                time.sleep(30)

        with pytest.raises(RunTimeoutError, match="Flow run"):
            outer()

    def test_the_outer_limit_still_holds_afterwards(self) -> None:
        @task(timeout_seconds=10)
        def quick() -> None: ...

        @flow(timeout_seconds=0.1)
        def outer() -> None:
            quick()
            time.sleep(30)

        with pytest.raises(RunTimeoutError, match="Flow run"):
            outer()

    def test_code_that_swallows_the_interrupt_is_timed_out_all_the_same(self) -> None:
        @task(timeout_seconds=0.02)
        def stubborn() -> str:
            with suppress(BaseException):
                time.sleep(30)
            return "late"

        with pytest.raises(RunTimeoutError):
            stubborn()

    def test_a_timed_out_task_may_be_retried(self) -> None:
        calls = []

        @task(timeout_seconds=0.02, retries=1)
        def slow_at_first() -> int:
            calls.append(1)
            if len(calls) == 1:
                time.sleep(30)
            return len(calls)

        assert slow_at_first() == 2

    def test_in_another_thread_it_may_be_retried_too(self) -> None:
        calls = []

        @task
        def step() -> int:
            return len(calls)

        @task(timeout_seconds=0.05, retries=1)
        def slow_at_first() -> int:
            calls.append(1)
            if len(calls) == 1:
                time.sleep(1)
            return step()

        @flow
        def outer() -> int:
            return slow_at_first.submit().result()

        assert outer() == 2

    def test_a_users_own_timeout_error_is_not_ours(self) -> None:
        error = TimeoutError("device")

        @task(timeout_seconds=10)
        def device() -> None:
            raise error

        with pytest.raises(TimeoutError) as caught:
            device()
        assert caught.value is error
        assert device(return_state=True).name == "Failed"

    def test_in_another_thread_the_late_result_is_discarded(self) -> None:
        go, went_on = threading.Event(), []

        @task
        def next_step() -> None:
            went_on.append(True)

        @task(timeout_seconds=0.05)
        def slow() -> str:
            go.wait(10)
            finished.set()
            next_step()
            return "late"

        @flow
        def outer() -> str:
            future = slow.submit()
            future.wait()
            state = future.state
            go.set()
            assert finished.wait(10)
            assert future.state is state
            return state.name

        finished = threading.Event()
        assert outer() == "TimedOut"
        for thread in threading.enumerate():
            if thread.name.endswith("(timed)"):
                thread.join(10)
        assert not went_on, "code that nobody waits for called another task"


class TestHooks:
    def test_each_state_calls_its_hooks(self) -> None:
        called = []

        def hook(name: str) -> Callable[..., None]:
            return lambda target, run, state: called.append((name, type(run), state.name))

        hooks = {name: [hook(name)] for name in ("on_running", "on_completion", "on_failure")}
        task(**hooks)(lambda: 1)()
        assert called == [
            ("on_running", TaskRun, "Running"),
            ("on_completion", TaskRun, "Completed"),
        ]
        called.clear()
        with pytest.raises(OSError, match="attempt"):
            flow(retries=1, **hooks)(failing(2))()
        assert called == [
            ("on_running", FlowRun, "Running"),
            ("on_running", FlowRun, "Retrying"),
            ("on_failure", FlowRun, "Failed"),
        ]

    def test_hooks_are_added_by_decorator_too_and_may_be_asynchronous(self) -> None:
        called = []

        @flow
        def one() -> int:
            return 1

        @one.on_completion
        async def note(flow: object, run: FlowRun, state: object) -> None:
            called.append(run.name)

        assert one() == 1
        assert len(called) == 1

    def test_a_hook_that_fails_changes_nothing(self) -> None:
        def bad(*args: object) -> None:
            raise RuntimeError("hook")

        assert task(on_completion=[bad])(lambda: 1)() == 1

    def test_an_interrupt_is_a_crash(self) -> None:
        called = []

        @flow(on_crashed=[lambda flow, run, state: called.append(state.name)])
        def interrupted() -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            interrupted()
        assert called == ["Crashed"]
