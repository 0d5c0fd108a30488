"""Flows and tasks called where no Prefect engine is running."""

from __future__ import annotations

import asyncio
import threading
import time
import traceback
from contextvars import copy_context

import prefect
import pytest
from prefect import allow_failure, get_run_logger, runtime, tags, unmapped
from prefect.exceptions import ParameterTypeError, UpstreamTaskError
from prefect.states import Completed, Failed

from lume_services.engine import InlineFlow, InlineTask, flow, task
from lume_services.errors import FlowError, LUMEServicesWarning


@task
def increment(x: int) -> int:
    return x + 1


@task
def fail() -> None:
    raise ValueError("from the task")


def test_a_flow_runs_its_tasks_and_returns_their_values() -> None:
    @flow
    def compute(x: int, times: int = 3) -> int:
        return increment(x) * times

    assert compute(1) == 6
    assert compute(1, times=1) == 2


def test_decorators_make_subclasses_of_prefects() -> None:
    @flow(name="named", retries=2)
    def one() -> None: ...

    assert isinstance(one, prefect.Flow)
    assert isinstance(increment, prefect.Task)
    assert (one.name, one.retries) == ("named", 2)
    other, another = one.with_options(name="other"), increment.with_options(retries=4)
    assert (type(other), other.name, other.retries) == (InlineFlow, "other", 2)
    assert (type(another), another.retries) == (InlineTask, 4)


def test_unknown_options_are_refused() -> None:
    with pytest.raises(TypeError, match="max_retries"):
        task(max_retries=2)(lambda: None)


def test_parameters_are_converted_to_their_annotations() -> None:
    @flow
    def typed(x: int, names: list[str]) -> object:
        return x, names, runtime.flow_run.parameters

    assert typed("3", ("a",)) == (3, ["a"], {"x": 3, "names": ["a"]})
    with pytest.raises(ParameterTypeError, match="x: Input should be a valid integer"):
        typed("three", [])


@pytest.mark.parametrize("validate", [True, False])
def test_every_kind_of_signature_can_be_called(validate: bool) -> None:
    @flow(validate_parameters=validate)
    def positional(a: int, /, b: int = 2, *rest: int, c: int = 3, **others: int) -> object:
        return a, b, rest, c, others

    a, b, rest, c, others = positional(1, 5, 6, 7, c=4, d=8)
    assert (a, b, tuple(rest), c, others) == (1, 5, (6, 7), 4, {"d": 8})
    assert positional(1)[:2] == (1, 2)


def test_methods_can_be_flows_and_tasks() -> None:
    class Machine:
        current = 7

        @task
        def read(self, factor: int) -> int:
            return self.current * factor

        @flow
        def measure(self, factor: int) -> int:
            return self.read(factor)

        @staticmethod
        @task
        def convert(x: int) -> int:
            return -x

    machine = Machine()
    assert machine.measure(2) == 14
    assert machine.convert(2) == -2


def test_a_users_exception_arrives_unchanged_with_its_traceback() -> None:
    error = ValueError("mine")

    @task
    def inner() -> None:
        raise error

    @flow
    def outer() -> None:
        inner()

    with pytest.raises(ValueError, match="mine") as caught:
        outer()
    assert caught.value is error
    names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    assert names[-1] == "inner"
    assert "outer" in names


def test_states_are_given_on_request() -> None:
    @flow
    def nothing() -> None: ...

    @flow
    def failing() -> None:
        fail()

    state = nothing(return_state=True)
    assert state.is_completed()
    assert state.result() is None
    state = failing(return_state=True)
    assert state.is_failed()
    with pytest.raises(ValueError, match="from the task"):
        state.result()
    assert increment(1, return_state=True).result() == 2


def test_a_flow_may_return_states_and_futures() -> None:
    @flow
    def future() -> object:
        return increment.submit(1)

    @flow
    def futures() -> object:
        return [increment.submit(1), increment.submit(2)]

    @flow
    def one_failed() -> object:
        return [increment.submit(1), fail.submit()]

    @flow
    def by_hand() -> object:
        return Completed(message="done", data=5)

    @flow
    def failed_by_hand() -> object:
        return Failed(message="no beam")

    assert future() == 2
    assert [state.result() for state in futures()] == [2, 3]
    assert by_hand() == 5
    assert one_failed(return_state=True).is_failed()
    with pytest.raises(ValueError, match="from the task"):
        one_failed()
    with pytest.raises(Exception, match="no beam"):
        failed_by_hand()


def test_flows_call_flows() -> None:
    @flow
    def child(x: int) -> tuple[int, str]:
        return increment(x), runtime.flow_run.id

    @flow
    def parent() -> object:
        return child(1), runtime.flow_run.id

    (value, child_id), parent_id = parent()
    assert value == 2
    assert child_id != parent_id


def test_prefect_runtime_and_context_work() -> None:
    seen = {}

    @task(name="inside", task_run_name="inside with {x}")
    def look(x: int) -> None:
        seen["task"] = (
            runtime.task_run.task_name,
            runtime.task_run.name,
            runtime.task_run.parameters,
            runtime.task_run.run_count,
        )
        seen["ids"] = (runtime.task_run.id, runtime.flow_run.id)
        seen["tags"] = runtime.task_run.tags

    @flow(name="outside", flow_run_name="run of {x}")
    def outside(x: int) -> None:
        look(x + 1)
        seen["flow"] = (
            runtime.flow_run.flow_name,
            runtime.flow_run.name,
            runtime.flow_run.parameters,
            runtime.flow_run.tags,
            runtime.flow_run.parent_flow_run_id,
        )

    with tags("night-shift"):
        outside(1)
    assert seen["task"] == ("inside", "inside with 2", {"x": 2}, 1)
    assert seen["flow"] == ("outside", "run of 1", {"x": 1}, ["night-shift"], None)
    assert seen["tags"] == ["night-shift"]
    assert len({*seen["ids"]}) == 2
    assert runtime.flow_run.id is None


def test_plain_prefect_tasks_and_flows_run_inline_inside(no_prefect_api: None) -> None:
    @prefect.task
    def plain_task(x: int) -> tuple[int, str]:
        return x * 10, runtime.task_run.name

    @prefect.flow
    def plain_flow(x: int) -> int:
        return plain_task(x)[0] + increment(x)

    @flow
    def outer() -> object:
        mapped = plain_task.map([1, 2])
        return (
            plain_task(1)[0],
            plain_task.submit(2).result()[0],
            [value for value, _ in mapped.result()],
            plain_flow(3),
        )

    assert outer() == (10, 20, [10, 20], 34)


def test_tasks_run_outside_flows_too() -> None:
    assert increment(1) == 2
    with pytest.raises(RuntimeError, match="outside of a flow"):
        increment.submit(1)


def test_asynchronous_flows_and_tasks() -> None:
    @task(timeout_seconds=5)
    async def later(x: int) -> int:
        await asyncio.sleep(0)
        return x + 1

    @flow
    async def outer(x: int) -> object:
        both = await asyncio.gather(later(x), later(x + 1))
        return both, increment(x), later.submit(x).result(), runtime.flow_run.name is not None

    assert asyncio.run(outer(1)) == ([2, 3], 2, 2, True)


def test_an_asynchronous_flow_runs_out_of_time() -> None:
    @flow(timeout_seconds=0.05)
    async def slow() -> None:
        await asyncio.sleep(30)

    @flow
    async def own() -> None:
        raise TimeoutError("of the device")

    with pytest.raises(TimeoutError, match=r"exceeded its timeout of 0\.05 s"):
        asyncio.run(slow())
    assert asyncio.run(own(return_state=True)).name == "Failed"


def test_generators_are_refused() -> None:
    @task
    def many():
        yield 1

    with pytest.raises(FlowError, match="'many' is a generator function"):
        many()


class TestFutures:
    def test_submitted_tasks_run_at_the_same_time(self) -> None:
        together = threading.Barrier(3, timeout=10)

        @task
        def meet() -> int:
            return together.wait()

        @flow
        def outer() -> object:
            futures = [meet.submit() for _ in range(3)]
            return sorted(future.result() for future in futures)

        assert outer() == [0, 1, 2]

    def test_a_future_has_state_wait_and_result(self) -> None:
        go = threading.Event()

        @task
        def wait_for_go() -> str:
            assert go.wait(10)
            return "gone"

        @flow
        def outer() -> object:
            future = wait_for_go.submit()
            future.wait(timeout=0.01)
            before = future.state.is_final()
            with pytest.raises(TimeoutError):
                future.result(timeout=0.01)
            called = []
            future.add_done_callback(called.append)
            go.set()
            return before, future.result(), future.state.is_completed(), called == [future]

        assert outer() == (False, "gone", True, True)

    def test_map_takes_unmapped_and_futures(self) -> None:
        @task
        def scale(x: int, factor: int) -> int:
            return x * factor

        @flow
        def outer() -> object:
            values = increment.map([0, 1, 2])
            return scale.map(values, unmapped(10)).result()

        assert outer() == [10, 20, 30]

    def test_futures_among_arguments_stand_for_their_values(self) -> None:
        @task
        def total(values: list[int], more: dict[str, int]) -> int:
            return sum(values) + sum(more.values())

        @flow
        def outer() -> int:
            return total([increment.submit(1), 1], {"a": increment.submit(2)})

        assert outer() == 6

    def test_wait_for_orders_tasks(self) -> None:
        order = []

        @task
        def note(name: str, seconds: float = 0) -> None:
            time.sleep(seconds)
            order.append(name)

        @flow
        def outer() -> None:
            first = note.submit("first", 0.05)
            note.submit("second", wait_for=[first])

        outer()
        assert order == ["first", "second"]

    def test_a_failed_future_stops_what_depends_on_it(self) -> None:
        @task
        def describe(x: object) -> str:
            return repr(x)

        @flow
        def outer() -> object:
            failed = fail.submit()
            with pytest.raises(ValueError, match="from the task"):
                failed.result()
            with pytest.raises(UpstreamTaskError):
                describe(failed)
            with pytest.raises(UpstreamTaskError):
                increment(1, wait_for=[failed])
            late = describe.submit(failed)
            late.wait()
            return late.state.name, describe(allow_failure(failed))

        assert outer() == ("NotReady", "ValueError('from the task')")

    def test_a_flow_waits_for_what_it_submitted(self) -> None:
        done = []

        @task
        def slow() -> None:
            time.sleep(0.05)
            done.append(True)

        @flow
        def outer() -> None:
            slow.submit()

        outer()
        assert done == [True]

    def test_tasks_that_submit_and_wait_do_not_starve_each_other(self) -> None:
        @task
        def outer_task(x: int) -> int:
            return sum(increment.map([x, x]).result())

        @flow(task_runner=prefect.task_runners.ThreadPoolTaskRunner(max_workers=2))
        def many() -> list[int]:
            return outer_task.map(list(range(8))).result()

        assert many() == [2 * (x + 1) for x in range(8)]

    def test_a_task_with_a_time_limit_may_submit_and_wait(self) -> None:
        @task(timeout_seconds=10)
        def outer_task(x: int) -> int:
            return increment.submit(x).result(timeout=5)

        @flow(task_runner=prefect.task_runners.ThreadPoolTaskRunner(max_workers=1))
        def outer() -> int:
            return outer_task.submit(1).result()

        assert outer() == 2

    def test_a_flow_called_by_a_submitted_task_keeps_its_own_number(self) -> None:
        threads = set()

        @task
        def note() -> None:
            threads.add(threading.get_ident())
            time.sleep(0.005)

        @flow(task_runner=prefect.task_runners.ThreadPoolTaskRunner(max_workers=1))
        def one_by_one() -> None:
            for _ in range(4):
                note.submit()

        @task
        def call_it() -> None:
            one_by_one()

        @flow
        def outer() -> None:
            call_it.submit()

        outer()
        assert len(threads) == 1

    def test_the_flows_own_number_of_threads_is_kept(self) -> None:
        running, most, lock = 0, 0, threading.Lock()

        @task
        def count() -> None:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            time.sleep(0.005)
            with lock:
                running -= 1

        @flow(task_runner=prefect.task_runners.ThreadPoolTaskRunner(max_workers=2))
        def few() -> None:
            for _ in range(10):
                count.submit()

        few()
        assert most <= 2


def test_concurrent_runs_in_threads_do_not_mix() -> None:
    @task
    def look(x: int) -> tuple[int, str]:
        time.sleep(0.001)
        get_run_logger().debug("%d", x)
        return runtime.flow_run.parameters["x"], runtime.flow_run.id

    @flow
    def one(x: int) -> object:
        seen = [look(x), look.submit(x).result()]
        return seen, runtime.flow_run.id

    results: dict[int, object] = {}
    threads = [
        threading.Thread(target=copy_context().run, args=(lambda x=x: results.update({x: one(x)}),))
        for x in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = set()
    for x, (seen, run_id) in results.items():
        assert seen == [(x, run_id)] * 2
        ids.add(run_id)
    assert len(ids) == 8


def test_options_for_prefects_engine_are_taken_with_one_warning() -> None:
    calls = []

    @task(cache_key_fn=lambda context, parameters: "same", persist_result=True)
    def cached() -> int:
        calls.append(1)
        return 1

    @flow
    def outer() -> None:
        cached()
        cached()

    with pytest.warns(LUMEServicesWarning, match="'cached' asks for Prefect's caching") as caught:
        outer()
    assert len(caught) == 1
    assert len(calls) == 2
