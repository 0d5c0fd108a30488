"""One run of a flow or a task, inline: attempts, states, hooks."""

from __future__ import annotations

import asyncio
import inspect
import random
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Self

from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import UpstreamTaskError
from prefect.logging.loggers import get_run_logger
from prefect.states import (
    AwaitingRetry,
    Cancelled,
    Crashed,
    Failed,
    Pending,
    Retrying,
    Running,
)

from lume_services._threads import call_in_thread
from lume_services.engine._current import current_run
from lume_services.engine._interrupts import (
    Expired,
    Stopped,
    call_within,
    is_left_behind,
)
from lume_services.engine._parameters import call
from lume_services.engine._prefect import error_of, resolve_inputs_sync
from lume_services.engine._states import HOOKS, final_state
from lume_services.errors import FlowError, RunTimeoutError

__all__ = ["InlineRun", "check_stop", "registered_flow_id", "run_coroutine"]

_HEARING_S = 0.05
"""Seconds, at most, until a run that waits to be retried hears that it should stop."""


class InlineRun(ABC):
    """A run of a flow or a task in this process.

    Args:
        target: The flow or task.
        parameters: Its parameters, bound to its signature; futures and states in them stand for
            their values.
        wait_for: Futures and states that must complete first.

    Attributes:
        record: Prefect's own description of the run, for hooks and ``prefect.runtime``.
        parent: The run whose code made this one; None outside any.
        value: What the function returned, once completed.
        error: The exception that ended the run, once ended badly.
        stop: Set when the run should stop at the next occasion.
        within: The flow run that this one is part of; None for one started outside any.
        registered_as: The ``flow_id`` of the flow in the model registry, of a run that a backend
            started.
        submitted: Whether a task runner runs it on another thread.
        children: The runs that are part of its last attempt, in order; None unless kept.
    """

    kind: str
    record: Any  # prefect's FlowRun or TaskRun
    registered_as: str | None = None
    children: list[InlineRun] | None = None
    submitted = False

    def __init__(self, target: Any, parameters: dict[str, Any], wait_for: Any = None) -> None:
        if target.isgenerator:
            raise FlowError(
                f"{self.kind} {target.name!r} is a generator function, which local runs do not "
                "support. Return a list."
            )
        self.target = target
        self.parameters = parameters
        self.parent = current_run.get()
        self.value: Any = None
        self.error: BaseException | None = None
        self.stop = threading.Event()
        self._wait_for = wait_for
        self._open = True
        self._retries = 0
        self._delay = 0.0
        self._prefect_context: Any = None
        self.within = _flow_run(self.parent)
        if self.within is not None and self.within.children is not None:
            self.within.children.append(self)

    @property
    def state(self) -> State[Any]:
        """Where the run has got to; a completed state holds the value, a failed one the error."""
        return self.record.state or Pending()

    @property
    def title(self) -> str:
        """What messages call the run."""
        return f"{self.kind} run {self.record.name!r}"

    def run(self) -> Self:
        """Carry the run out in this thread; how it went is in ``state``.

        Only what is not an ``Exception`` is raised: interrupts, and requests to stop.
        """
        with self._entered():
            self._begin()
            while self._open:
                with self._attempt():
                    self._succeed(call_within(self.target.timeout_seconds, self._call, self))
                for seconds in self._pauses():
                    time.sleep(seconds)
        return self

    async def run_async(self) -> Self:
        """As ``run``, for a coroutine function."""
        with self._entered():
            self._begin()
            while self._open:
                with self._attempt():
                    self._succeed(await self._call_async())
                for seconds in self._pauses():
                    await asyncio.sleep(seconds)
        return self

    def outcome(self, *, return_state: bool = False) -> Any:
        """The value, or the final state; raises what the function raised."""
        if return_state:
            return self.state
        if self.error is not None:
            raise self.error
        return self.value

    @abstractmethod
    def _context(self) -> AbstractContextManager[object]:
        """What Prefect's ``get_run_logger`` and ``prefect.runtime`` read, set meanwhile."""

    def _prepare(self) -> dict[str, Any]:
        """The parameters with which the function is called."""
        if self._wait_for is not None:
            resolve_inputs_sync({"wait_for": self._wait_for}, return_data=False)
        return resolve_inputs_sync(self.parameters)

    def _may_retry(self, error: Exception) -> bool:
        """Whether an attempt that failed like this is worth another one."""
        return True

    @contextmanager
    def _entered(self) -> Iterator[None]:
        token = current_run.set(self)
        try:
            with self._context():
                yield
        finally:
            current_run.reset(token)
            # What it was given may be large, and runs are kept for their values.
            self.parameters = {}
            self._prefect_context = None

    def _begin(self) -> None:
        try:
            self.parameters = self._prepare()
        except UpstreamTaskError as error:
            # Prefect's state for it; unlike Prefect, a direct call does raise the error.
            self._close(Pending(name="NotReady", message=str(error)), error)
        except Exception as error:
            get_run_logger().error("Its parameters are wrong: %s", error)
            self._close(Failed(data=error, message=f"Wrong parameters: {error}"), error)

    def _call(self) -> Any:
        return call(self.target.fn, self.parameters)

    async def _call_async(self) -> Any:
        try:
            async with asyncio.timeout(self.target.timeout_seconds) as limit:
                return await self._call()
        except TimeoutError:
            if limit.expired():
                raise Expired(self) from None
            raise

    @contextmanager
    def _attempt(self) -> Iterator[None]:
        try:
            self.raise_if_stopped()
            if self.children:
                self.children.clear()  # those of the attempt before
            self.record.run_count += 1
            self._enter(Retrying() if self._retries else Running())
            yield
        except Expired as expired:
            if expired.run is not self:
                self._close(Cancelled(message=str(expired)), expired)
                raise
            error = RunTimeoutError(
                f"{self.title} exceeded its timeout of {self.target.timeout_seconds:g} s"
            )
            error.__cause__ = expired
            self._fail(error, Failed(name="TimedOut", data=error, message=str(error)))
        except Stopped as stopped:
            self._close(Cancelled(message="The run was asked to stop."), stopped)
            raise
        except Exception as error:
            message = f"{self.kind} run encountered an exception: {error!r}"
            self._fail(error, Failed(data=error, message=message))
        except BaseException as error:
            self._close(Crashed(data=error, message=f"Interrupted: {error!r}"), error)
            raise

    def _succeed(self, value: Any) -> None:
        state = final_state(value)
        if state.is_failed() or state.is_crashed() or state.is_cancelled():
            # The function returned the state of a run that went wrong.
            self._fail(error_of(state), state)
            return
        self.value = value
        self._close(state)

    def _fail(self, error: Exception, state: State[Any]) -> None:
        retries = self.target.retries
        if self._retries < retries and state.is_failed() and self._may_retry(error):
            delays = self.target.retry_delay_seconds or 0
            if isinstance(delays, Sequence):
                delays = delays[min(self._retries, len(delays) - 1)]
            jitter = getattr(self.target, "retry_jitter_factor", None) or 0
            self._delay = delays * random.uniform(1, 1 + jitter)  # noqa: S311 - no secret
            self._retries += 1
            log = "Failed with %r; retry %d of %d in %g s"
            get_run_logger().info(log, error, self._retries, retries, self._delay)
            at = datetime.now(UTC) + timedelta(seconds=self._delay)
            self._enter(AwaitingRetry(scheduled_time=at))
            return
        get_run_logger().error("Failed with %r", error)
        self._close(state, error)

    def _pauses(self) -> Iterator[float]:
        """The wait for the next attempt, in pieces, between which a request to stop is heard."""
        end = time.monotonic() + self._delay
        while (left := end - time.monotonic()) > 0 and self._stopped_by() is None:
            yield min(left, _HEARING_S)

    def _close(self, state: State[Any], error: BaseException | None = None) -> None:
        self._open = False
        self._delay = 0.0
        self.error = error
        self._enter(state)

    def _enter(self, state: State[Any]) -> None:
        record = self.record
        record.state, record.state_type, record.state_name = state, state.type, state.name
        if state.is_running() and record.start_time is None:
            record.start_time = state.timestamp
        elif not self._open:
            record.end_time = state.timestamp
        for hook in getattr(self.target, HOOKS.get(state.type, ""), ()):
            try:
                answer = hook(self.target, record, state)
                if inspect.iscoroutine(answer):
                    run_coroutine(answer)
            except Exception:  # a hook that fails does not change how the run ended
                get_run_logger().exception("Its hook %r failed", hook)

    def raise_if_stopped(self) -> None:
        """Leave the flow when the run, or one that it is part of, was asked to stop."""
        if reason := self._stopped_by():
            raise Stopped(reason)

    def _stopped_by(self) -> str | None:
        """Why it should not go on; None when it may."""
        if is_left_behind():
            return "Its time is up, and nobody waits for it any more."
        run: InlineRun | None = self
        while run is not None:
            if run.stop.is_set():
                return f"{run.title} was asked to stop."
            run = run.parent
        return None


def _flow_run(run: InlineRun | None) -> InlineRun | None:
    while run is not None and not isinstance(run.record, FlowRun):
        run = run.parent
    return run


def run_coroutine(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine to its end from code that is not asynchronous.

    It gets an event loop of its own: in this thread, or in another one where this thread is
    running one already, as in a notebook.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(coroutine)
    run = partial(copy_context().run, asyncio.run, coroutine)
    return call_in_thread(run, name="lume-coroutine").result()


def registered_flow_id() -> str | None:
    """The ``flow_id`` in the model registry of the flow that is running.

    Returns:
        None outside of a run, in the run of a flow that the registry may not know, and in a flow
        that another one calls, which may be of another model.
    """
    run: InlineRun | None = current_run.get()
    flow_run = run and _flow_run(run)
    return flow_run.registered_as if flow_run is not None else None


def check_stop() -> None:
    """Where a flow that waits for something hears that its run is to stop; it is left then."""
    run: InlineRun | None = current_run.get()
    if run is not None:
        run.raise_if_stopped()
