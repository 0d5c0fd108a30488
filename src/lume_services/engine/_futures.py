"""``submit`` and ``map``: task runs on threads, and the futures that stand for them."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import Context, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from prefect.client.schemas.objects import State
from prefect.task_runners import TaskRunner

from lume_services._threads import fulfil
from lume_services.engine._prefect import PrefectConcurrentFuture, start

if TYPE_CHECKING:
    import prefect

    from lume_services.engine._runs import InlineRun

__all__ = ["InlineFuture", "InlineTaskRunner"]

_MAX_THREADS = 32


class InlineFuture(PrefectConcurrentFuture[Any]):
    """A task run on another thread; Prefect's future, except that it asks no server for states."""

    def __init__(self, run: InlineRun, wrapped_future: Future[State[Any]]) -> None:
        super().__init__(run.record.id, wrapped_future)
        self._run = run

    @property
    def state(self) -> State[Any]:
        """Where the task run has got to; never waits."""
        return self._run.state


class _Job(NamedTuple):
    """A task run that was submitted, and the context of the code that submitted it."""

    run: InlineRun
    context: Context
    future: Future[State[Any]]

    def carry_out(self) -> None:
        fulfil(self.future, partial(self.context.run, self._run))

    def _run(self) -> State[Any]:
        run = self.run
        return (asyncio.run(run.run_async()) if run.target.isasync else run.run()).state


class InlineTaskRunner(TaskRunner[InlineFuture]):
    """What ``Task.submit`` and ``Task.map`` find in the context of an inline flow run.

    Tasks run on as many threads as the flow's own ``ThreadPoolTaskRunner(max_workers=…)`` says,
    32 when it does not; the first come, the first served. A task that is submitted by a submitted
    task gets a thread of its own, because the one that submitted it may be waiting for it.

    The threads are plain ones, since a flow may outlive the main thread: Python waits for them at
    the end of the program, while it closes the pools of ``concurrent.futures`` before that.

    Args:
        make_run: Makes the run of a task, given parameters and what to wait for.
        max_workers: The most threads; 32 when None.

    Attributes:
        used: Whether any task was submitted.
    """

    def __init__(self, make_run: Callable[..., InlineRun], max_workers: int | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Prefect left it without types
        self.used = False
        self._make_run = make_run
        self._max_workers = max_workers or _MAX_THREADS
        self._queue: deque[_Job] = deque()
        self._closed = False
        # Threads: those that work off the queue, those of them that wait for it, and all.
        self._workers = self._idle = self._alive = 0
        lock = threading.Lock()
        self._submitted, self._ended = threading.Condition(lock), threading.Condition(lock)
        start(self)

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
        run.submitted = True
        job = _Job(run, copy_context(), Future())
        self.used = True
        with self._submitted:
            if self._closed or _is_nested(run):
                self._start(job, stay=False)
            elif self._workers < self._max_workers and self._idle <= len(self._queue):
                self._start(job, stay=True)
                self._workers += 1
            else:
                self._queue.append(job)
                self._submitted.notify()
        return InlineFuture(run, job.future)

    def close(self, *, start_others: bool, wait: bool) -> None:
        """End, once the flow's function has.

        Args:
            start_others: Whether submitted tasks that have not begun still do.
            wait: Whether to wait for those that run.
        """
        with self._submitted:
            self._closed = True
            dropped = [] if start_others else list(self._queue)
            if dropped:
                self._queue.clear()
            self._submitted.notify_all()
        for job in dropped:
            job.future.cancel()
        if wait:
            with self._ended:
                self._ended.wait_for(lambda: not self._alive)

    def _start(self, job: _Job, *, stay: bool) -> None:
        threading.Thread(target=self._work, args=(job, stay), name="lume-task").start()
        self._alive += 1

    def _work(self, job: _Job | None, stay: bool) -> None:
        while job is not None:
            job.carry_out()
            job = None  # so that its value is not kept while this thread waits
            if stay:
                job = self._next()
        with self._ended:
            self._alive -= 1
            self._ended.notify_all()

    def _next(self) -> _Job | None:
        with self._submitted:
            self._idle += 1
            self._submitted.wait_for(lambda: self._queue or self._closed)
            self._idle -= 1
            return self._queue.popleft() if self._queue else None


def _is_nested(run: InlineRun) -> bool:
    """Whether a submitted task of the same flow run has made this run."""
    maker = run.parent
    while maker is not None and maker is not run.within:
        if maker.submitted:
            return True
        maker = maker.parent
    return False
