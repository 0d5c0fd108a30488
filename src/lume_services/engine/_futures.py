"""``submit`` and ``map``: task runs on threads, and the futures that stand for them."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Self

from prefect.client.schemas.objects import State
from prefect.futures import PrefectConcurrentFuture
from prefect.task_runners import TaskRunner

if TYPE_CHECKING:
    import prefect

    from lume_services.engine._runs import InlineRun

__all__ = ["InlineFuture", "InlineTaskRunner"]

_MAX_THREADS = 32

# Whether the current thread is one that runs submitted tasks.
_thread = threading.local()


class InlineFuture(PrefectConcurrentFuture[Any]):
    """A task run on another thread; Prefect's future, except that it asks no server for states."""

    def __init__(self, run: InlineRun, wrapped_future: Future[State[Any]]) -> None:
        super().__init__(run.record.id, wrapped_future)
        self._run = run

    @property
    def state(self) -> State[Any]:
        """Where the task run has got to; never waits."""
        return self._run.state


class InlineTaskRunner(TaskRunner[InlineFuture]):
    """What ``Task.submit`` and ``Task.map`` find in the context of an inline flow run.

    Tasks run on as many threads as the flow's own ``ThreadPoolTaskRunner(max_workers=…)`` says,
    32 when it does not; the first come, the first served. A task that is submitted by a submitted
    task gets a thread of its own, because the one that submitted it may be waiting for it.

    Args:
        make_run: Makes the run of a task, given parameters and what to wait for.
        max_workers: The most threads; 32 when None.
    """

    def __init__(self, make_run: Callable[..., InlineRun], max_workers: int | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Prefect left it without types
        self._make_run = make_run
        self._max_workers = max_workers
        self._pool: ThreadPoolExecutor | None = None
        self._nested: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._started = True

    @property
    def used(self) -> bool:
        """Whether any task was submitted."""
        return self._pool is not None

    def duplicate(self) -> Self:
        """A runner for another flow run."""
        return type(self)(self._make_run, self._max_workers)

    def submit(
        self,
        task: prefect.Task[..., Any],
        parameters: dict[str, Any],
        wait_for: Any = None,
        dependencies: Any = None,
    ) -> InlineFuture:
        """Start a task on another thread.

        Args:
            task: The task.
            parameters: Its parameters, bound to its signature.
            wait_for: Futures and states that must complete first.
            dependencies: Ignored: where the parameters came from, for Prefect's server.
        """
        run = self._make_run(task, parameters, wait_for)
        context = copy_context()

        def work() -> State[Any]:
            _thread.submitted = True
            done = asyncio.run(run.run_async()) if task.isasync else run.run()
            return done.state

        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(
                    self._max_workers or _MAX_THREADS, thread_name_prefix="lume-task"
                )
        if not getattr(_thread, "submitted", False):
            return InlineFuture(run, self._pool.submit(context.run, work))
        future: Future[State[Any]] = Future()
        thread = threading.Thread(target=_fulfil, args=(future, context.run, work))
        self._nested.append(thread)
        thread.start()
        return InlineFuture(run, future)

    def close(self, *, start_others: bool, wait: bool) -> None:
        """End, once the flow's function has.

        Args:
            start_others: Whether submitted tasks that have not begun still do.
            wait: Whether to wait for those that run.
        """
        if self._pool is None:
            return
        self._pool.shutdown(wait=wait, cancel_futures=not start_others)
        if wait:
            for thread in self._nested:
                thread.join()


def max_workers_of(flow: prefect.Flow[..., Any]) -> int | None:
    """How many threads a flow asks for; None when it does not say."""
    workers = getattr(flow.task_runner, "_max_workers", None)
    # Prefect's way of saying that there is no limit.
    return None if workers == sys.maxsize else workers


def _fulfil(future: Future[Any], call: Callable[..., Any], *args: Any) -> None:
    try:
        future.set_result(call(*args))
    except BaseException as error:  # raised again by whoever waits for the future
        future.set_exception(error)
